# SPDX-License-Identifier: Apache-2.0
"""What the product's image reads, as it is: in its own file system, on this machine's network."""

import json
import signal
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.image.builder import Builder
from tests.cluster.image.recipe import Recipe
from tests.cluster.image.recipes import OUTPUT, outside_world, product
from tests.support import media
from tests.support.files import Files
from tests.support.media import Region
from tests.support.ports import free_port
from tests.support.processes import running
from tests.support.s3 import ACCESS_KEY, SECRET_KEY, s3_server

INSIDE = 'mount --rbind /dev "$0/dev" && mount -t proc proc "$0/proc" && exec chroot "$0" "$@"'
# FFmpeg itself serves: nginx's module hands a player who comes later no beginning of codecs that it does not know.
SERVER = """while :; do
    ffmpeg -nostdin -loglevel warning \
        -re -f lavfi -i color=c=red:size=640x360:rate=15 -re -f lavfi -i sine=frequency=440 \
        -c:v libx265 -preset ultrafast -tune zerolatency -g 15 -x265-params log-level=none -pix_fmt yuv420p \
        -c:a aac -ac 1 -f flv -listen 1 "$0" || sleep 1
done"""


def unpacked(recipe: Recipe, directory: Path) -> Path:
    """Returns a directory with the image's file system."""
    archive = OUTPUT / f"{recipe.name}.tar"
    Builder().build(recipe, output=archive)
    root = directory / recipe.name
    with tarfile.open(archive) as image:
        manifest = image.extractfile("manifest.json")
        assert manifest is not None
        for layer in json.load(manifest)[0]["Layers"]:
            with tarfile.open(fileobj=image.extractfile(layer)) as files:
                files.extractall(root, filter="fully_trusted")  # noqa: S202 # it was built here
    return root


@pytest.fixture
def hevc(tmp_path: Path) -> Iterator[str]:
    """The URL of a participant who sends HEVC by enhanced RTMP."""
    root = unpacked(outside_world(), tmp_path)
    url = f"rtmp://127.0.0.1:{free_port()}/live/alice"
    alone = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "bash", "-c", INSIDE, str(root)]
    with running([*alone, "bash", "-c", SERVER, url], log=tmp_path / "server.log"):
        yield url


def test_the_images_ffmpeg_records_hevc_by_enhanced_rtmp(hevc: str, tmp_path: Path) -> None:
    """Promise: what OBS sends as HEVC over RTMP is seen and heard, as the docs say of the image."""
    root = unpacked(product(), tmp_path)
    with ExitStack() as stack:
        s3 = stack.enter_context(s3_server(tmp_path / "s3"))
        bucket = s3.bucket("recordings")
        (root / "tmp" / "recording.yaml").write_text(yaml.safe_dump_all(_manifests(hevc, s3.endpoint)))
        inside = ["unshare", "--mount", "bash", "-c", INSIDE, str(root), "env", "--ignore-environment", "HOME=/tmp"]
        command = [*inside, "/opt/cloud-recording/bin/cloud-recording", "run", "-f", "/tmp/recording.yaml"]
        log = tmp_path / "recorder.log"
        recorder = stack.enter_context(running(command, log=log))
        bucket.await_key(".ts")
        recorder.send_signal(signal.SIGINT)
        assert recorder.wait(timeout=120) == 0, log.read_text()
        files = Files(bucket, bucket.await_playlist().removesuffix(".m3u8"))
        slices = sorted(files.download(tmp_path / "bucket").parent.glob("*.ts"))
        recorded = media.joined(slices, tmp_path / "all.ts")
    assert "cannot be recorded" not in log.read_text()
    seen = [media.colour(picture, Region(0.25, 0.25, 0.5, 0.5)) for picture in media.pictures(recorded, per_second=1)]
    assert seen.count("red") >= len(seen) - 1, seen
    assert media.hears(media.sound(recorded, start=2, seconds=1), 440)


def _manifests(url: str, endpoint: str) -> list[dict[str, Any]]:
    secret: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "bucket-credentials"},
        "stringData": {"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY},
    }
    recording: dict[str, Any] = {
        "apiVersion": "cloudrecording.dev/v1alpha1",
        "kind": "CloudRecording",
        "metadata": {"name": "hevc"},
        "spec": {
            "channel": {"name": "room", "uid": 1000, "streams": [{"uid": 1, "url": url}]},
            "storage": {
                "endpoint": endpoint,
                "bucket": "recordings",
                "credentials": {"secretRef": {"name": "bucket-credentials"}},
            },
        },
    }
    return [recording, secret]
