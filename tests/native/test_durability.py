# SPDX-License-Identifier: Apache-2.0
"""What was recorded survives the recorder's death and a work volume without room."""

import ctypes
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.browser import check_played, play
from tests.support.files import Files, check_with_ffmpeg
from tests.support.s3 import ACCESS_KEY, SECRET_KEY, Bucket, S3Server
from tests.support.waiting import await_true

Make = Callable[..., Any]
RECORDING_ID = "0123456789abcdef0123456789abcdef"


def test_a_killed_recorder_resumes_and_keeps_the_open_slice(
    alice: str, s3: S3Server, bucket: Bucket, configuration: Make, record: Make, tmp_path: Path
) -> None:
    """Promise: after kill -9 the next start uploads what was there, repairs the open slice, and states the gap."""
    document = configuration(alice, recordingId=RECORDING_ID)
    with record(document) as killed:
        bucket.await_playlist()
        s3.stop()
        directory = tmp_path / "work" / RECORDING_ID
        await_true(lambda: sum(path.stat().st_size > 15_000 for path in directory.glob("*.ts")) >= 2)
        killed.process.kill()
        killed.wait()
    left = sorted(path.name for path in directory.glob("*.ts"))
    s3.start()
    with record(document) as resumed:
        resumed.await_line("started")
        count = len(bucket.objects())
        await_true(lambda: len(bucket.objects()) > count + 1)
        resumed.stop()
        assert resumed.wait() == 0
    assert resumed.callbacks()[:3] == ["connecting", "recorder-failure 441", "started"]
    playlist = bucket.read(f"{RECORDING_ID}_room.m3u8").decode()
    listed = [line for line in playlist.splitlines() if line.endswith(".ts")]
    assert set(left) <= set(listed)
    assert listed == [key for key in bucket.objects() if key.endswith(".ts")]
    files = Files(bucket, f"{RECORDING_ID}_room")
    files.check_playlist(slice_seconds=4)
    files.check_manifest()
    assert files.reasons() == ["RecorderRestarted"]
    assert files.discontinuities == 1
    check_with_ffmpeg(files.download(tmp_path / "bucket"), restarted=True)
    check_played(play(bucket, f"{files.stem}.m3u8", directory=tmp_path), files)


def test_a_recording_goes_on_in_its_place_alone_and_keeps_the_length_that_it_declared(
    alice: str, s3: S3Server, bucket: Bucket, configuration: Make, record: Make
) -> None:
    """Promise: a start that names another bucket is refused with both names; shorter slices fit the same playlist."""
    s3.bucket("elsewhere")
    with record(configuration(alice, recordingId=RECORDING_ID, sliceSeconds=8)) as killed:
        bucket.await_playlist()
        killed.process.kill()
        killed.wait()
    document = configuration(alice, recordingId=RECORDING_ID, sliceSeconds=2)
    with record(document, bucket="elsewhere") as refused:
        assert refused.wait() == 2
    assert refused.callbacks()[-1] == "refused"
    assert "fatal 432" in refused.callbacks()
    with record(document) as resumed:
        resumed.await_line("started")
        bucket.await_keys(".ts", len(bucket.objects()) + 2)
        resumed.stop()
        assert resumed.wait() == 0
    files = Files(bucket, f"{RECORDING_ID}_room")
    files.check_playlist(slice_seconds=8)
    files.check_manifest()
    assert s3.bucket("elsewhere").objects() == []


def test_a_recording_that_was_stopped_is_only_uploaded(
    alice: str, s3: S3Server, bucket: Bucket, configuration: Make, record: Make, tmp_path: Path
) -> None:
    """Promise: a recorder killed after its stop records nothing more when it is started again."""
    document = configuration(alice, recordingId=RECORDING_ID)
    with record(document) as killed:
        bucket.await_playlist()
        s3.stop()
        killed.stop()
        killed.await_line("uploader-failure")
        killed.await_line("stopped")
        killed.process.kill()
    s3.start()
    before = sorted((tmp_path / "work" / RECORDING_ID).glob("*.ts"))
    assert before
    with record(document) as resumed:
        assert resumed.wait() == 0
    assert resumed.callbacks() == ["stopped", f"uploaded {RECORDING_ID}_room.m3u8"]
    assert {path.name for path in before} <= set(bucket.objects())


