# SPDX-License-Identifier: Apache-2.0
"""Callbacks folded into a status: pure, in order, and each once.

Only facts are folded here, into the part that the callback's pod makes; totals and conditions follow from them
(`totals`, `summarize`), so that it makes no difference whether a fact came by a callback or was seen on the pod.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from cloud_recording.api.errors import RecordingErrorCode, error_facts
from cloud_recording.api.reasons import Reason
from cloud_recording.api.status import CloudRecordingStatus, Gap, LastError, Outcome, Part, Participant, PartState
from cloud_recording.api.wire import (
    Callback,
    DesiredStateApplied,
    EditRefused,
    EngineState,
    Finished,
    GapRecord,
    ParticipantRecord,
    RecorderExited,
    RecorderFailure,
    RecordingBackedUp,
    RecordingConnecting,
    RecordingFatalError,
    RecordingStarted,
    RecordingStopped,
    RecordingUploaded,
    RecordingUploadingProgress,
    RunnerStarted,
    SecretsComplete,
    Snapshot,
    SnapshotTaken,
    UnknownCallback,
    UploaderFailure,
    WaitingForSecret,
)
from cloud_recording.domain import counting, parts

_PART_STATES: Final = {
    EngineState.CONNECTING: PartState.CONNECTING,
    EngineState.RECORDING: PartState.RECORDING,
    # Nobody is heard: a part that has begun and connects is on its way back.
    EngineState.RECONNECTING: PartState.CONNECTING,
    EngineState.PAUSED: PartState.PAUSED,
    EngineState.STOPPING: PartState.STOPPING,
    EngineState.UPLOADING: PartState.UPLOADING,
}
"""What an engine's state says about its part; the others are told by callbacks of their own."""

_ENGINE_AT_WORK: Final = frozenset({PartState.CONNECTING, PartState.RECORDING, PartState.PAUSED, PartState.STOPPING})


_TELLS_STATE: Final = (
    RunnerStarted,
    RecordingConnecting,
    RecordingStarted,
    RecordingStopped,
    RecordingFatalError,
    RecorderExited,
    RecorderFailure,
    Finished,
)
"""Callbacks whose own word on the state counts: the snapshot beside them may be older or newer than they are."""


def fold(status: CloudRecordingStatus, *, number: int, callbacks: Sequence[Callback]) -> CloudRecordingStatus:
    """The status after these callbacks of the part; those it contains already change nothing."""
    for callback in callbacks:
        part = next(known for known in status.parts if known.number == number)
        if callback.sequence <= part.sequence or part.state in parts.OVER:
            continue
        part = parts.changed(part, sequence=callback.sequence)
        status = parts.replaced(status, part)
        if callback.snapshot is not None:
            status = _with_snapshot(status, part, callback.snapshot)
        status = _with_callback(status, _part(status, number), callback)
        if not isinstance(callback, _TELLS_STATE):
            status = _with_engine_state(status, _part(status, number), callback.snapshot)
    return status


