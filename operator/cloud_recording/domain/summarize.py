# SPDX-License-Identifier: Apache-2.0
"""The conditions, as a pure function of the spec and the facts in the status; the one place where they are set."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cloud_recording.api.phrases import participant, slices_are
from cloud_recording.api.reasons import ConditionType, Reason
from cloud_recording.api.recording import DISCARD_ANNOTATION, CloudRecording, DesiredRecordingState
from cloud_recording.api.status import (
    MOST_PLAYLISTS,
    Amounts,
    CloudRecordingStatus,
    ConditionStatus,
    Outcome,
    Part,
    Participant,
    ParticipantState,
    PartState,
    Playlist,
)
from cloud_recording.api.storage_place import at_place
from cloud_recording.domain import heartbeat, parts, playlist_url, storage_health, totals
from cloud_recording.domain.completion import Completion
from cloud_recording.domain.conditions import Conditions, get, is_true
from cloud_recording.domain.desired_state import desired_state, max_duration_message, stop_cause

_TRUE, _FALSE, _UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN
_AS_ASKED: Final = frozenset({Reason.RECORDING, Reason.PAUSED})
_BLOCKED: Final = frozenset({Reason.NOT_ALLOWED, Reason.INVALID_SPEC, Reason.SECRET_UNUSABLE, Reason.STREAMS_REFUSED})


@dataclass(frozen=True, kw_only=True)
class ReadyReason:
    """Where the recording is: the reason and message of Ready, and so of the STATUS column."""

    reason: Reason
    message: str = ""


def finished(status: CloudRecordingStatus) -> bool:
    """Whether the recording is over for good."""
    return is_true(status, ConditionType.FINISHED)


def with_generation_observed(recording: CloudRecording) -> CloudRecordingStatus:
    """The status of a recording that is over, of the newest generation: an edit changes nothing, and was seen.

    Who goes by `observedGeneration`, as GitOps tools do, would wait for ever otherwise.
    """
    status, generation = recording.status, recording.metadata.generation
    if (status.observed_generation or 0) >= generation:
        return status
    conditions = tuple(one.model_copy(update={"observed_generation": generation}) for one in status.conditions)
    return status.model_copy(update={"observed_generation": generation, "conditions": conditions})


def summarized(
    recording: CloudRecording,
    status: CloudRecordingStatus,
    *,
    now: datetime,
    blocked_by: ReadyReason | None = None,
    listening_since: datetime | None = None,
) -> CloudRecordingStatus:
    """The status with totals and conditions renewed from its facts.

    `blocked_by` is what keeps the next part from being made, as far as the status does not know it by itself.
    `listening_since` is since when somebody hears what recorders report.
    """
    status = totals.with_totals(status)
    if finished(status):
        return status
    ready_reason = blocked_by or _ready_reason(recording, status, now=now)
    if blocked_by is None and ready_reason.reason is not Reason.DELETING:
        ready_reason = _doubt(status, now=now, listening_since=listening_since) or ready_reason
    conditions = Conditions(status.conditions, generation=recording.metadata.generation, now=now)
    ready = ready_reason.reason in _AS_ASKED
    conditions.set(ConditionType.READY, _TRUE if ready else _FALSE, ready_reason.reason, ready_reason.message)
    _set_progressing(conditions, recording, status, ready_reason)
    _set_recording(conditions, status, ready_reason)
    _set_storage(conditions, status)
    conditions.set(ConditionType.UPLOADED, _FALSE, ready_reason.reason, _missing(status.slices))
    _set_backed_up(conditions, status, ready_reason.reason)
    conditions.set(ConditionType.SUCCEEDED, _UNKNOWN, ready_reason.reason, "")
    conditions.set(ConditionType.FINISHED, _FALSE, ready_reason.reason, "")
    return _with(recording, status, conditions)


def completed(
    recording: CloudRecording, status: CloudRecordingStatus, completion: Completion, *, now: datetime
) -> CloudRecordingStatus:
    """The status of a recording that is over, with the end that it came to. Nothing changes it afterwards."""
    status = totals.with_totals(status)
    ends = [part.end_time for part in status.parts if part.end_time is not None]
    status = status.model_copy(
        update={
            "completion_time": max(ends, default=now.replace(microsecond=0)),
            "participant_count": None if status.participant_count is None else 0,
            "participants": tuple(map(_gone, status.participants)),
        }
    )
    conditions = Conditions(status.conditions, generation=recording.metadata.generation, now=now)
    good = _TRUE if completion.succeeded else _FALSE
    conditions.set(ConditionType.READY, good, completion.reason, completion.message)
    conditions.remove(ConditionType.RECONCILING)
    if not completion.succeeded:
        conditions.set(ConditionType.STALLED, _TRUE, completion.reason, completion.message)
    else:
        conditions.remove(ConditionType.STALLED)
    conditions.set(ConditionType.RECORDING, _FALSE, completion.reason, "")
    _set_storage(conditions, status)
    _set_uploaded_at_last(conditions, status, completion)
    _set_backed_up(conditions, status, completion.reason)
    conditions.set(ConditionType.SUCCEEDED, good, completion.reason, completion.message)
    conditions.set(ConditionType.FINISHED, _TRUE, completion.reason, "")
    return _with(recording, status, conditions)


def _with(recording: CloudRecording, status: CloudRecordingStatus, conditions: Conditions) -> CloudRecordingStatus:
    playlists = _playlists(recording, status)
    newest = next((one for one in reversed(playlists) if one.name == status.playlist), None)
    return status.model_copy(
        update={
            "display": _display(conditions),
            "conditions": conditions.as_tuple(),
            "observed_generation": recording.metadata.generation,
            "playlist_url": newest.url if newest else None,
            "playlists": playlists,
        }
    )


def _display(conditions: Conditions) -> str:
    ready, storage = conditions.get(ConditionType.READY), conditions.get(ConditionType.STORAGE_READY)
    words = [ready.reason if ready else Reason.PENDING]
    # What is over has nothing more to put: its reason says what became of it.
    over = conditions.get(ConditionType.FINISHED)
    if storage is not None and storage.status is _FALSE and (over is None or over.status is not _TRUE):
        words.append(storage.reason)
    return ",".join(words)


def _playlists(recording: CloudRecording, status: CloudRecordingStatus) -> tuple[Playlist, ...]:
    """The playlists in the bucket, of parts that are listed no longer, too."""
    known = {one.part: one for one in status.playlists}
    for part in status.parts:
        if part.playlist is not None and totals.in_bucket(part):
            storage = at_place(recording.spec.storage, part.storage.place if part.storage else None)
            url = playlist_url.url(storage, part.playlist)
            known[part.number] = Playlist(part=part.number, name=part.playlist, url=url)
    return tuple(known[number] for number in sorted(known))[-MOST_PLAYLISTS:]


def _gone(participant: Participant) -> Participant:
    """Nobody is in a channel that nobody looks at any more, and nothing arrives from there."""
    joined = participant.state is ParticipantState.JOINED
    state = ParticipantState.LEFT if joined else participant.state
    return participant.model_copy(update={"state": state, "audio": False, "video": False})


def _doubt(status: CloudRecordingStatus, *, now: datetime, listening_since: datetime | None) -> ReadyReason | None:
    part = parts.current(status)
    if part is None:
        return None
    silent = heartbeat.silence_message(part, now=now, listening_since=listening_since)
    return ReadyReason(reason=Reason.NOT_HEARD, message=silent) if silent else None


def _ready_reason(  # noqa: C901, PLR0911 - one way out for each state of a part
    recording: CloudRecording, status: CloudRecordingStatus, *, now: datetime
) -> ReadyReason:
    part = parts.current(status)
    if recording.metadata.deletion_timestamp is not None:
        return ReadyReason(reason=Reason.DELETING, message=_awaited(status))
    if part is None:
        return ReadyReason(reason=Reason.PENDING)
    desired = desired_state(recording, status, now=now)
    stopping = desired is DesiredRecordingState.STOPPED
    why = stop_cause(recording, status, now=now).message if stopping else ""
    match part.state:
        case PartState.PLANNED | PartState.PENDING | PartState.STARTING:
            if part.reason is Reason.STREAMS_REFUSED and not stopping:
                return ReadyReason(reason=part.reason, message=_refused(recording, part))
            # Who waits for nothing any more, and was heard, is about to join.
            first = Reason.CONNECTING if part.state is PartState.STARTING else Reason.PENDING
            usual = Reason.RESTARTING if part.number else first
            return ReadyReason(reason=part.reason or usual, message=part.message or "")
        case PartState.CONNECTING:
            return ReadyReason(reason=Reason.STOPPING, message=why) if stopping else _connecting(status, part)
        case PartState.RECORDING:
            return ReadyReason(reason=Reason.STOPPING, message=why) if stopping else _recording(part, now=now)
        case PartState.PAUSED if stopping:
            return ReadyReason(reason=Reason.STOPPING, message=why)
        case PartState.PAUSED:
            return _paused(part, asked=desired is DesiredRecordingState.PAUSED)
        case PartState.STOPPING:
            limit = recording.spec.max_duration_seconds
            by_itself = max_duration_message(limit) if limit is not None and part.reason is None else ""
            return ReadyReason(reason=Reason.STOPPING, message=part.message or why or by_itself)
        case PartState.CONCLUDED | PartState.LOST if stopping and all(one.state in parts.OVER for one in status.parts):
            # The next pass says what became of it; until then there is nothing new to say.
            known = get(status, ConditionType.READY)
            return (
                ReadyReason(reason=known.reason, message=known.message)
                if known
                else ReadyReason(reason=Reason.STOPPING)
            )
        case PartState.UPLOADING | PartState.CONCLUDED | PartState.LOST:
            return _between_parts(status, part, stopping=stopping)
        case _:
            message = f"part {part.number} is '{part.state}', which this release of the operator does not know"
            return ReadyReason(reason=Reason.RECORDER_NOT_READY, message=message)


def _refused(recording: CloudRecording, part: Part) -> str:
    """Why nobody can be recorded, and where the URLs are from."""
    secrets = [
        f"key '{stream.url_secret_ref.key}' of Secret '{stream.url_secret_ref.name}' holds the URL of "
        f"{participant(stream.uid, stream.name)}"
        for stream in recording.spec.channel.streams
        if stream.url_secret_ref is not None
    ]
    return "; ".join(filter(None, (part.message, *secrets)))


def _connecting(status: CloudRecordingStatus, part: Part) -> ReadyReason:
    if part.start_time is not None:
        return ReadyReason(reason=Reason.RECONNECTING, message=_why_reconnecting(status))
    # The engine lists its participants once it is in the channel; then it waits for them, and not for the channel.
    if status.participants and not any(one.state is ParticipantState.JOINED for one in status.participants):
        return ReadyReason(reason=Reason.WAITING_FOR_USERS, message=_whom(status))
    return ReadyReason(reason=Reason.CONNECTING)


def _why_reconnecting(status: CloudRecordingStatus) -> str:
    error = status.last_error
    died = error is not None and error.reason is Reason.RECORDER_EXIT and error.resolved_time is None
    return error.message if error is not None and died else _whom(status)


def _whom(status: CloudRecordingStatus) -> str:
    troubles = [f"{participant(one.uid, one.name)}: {one.message}" for one in status.participants if one.message]
    return "; ".join(troubles)


def _recording(part: Part, *, now: datetime) -> ReadyReason:
    if heartbeat.is_unready(part, now=now):
        if part.reason is Reason.POD_ENDED:
            return ReadyReason(reason=Reason.STOPPING, message=f"pod '{part.pod}': {part.message or ''}")
        node = f" on node '{part.node}'" if part.node else ""
        return ReadyReason(reason=Reason.RECORDER_NOT_READY, message=f"pod '{part.pod}'{node} is not ready")
    return ReadyReason(reason=Reason.RECORDING)


def _paused(part: Part, *, asked: bool) -> ReadyReason:
    if part.pause is None or part.pause.reason != Reason.WORK_VOLUME_FULL or asked:
        return ReadyReason(reason=Reason.PAUSED)
    waiting = f": {slices_are(part.slices.pending)} still to be uploaded" if part.slices.pending else ""
    message = f"the work volume of pod '{part.pod}' is nearly full, so nothing is recorded{waiting}"
    return ReadyReason(reason=Reason.WORK_VOLUME_FULL, message=message)


def _between_parts(status: CloudRecordingStatus, part: Part, *, stopping: bool) -> ReadyReason:
    if stopping or (part.error_code is None and part.reason is None and part.state is PartState.UPLOADING):
        return ReadyReason(reason=Reason.UPLOADING, message=_missing(status.slices))
    if part.reason in {Reason.NO_USERS, Reason.CHANNEL_IDLE}:
        reason = Reason.UPLOADING if part.slices.pending else Reason.STOPPING
        return ReadyReason(reason=reason, message=part.message or "")
    return ReadyReason(reason=Reason.RESTARTING, message=parts.why_over(part))


def _set_progressing(
    conditions: Conditions, recording: CloudRecording, status: CloudRecordingStatus, ready_reason: ReadyReason
) -> None:
    if ready_reason.reason in _BLOCKED:
        conditions.remove(ConditionType.RECONCILING)
        conditions.set(ConditionType.STALLED, _TRUE, ready_reason.reason, ready_reason.message)
        return
    conditions.remove(ConditionType.STALLED)
    generation = recording.metadata.generation
    if ready_reason.reason not in _AS_ASKED:
        conditions.set(ConditionType.RECONCILING, _TRUE, ready_reason.reason, ready_reason.message)
    elif (status.acknowledged_generation or 0) < generation:
        message = f"the recorder has not yet taken over generation {generation} of the spec"
        conditions.set(ConditionType.RECONCILING, _TRUE, ready_reason.reason, message)
    else:
        conditions.remove(ConditionType.RECONCILING)


def _set_recording(conditions: Conditions, status: CloudRecordingStatus, ready_reason: ReadyReason) -> None:
    part = parts.current(status)
    records = part is not None and part.state is PartState.RECORDING
    if not records or part is None:
        conditions.set(ConditionType.RECORDING, _FALSE, ready_reason.reason, "")
    elif ready_reason.reason is Reason.NOT_HEARD:
        conditions.set(ConditionType.RECORDING, _UNKNOWN, Reason.NOT_HEARD, ready_reason.message)
    elif not heartbeat.is_unready(part, now=conditions.now):
        conditions.set(ConditionType.RECORDING, _TRUE, Reason.RECORDING, "")
    else:
        message = f"pod '{part.pod}' is not ready, so its last word cannot be relied on"
        conditions.set(ConditionType.RECORDING, _UNKNOWN, Reason.RECORDER_NOT_READY, message)


def _set_storage(conditions: Conditions, status: CloudRecordingStatus) -> None:
    health = storage_health.of(status)
    if health is None:
        return
    good = bool(health.ready)
    reason = Reason.WRITABLE if good else health.reason or Reason.STORAGE_FAILED
    message = storage_health.sentence(status, health)
    conditions.set(ConditionType.STORAGE_READY, _TRUE if good else _FALSE, reason, message, since=health.time)


def _set_uploaded_at_last(conditions: Conditions, status: CloudRecordingStatus, completion: Completion) -> None:
    amounts = status.slices or Amounts()
    clean = all(part.state is PartState.CONCLUDED and part.outcome is not Outcome.INCOMPLETE for part in status.parts)
    told_uploaded = any(part.outcome is Outcome.UPLOADED for part in status.parts)
    backed_up = amounts.backed_up or any(part.outcome is Outcome.BACKED_UP for part in status.parts)
    everything = amounts.uploaded == amounts.written and not amounts.pending and not backed_up
    if clean and everything and (amounts.written or told_uploaded):
        conditions.set(ConditionType.UPLOADED, _TRUE, Reason.UPLOADED, "")
    elif backed_up:
        conditions.set(ConditionType.UPLOADED, _FALSE, Reason.BACKED_UP, f"{slices_are(amounts.backed_up)} elsewhere")
    else:
        conditions.set(ConditionType.UPLOADED, _FALSE, completion.reason, _missing(status.slices))


def _set_backed_up(conditions: Conditions, status: CloudRecordingStatus, reason: Reason) -> None:
    amounts = status.slices or Amounts()
    if amounts.backed_up or any(part.outcome is Outcome.BACKED_UP for part in status.parts):
        message = f"{slices_are(amounts.backed_up)} in the backup store"
        conditions.set(ConditionType.BACKED_UP, _TRUE, Reason.BACKED_UP, message)
    else:
        conditions.set(ConditionType.BACKED_UP, _FALSE, reason, "")


def _awaited(status: CloudRecordingStatus) -> str:
    """What a deleted recording waits for."""
    gone = "; ".join(dict.fromkeys(part.missing_secrets for part in status.parts if part.missing_secrets))
    way_out = f'bring it back, or set the annotation `{DISCARD_ANNOTATION}: "true"`' if gone else ""
    return "; ".join(filter(None, (_missing(status.slices), gone, way_out)))


def _missing(slices: Amounts | None) -> str:
    return f"{slices_are(slices.pending)} still to be uploaded" if slices and slices.pending else ""
