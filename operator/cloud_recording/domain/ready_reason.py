# SPDX-License-Identifier: Apache-2.0
"""The reason and message of Ready, and so the first word of the STATUS column, of a recording that is not over, and the
condition Recording beside it: `summarize` writes both into the status.

They follow from the state of the newest part, as it was reported last, and from whether that still holds: how old a
report may be, and what the pod's probes say meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Final

from cloud_recording.api.channel import Channel
from cloud_recording.api.phrases import participant, slices_are
from cloud_recording.api.reasons import ConditionType, Reason, reason_facts
from cloud_recording.api.recording import DISCARD_ANNOTATION, CloudRecording, DesiredRecordingState
from cloud_recording.api.status import (
    Amounts,
    CloudRecordingStatus,
    ConditionStatus,
    Part,
    Participant,
    ParticipantState,
    PartState,
)
from cloud_recording.domain import parts, rescue
from cloud_recording.domain.conditions import ReadyReason, get
from cloud_recording.domain.desired_state import desired_state, max_duration_message, stop_cause
from cloud_recording.domain.restart_policy import EndRecording, follow_up

FIRST_PROBE: Final = timedelta(seconds=15)
"""A container that began so recently may record before its pod is seen to be ready: its own report is newer."""

FIRST_REPORT_TIMEOUT: Final = timedelta(seconds=60)
"""A runner reports as soon as it has loaded its engine."""

REPORT_TIMEOUT: Final = timedelta(seconds=90)
"""A recorder at work reports every 30 seconds, whatever happens."""


def find_ready_reason(
    recording: CloudRecording, status: CloudRecordingStatus, *, now: datetime, listening_since: datetime | None
) -> ReadyReason:
    """Where the recording is, by the state of its newest part and by whether that part is heard of."""
    found = _of_newest_part(recording, status, now=now)
    if found.reason is Reason.DELETING:
        return found
    return _not_heard(status, now=now, listening_since=listening_since) or found


def recording_condition(
    status: CloudRecordingStatus, ready_reason: ReadyReason, *, now: datetime
) -> tuple[ConditionStatus, Reason, str]:
    """What the condition Recording says beside this reason of Ready: True only where nothing makes it doubtful."""
    part = parts.newest(status)
    if part is None or part.state is not PartState.RECORDING:
        return ConditionStatus.FALSE, ready_reason.reason, ""
    if ready_reason.reason is Reason.NOT_HEARD:
        return ConditionStatus.UNKNOWN, Reason.NOT_HEARD, ready_reason.message
    if not _is_unready(part, now=now):
        return ConditionStatus.TRUE, Reason.RECORDING, ""
    message = f"pod '{part.pod}' is not ready, so its last word cannot be relied on"
    return ConditionStatus.UNKNOWN, Reason.RECORDER_NOT_READY, message


def _not_heard(status: CloudRecordingStatus, *, now: datetime, listening_since: datetime | None) -> ReadyReason | None:
    part = parts.newest(status)
    if part is None:
        return None
    silent = _silence_message(part, now=now, listening_since=listening_since)
    return ReadyReason(reason=Reason.NOT_HEARD, message=silent) if silent else None


def _of_newest_part(  # noqa: C901, PLR0911, PLR0912 - one way out for each state of a part
    recording: CloudRecording, status: CloudRecordingStatus, *, now: datetime
) -> ReadyReason:
    part = parts.newest(status)
    if recording.metadata.deletion_timestamp is not None:
        return ReadyReason(reason=Reason.DELETING, message=_awaited_by_deletion(status))
    if part is None:
        return ReadyReason(reason=Reason.PENDING)
    if parts.is_merging(status):
        return ReadyReason(reason=Reason.MERGING, message=parts.merging_message(status))
    desired = desired_state(recording, status, now=now)
    stopping = desired is DesiredRecordingState.STOPPED
    why = stop_cause(recording, status, now=now).message if stopping else ""
    match part.state:
        case PartState.PLANNED | PartState.PENDING | PartState.STARTING:
            if part.reason is not None and parts.is_refused(part) and not stopping:
                return ReadyReason(reason=part.reason, message=_refused_message(recording, part))
            # Who waits for nothing any more, and was heard, is about to join.
            first = Reason.CONNECTING if part.state is PartState.STARTING else Reason.PENDING
            usual = Reason.RESTARTING if part.number else first
            return ReadyReason(reason=part.reason or usual, message=part.message or "")
        case PartState.CONNECTING | PartState.RECORDING | PartState.PAUSED if stopping:
            return ReadyReason(reason=Reason.STOPPING, message=why)
        case PartState.CONNECTING | PartState.RECORDING | PartState.PAUSED if part.reason is Reason.POD_ENDED:
            return ReadyReason(reason=Reason.STOPPING, message=f"pod '{part.pod}': {part.message or ''}")
        case PartState.CONNECTING:
            return _connecting(status, part)
        case PartState.RECORDING:
            return _recording(status, part, now=now)
        case PartState.PAUSED:
            return _paused(part, asked=desired is DesiredRecordingState.PAUSED)
        case PartState.STOPPING:
            limit = recording.spec.max_duration_seconds
            by_itself = max_duration_message(limit) if limit is not None and part.reason is None else ""
            return ReadyReason(reason=Reason.STOPPING, message=part.message or why or by_itself)
        case PartState.CONCLUDED | PartState.LOST if stopping and all(one.state in parts.OVER for one in status.parts):
            return _unchanged(status)
        case (
            PartState.UPLOADING | PartState.AWAITING_RESCUE | PartState.RESCUING | PartState.CONCLUDED | PartState.LOST
        ):
            ending = stopping or isinstance(follow_up(recording, status, part, now=now), EndRecording)
            return _between_parts(status, part, ending=ending, now=now)
        case _:
            message = f"part {part.number} is '{part.state}', which this release of the operator does not know"
            return ReadyReason(reason=Reason.RECORDER_NOT_READY, message=message)


def _unchanged(status: CloudRecordingStatus) -> ReadyReason:
    """As it was: the next pass says what became of the recording, and until then there is nothing new to say."""
    known = get(status, ConditionType.READY)
    if known is None:
        return ReadyReason(reason=Reason.STOPPING)
    return ReadyReason(reason=known.reason, message=known.message)


def _refused_message(recording: CloudRecording, part: Part) -> str:
    """Why nobody can be recorded, and where the URLs, or what lets the recorder into a room, are from."""
    channel = recording.spec.channel
    secrets = [
        f"key '{stream.url_secret_ref.key}' of Secret '{stream.url_secret_ref.name}' holds the URL of "
        f"{participant(stream.uid, stream.name)}"
        for stream in channel.listed_streams
        if stream.url_secret_ref is not None
    ]
    return "; ".join(filter(None, (part.message, *_room_secrets(channel), *secrets)))


def _room_secrets(channel: Channel) -> Iterator[str]:
    if channel.livekit is None:
        return
    server, token = channel.livekit.api_key_secret_ref, channel.token_secret_ref
    if server is not None:
        keys = f"keys '{server.api_key_key}' and '{server.api_secret_key}' of Secret '{server.name}'"
        yield f"{keys} hold the API key and its secret"
    if token is not None:
        yield f"key '{token.key}' of Secret '{token.name}' holds the token"


def _connecting(status: CloudRecordingStatus, part: Part) -> ReadyReason:
    if part.start_time is not None:
        return ReadyReason(reason=Reason.RECONNECTING, message=_why_reconnecting(status))
    if part.in_channel is False:
        return ReadyReason(reason=Reason.CONNECTING, message=_why_outside(status))
    # Streams' participants are listed once the engine is at work; then it waits for them, and not for the channel.
    listed = part.in_channel or bool(status.participants)
    if listed and not any(one.state is ParticipantState.JOINED for one in status.participants):
        return ReadyReason(reason=Reason.WAITING_FOR_USERS, message=_participant_messages(status))
    return ReadyReason(reason=Reason.CONNECTING)


def _why_reconnecting(status: CloudRecordingStatus) -> str:
    return _standing_error(status, Reason.RECORDER_EXIT) or _participant_messages(status) or _why_outside(status)


def _why_outside(status: CloudRecordingStatus) -> str:
    return _standing_error(status, Reason.CONNECT_ERROR)


def _standing_error(status: CloudRecordingStatus, reason: Reason) -> str:
    error = status.last_error
    stands = error is not None and error.reason is reason and error.resolved_time is None
    return error.message if error is not None and stands else ""


def _participant_messages(status: CloudRecordingStatus) -> str:
    return _messages_of(status.participants)


def _messages_of(participants: Iterable[Participant]) -> str:
    return "; ".join(
        f"{participant(one.uid, one.name or one.identity)}: {one.message}" for one in participants if one.message
    )


def _recording(status: CloudRecordingStatus, part: Part, *, now: datetime) -> ReadyReason:
    if _is_unready(part, now=now):
        node = f" on node '{part.node}'" if part.node else ""
        return ReadyReason(reason=Reason.RECORDER_NOT_READY, message=f"pod '{part.pod}'{node} is not ready")
    return _nobody_decrypted(status) or ReadyReason(reason=Reason.RECORDING)


def _nobody_decrypted(status: CloudRecordingStatus) -> ReadyReason | None:
    """Nothing of anybody is recorded, as those who send anything encrypt it with what the recorder does not have."""
    joined = [one for one in status.participants if one.state is ParticipantState.JOINED]
    encrypted = [one for one in joined if one.reason is Reason.DECRYPTION_FAILED]
    if not encrypted or any(one.audio or one.video for one in joined):
        return None
    return ReadyReason(reason=Reason.DECRYPTION_FAILED, message=_messages_of(encrypted))


def _paused(part: Part, *, asked: bool) -> ReadyReason:
    if part.pause is None or part.pause.reason != Reason.WORK_VOLUME_FULL or asked:
        return ReadyReason(reason=Reason.PAUSED)
    if part.slices.pending:
        waiting = f"{slices_are(part.slices.pending)} still to be uploaded"
        message = f"the work volume of pod '{part.pod}' is nearly full, so nothing is recorded: {waiting}"
    else:
        # What takes the room is not the recording's.
        node = f" of node '{part.node}'" if part.node else ""
        message = f"the disk{node} under the work volume of pod '{part.pod}' is nearly full, so nothing is recorded"
    return ReadyReason(reason=Reason.WORK_VOLUME_FULL, message=message)


def _between_parts(status: CloudRecordingStatus, part: Part, *, ending: bool, now: datetime) -> ReadyReason:
    """What is said of a part that captures no more: what it waits for where the recording is `ending`."""
    overdue = rescue.overdue_at(status)
    if ending and overdue is not None and not (status.slices and status.slices.pending):
        reason = Reason.BACKED_UP if now < overdue else Reason.BACKUP_OVERDUE
        return ReadyReason(reason=reason, message=pending_message(status))
    if ending and any(one.state in parts.RESCUED for one in status.parts):
        return ReadyReason(reason=Reason.RESCUING, message=pending_message(status))
    if part.reason is not None and reason_facts(part.reason).nobody_there:
        reason = Reason.UPLOADING if part.slices.pending else Reason.STOPPING
        return ReadyReason(reason=reason, message=part.message or "")
    if ending or (part.error_code is None and part.reason is None and part.state is PartState.UPLOADING):
        return ReadyReason(reason=Reason.UPLOADING, message=pending_message(status))
    return ReadyReason(reason=Reason.RESTARTING, message=parts.why_over(part))


def _awaited_by_deletion(status: CloudRecordingStatus) -> str:
    """What a deleted recording waits for."""
    gone = "; ".join(dict.fromkeys(part.missing_secrets for part in status.parts if part.missing_secrets))
    way_out = f'bring it back, or set the annotation `{DISCARD_ANNOTATION}: "true"`' if gone else ""
    return "; ".join(filter(None, (pending_message(status), parts.merging_message(status), gone, way_out)))


def pending_message(status: CloudRecordingStatus) -> str:
    """How much is still to be uploaded, how much the backup store has instead, and what a rescue waits for."""
    slices = status.slices
    pending = f"{slices_are(slices.pending)} still to be uploaded" if slices and slices.pending else ""
    return "; ".join(filter(None, (pending, backed_up_message(slices), rescue.message(status))))


def backed_up_message(slices: Amounts | None) -> str:
    """How much the backup store has that `storage` has not; nothing where that is no slice."""
    return (
        f"{slices_are(slices.backed_up)} in the backup store and not in `storage`"
        if slices and slices.backed_up
        else ""
    )


def _is_unready(part: Part, *, now: datetime) -> bool:
    """Whether the pod of a part that said it records is not ready, other than because it has just begun."""
    deadline = _first_probe_deadline(part)
    return not part.pod_ready and (deadline is None or now >= deadline)


def _silence_message(part: Part, *, now: datetime, listening_since: datetime | None) -> str:
    """What there is to say of a part that is silent for too long; nothing while it is not."""
    deadline = _report_deadline(part, listening_since)
    if deadline is None or now < deadline:
        return ""
    if part.state is PartState.PENDING and part.running_time is not None:
        return f"pod '{part.pod}' runs since {_clock(part.running_time)} and was never heard of"
    heard = _clock(part.heard_time) if part.heard_time else "never"
    return f"pod '{part.pod}' was last heard of at {heard}"


def report_deadlines(status: CloudRecordingStatus, *, listening_since: datetime | None) -> Iterator[datetime]:
    """The moments at which the newest part's word becomes too old, if nothing changes."""
    part = parts.newest(status)
    if part is None or not parts.captures(part):
        return
    for moment in (
        _first_probe_deadline(part) if not part.pod_ready else None,
        _report_deadline(part, listening_since),
    ):
        if moment is not None:
            yield moment


def _first_probe_deadline(part: Part) -> datetime | None:
    began = part.running_time or part.start_time
    return began + FIRST_PROBE if part.ready_time is None and began is not None else None


def _report_deadline(part: Part, listening_since: datetime | None) -> datetime | None:
    """Nobody could hear it while no operator listened."""
    if part.state is PartState.PENDING and part.running_time is not None:
        return max(filter(None, (part.running_time, listening_since))) + FIRST_REPORT_TIMEOUT
    # An engine of the published interface alone tells nothing while nothing changes.
    if part.state in parts.CAPTURING and part.engine_extended and part.heard_time is not None:
        return max(filter(None, (part.heard_time, listening_since))) + REPORT_TIMEOUT
    return None


def _clock(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
