# SPDX-License-Identifier: Apache-2.0
"""What the product's image reads and carries, as it is: in its own file system, on this machine's network."""

import json
import re
import signal
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.image.builder import Builder
from tests.cluster.image.recipe import Recipe
from tests.cluster.image.recipes import OUTPUT, outside_world, product
from tests.cluster.layout import REPOSITORY
from tests.support import media
from tests.support.files import Files
from tests.support.livekit import livekit_library
from tests.support.media import Region
from tests.support.ports import free_port
from tests.support.processes import running
from tests.support.s3 import ACCESS_KEY, SECRET_KEY, s3_server

LIVEKIT = Path("usr/local/lib/liblivekit_ffi.so")
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


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the product's file system."""
    return unpacked(product(), tmp_path_factory.mktemp("images"))


@pytest.fixture
def hevc(tmp_path: Path) -> Iterator[str]:
    """The URL of a participant who sends HEVC by enhanced RTMP."""
    root = unpacked(outside_world(), tmp_path)
    url = f"rtmp://127.0.0.1:{free_port()}/live/alice"
    alone = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "bash", "-c", INSIDE, str(root)]
    with running([*alone, "bash", "-c", SERVER, url], log=tmp_path / "server.log"):
        yield url


def test_the_images_ffmpeg_records_hevc_by_enhanced_rtmp(hevc: str, image: Path, tmp_path: Path) -> None:
    """Promise: what OBS sends as HEVC over RTMP is seen and heard, as the docs say of the image."""
    with ExitStack() as stack:
        s3 = stack.enter_context(s3_server(tmp_path / "s3"))
        bucket = s3.bucket("recordings")
        (image / "tmp" / "recording.yaml").write_text(yaml.safe_dump_all(_manifests(hevc, s3.endpoint)))
        inside = ["unshare", "--mount", "bash", "-c", INSIDE, str(image), "env", "--ignore-environment", "HOME=/tmp"]
        command = [*inside, "/opt/cloud-recording/bin/cloud-recording", "run", "-f", "/tmp/recording.yaml"]
        log = tmp_path / "recorder.log"
        recorder = stack.enter_context(running(command, log=log))
        bucket.await_key(".ts")
        loaded = mapped(image)
        recorder.send_signal(signal.SIGINT)
        assert recorder.wait(timeout=120) == 0, log.read_text()
        files = Files(bucket, bucket.await_playlist().removesuffix(".m3u8"))
        slices = sorted(files.download(tmp_path / "bucket").parent.glob("*.ts"))
        recorded = media.joined(slices, tmp_path / "all.ts")
    assert "cannot be recorded" not in log.read_text()
    assert "libagora-cloud-recording-client.so" in loaded
    assert LIVEKIT.name not in loaded
    seen = [media.colour(picture, Region(0.25, 0.25, 0.5, 0.5)) for picture in media.pictures(recorded, per_second=1)]
    assert seen.count("red") >= len(seen) - 1, seen
    assert media.hears(media.sound(recorded, start=2, seconds=1), 440)


def test_the_image_has_livekits_client_library_as_it_was_pinned(image: Path) -> None:
    """Promise: it is where rooms look for it, it can be loaded, and it is what rooms are tested with."""
    assert (image / LIVEKIT).read_bytes() == livekit_library().read_bytes()
    assert (image / LIVEKIT).with_name("libagora-cloud-recording-client.so").exists()
    program = f"import ctypes; ctypes.CDLL('/{LIVEKIT}').livekit_ffi_initialize"
    subprocess.run(["chroot", str(image), "/opt/cloud-recording/bin/python", "-c", program], check=True)


def test_the_image_has_the_notices_of_livekits_client_library(image: Path) -> None:
    """Promise: whoever passes the image on passes the licences of what is in it on."""
    place = image / "usr/local/share/doc/livekit"
    assert "Apache License" in (place / "LICENSE").read_text()
    assert "LiveKit, Inc." in (place / "NOTICE").read_text()
    assert "The WebRTC project authors" in (place / "NOTICES.md").read_text()
    for named in re.findall(r"/usr/share/common-licenses/[\w.-]*\w", (place / "NOTICE").read_text()):
        assert (image / named[1:]).exists()


@pytest.mark.parametrize(("architecture", "machine"), [("x86_64", 62), ("aarch64", 183)])
def test_the_lock_has_the_library_for_each_architecture(architecture: str, machine: int, tmp_path: Path) -> None:
    """Promise: the image is built for others, too, by the same lock; the number is the ELF header's."""
    options = ["--no-deps", "--only-binary=:all:", "--require-hashes", f"--platform=manylinux_2_28_{architecture}"]
    lock = REPOSITORY / "requirements" / "livekit.lock"
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        *options,
        f"--dest={tmp_path}",
        f"--requirement={lock}",
    ]
    subprocess.run(command, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive, archive.open(f"livekit/rtc/resources/{LIVEKIT.name}") as library:
        assert int.from_bytes(library.read(20)[18:], "little") == machine


def mapped(root: Path) -> set[str]:
    """The names of all files that processes inside the directory have mapped."""
    inside = [process for process in Path("/proc").glob("[0-9]*") if _root_of(process) == root]
    assert inside
    maps = (line.split() for process in inside for line in (process / "maps").read_text().splitlines())
    return {Path(fields[5]).name for fields in maps if len(fields) > 5}


def _root_of(process: Path) -> Path | None:
    try:
        return (process / "root").readlink()
    except OSError:
        return None


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
