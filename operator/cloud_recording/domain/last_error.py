# SPDX-License-Identifier: Apache-2.0
"""`status.lastError`: what failed last, what to do about it, and since when its cause is gone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from cloud_recording.api.error_facts import error_facts
from cloud_recording.api.reasons import STORAGE_REASONS, Reason, reason_facts, remedy
from cloud_recording.api.status import CloudRecordingStatus, LastError, Part, PartState
from cloud_recording.api.wire import Snapshot, UploaderFailure
from cloud_recording.common.error_codes import RecordingErrorCode
from cloud_recording.domain import storage_health

_OF_THE_UPLOADER: Final = frozenset({RecordingErrorCode.UPLOADER_INIT, RecordingErrorCode.UPLOADER_FAILED})

_UNTIL_IT_RECORDS: Final = frozenset(
    {Reason.RECORDER_EXIT, Reason.OUT_OF_MEMORY, Reason.POD_LOST, Reason.NODE_LOST, Reason.EVICTED}
)
"""Errors that are over when media is recorded again."""

_UNTIL_SOMEBODY_IS_THERE: Final = frozenset({Reason.CONNECT_ERROR, Reason.DISCONNECTED, Reason.STREAMS_REFUSED})
"""Errors that are not over while an empty channel is recorded."""


def error_of_code(code: int, message: str, *, time: datetime) -> LastError:
    """What `lastError` says of one of the engine's codes."""
    facts = error_facts(code)
    return LastError(
        code=code,
        reason=facts.reason,
        message=message or facts.meaning,
        remedy=facts.remedy,
        time=time.replace(microsecond=0),
    )


def error_of_reason(reason: Reason, message: str, *, time: datetime, code: int | None = None) -> LastError:
    """What it says where the reason is better known than by the engine's code."""
    facts = reason_facts(reason)
    return LastError(
        code=code,
        reason=reason,
        message=message or facts.meaning,
        remedy=facts.remedy,
        time=time.replace(microsecond=0),
    )


def uploader_error(status: CloudRecordingStatus, part: Part, callback: UploaderFailure, *, time: datetime) -> LastError:
    """The error with the remedy of its cause, where the engine tells it."""
    error = error_of_code(callback.code, callback.message, time=time)
    health = part.storage
    if callback.snapshot is None or callback.snapshot.storage is None or health is None or health.ready is not False:
        return error
    if health.reason is None:
        return error
    advice = remedy(health.reason, stored=storage_health.is_stored(status))
    return error.model_copy(update={"reason": health.reason, "message": health.message, "remedy": advice})


def with_error(status: CloudRecordingStatus, error: LastError) -> CloudRecordingStatus:
    """The status with this as its newest error."""
    return status.model_copy(update={"last_error": error})


def with_error_resolved(
    status: CloudRecordingStatus, part: Part, *, snapshot: Snapshot | None = None, time: datetime
) -> CloudRecordingStatus:
    """Says of the last error that its cause is gone, as soon as the part's facts or the engine's account say so."""
    error = status.last_error
    if error is None or error.resolved_time is not None:
        return status
    if not (_is_over(error, status, part) or _is_forgotten(error, part, snapshot)):
        return status
    moment = time.astimezone(UTC).replace(microsecond=0)
    return status.model_copy(update={"last_error": error.model_copy(update={"resolved_time": moment})})


def _is_forgotten(error: LastError, part: Part, snapshot: Snapshot | None) -> bool:
    """Whether an engine that records knows no error any more: it forgets a track's as soon as the track has healed."""
    of_the_recorder = error.reason is Reason.RECORDER_FAILED and part.state is PartState.RECORDING
    return of_the_recorder and snapshot is not None and snapshot.last_error is None


def _is_over(error: LastError, status: CloudRecordingStatus, part: Part) -> bool:
    if error.reason in STORAGE_REASONS or error.code in _OF_THE_UPLOADER:
        return part.storage is not None and part.storage.ready is True
    if error.reason is Reason.WAITING_FOR_SECRET:
        return part.missing_secrets is None
    if error.reason is Reason.WORK_VOLUME_FULL:
        return part.pause is None
    if error.reason in _UNTIL_IT_RECORDS:
        return part.state is PartState.RECORDING
    if error.reason in _UNTIL_SOMEBODY_IS_THERE:
        tells_participants = part.engine_extended is True
        return part.state is PartState.RECORDING and (bool(status.participant_count) or not tells_participants)
    return False
