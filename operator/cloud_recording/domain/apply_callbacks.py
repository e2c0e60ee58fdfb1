# SPDX-License-Identifier: Apache-2.0
"""Callbacks applied to a status: pure, in order, and each once.

Only facts are taken in here, of the part that the callback's pod makes; totals and conditions follow from them
(`totals`, `summarize`), so that it makes no difference whether a fact came by a callback or was seen on the pod.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from cloud_recording.api.error_facts import error_facts
from cloud_recording.api.reasons import RECORDER_CAUSES, Reason
from cloud_recording.api.status import (
    CloudRecordingStatus,
    Gap,
    LastError,
    Outcome,
    Part,
    Participant,
    ParticipantState,
    PartState,
    Pause,
)
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
    RecordingRefused,
    RecordingStarted,
    RecordingStopped,
    RecordingUploaded,
    RecordingUploadingProgress,
    RunnerStarted,
    RunnerTerminating,
    SecretsComplete,
    SecretsGone,
    Snapshot,
    SnapshotTaken,
    StorageChanged,
    UnknownCallback,
    UploaderFailure,
    WaitingForSecret,
)
from cloud_recording.common.callback_names import callback_facts
from cloud_recording.common.error_codes import RecordingErrorCode
from cloud_recording.domain import parts, totals
from cloud_recording.domain.last_error import (
    error_of_code,
    error_of_reason,
    error_while_recording,
    with_error,
    with_error_resolved,
)
from cloud_recording.domain.storage_health import observed_storage, uploader_error
from cloud_recording.domain.wire_time import optional_time, time_of

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


def apply_callbacks(
    status: CloudRecordingStatus, *, number: int, callbacks: Sequence[Callback], received_at: datetime
) -> CloudRecordingStatus:
    """The status after these callbacks of the part, heard now; those it contains already change nothing."""
    for callback in callbacks:
        part = next(known for known in status.parts if known.number == number)
        if callback.sequence <= part.sequence or part.state in parts.OVER:
            continue
        part = parts.changed(part, sequence=callback.sequence, heard_time=received_at.replace(microsecond=0))
        status = parts.replaced(status, part)
        if callback.snapshot is not None:
            status = _with_snapshot(status, part, callback.snapshot, time=callback.time)
            part = _part(status, number)
        status = _with_callback(status, _part(status, number), callback)
        if part.state in parts.RESCUED:
            status = _still_rescued(status, part, _part(status, number))
        elif callback_facts(callback.type).state_by_snapshot:
            status = _with_engine_state(status, _part(status, number), callback)
        account = callback.snapshot if isinstance(callback, SnapshotTaken) else None
        status = with_error_resolved(status, _part(status, number), snapshot=account, time=callback.time)
    return status


def _with_snapshot(
    status: CloudRecordingStatus, part: Part, snapshot: Snapshot, *, time: datetime
) -> CloudRecordingStatus:
    """The status with the engine's account of the part in place of the one before."""
    counted = parts.changed(
        part,
        playlist=part.playlist if snapshot.playlist_pending else snapshot.playlist or part.playlist,
        slices=snapshot.slices,
        bytes=snapshot.bytes,
        recorded_milliseconds=snapshot.recorded_milliseconds,
        gap_milliseconds=snapshot.gap_milliseconds,
        pending_milliseconds=snapshot.pending_milliseconds,
        volume_free_bytes=snapshot.volume_free_bytes,
        gap_count=snapshot.gap_count,
        somebody_joined=part.somebody_joined or snapshot.somebody_joined,
        in_channel=snapshot.in_channel,
        pause=_pause_of(snapshot, time=time),
        storage=observed_storage(part, snapshot.storage),
        **parts.mp4_of(part, snapshot.mp4),
        engine_extended=True,
    )
    durable = optional_time(snapshot.last_durable_slice_time)
    reported = tuple(map(_gap_of, snapshot.gaps))
    if part.lost and part.state in parts.RESCUED:
        # What is certain of it grows as it is delivered.
        counted = parts.changed(counted, stop_time=max(filter(None, (part.stop_time, durable)), default=None))
        status = parts.with_gap_from(status, part, counted)
        counted = parts.cut_off(counted, reported)
        reported = parts.until_cut(counted, reported)
    # A supervisor tells the last account of a process that died with what comes of its end.
    status = parts.replaced(status, counted if parts.captures(part) else parts.left_channel(counted))
    newest = max(filter(None, (status.last_durable_slice_time, durable)), default=None)
    # An old part that still uploads has no participants; who is there is told by the part that captures. A process that
    # only delivers what another left knows nobody.
    people = {}
    knows = bool(snapshot.participants) or parts.captures(part)
    if part.number == status.parts[-1].number and part.state not in parts.RESCUED and knows:
        people = {
            "participants": tuple({one.uid: _participant_of(one) for one in snapshot.participants}.values()),
            "participant_count": snapshot.participant_count,
        }
    gaps = totals.merged_gaps(status.gaps, reported)
    return status.model_copy(update={"last_durable_slice_time": newest, "gaps": gaps, **people})


