# SPDX-License-Identifier: Apache-2.0
"""Every recording has its end: exactly one final callback, whatever fails; the log says what became of the files."""

import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.files import Files
from tests.support.s3 import SECRET_KEY, Bucket, S3Server
from tests.support.waiting import await_true

Make = Callable[..., Any]


@pytest.mark.usefixtures("bucket")
def test_a_journal_that_cannot_be_written_after_the_stop_is_fatal(
    alice: str, s3: S3Server, configuration: Make, record: Make
) -> None:
    """Promise: a program that waits for the end of the upload hears of it when that can no more be written down."""
    with record(configuration(alice, sliceSeconds=2)) as recorder:
        recorder.await_line("started")
        s3.stop()
        recorder.await_line("uploader-failure")
        recorder.stop()
        recorder.await_line("stopped")
        # As a full disk would; this one is full for the journal only once something is delivered.
        resource.prlimit(recorder.process.pid, resource.RLIMIT_FSIZE, (0, 0))
        s3.start()
        assert recorder.wait() == 1
    assert recorder.callbacks()[-2:] == ["stopped", "fatal 437"]


def test_stores_that_take_nothing_after_the_stop_are_fatal_and_the_slices_are_kept(
    alice: str, bucket: Bucket, configuration: Make, record: Make, tmp_path: Path
) -> None:
    """Promise: with a wrong key from the beginning the end comes in bounded time, and the log says how to deliver."""
    with record(configuration(alice, sliceSeconds=2, finalUploadSeconds=3), keys=("nobody", SECRET_KEY)) as recorder:
        recorder.await_line("uploader-failure")
        recorder.await_line("started")
        directory = tmp_path / "work" / recorder.recording_id
        await_true(lambda: len(list(directory.glob("*.ts"))) > 1)
        recorder.stop()
        assert recorder.wait() == 1
    told = recorder.callbacks()
    # The bucket is tried while the recorder connects.
    assert [told[0], *sorted(told[1:3]), *told[3:]] == [
        "connecting",
        "started",
        "uploader-failure 439",
        "stopped",
        "fatal 439",
    ]
    assert bucket.objects() == []
    kept = list(directory.glob("*.ts"))
    log = "\n".join(recorder.log())
    assert "OnRecordingFatalError: no store took anything for 3 s after the stop (bucket " in log
    assert "correct the access key" in log
    assert f"what the bucket does not have is kept in {directory}: start again with the same recordingId" in log
    assert f"slices={len(kept)}" in log
    assert SECRET_KEY not in log


def test_the_log_tells_the_story_of_a_recording(alice: str, bucket: Bucket, configuration: Make, record: Make) -> None:
    """Promise: callbacks, joins, slices and uploads are in `cloud_recording_log`, in order and without secrets."""
    with record(configuration(alice, sliceSeconds=2)) as recorder:
        bucket.await_key(".ts")
        recorder.stop()
        assert recorder.wait() == 0
    log = recorder.log()
    first = bucket.objects()[1]
    expected = [
        'INFO channel "room" is going to be recorded',
        "INFO joined participant=1",
        "INFO OnRecordingStarted",
        f"INFO slice closed slice={first}",
        f"INFO stored store=bucket slice={first}",
        "INFO StopCloudRecording: the recorder leaves the channel",
        "INFO OnRecordingStopped",
        f"INFO OnRecordingUploaded file={recorder.recording_id}_room.m3u8",
        "INFO Release(false)",
        "INFO delivered; the directory is removed",
    ]
    places = [next(place for place, line in enumerate(log) if line.startswith(start)) for start in expected]
    assert places == sorted(places)
    # A healthy recording has nothing to warn of.
    assert {line.split()[0] for line in log} == {"INFO"}
    assert not [line for line in log if alice in line or SECRET_KEY in line]


def test_a_start_takes_up_what_a_killed_process_of_the_same_program_left(
    alice: str, s3: S3Server, bucket: Bucket, configuration: Make, record: Make, tmp_path: Path
) -> None:
    """Promise: by App ID, channel and uid, and only by them; under its own names, beside the new recording."""
    document = configuration(alice, sliceSeconds=2)
    with record(document) as killed:
        bucket.await_key(".m3u8")
        s3.stop()
        directory = tmp_path / "work" / killed.recording_id
        # Of a slice that has just begun nothing tells that its first picture is whole: that one would not be kept.
        await_true(lambda: sum(path.stat().st_size > 10_000 for path in directory.glob("*.ts")) >= 3)
        killed.process.kill()
        killed.wait()
    left = sorted(path.name for path in directory.glob("*.ts"))
    s3.start()
    with record(document, uid="77") as other:
        other.await_line("started")
        other.stop()
        assert other.wait() == 0
    assert sorted(path.name for path in directory.glob("*.ts")) == left
    with record(document) as successor:
        successor.await_line("started")
        await_true(lambda: not directory.exists())
        own = f"{successor.recording_id}_room_"
        await_true(lambda: any(key.startswith(own) for key in bucket.objects()))
        successor.stop()
        assert successor.wait() == 0
    assert successor.callbacks() == ["connecting", "started", "stopped", f"uploaded {successor.recording_id}_room.m3u8"]
    files = Files(bucket, f"{killed.recording_id}_room")
    files.check_playlist(slice_seconds=2)
    # The bucket holds the other two as well.
    assert {piece.name for piece in files.slices} <= {file["name"] for file in files.manifest["files"]}
    assert set(left) <= {piece.name for piece in files.slices}
    assert Files(bucket, f"{successor.recording_id}_room").slices
    assert "INFO delivered by a start with the same App ID, channel and uid" in killed.log()