def _with_callback(status: CloudRecordingStatus, part: Part, callback: Callback) -> CloudRecordingStatus:  # noqa: C901, PLR0911, PLR0912 - one arm for each callback there is
    time = callback.time.astimezone(UTC).replace(microsecond=0)
    match callback:
        case RunnerStarted():
            return _with_state(status, part, _after_runner_start(part))
        case WaitingForSecret():
            return _waiting(status, part, callback)
        case SecretsComplete():
            return _with_state(status, part, PartState.STARTING)
        case RecordingConnecting():
            return _with_state(status, part, PartState.CONNECTING)
        case RecordingStarted():
            return _started(status, part, time=time)
        case RecordingStopped():
            return parts.replaced(status, parts.changed(part, state=PartState.UPLOADING, stop_time=time))
        case RecordingUploaded(file_name=name):
            return parts.replaced(status, parts.changed(part, outcome=Outcome.UPLOADED, playlist=name))
        case RecordingBackedUp(file_name=name):
            return parts.replaced(status, parts.changed(part, outcome=Outcome.BACKED_UP, playlist=name))
        case RecordingUploadingProgress():
            told = status.model_copy(update={"progress_percent": callback.progress_percent})
            return parts.replaced(told, parts.changed(part, playlist=callback.playlist))
        case RecorderFailure():
            return _recorder_failure(status, part, callback, time=time)
        case UploaderFailure():
            return _with_error(status, counting.error(callback.code, callback.message, time=time))
        case RecordingFatalError():
            return _fatal(status, part, callback, time=time)
        case RecorderExited():
            return _recorder_exited(status, part, callback, time=time)
        case DesiredStateApplied():
            applied = parts.changed(part, desired_generation=callback.generation)
            acknowledged = max(status.acknowledged_generation or 0, callback.generation)
            status = status.model_copy(update={"acknowledged_generation": acknowledged})
            return parts.replaced(status, applied)
        case EditRefused():
            message = f"`{callback.field}` was not changed: {callback.message}"
            refusal = counting.error(RecordingErrorCode.INVALID_OPERATION, message, time=time)
            return _with_error(status, refusal)
        case Finished(summary=summary):
            return counting.with_summary(status, part, summary, now=time)
        case SnapshotTaken() | UnknownCallback():
            return status


def _part(status: CloudRecordingStatus, number: int) -> Part:
    return next(part for part in status.parts if part.number == number)


def _with_error(status: CloudRecordingStatus, error: LastError) -> CloudRecordingStatus:
    return status.model_copy(update={"last_error": error})


def _with_state(status: CloudRecordingStatus, part: Part, state: PartState) -> CloudRecordingStatus:
    return parts.replaced(status, parts.changed(part, state=state, reason=None, message=None))


def _after_runner_start(part: Part) -> PartState:
    # A container that was started again finds its engine stopped, but what the part had come to stays true of it.
    if part.state is PartState.UPLOADING:
        return PartState.UPLOADING
    return PartState.CONNECTING if part.start_time is not None else PartState.STARTING


def _waiting(status: CloudRecordingStatus, part: Part, callback: WaitingForSecret) -> CloudRecordingStatus:
    missing = "; ".join(
        f"Secret '{one.secret_name}' with the key '{one.key}', named by `{one.field}`, is not there"
        for one in callback.missing
    )
    waiting = parts.changed(part, state=PartState.STARTING, reason=Reason.WAITING_FOR_SECRET, message=missing[:1024])
    return parts.replaced(status, waiting)


def _started(status: CloudRecordingStatus, part: Part, *, time: datetime) -> CloudRecordingStatus:
    if part.start_time is None:
        status = _with_gap_before(status, part, time=time)
    started = parts.changed(
        part, state=PartState.RECORDING, reason=None, message=None, start_time=part.start_time or time, stop_time=None
    )
    return parts.replaced(status, started)


def _with_gap_before(status: CloudRecordingStatus, part: Part, *, time: datetime) -> CloudRecordingStatus:
    """States the time between the former part's last media and this part's first, which no engine was there to see."""
    former = next((known for known in reversed(status.parts) if known.number < part.number), None)
    span = parts.between(former, parts.changed(part, start_time=time)) if former else None
    if former is None or span is None:
        return status
    gap = Gap(start_time=span.start, stop_time=span.stop, reason=f"part {former.number} had ended")
    return status.model_copy(update={"gaps": _merged(status.gaps, (gap,))})


def _recorder_failure(
    status: CloudRecordingStatus, part: Part, callback: RecorderFailure, *, time: datetime
) -> CloudRecordingStatus:
    status = _with_error(status, counting.error(callback.code, callback.message, time=time))
    if callback.code != RecordingErrorCode.NO_USERS:
        return status
    idle = parts.changed(
        part,
        state=PartState.STOPPING if part.state in _ENGINE_AT_WORK else part.state,
        error_code=callback.code,
        reason=Reason.NO_USERS,
        message=callback.message or error_facts(callback.code).meaning,
    )
    return parts.replaced(status, idle)


