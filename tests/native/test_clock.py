# SPDX-License-Identifier: Apache-2.0
"""A recording while somebody sets the machine's clock, or while the machine stands still."""

import itertools
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import m3u8
import pytest

from tests.support.s3 import Bucket
from tests.support.set_clock import SetClock

SLICE_SECONDS = 4
# Less than what an S3 server allows a request's signature to be off.
JUMP_SECONDS = 300


@pytest.fixture
def set_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets the wall clock of programs started from now on so many seconds off, also while they run."""
    clock = SetClock(tmp_path)
    for name, value in clock.environment.items():
        monkeypatch.setenv(name, value)
    return clock.set


def _seconds_off() -> float:
    told = subprocess.run(["date", "+%s.%N"], capture_output=True, text=True, check=True, env=os.environ).stdout
    return float(told) - time.time()


def test_names_and_times_stay_in_order_while_the_clock_is_set(
    alice: str,
    bucket: Bucket,
    configuration: Callable[..., Any],
    set_clock: Callable[[int], None],
    record: Callable[..., Any],
) -> None:
    """Promise: the clock may be set forward and back during a recording; its slices still follow each other."""
    with record(configuration(alice)) as recorder:
        for jumps, seconds in enumerate((JUMP_SECONDS, -JUMP_SECONDS), start=1):
            bucket.await_keys(".ts", 2 * jumps)
            set_clock(seconds)
            assert _seconds_off() == pytest.approx(seconds, abs=30)
        bucket.await_keys(".ts", 6)
        recorder.stop()
        assert recorder.wait() == 0
    stem = f"{recorder.recording_id}_room"
    playlist = m3u8.loads(bucket.read(f"{stem}.m3u8").decode())
    names = [segment.uri for segment in playlist.segments]
    assert names == sorted(names)
    assert not any(segment.discontinuity for segment in playlist.segments[1:])
    manifest = json.loads(bucket.read(f"{stem}_manifest.json"))
    assert manifest["gaps"] == []
    slices = [file for file in manifest["files"] if file["name"].endswith(".ts")]
    spans = [(datetime.fromisoformat(file["startTime"]), file["durationSeconds"]) for file in slices]
    for (start, seconds), (following, _) in itertools.pairwise(spans):
        assert abs(start + timedelta(seconds=seconds) - following) <= timedelta(milliseconds=2)
    end = spans[-1][0] + timedelta(seconds=spans[-1][1])
    assert abs(datetime.fromisoformat(manifest["stopTime"]) - end) <= timedelta(seconds=2)


def test_a_recording_goes_on_in_order_although_the_clock_was_set_back_between_two_processes(
    alice: str,
    bucket: Bucket,
    configuration: Callable[..., Any],
    set_clock: Callable[[int], None],
    record: Callable[..., Any],
) -> None:
    """Promise: whoever takes a recording up goes on from its last moment: no time in any file runs backwards."""
    recording_id = "0123456789abcdef0123456789abcdef"
    document = configuration(alice, recordingId=recording_id)
    set_clock(JUMP_SECONDS)
    with record(document) as killed:
        bucket.await_keys(".ts", 2)
        killed.process.kill()
        killed.wait()
    set_clock(0)
    with record(document) as resumed:
        resumed.await_line("started")
        bucket.await_keys(".ts", len(bucket.objects()) + 2)
        resumed.stop()
        assert resumed.wait() == 0
    stem = f"{recording_id}_room"
    playlist = m3u8.loads(bucket.read(f"{stem}.m3u8").decode())
    names = [segment.uri for segment in playlist.segments]
    assert names == sorted(names)
    stated = [segment.program_date_time for segment in playlist.segments if segment.program_date_time]
    assert stated == sorted(stated)
    manifest = json.loads(bucket.read(f"{stem}_manifest.json"))
    assert manifest["startTime"] < manifest["stopTime"]
    starts = [file["startTime"] for file in manifest["files"] if file["name"].endswith(".ts")]
    assert starts == sorted(starts)
    ends = [time for gap in manifest["gaps"] for time in (gap["startTime"], gap["stopTime"])]
    assert ends == sorted(ends)
    for presence in manifest["participants"][0]["presences"]:
        assert presence["joinTime"] <= presence["leaveTime"]


def test_a_recorder_that_stood_still_for_longer_than_the_idle_time_goes_on(
    alice: str, bucket: Bucket, configuration: Callable[..., Any], record: Callable[..., Any]
) -> None:
    """Promise: a suspended process heard nobody, which is a stated gap and no end of the recording."""
    idle_seconds = 5
    with record(configuration(alice), idle=str(idle_seconds)) as recorder:
        bucket.await_key(".ts")
        recorder.process.send_signal(signal.SIGSTOP)
        # Time itself is what is tested: there is nothing to wait for.
        time.sleep(2 * idle_seconds)
        before = len(bucket.objects())
        recorder.process.send_signal(signal.SIGCONT)
        bucket.await_keys(".ts", before + 2)
        recorder.stop()
        assert recorder.wait() == 0
    manifest = json.loads(bucket.read(f"{recorder.recording_id}_room_manifest.json"))
    assert not [line for line in recorder.callbacks() if line.startswith("recorder-failure")]
    assert [gap for gap in manifest["gaps"] if "stood still" in gap["reason"]]