def _pause_of(snapshot: Snapshot, *, time: datetime) -> Pause | None:
    reported = snapshot.pause
    if reported is None:
        return None
    since = time_of(reported.since)
    lasted = max(0, round((time - since).total_seconds() * 1000))
    return Pause(reason=reported.reason, start_time=since, milliseconds=lasted)


def _gap_of(record: GapRecord) -> Gap:
    return Gap(start_time=time_of(record.start), stop_time=time_of(record.stop), reason=record.reason)


def _participant_of(record: ParticipantRecord) -> Participant:
    return Participant(
        uid=record.uid,
        name=record.name,
        identity=record.identity,
        state=record.state,
        audio=record.audio,
        video=record.video,
        join_time=optional_time(record.join_time),
        leave_time=optional_time(record.leave_time),
        reason=_reason_of(record.cause),
        message=record.message or None,
    )


def _with_callback(status: CloudRecordingStatus, part: Part, callback: Callback) -> CloudRecordingStatus:  # noqa: C901, PLR0911, PLR0912 - one arm for each callback there is
    time = callback.time.astimezone(UTC).replace(microsecond=0)
    match callback:
        case RunnerStarted(engine_extended=extended):
            return _runner_started(status, parts.changed(part, engine_extended=extended))
        case RunnerTerminating():
            return parts.replaced(status, _terminating(part))
        case WaitingForSecret():
            return _waiting(status, part, callback)
        case SecretsComplete():
            return _with_state(status, part, PartState.STARTING)
        case SecretsGone():
            return _secrets_gone(status, part, callback, time=time)
        case RecordingConnecting():
            # Another try of what was refused is no other state until it comes to something else.
            return status if parts.is_refused(part) else _with_state(status, part, PartState.CONNECTING)
        case RecordingRefused():
            return _refused(status, part, callback, time=time)
        case RecordingStarted():
            return _started(status, part, callback.snapshot, time=time)
        case RecordingStopped():
            return parts.replaced(status, _stopped(part, time=time))
        case RecordingUploaded(file_name=name):
            return parts.replaced(
                status, parts.changed(part, outcome=Outcome.UPLOADED, playlist=name, backup_playlist=None)
            )
        case RecordingBackedUp(file_name=name):
            return parts.replaced(status, parts.changed(part, outcome=Outcome.BACKED_UP, backup_playlist=name))
        case RecordingUploadingProgress():
            # An engine that counts its slices says more by that, and also whether the playlist is there.
            if part.engine_extended:
                return status
            progress = {"progress_percent": callback.progress_percent}
            return parts.replaced(status.model_copy(update=progress), parts.changed(part, playlist=callback.playlist))
        case RecorderFailure():
            return _recorder_failure(status, part, callback, time=time)
        case UploaderFailure():
            return with_error(status, uploader_error(status, part, callback, time=time))
        case RecordingFatalError():
            return _fatal(status, part, callback, time=time)
        case RecorderExited():
            return _recorder_exited(status, part, callback, time=time)
        case DesiredStateApplied():
            applied = parts.changed(part, desired_generation=callback.generation)
            acknowledged = max(status.acknowledged_generation or 0, callback.generation)
            status = status.model_copy(update={"acknowledged_generation": acknowledged})
            return parts.replaced(status, applied)
        case StorageChanged(place=place):
            return parts.replaced(status, parts.changed(part, storage=parts.untried_at(place, part.storage)))
        case EditRefused():
            message = f"`{callback.field}` was not changed: {callback.message}"
            return with_error(status, error_of_code(RecordingErrorCode.INVALID_OPERATION, message, time=time))
        case Finished(summary=summary):
            return parts.concluded(status, part, summary, now=time)
        case SnapshotTaken() | UnknownCallback():
            return status


def _still_rescued(status: CloudRecordingStatus, before: Part, after: Part) -> CloudRecordingStatus:
    """What a part had come to when its pod ended stays so, whatever is told of it now, until its rescue is over."""
    if after.state in parts.OVER:
        return status
    kept = ("state", "reason", "message", "error_code", "stop_time", "pause", "outcome")
    return parts.replaced(status, parts.changed(after, **{name: getattr(before, name) for name in kept}))


