# SPDX-License-Identifier: Apache-2.0
"""Puts image archives (as `docker save` writes them) into the node; nothing is ever pulled from anywhere."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.component import ClusterError, Site
from tests.cluster.node import CONTAINERD_SOCKET
from tests.cluster.progress import report

# The image's label in containerd that tells which build of the name is there.
IDENTITY_LABEL = "cloudrecording.dev/archive"


@dataclass(frozen=True)
class Archive:
    """An image archive: the names of its images, and what its content is known by."""

    path: Path
    names: tuple[str, ...]
    identity: str


def read_archive(path: Path) -> Archive:
    try:
        with tarfile.open(path) as content:
            member = content.extractfile("manifest.json")
            assert member is not None
            manifest = member.read()
            configurations = [content.extractfile(image["Config"]) for image in json.loads(manifest)]
            identity = hashlib.sha256(b"".join(opened.read() for opened in configurations if opened)).hexdigest()
    except (OSError, tarfile.TarError, KeyError) as failure:
        raise ClusterError(f"{path} is no image archive as docker save writes them: {failure}") from failure
    names = tuple(name for image in json.loads(manifest) for name in image["RepoTags"] or ())
    return Archive(path, names, identity)


class ImageStore:
    """The node's images."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def load(self, archive: Archive) -> None:
        """Returns when the node has the archive's images under their names, at once if it has them already."""
        if archive.names and all(self._identity(name) == archive.identity for name in archive.names):
            report(f"image {', '.join(archive.names)} is there already")
            return
        self._ctr("import", str(archive.path))
        for name in archive.names:
            self._ctr("label", name, f"{IDENTITY_LABEL}={archive.identity}")
            report(f"image {name} is loaded")

    def _identity(self, name: str) -> str | None:
        listing = self._ctr("list", f"name=={name}")
        labels = [label for label in listing.replace(",", " ").split() if label.startswith(f"{IDENTITY_LABEL}=")]
        return labels[0].partition("=")[2] if labels else None

    def _ctr(self, command: str, *arguments: str) -> str:
        full = (
            "ctr",
            "--address",
            CONTAINERD_SOCKET,
            "--namespace",
            "k8s.io",
            "images",
            command,
            *arguments,
        )
        result = subprocess.run(self._site.enter(full), capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise ClusterError(f"ctr images {command} {' '.join(arguments)}: {result.stderr.strip()}")
        return result.stdout
