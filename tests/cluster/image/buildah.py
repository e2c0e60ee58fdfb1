# SPDX-License-Identifier: Apache-2.0
"""Runs buildah on a storage of our own, so that neither the machine's images nor its cache are touched."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from pathlib import Path

from tests.cluster.component import ClusterError
from tests.cluster.progress import report

# Where the machine's certificate authorities are, and where a build sees them.
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
AUTHORITIES_IN_BUILD = "/run/machine-authorities.crt"
STEP = re.compile(r"(\[\d+/\d+\] )?STEP ")


class Buildah:
    """buildah with its storage in a directory, one command at a time."""

    def __init__(self, directory: Path) -> None:
        self._storage = directory / "storage"
        self._temporary = directory / "tmp"
        self._temporary.mkdir(parents=True, exist_ok=True)

    def build(self, *, staged: Path, tag: str, log: Path) -> None:
        """Builds what a recipe staged; layers and cache mounts of earlier builds are used again."""
        arguments = ["bud", "--layers", "--pull-never", f"--file={staged / 'Dockerfile'}", f"--tag={tag}"]
        arguments += [f"--build-context=programs={staged / 'programs'}"]
        if AUTHORITIES.exists():
            # A machine's HTTPS may go through an authority that only the machine knows.
            arguments += [
                f"--volume={AUTHORITIES}:{AUTHORITIES_IN_BUILD}:ro",
                f"--build-arg=CA_BUNDLE={AUTHORITIES_IN_BUILD}",
            ]
        self._follow((*arguments, str(staged / "context")), log)

    def make_base(self, *, archive: Path, tag: str, identity: str, log: Path) -> None:
        """Makes an image of one layer, the archive's content, and remembers which it was."""
        with tempfile.TemporaryDirectory() as scratch:
            dockerfile = Path(scratch) / "Dockerfile"
            dockerfile.write_text(f'FROM scratch\nADD {archive.name} /\nLABEL identity={identity}\nCMD ["bash"]\n')
            self._follow(("bud", f"--file={dockerfile}", f"--tag={tag}", str(archive.parent)), log)

    def identity_of(self, tag: str) -> str | None:
        """What `make_base` was told; None if there is no such image."""
        template = '{{index .OCIv1.Config.Labels "identity"}}'
        result = self._run(("inspect", "--type=image", f"--format={template}", tag))
        return result.stdout.strip() if result.returncode == 0 else None

    def save(self, *, tag: str, archive: Path) -> None:
        result = self._run(("push", "--quiet", tag, f"docker-archive:{archive}:{tag}"))
        if result.returncode != 0:
            raise ClusterError(f"buildah push {tag}: {result.stderr.strip()}")

    def keep_below(self, gigabytes: int) -> None:
        """Frees the storage if it has grown beyond that, as each build adds layers; the next starts from nothing."""
        listing = subprocess.run(
            ("du", "--summarize", "--block-size=1G", self._storage), capture_output=True, check=False
        )
        if listing.returncode == 0 and int(listing.stdout.split()[0]) > gigabytes:
            report("freeing the space of old builds; this build takes longer for it")
            self._run(("rmi", "--all", "--force"))

    def _run(self, arguments: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
        with tempfile.TemporaryDirectory() as run_root:
            return subprocess.run(
                self._command(arguments, run_root), env=self._environment(), capture_output=True, text=True, check=False
            )

    def _follow(self, arguments: tuple[str, ...], log: Path) -> None:
        """Runs a long command, with its steps on the terminal and all of its output in the log."""
        with (
            tempfile.TemporaryDirectory() as run_root,
            log.open("a") as record,
            subprocess.Popen(
                self._command(arguments, run_root),
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            ) as process,
        ):
            assert process.stdout is not None
            recent: list[str] = []
            for line in process.stdout:
                record.write(line)
                recent = [*recent[-40:], line]
                if STEP.match(line):
                    report(line.strip()[:110])
        if process.returncode != 0:
            raise ClusterError(f"buildah {arguments[0]} failed; all of its output is in {log}:\n{''.join(recent)}")

    def _command(self, arguments: tuple[str, ...], run_root: str) -> tuple[str, ...]:
        storage = ("--storage-driver=overlay", f"--root={self._storage}", f"--runroot={run_root}")
        return ("nice", "buildah", *storage, *arguments)

    def _environment(self) -> dict[str, str]:
        # Cache mounts live below TMPDIR, so it must stay the same from build to build.
        return {**os.environ, "BUILDAH_ISOLATION": "chroot", "TMPDIR": str(self._temporary)}