def _part(status: CloudRecordingStatus, number: int) -> Part:
    return next(part for part in status.parts if part.number == number)


def _with_state(status: CloudRecordingStatus, part: Part, state: PartState) -> CloudRecordingStatus:
    return parts.replaced(status, parts.changed(part, state=state, **_reason_left(part)))


def _reason_left(part: Part) -> dict[str, object]:
    """What is left of why it waited once it does no more: whoever was told to end is to end, whatever it tells yet."""
    return {} if part.reason is Reason.POD_ENDED else {"reason": None, "message": None}


def _terminating(part: Part) -> Part:
    """A part whose recorder was told to end by somebody else than this operator, perhaps without its pod's deletion."""
    if part.reason is not None:
        return part
    who = f"node '{part.node}' told the recorder to end" if part.node else "the recorder was told to end"
    return parts.changed(part, reason=Reason.POD_ENDED, message=who)


def _runner_started(status: CloudRecordingStatus, part: Part) -> CloudRecordingStatus:
    # A container that was started again finds its engine stopped, but what the part had come to stays true of it.
    if part.state in {PartState.STOPPING, PartState.UPLOADING} or parts.is_refused(part):
        return parts.replaced(status, part)
    state = PartState.CONNECTING if part.start_time is not None else PartState.STARTING
    return _with_state(status, part, state)


def _waiting(status: CloudRecordingStatus, part: Part, callback: WaitingForSecret) -> CloudRecordingStatus:
    missing = "; ".join(one.sentence() for one in callback.missing)
    unusable = all(one.unusable for one in callback.missing)
    reason = Reason.SECRET_UNUSABLE if unusable else Reason.WAITING_FOR_SECRET
    waiting = parts.changed(part, state=PartState.STARTING, reason=reason, message=missing[:1024])
    return parts.replaced(status, waiting)


def _refused(
    status: CloudRecordingStatus, part: Part, callback: RecordingRefused, *, time: datetime
) -> CloudRecordingStatus:
    reason = Reason.ROOM_REFUSED if callback.room else Reason.STREAMS_REFUSED
    refused = parts.changed(part, state=PartState.STARTING, reason=reason, message=callback.message)
    status = parts.replaced(status, refused)
    known = status.last_error
    if known is not None and (known.reason, known.message) == (reason, callback.message):
        return status
    return with_error(status, error_of_reason(reason, callback.message, time=time, code=callback.code))


def _is_reached(snapshot: Snapshot) -> bool:
    """Whether the room, or anybody, was found in another way than refused, since the recorder asked again."""
    people = snapshot.participants
    waits = any(one.state is ParticipantState.CONNECTING and one.message for one in people)
    others = any(one.state not in {ParticipantState.REFUSED, ParticipantState.CONNECTING} for one in people)
    return snapshot.state is EngineState.CONNECTING and (waits or others or snapshot.in_channel is not None)


def _secrets_gone(
    status: CloudRecordingStatus, part: Part, callback: SecretsGone, *, time: datetime
) -> CloudRecordingStatus:
    gone = "; ".join(f"Secret '{one.secret_name}' with the key '{one.key}' is gone" for one in callback.missing)
    status = parts.replaced(status, parts.changed(part, missing_secrets=gone[:1024] or None))
    if not gone:
        return status
    return with_error(status, error_while_recording(Reason.WAITING_FOR_SECRET, gone[:1024], time=time))


def _started(
    status: CloudRecordingStatus, part: Part, snapshot: Snapshot | None, *, time: datetime
) -> CloudRecordingStatus:
    """Somebody is in the channel. Where that is all, as a pause was asked for before, nothing is recorded yet."""
    paused = snapshot is not None and snapshot.state is EngineState.PAUSED
    part = parts.changed(
        part,
        state=PartState.PAUSED if paused else PartState.RECORDING,
        stop_time=None,
        somebody_joined=True,
        **_reason_left(part),
    )
    status = parts.replaced(status, part)
    return status if paused else _with_first_media(status, part, time=time)


def _with_first_media(status: CloudRecordingStatus, part: Part, *, time: datetime) -> CloudRecordingStatus:
    if part.start_time is not None:
        return status
    status = _with_gap_before(status, part, time=time)
    return parts.replaced(status, parts.changed(part, start_time=time))


