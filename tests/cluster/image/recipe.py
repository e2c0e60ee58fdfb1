# SPDX-License-Identifier: Apache-2.0
"""What an image is made of: exactly the files that its Dockerfile copies, and the key that follows from them."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import stat
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
        return self._digest(self._inputs())

    def stage(self, directory: Path) -> str:
        """Lays out `Dockerfile` and the build contexts `context` and `programs`; returns the key of exactly that."""
        inputs = self._inputs()
        for context in ("context", "programs"):
            (directory / context).mkdir()
        for name, source in inputs.items():
            _copy(source, directory / name)
        return self._digest({name: directory / name for name in inputs})

    def _inputs(self) -> dict[str, Path]:
        return {
            "Dockerfile": self.dockerfile,
            **{f"context/{source}": REPOSITORY / source for source in self.sources()},
            **{f"programs/{name}": program for name, program in self.programs.items()},
        }

    def _digest(self, inputs: Mapping[str, Path]) -> str:
        digest = hashlib.sha256(self.tag.encode())
        for name, path in sorted(inputs.items()):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            digest.update(f"{name} {_is_executable(path)} {content}\n".encode())
        return digest.hexdigest()[:16]


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


def _is_executable(path: Path) -> bool:
    return bool(path.stat().st_mode & stat.S_IXUSR)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(0o755 if _is_executable(source) else 0o644)
    os.utime(target, (STAGED_TIME, STAGED_TIME))