def _fatal(
    status: CloudRecordingStatus, part: Part, callback: RecordingFatalError, *, time: datetime
) -> CloudRecordingStatus:
    error = counting.error(callback.code, callback.message, time=time)
    failed = parts.changed(
        part,
        state=PartState.UPLOADING,
        error_code=callback.code,
        reason=error.reason,
        message=error.message,
        stop_time=part.stop_time or (time if part.start_time else None),
    )
    return parts.replaced(_with_error(status, error), failed)


def _recorder_exited(
    status: CloudRecordingStatus, part: Part, callback: RecorderExited, *, time: datetime
) -> CloudRecordingStatus:
    how = f"signal {callback.signal}" if callback.signal is not None else f"exit code {callback.exit_code}"
    message = callback.message or f"the recorder process ended with {how}; it is started again in the same pod"
    exited = parts.changed(
        part,
        recorder_restarts=callback.restarts,
        state=PartState.CONNECTING if part.state in _ENGINE_AT_WORK else part.state,
    )
    error = counting.error(RecordingErrorCode.RECORDER_EXIT, message, time=time)
    return parts.replaced(_with_error(status, error), exited)


def _with_engine_state(status: CloudRecordingStatus, part: Part, snapshot: Snapshot | None) -> CloudRecordingStatus:
    # Whenever a snapshot was taken, it never brings a part back to work that has stopped, and never puts one to work
    # that has not begun: the engine has callbacks of their own for that.
    state = _PART_STATES.get(snapshot.state) if snapshot else None
    if state is None or (part.state.known and part.state not in _ENGINE_AT_WORK):
        return status
    return parts.replaced(status, parts.changed(part, state=state))


def _with_snapshot(status: CloudRecordingStatus, part: Part, snapshot: Snapshot) -> CloudRecordingStatus:
    counted = parts.changed(
        part,
        playlist=snapshot.playlist or part.playlist,
        slices=snapshot.slices,
        bytes=snapshot.bytes,
        recorded_milliseconds=snapshot.recorded_milliseconds,
        gap_milliseconds=snapshot.gap_milliseconds,
        gap_count=snapshot.gap_count,
        somebody_joined=part.somebody_joined or snapshot.somebody_joined,
    )
    status = parts.replaced(status, counted)
    durable = counting.optional_moment(snapshot.last_durable_slice_time)
    newest = max(filter(None, (status.last_durable_slice_time, durable)), default=None)
    # An old part that still uploads has no participants; who is there is told by the part that captures.
    people = {}
    if part.number == status.parts[-1].number:
        people = {
            "participants": tuple({one.uid: _participant(one) for one in snapshot.participants}.values()),
            "participant_count": snapshot.participant_count,
        }
    gaps = _merged(status.gaps, tuple(map(_gap, snapshot.gaps)))
    return status.model_copy(update={"last_durable_slice_time": newest, "gaps": gaps, **people})


def _merged(known: tuple[Gap, ...], told: tuple[Gap, ...]) -> tuple[Gap, ...]:
    by_start = {gap.start_time: gap for gap in (*known, *told)}
    return tuple(sorted(by_start.values(), key=lambda gap: gap.start_time))[-20:]


def _gap(record: GapRecord) -> Gap:
    return Gap(start_time=counting.moment(record.start), stop_time=counting.moment(record.stop), reason=record.reason)


def _participant(record: ParticipantRecord) -> Participant:
    return Participant(
        uid=record.uid,
        name=record.name,
        state=record.state,
        audio=record.audio,
        video=record.video,
        join_time=counting.optional_moment(record.join_time),
        leave_time=counting.optional_moment(record.leave_time),
        message=record.message,
    )
