# SPDX-License-Identifier: Apache-2.0
"""The conditions, as a pure function of the spec and the facts in the status; the one place where they are set."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cloud_recording.api.reasons import ConditionType, Reason
from cloud_recording.api.recording import CloudRecording, DesiredRecordingState
from cloud_recording.api.status import (
    Amounts,
    CloudRecordingStatus,
    ConditionStatus,
    Outcome,
    Part,
    ParticipantState,
    PartState,
)
from cloud_recording.domain import location, parts, totals
from cloud_recording.domain.conditions import Conditions, is_true
from cloud_recording.domain.verdict import Verdict
from cloud_recording.domain.wanted import wanted

_TRUE, _FALSE, _UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN
_AS_ASKED: Final = frozenset({Reason.RECORDING, Reason.PAUSED})
_BLOCKED: Final = frozenset({Reason.NOT_ALLOWED, Reason.INVALID_SPEC})


@dataclass(frozen=True, kw_only=True)
class Headline:
    """Where the recording is: the reason and message of Ready, and so of the STATUS column."""

    reason: Reason
    message: str = ""


def finished(status: CloudRecordingStatus) -> bool:
    """Whether the recording is over for good."""
    return is_true(status, ConditionType.FINISHED)


def summarized(
    recording: CloudRecording, status: CloudRecordingStatus, *, now: datetime, obstacle: Headline | None = None
) -> CloudRecordingStatus:
    """The status with totals and conditions renewed from its facts.

    `obstacle` is what keeps the next part from being made, as far as the status does not know it by itself.
    """
    status = totals.with_totals(status)
    if finished(status):
        return status
    headline = obstacle or _headline(recording, status, now=now)
    conditions = Conditions(status.conditions, generation=recording.metadata.generation, now=now)
    ready = headline.reason in _AS_ASKED
    conditions.set(ConditionType.READY, _TRUE if ready else _FALSE, headline.reason, headline.message)
    _set_progressing(conditions, recording, status, headline)
    _set_recording(conditions, status, headline)
    conditions.set(ConditionType.UPLOADED, _FALSE, headline.reason, "")
    _set_backed_up(conditions, status, headline.reason)
    conditions.set(ConditionType.SUCCEEDED, _UNKNOWN, headline.reason, "")
    conditions.set(ConditionType.FINISHED, _FALSE, headline.reason, "")
    return _with(recording, status, conditions)


def concluded(
    recording: CloudRecording, status: CloudRecordingStatus, verdict: Verdict, *, now: datetime
) -> CloudRecordingStatus:
    """The status of a recording that is over, with this verdict. Nothing changes it afterwards."""
    status = totals.with_totals(status)
    ends = [part.end_time for part in status.parts if part.end_time is not None]
    status = status.model_copy(
        update={
            "completion_time": max(ends, default=now.replace(microsecond=0)),
            "participant_count": None if status.participant_count is None else 0,
        }
    )
    conditions = Conditions(status.conditions, generation=recording.metadata.generation, now=now)
    good = _TRUE if verdict.succeeded else _FALSE
    conditions.set(ConditionType.READY, good, verdict.reason, verdict.message)
    conditions.remove(ConditionType.RECONCILING)
    if not verdict.succeeded:
        conditions.set(ConditionType.STALLED, _TRUE, verdict.reason, verdict.message)
    else:
        conditions.remove(ConditionType.STALLED)
    conditions.set(ConditionType.RECORDING, _FALSE, verdict.reason, "")
    _set_uploaded_at_last(conditions, status, verdict)
    _set_backed_up(conditions, status, verdict.reason)
    conditions.set(ConditionType.SUCCEEDED, good, verdict.reason, verdict.message)
    conditions.set(ConditionType.FINISHED, _TRUE, verdict.reason, "")
    return _with(recording, status, conditions)


def _with(recording: CloudRecording, status: CloudRecordingStatus, conditions: Conditions) -> CloudRecordingStatus:
    return status.model_copy(
        update={
            "conditions": conditions.as_tuple(),
            "observed_generation": recording.metadata.generation,
            "playlist_url": _playlist_url(recording, status),
        }
    )


def _playlist_url(recording: CloudRecording, status: CloudRecordingStatus) -> str | None:
    """Where the playlist is; nothing before there is anything of the recording in the bucket."""
    if status.playlist is None or status.slices is None or not status.slices.uploaded:
        return None
    return location.url(recording.spec.storage, status.playlist)


def _headline(  # noqa: PLR0911 - one way out for each state of a part
    recording: CloudRecording, status: CloudRecordingStatus, *, now: datetime
) -> Headline:
    part = parts.current(status)
    if recording.metadata.deletion_timestamp is not None:
        return Headline(reason=Reason.DELETING, message=_missing(status.slices))
    if part is None:
        return Headline(reason=Reason.PENDING)
    stopping = wanted(recording, status, now=now) is DesiredRecordingState.STOPPED
    match part.state:
        case PartState.PLANNED | PartState.PENDING | PartState.STARTING:
            usual = Reason.RESTARTING if part.number else Reason.PENDING
            return Headline(reason=part.reason or usual, message=part.message or "")
        case PartState.CONNECTING:
            return Headline(reason=Reason.STOPPING) if stopping else _connecting(status, part)
        case PartState.RECORDING:
            return _recording(part, stopping=stopping)
        case PartState.PAUSED:
            return Headline(reason=Reason.STOPPING if stopping else Reason.PAUSED)
        case PartState.STOPPING:
            return Headline(reason=Reason.STOPPING, message=part.message or "")
        case PartState.UPLOADING | PartState.CONCLUDED | PartState.LOST:
            return _between_parts(status, part, stopping=stopping)
        case _:
            message = f"part {part.number} is '{part.state}', which this release of the operator does not know"
            return Headline(reason=Reason.RECORDER_NOT_READY, message=message)


def _connecting(status: CloudRecordingStatus, part: Part) -> Headline:
    if part.start_time is not None:
        return Headline(reason=Reason.RECONNECTING)
    # The engine lists its participants once it is in the channel; then it waits for them, and not for the channel.
    if status.participants and not any(one.state is ParticipantState.JOINED for one in status.participants):
        return Headline(reason=Reason.WAITING_FOR_USERS, message=_whom(status))
    return Headline(reason=Reason.CONNECTING)


def _whom(status: CloudRecordingStatus) -> str:
    troubles = [f"{one.uid}: {one.message}" for one in status.participants if one.message]
    return "; ".join(troubles)


def _recording(part: Part, *, stopping: bool) -> Headline:
    if stopping:
        return Headline(reason=Reason.STOPPING)
    if not part.pod_ready:
        node = f" on node '{part.node}'" if part.node else ""
        return Headline(reason=Reason.RECORDER_NOT_READY, message=f"pod '{part.pod}'{node} is not ready")
    return Headline(reason=Reason.RECORDING)


def _between_parts(status: CloudRecordingStatus, part: Part, *, stopping: bool) -> Headline:
    if stopping or (part.error_code is None and part.reason is None and part.state is PartState.UPLOADING):
        return Headline(reason=Reason.UPLOADING, message=_missing(status.slices))
    if part.reason is Reason.NO_USERS:
        return Headline(reason=Reason.UPLOADING, message=part.message or "")
    cause = f"part {part.number} ended" + (f" with {part.reason}" if part.reason else "")
    return Headline(reason=Reason.RESTARTING, message=f"{cause}: {part.message}" if part.message else cause)


def _set_progressing(
    conditions: Conditions, recording: CloudRecording, status: CloudRecordingStatus, headline: Headline
) -> None:
    if headline.reason in _BLOCKED:
        conditions.remove(ConditionType.RECONCILING)
        conditions.set(ConditionType.STALLED, _TRUE, headline.reason, headline.message)
        return
    conditions.remove(ConditionType.STALLED)
    generation = recording.metadata.generation
    if headline.reason not in _AS_ASKED:
        conditions.set(ConditionType.RECONCILING, _TRUE, headline.reason, headline.message)
    elif (status.acknowledged_generation or 0) < generation:
        message = f"the recorder has not yet taken over generation {generation} of the spec"
        conditions.set(ConditionType.RECONCILING, _TRUE, headline.reason, message)
    else:
        conditions.remove(ConditionType.RECONCILING)


def _set_recording(conditions: Conditions, status: CloudRecordingStatus, headline: Headline) -> None:
    part = parts.current(status)
    records = part is not None and part.state is PartState.RECORDING
    if not records or part is None:
        conditions.set(ConditionType.RECORDING, _FALSE, headline.reason, "")
    elif part.pod_ready:
        conditions.set(ConditionType.RECORDING, _TRUE, Reason.RECORDING, "")
    else:
        message = f"pod '{part.pod}' is not ready, so its last word cannot be relied on"
        conditions.set(ConditionType.RECORDING, _UNKNOWN, Reason.RECORDER_NOT_READY, message)


def _set_uploaded_at_last(conditions: Conditions, status: CloudRecordingStatus, verdict: Verdict) -> None:
    amounts = status.slices or Amounts()
    clean = all(part.state is PartState.CONCLUDED and part.outcome is not Outcome.INCOMPLETE for part in status.parts)
    told = any(part.outcome is Outcome.UPLOADED for part in status.parts)
    backed_up = amounts.backed_up or any(part.outcome is Outcome.BACKED_UP for part in status.parts)
    everything = amounts.uploaded == amounts.written and not amounts.pending and not backed_up
    if clean and everything and (amounts.written or told):
        conditions.set(ConditionType.UPLOADED, _TRUE, Reason.UPLOADED, "")
    elif backed_up:
        conditions.set(ConditionType.UPLOADED, _FALSE, Reason.BACKED_UP, f"{amounts.backed_up} slices are elsewhere")
    else:
        conditions.set(ConditionType.UPLOADED, _FALSE, verdict.reason, _missing(status.slices))


def _set_backed_up(conditions: Conditions, status: CloudRecordingStatus, reason: Reason) -> None:
    amounts = status.slices or Amounts()
    if amounts.backed_up or any(part.outcome is Outcome.BACKED_UP for part in status.parts):
        message = f"{amounts.backed_up} slices are in the backup store"
        conditions.set(ConditionType.BACKED_UP, _TRUE, Reason.BACKED_UP, message)
    else:
        conditions.set(ConditionType.BACKED_UP, _FALSE, reason, "")


def _missing(slices: Amounts | None) -> str:
    return f"{slices.pending} slices are still to be uploaded" if slices and slices.pending else ""
