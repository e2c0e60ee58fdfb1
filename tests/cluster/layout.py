# SPDX-License-Identifier: Apache-2.0
"""Where a cluster keeps its files, and the names that it takes on the machine.

Both follow from one directory, so that two clusters in two directories never meet, and so that what an earlier process
left behind is found again without any record of it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.cluster.progress import report

REPOSITORY = Path(__file__).resolve().parents[2]
DEFAULT_DIRECTORY = REPOSITORY / "build" / "cluster"


@dataclass(frozen=True)
class Layout:
    """The files and names of the cluster in one directory."""

    root: Path

    @cached_property
    def name(self) -> str:
        """Names the cluster on the machine; at most 15 characters, as a network interface bears it too."""
        return "cloudrec-" + hashlib.sha256(str(self.root).encode()).hexdigest()[:6]

    @property
    def certificates(self) -> Path:
        return self.root / "certificates"

    @property
    def configuration(self) -> Path:
        return self.root / "configuration"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def etcd(self) -> Path:
        return self.root / "etcd"

    @property
    def node(self) -> Path:
        """What the node sees under its own `/var` and `/run`."""
        return self.root / "node"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.root / "kubeconfig"

    @property
    def settings(self) -> Path:
        """What was chosen as the cluster was made: addresses and ports."""
        return self.root / "settings.json"

    def prepare(self) -> None:
        for directory in (self.certificates, self.configuration, self.logs, self.etcd, self.node):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)


def write_if_changed(path: Path, content: str) -> None:
    """Leaves a file alone that has this content: programs watch their configuration; kube-proxy ends at a change."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != content:
        path.touch(mode=0o600)
        path.write_text(content)


def remove_tree(directory: Path) -> None:
    """Removes it with all its files, and never those of another file system that is mounted in it. Images are tens of
    thousands of files, for which rm takes seconds where shutil takes many."""
    subprocess.run(("rm", "--recursive", "--force", "--one-file-system", "--", str(directory)), check=True)


@contextlib.contextmanager
def alone(layout: Layout) -> Iterator[None]:
    """While it lasts, no other process changes this cluster."""
    layout.root.parent.mkdir(parents=True, exist_ok=True)
    with exclusively(layout.root.parent):
        yield


@contextlib.contextmanager
def exclusively(directory: Path) -> Iterator[None]:
    """While it lasts, no other process is in here for that directory. A lock on a directory leaves no file behind."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report(f"waiting for another process that is busy in {directory}")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
