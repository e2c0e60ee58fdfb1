# SPDX-License-Identifier: Apache-2.0
"""The image of the container that holds each pod's namespaces, made of our one static program."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from pathlib import Path

PAUSE_IMAGE = "cloud-recording.test/pause:1"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def write_pause_archive(*, program: Path, archive: Path) -> None:
    """Writes the image in the form that `docker save` has, as containerd imports it."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as content:
        _add(content, "pause", program.read_bytes(), mode=0o755)
    digest = hashlib.sha256(layer.getvalue()).hexdigest()
    configuration = {
        "architecture": ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {"Entrypoint": ["/pause"], "User": "65535:65535"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [PAUSE_IMAGE], "Layers": ["layer.tar"]}]
    with tarfile.open(archive, mode="w") as image:
        _add(image, "config.json", json.dumps(configuration).encode())
        _add(image, "layer.tar", layer.getvalue())
        _add(image, "manifest.json", json.dumps(manifest).encode())


def _add(archive: tarfile.TarFile, name: str, content: bytes, *, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    entry.mode = mode
    archive.addfile(entry, io.BytesIO(content))