def _with_gap_before(status: CloudRecordingStatus, part: Part, *, time: datetime) -> CloudRecordingStatus:
    """States the time between the former part's last media and this part's first, which no engine was there to see."""
    former = next((known for known in reversed(status.parts) if known.number < part.number), None)
    span = parts.between(former, parts.changed(part, start_time=time)) if former else None
    if former is None or span is None:
        return status
    gap = Gap(start_time=span.start, stop_time=span.stop, reason=parts.why_over(former))
    return status.model_copy(update={"gaps": totals.merged_gaps(status.gaps, (gap,))})


def _stopped(part: Part, *, time: datetime) -> Part:
    return parts.left_channel(parts.changed(part, state=PartState.UPLOADING, stop_time=time))


def _recorder_failure(
    status: CloudRecordingStatus, part: Part, callback: RecorderFailure, *, time: datetime
) -> CloudRecordingStatus:
    match callback.code:
        case RecordingErrorCode.NO_USERS:
            idle = parts.changed(
                part,
                state=PartState.STOPPING if part.state in parts.CAPTURING else part.state,
                error_code=callback.code,
                reason=Reason.NO_USERS,
                message=callback.message or error_facts(callback.code).meaning,
            )
            # Where somebody had been there before, it is the end that was to be.
            if totals.somebody_joined(status):
                idle = parts.changed(idle, reason=Reason.CHANNEL_IDLE, message="everybody had left the channel")
                return parts.replaced(status, idle)
            return parts.replaced(with_error(status, error_of_code(callback.code, callback.message, time=time)), idle)
        case RecordingErrorCode.RECORDER_EXIT if _is_known(status.last_error, callback.code):
            # The engine's word for what the supervisor has told already.
            return status
        case RecordingErrorCode.NO_RECORDED_DATA:
            # Told of a recording that was stopped before; its end says so.
            return status
        case RecordingErrorCode.RECORDER_FAILED if reason := _reason_of(callback.cause):
            return with_error(status, error_of_reason(reason, callback.message, time=time, code=callback.code))
        case _:
            return with_error(status, error_of_code(callback.code, callback.message, time=time))


def _reason_of(cause: str | None) -> Reason | None:
    """The reason for a recorder's cause in the engine's words, if there is one: it says more than a code does."""
    return Reason(cause) if cause in RECORDER_CAUSES else None


def _is_known(error: LastError | None, code: int) -> bool:
    return error is not None and error.code == code and error.resolved_time is None


def _fatal(
    status: CloudRecordingStatus, part: Part, callback: RecordingFatalError, *, time: datetime
) -> CloudRecordingStatus:
    error = error_of_code(callback.code, callback.message, time=time)
    if part.state is PartState.UPLOADING and part.stop_time is not None:
        # Capture had ended as it was to; what fails after that is no reason for another part.
        return with_error(status, error)
    failed = parts.changed(
        part,
        state=PartState.UPLOADING,
        error_code=callback.code,
        reason=error.reason,
        message=error.message,
        stop_time=part.stop_time or (time if part.start_time else None),
    )
    return parts.replaced(with_error(status, error), parts.left_channel(failed))


def _recorder_exited(
    status: CloudRecordingStatus, part: Part, callback: RecorderExited, *, time: datetime
) -> CloudRecordingStatus:
    how = f"signal {callback.signal}" if callback.signal is not None else f"exit code {callback.exit_code}"
    message = callback.message or f"the recorder process ended with {how}; it is started again in the same pod"
    exited = parts.changed(
        part,
        recorder_restarts=callback.restarts,
        state=PartState.CONNECTING if part.state in parts.TO_GO_ON else part.state,
    )
    error = error_of_code(RecordingErrorCode.RECORDER_EXIT, message, time=time)
    return parts.replaced(with_error(status, error), exited)


def _with_engine_state(status: CloudRecordingStatus, part: Part, callback: Callback) -> CloudRecordingStatus:
    # Whenever a snapshot was taken, it never brings a part back to work that has stopped, and never puts one to work
    # that has not begun: the engine has callbacks of their own for that.
    if callback.snapshot is not None and parts.is_refused(part) and _is_reached(callback.snapshot):
        return _with_state(status, part, PartState.CONNECTING)
    state = _PART_STATES.get(callback.snapshot.state) if callback.snapshot else None
    if state is None or (part.state.known and part.state not in parts.CAPTURING):
        return status
    if state is not part.state:
        part = parts.changed(part, state=state)
        status = parts.replaced(status, part)
    if state is PartState.RECORDING:
        return _with_first_media(status, part, time=callback.time.astimezone(UTC).replace(microsecond=0))
    return status