def test_what_a_killed_recorder_left_can_be_rescued(
    alice: str, s3: S3Server, bucket: Bucket, configuration: Make, record: Make, tmp_path: Path, built: Path
) -> None:
    """Promise: without recording more, all that is on the volume gets into the bucket, as a whole recording."""
    with record(configuration(alice, recordingId=RECORDING_ID, filePrefix="bak0_")) as killed:
        bucket.await_playlist()
        s3.stop()
        killed.await_line("uploader-failure")
        killed.process.kill()
    document = _rescue_document(tmp_path)
    assert _rescue(built, document) == (439, True)
    s3.start()
    assert _rescue(built, document) == (0, False)
    assert _rescue(built, document) == (0, False)
    playlist = bucket.read(f"bak0_{RECORDING_ID}_room.m3u8").decode()
    assert playlist.endswith("#EXT-X-ENDLIST\n")
    listed = [line for line in playlist.splitlines() if line.endswith(".ts")]
    assert len(listed) >= 2
    assert listed == [key for key in bucket.objects() if key.endswith(".ts")]
    assert not list((tmp_path / "work" / RECORDING_ID).glob("*.ts"))


def test_a_rescue_gets_over_a_lost_slice_and_makes_the_mp4(
    alice: str, s3: S3Server, bucket: Bucket, configuration: Make, record: Make, tmp_path: Path, built: Path
) -> None:
    """Promise: what is gone from the volume costs the rescue no more than a stated gap."""
    with record(configuration(alice, recordingId=RECORDING_ID, sliceSeconds=2, outputs=["HLS", "MP4"])) as killed:
        bucket.await_playlist()
        s3.stop()
        directory = tmp_path / "work" / RECORDING_ID
        count = len(list(directory.glob("*.ts")))
        await_true(lambda: len(list(directory.glob("*.ts"))) >= count + 3)
        killed.process.kill()
    sorted(directory.glob("*.ts"))[-2].unlink()
    s3.start()
    assert _rescue(built, _rescue_document(tmp_path)) == (0, False)
    files = Files(bucket, f"{RECORDING_ID}_room")
    files.check_playlist(slice_seconds=2)
    files.check_manifest()
    assert "FileLost" in files.reasons()
    assert f"{files.stem}.mp4" in [file["name"] for file in files.manifest["files"]]
    assert not [*directory.glob("*.ts"), *directory.glob("*.mp4*")]


def _rescue_document(tmp_path: Path) -> str:
    keys = {"accessKey": tmp_path / "access", "secretKey": tmp_path / "secret"}
    keys["accessKey"].write_text(ACCESS_KEY)
    keys["secretKey"].write_text(SECRET_KEY)
    storage = {"credentialFiles": {name: str(path) for name, path in keys.items()}}
    return json.dumps({"workDir": str(tmp_path / "work"), "storage": storage})


def _rescue(library: Path, document: str) -> tuple[int, bool]:
    """Returns the code, and whether a reason was given."""
    reason = ctypes.create_string_buffer(1024)
    code: int = ctypes.CDLL(str(library)).cr_rescue(document.encode(), reason, len(reason))
    return code, reason.value != b""


def test_a_work_volume_without_room_pauses_the_recording_with_a_stated_gap(
    alice: str, s3: S3Server, bucket: Bucket, configuration: Make, record: Make
) -> None:
    """Promise: at 80 % of the work volume capture pauses, nothing undelivered is lost, and uploads make room again."""
    s3.stop()
    with record(configuration(alice, sliceSeconds=2, workBytes=200_000)) as recorder:
        recorder.await_line("recorder-failure")
        time.sleep(4)
        s3.start()
        bucket.await_playlist()
        count = len(bucket.objects())
        await_true(lambda: len(bucket.objects()) > count + 1)
        recorder.stop()
        assert recorder.wait() == 0
    failures = [line for line in recorder.lines if line.startswith("recorder-failure")]
    assert "the work volume is nearly full" in failures[0]
    files = Files(bucket, f"{recorder.recording_id}_room")
    files.check_playlist(slice_seconds=2)
    files.check_manifest()
    assert set(files.reasons()) == {"WorkVolumeFull"}
