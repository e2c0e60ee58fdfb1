# SPDX-License-Identifier: Apache-2.0
"""What an image is made of: exactly the files that its Dockerfile copies, and the key that follows from them."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.component import ClusterError
from tests.cluster.layout import REPOSITORY

# Layers are cached by what they contain; when a checkout wrote its files must not be a part of that.
STAGED_TIME = 1_000_000_000


@dataclass(frozen=True)
class Recipe:
    """An image to build from the repository."""

    tag: str
    dockerfile: Path
    programs: Mapping[str, Path] = field(default_factory=dict)
    """Files from outside the repository, by name: the build context `programs` of the Dockerfile."""

    @property
    def name(self) -> str:
        return self.tag.rpartition("/")[2].partition(":")[0]

    def sources(self) -> list[Path]:
        """The repository's files that the Dockerfile copies, without what git ignores."""
        copied = sorted(_copied_from_context(self.dockerfile.read_text()))
        for path in copied:
            if not (REPOSITORY / path).exists():
                raise ClusterError(f"{self.dockerfile} copies {path}, which does not exist")
        return _listed_by_git(copied) if copied else []

    def key(self) -> str:
        """The same for the same content, wherever and whenever it was checked out."""
        digest = hashlib.sha256(self.tag.encode())
        for name, path in self._inputs():
            executable = os.access(path, os.X_OK)
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{name} {executable} {content}\n".encode())
        return digest.hexdigest()[:16]

    def stage(self, directory: Path) -> None:
        """Lays the build contexts out: `context` and `programs`, with nothing but what the key is made of."""
        for context in ("context", "programs"):
            (directory / context).mkdir()
        for source in self.sources():
            _copy(REPOSITORY / source, directory / "context" / source)
        for name, program in self.programs.items():
            _copy(program, directory / "programs" / name)

    def _inputs(self) -> Iterator[tuple[str, Path]]:
        yield "Dockerfile", self.dockerfile
        for source in self.sources():
            yield f"context/{source}", REPOSITORY / source
        for name, program in sorted(self.programs.items()):
            yield f"programs/{name}", program


def _copied_from_context(dockerfile: str) -> Iterator[str]:
    joined = re.sub(r"\\\n", " ", dockerfile)
    for line in joined.splitlines():
        instruction, *words = shlex.split(line, comments=True) or [""]
        flags = [word for word in words if word.startswith("--")]
        if instruction.upper() in ("COPY", "ADD") and not any(flag.startswith("--from=") for flag in flags):
            yield from (word for word in words[:-1] if word not in flags)


def _listed_by_git(paths: list[str]) -> list[Path]:
    command = ("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *paths)
    listing = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    files = {Path(name) for name in listing.split("\0") if name}
    return sorted(path for path in files if (REPOSITORY / path).is_file())


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o755 if os.access(source, os.X_OK) else 0o644)
    os.utime(target, (STAGED_TIME, STAGED_TIME))
