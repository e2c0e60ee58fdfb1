# SPDX-License-Identifier: Apache-2.0
"""The MP4 that a recording may have beside its slices: the same packets, in one file that plays from its beginning."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import check_played, play
from tests.support.files import Files
from tests.support.media import packet_hashes
from tests.support.s3 import Bucket
from tests.support.waiting import await_true

Make = Callable[..., Any]
RECORDING_ID = "0123456789abcdef0123456789abcdef"
MP4 = {"outputs": ["HLS", "MP4"], "sliceSeconds": 2}
ROOMY = 0.5
"""What is kept for the MP4 makes room on a volume that is fuller than 0.6."""


@pytest.fixture
def roomy(tmp_path: Path) -> Iterator[Path]:
    """A work volume with room, however full the disk of this machine is."""

    def used(directory: Path) -> float:
        usage = shutil.disk_usage(directory)
        return 1 - usage.free / usage.total

    places = [directory for directory in (tmp_path, Path("/dev/shm")) if used(directory) < ROOMY]
    if not places:
        pytest.fail(f"{tmp_path} and /dev/shm are both half full: make room, or choose a place with --basetemp")
    with tempfile.TemporaryDirectory(dir=places[0]) as directory:
        yield Path(directory)


def test_a_paused_recording_becomes_one_mp4_of_the_same_packets(
    alice: str, bucket: Bucket, configuration: Make, record: Make, tmp_path: Path
) -> None:
    """Promise: not transcoded, its index in front, in the manifest, and in the bucket before `uploaded` is told."""
    with record(configuration(alice, **MP4)) as recorder:
        bucket.await_keys(".ts", 2)
        recorder.process.send_signal(signal.SIGUSR2)
        before = len(bucket.await_quiet(".ts"))
        recorder.process.send_signal(signal.SIGUSR2)
        bucket.await_keys(".ts", before + 2)
        recorder.stop()
        recorder.await_line("uploaded")
        files = Files(bucket, f"{recorder.recording_id}_room")
        check_film(files, tmp_path)
        assert recorder.wait() == 0
    assert recorder.callbacks()[2:] == ["stopped", f"uploaded {files.stem}.m3u8"]
    assert files.reasons() == ["Paused"]
    assert not (tmp_path / "work" / recorder.recording_id).exists()


def test_a_recorder_killed_while_it_makes_the_mp4_makes_it_at_the_next_start(
    alice: str, bucket: Bucket, configuration: Make, record: Make, roomy: Path, tmp_path: Path
) -> None:
    """Promise: kill -9 in that moment costs nothing, even where slices are no longer on the work volume."""
    document = configuration(alice, workDir=str(roomy), recordingId=RECORDING_ID, **MP4)
    directory = roomy / RECORDING_ID
    stem = f"{RECORDING_ID}_room"
    partial = directory / f"{stem}.mp4.partial"
    with record(document) as killed:
        lost = directory / bucket.await_keys(".ts", 3)[1]
        assert bucket.await_playlist() == f"{stem}.m3u8"
        # It has to be fetched, and writing it waits for a reader: the MP4 is half made, and stays so.
        lost.unlink()
        os.mkfifo(lost)
        killed.stop()
        await_true(partial.exists)
        killed.process.kill()
        killed.wait()
    assert killed.callbacks()[-1] == "stopped"
    lost.unlink()
    with record(document) as resumed:
        assert resumed.wait() == 0
    assert resumed.callbacks() == ["stopped", f"uploaded {stem}.m3u8"]
    check_film(Files(bucket, stem), tmp_path)
    assert not [*directory.glob("*.ts"), *directory.glob("*.mp4*")]


def test_slices_make_room_on_a_small_volume_and_are_read_back(
    alice: str, bucket: Bucket, configuration: Make, record: Make, tmp_path: Path
) -> None:
    """Promise: what is kept for the MP4 never makes a recording pause; the MP4 is made of what the bucket has."""
    document = configuration(alice, **MP4, workBytes=600_000)
    with record(document, profile="2") as recorder:
        first = tmp_path / "work" / recorder.recording_id / bucket.await_key(".ts")
        await_true(lambda: not first.exists())
        recorder.stop()
        assert recorder.wait() == 0
    assert [line for line in recorder.lines if "failure" in line] == []
    files = Files(bucket, f"{recorder.recording_id}_room")
    assert files.reasons() == []
    check_film(files, tmp_path)


def test_a_large_mp4_goes_up_in_parts_and_is_what_the_manifest_says(
    bucket: Bucket, configuration: Make, record: Make, tmp_path: Path
) -> None:
    """Promise: a file of any size is put part by part, and proved as a whole."""
    noise = tmp_path / "noise.ts"
    picture = ["-f", "rawvideo", "-video_size", "640x360", "-pixel_format", "yuv420p", "-framerate", "15"]
    encoder = ["-t", "12", "-c:v", "libx264", "-preset", "ultrafast", "-qp", "24", "-g", "15"]
    subprocess.run(["ffmpeg", "-v", "error", *picture, "-i", "/dev/urandom", *encoder, str(noise)], check=True)
    with record(configuration(f"file://{noise}", **MP4), bitrate="30000", streams="1") as recorder:
        await_true(lambda: sum(entry["Size"] for entry in bucket.listing()) > 10 << 20)
        recorder.stop()
        assert recorder.wait() == 0
    files = Files(bucket, f"{recorder.recording_id}_room")
    files.check_manifest()
    key = f"{files.stem}.mp4"
    tag = bucket.client.head_object(Bucket=bucket.name, Key=key)["ETag"].strip('"')
    assert int(tag.split("-")[1]) >= 2
    assert bucket.content_type(key) == "video/mp4"
    assert [file["name"] for file in files.manifest["files"]].count(key) == 1


@pytest.mark.parametrize("way", ["gone", "put only"])
def test_an_mp4_that_cannot_be_made_is_told_and_the_recording_is_complete_without_it(
    way: str, alice: str, bucket: Bucket, configuration: Make, record: Make, tmp_path: Path
) -> None:
    """Promise: slices, playlist and manifest are there, `uploaded` comes, and why there is no MP4 is said."""
    keys = bucket.key_that_only_puts() if way == "put only" else None
    with record(configuration(alice, **MP4), keys=keys) as recorder:
        stem = f"{recorder.recording_id}_room"
        first = bucket.await_key(".ts")
        assert bucket.await_playlist() == f"{stem}.m3u8"
        (tmp_path / "work" / recorder.recording_id / first).unlink()
        if way == "gone":
            bucket.client.delete_object(Bucket=bucket.name, Key=first)
        recorder.stop()
        assert recorder.wait() == 0
    reason = (
        f"{first} is not where it was stored any more"
        if way == "gone"
        else "takes the access key's right to get objects (s3:GetObject)"
    )
    (told,) = [line for line in recorder.lines if line.startswith("uploader-failure")]
    assert "no MP4 was made: " in told
    assert reason in told
    assert recorder.callbacks()[-1] == f"uploaded {stem}.m3u8"
    manifest = json.loads(bucket.read(f"{stem}_manifest.json"))
    (missing,) = manifest["missing"]
    assert missing["name"] == f"{stem}.mp4"
    assert reason in missing["reason"]
    assert not (tmp_path / "work" / recorder.recording_id).exists()


def check_film(files: Files, directory: Path) -> None:
    """It has the slices' packets, is told of in the manifest, and a browser plays it to its end."""
    files.check_playlist(slice_seconds=2)
    files.check_manifest()
    key = f"{files.stem}.mp4"
    assert files.bucket.content_type(key) == "video/mp4"
    (told,) = [file for file in files.manifest["files"] if file["name"] == key]
    assert told["durationSeconds"] == pytest.approx(files.seconds, abs=0.001)
    film = directory / key
    film.write_bytes(files.bucket.read(key))
    content = film.read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat")
    joined = directory / "joined.ts"
    joined.write_bytes(b"".join(files.bucket.read(piece.name) for piece in files.slices))
    assert packet_hashes(film, "-c:a", "copy") == packet_hashes(joined, "-c:a", "copy", "-bsf:a", "aac_adtstoasc")
    check_played(play(files.bucket, key, directory=directory), files)
