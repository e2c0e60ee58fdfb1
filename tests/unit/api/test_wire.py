# SPDX-License-Identifier: Apache-2.0
"""What operator and runner exchange survives the trip, and neither a long text nor a newer release can jam it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from cloud_recording.api.base import LIST_TAIL, MESSAGE_LENGTH
from cloud_recording.api.status import Amounts, Outcome
from cloud_recording.api.wire import (
    CALLBACK,
    TERMINATION_MESSAGE_BYTES,
    CallbackRequest,
    RecorderFailure,
    RunnerStarted,
    Snapshot,
    SnapshotTaken,
    Summary,
    UnknownCallback,
)
from cloud_recording.common.error_codes import RecordingErrorCode

RECORDING_ID = "0123456789abcdef" * 2
HUGE = 2**53 - 1


def _callback(**fields: Any) -> dict[str, Any]:
    return {"sequence": 1, "time": "2026-01-02T03:04:05.678Z", **fields}


def _snapshot(**fields: Any) -> dict[str, Any]:
    return {"state": "Recording", "recordingId": RECORDING_ID, **fields}


def test_a_callback_reads_as_it_was_written() -> None:
    sent = RunnerStarted(
        sequence=7,
        time=datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC),
        runner_version="0.1.0",
        engine_name="default",
        engine_extended=True,
    )
    text = sent.model_dump_json(by_alias=True, exclude_none=True)
    assert '"time":"2026-01-02T03:04:05.678Z"' in text
    assert '"engineExtended":true' in text
    assert CALLBACK.validate_json(text) == sent


def test_the_type_tells_the_callback() -> None:
    assert isinstance(CALLBACK.validate_python(_callback(type="Snapshot", snapshot=_snapshot())), SnapshotTaken)
    failure = CALLBACK.validate_python(
        _callback(type="RecorderFailure", code=RecordingErrorCode.NO_USERS, message="nobody")
    )
    assert isinstance(failure, RecorderFailure)
    assert failure.code == RecordingErrorCode.NO_USERS


def test_a_callback_of_a_newer_runner_is_kept_as_unknown_with_its_snapshot() -> None:
    callback = CALLBACK.validate_python(_callback(type="FromTheFuture", colour="red", snapshot=_snapshot()))
    assert isinstance(callback, UnknownCallback)
    assert callback.type == "FromTheFuture"
    assert callback.snapshot is not None


def test_a_request_holds_callbacks_of_several_types_in_their_order() -> None:
    request = CallbackRequest.model_validate(
        {"podUID": "u", "callbacks": [_callback(type="RecordingStarted"), _callback(type="RecordingStopped")]}
    )
    assert [callback.type for callback in request.callbacks] == ["RecordingStarted", "RecordingStopped"]


@pytest.mark.parametrize("sequence", [0, -1])
def test_sequences_count_from_one(sequence: int) -> None:
    with pytest.raises(ValueError, match="sequence"):
        CALLBACK.validate_python(_callback(type="RecordingStarted", sequence=sequence))


def test_a_long_message_is_cut_and_never_refused() -> None:
    callback = CALLBACK.validate_python(
        _callback(type="RecorderFailure", code=RecordingErrorCode.GENERAL_ERROR, message="x" * 100_000)
    )
    assert isinstance(callback, RecorderFailure)
    assert len(callback.message) == MESSAGE_LENGTH
    assert callback.message.endswith("…")


def test_a_long_list_keeps_its_newest_entries() -> None:
    gaps = [{"start": number, "stop": number + 1} for number in range(100)]
    snapshot = Snapshot.model_validate(_snapshot(gaps=gaps))
    assert [gap.start for gap in snapshot.gaps] == list(range(100 - LIST_TAIL, 100))


@pytest.mark.parametrize("letter", ["x", "é", "会", "🎥", "\x01", '"'], ids=["1", "2", "3", "4", "control", "quote"])
def test_the_summary_fits_the_termination_message_in_any_script(letter: str) -> None:
    amounts = Amounts(written=HUGE, uploaded=HUGE, backed_up=HUGE, pending=HUGE)
    summary = Summary(
        recording_id=RECORDING_ID,
        part=2**31 - 1,
        outcome=Outcome.INCOMPLETE,
        code=RecordingErrorCode.GENERAL_ERROR,
        message=letter * MESSAGE_LENGTH,
        slices=amounts,
        bytes=amounts,
        recorded_milliseconds=HUGE,
        gap_milliseconds=HUGE,
        start_time=HUGE,
        stop_time=HUGE,
        last_sequence=HUGE,
        somebody_joined=True,
    )
    text = summary.termination_message()
    assert len(text.encode()) <= TERMINATION_MESSAGE_BYTES
    read = Summary.model_validate_json(text)
    assert read.message
    assert summary.message is not None
    assert summary.message.startswith(read.message)
    assert read.model_copy(update={"message": None}) == summary.model_copy(update={"message": None})
