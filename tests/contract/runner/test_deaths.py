# SPDX-License-Identifier: Apache-2.0
"""A recorder process may crash, hang or break rules: the recording goes on, or its end is told truthfully."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from cloud_recording.api.status import Outcome
from cloud_recording.common.error_codes import RecordingErrorCode
from tests.contract.runner.pod import Stage, recording


async def test_a_crash_inside_the_engine_is_told_and_recording_goes_on(stage: Stage, tmp_path: Path) -> None:
    await stage.record(f"connecting,started,crash-unless={tmp_path}/x")
    exited = await stage.operator.until_told("RecorderExited")
    assert exited["signal"] == signal.SIGSEGV
    assert exited["restarts"] == 1
    await stage.operator.until(lambda: _started_after(stage, exited["sequence"]))
    stage.want(generation=2, state="Stopped")
    assert await stage.pod.ended() == 0
    assert stage.pod.summary().outcome is Outcome.UPLOADED


def _started_after(stage: Stage, sequence: int) -> bool:
    return any(told["sequence"] > sequence for told in stage.operator.of("RecordingStarted"))


async def test_a_killed_recorder_process_records_again_within_seconds(stage: Stage) -> None:
    await stage.record("connecting,started")
    await stage.operator.until_told("RecordingStarted")
    killed = time.monotonic()
    os.kill(await stage.pod.recorder_pid(), signal.SIGKILL)
    await stage.operator.until_told("RecordingStarted", times=2)
    assert time.monotonic() - killed < 15, "the promise is two seconds; a busy machine may be slower, not this slow"


async def test_an_engine_that_always_crashes_is_given_up_as_fatal(stage: Stage) -> None:
    await stage.record("connecting,crash")
    assert await stage.pod.ended(seconds=180) == 0
    summary = stage.pod.summary()
    assert summary.outcome is Outcome.FATAL
    assert summary.code == RecordingErrorCode.RECORDER_EXIT
    assert summary.message is not None
    assert "given up after" in summary.message


async def test_a_process_that_hangs_is_ended_and_replaced(stage: Stage) -> None:
    await stage.record("connecting,started")
    await stage.operator.until_told("RecordingStarted")
    os.kill(await stage.pod.recorder_pid(), signal.SIGSTOP)
    exited = await stage.operator.until_told("RecorderExited")
    assert exited["signal"] == signal.SIGKILL
    assert "no sign of life" in exited["message"]
    await stage.operator.until_told("RecordingStarted", times=2)


async def test_a_stop_that_hangs_ends_with_the_grace_time_and_says_that_it_is_incomplete(stage: Stage) -> None:
    await stage.record("connecting,started,hang-stop", grace=2)
    await stage.operator.until_told("RecordingStarted")
    stage.pod.signal(signal.SIGTERM)
    assert await stage.pod.ended() == 0
    assert stage.pod.summary().outcome is Outcome.INCOMPLETE


async def test_a_fatal_error_ends_the_part_as_fatal_with_its_code(stage: Stage) -> None:
    await stage.record("connecting,started,fatal=437")
    assert await stage.pod.ended() == 0
    told = stage.operator.types(without=frozenset({"DesiredStateApplied"}))
    assert told[-2:] == ["RecordingFatalError", "Finished"]
    summary = stage.pod.summary()
    assert (summary.outcome, summary.code) == (Outcome.FATAL, RecordingErrorCode.RECORDER_FAILED)


async def test_an_engine_that_refuses_to_start_is_a_fatal_error_told_once(stage: Stage) -> None:
    await stage.record("refuse-start=432")
    assert await stage.pod.ended() == 0
    assert [told["code"] for told in stage.operator.of("RecordingFatalError")] == [RecordingErrorCode.INVALID_PARAMETER]
    assert stage.pod.summary().outcome is Outcome.FATAL


@pytest.mark.parametrize(
    ("library", "words"),
    [
        pytest.param("/nonexistent/libengine.so", "cannot open shared object", id="a library that is not there"),
        pytest.param("libc.so.6", "is no engine", id="a library that is no engine"),
    ],
)
async def test_a_library_that_cannot_be_used_is_fatal_and_named(stage: Stage, library: str, words: str) -> None:
    stage.engine = Path(library)
    await stage.record("connecting")
    assert await stage.pod.ended() == 0
    summary = stage.pod.summary()
    assert (summary.outcome, summary.code) == (Outcome.FATAL, RecordingErrorCode.RECORDER_INIT)
    assert summary.message is not None
    assert words in summary.message


async def test_a_work_volume_that_cannot_be_written_is_fatal_and_told(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    stage.pod.work.rmdir()
    stage.pod.work.write_text("no directory")
    await stage.record("connecting")
    assert await stage.pod.ended() == 0
    assert stage.operator.types() == ["RecordingFatalError", "DesiredStateApplied", "Finished"]
    summary = stage.pod.summary()
    assert (summary.outcome, summary.code) == (Outcome.FATAL, RecordingErrorCode.RECORDER_INIT)
    assert summary.message is not None
    assert str(stage.pod.work) in summary.message


async def test_a_broken_outbox_is_put_aside_and_what_waits_is_delivered(stage: Stage) -> None:
    await stage.record("connecting,started")
    started = await stage.operator.until_told("RecordingStarted")
    stage.pod.signal(signal.SIGKILL)
    await stage.pod.ended()
    outbox = stage.pod.work / "outbox.sqlite3"
    for file in stage.pod.work.glob("outbox.sqlite3*"):
        file.write_bytes(b"not a database " * 1000)
    await stage.pod.start()
    await stage.operator.until(lambda: _started_after(stage, started["sequence"]))
    assert [file.name for file in stage.pod.work.glob("outbox.sqlite3.broken-*") if file.suffix != "-wal"]
    stage.want(generation=2, state="Stopped")
    assert await stage.pod.ended() == 0
    assert stage.pod.summary().outcome is Outcome.UPLOADED
    assert outbox.exists()


async def test_a_volume_without_room_for_the_outbox_keeps_what_it_holds(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The outbox that cannot be written is replaced by one elsewhere, which is found again."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    (stage.pod.work / "slice.ts").write_bytes(b"media")
    (stage.pod.work / "outbox.sqlite3").mkdir()
    await stage.record("connecting,started")
    await stage.operator.until_told("RecordingStarted")
    stage.pod.signal(signal.SIGKILL)
    await stage.pod.ended()
    await stage.pod.start()
    await stage.operator.until_told("RecordingStarted", times=2)
    stage.want(generation=2, state="Stopped")
    assert await stage.pod.ended() == 0
    assert stage.pod.summary().outcome is Outcome.UPLOADED


async def test_an_idle_channel_ends_the_part_by_itself(stage: Stage) -> None:
    await stage.record("connecting,failure=434,stopped,uploaded")
    assert await stage.pod.ended() == 0
    summary = stage.pod.summary()
    assert (summary.outcome, summary.code) == (Outcome.IDLE, RecordingErrorCode.NO_USERS)
    assert not summary.somebody_joined


async def test_no_callback_is_told_after_release_returned(stage: Stage) -> None:
    """G7, with an engine that calls once more while Release runs, and once after it."""
    await stage.record("connecting,started,late")
    await stage.operator.until_told("RecordingStarted")
    stage.want(generation=2, state="Stopped")
    assert await stage.pod.ended() == 0
    assert len(stage.operator.of("RecordingStarted")) == 1
    assert stage.operator.types()[-1] == "Finished"


async def test_documents_that_cannot_be_read_end_the_container_with_the_field_named(stage: Stage) -> None:
    document = recording(engine=stage.engine, script="connecting", callback_url=stage.operator.url)
    document["spec"]["channel"]["uid"] = 0
    stage.pod.mount("recording.json", document)
    stage.pod.mount("desired.json", "{}")
    await stage.pod.start()
    assert await stage.pod.ended() == 1
    assert "spec.channel.uid" in stage.pod.records()[-1]["error"]
