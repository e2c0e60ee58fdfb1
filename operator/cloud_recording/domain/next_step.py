# SPDX-License-Identifier: Apache-2.0
"""Which step comes next: a part begins, the newest goes on, something is waited for, or the recording is complete."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cloud_recording.api.reasons import Reason, reason_facts
from cloud_recording.api.status import CloudRecordingStatus, Part, PartState
from cloud_recording.domain import parts
from cloud_recording.domain.admission import denial
from cloud_recording.domain.completion import Completion, completion
from cloud_recording.domain.desired_state import stop_cause
from cloud_recording.domain.observed_state import ObservedState
from cloud_recording.domain.ready_reason import ReadyReason
from cloud_recording.domain.restart_policy import AwaitSummary, EndRecording, NextPart, follow_up


@dataclass(frozen=True, kw_only=True)
class Complete:
    """Every part is over, and so is the recording."""

    status: CloudRecordingStatus
    completion: Completion


@dataclass(frozen=True, kw_only=True)
class Proceed:
    """The recording goes on, or is on its way to its end."""

    status: CloudRecordingStatus
    blocked_by: ReadyReason | None = None
    """What keeps the next part from being begun."""
    next_part_at: datetime | None = None


def choose_step(  # noqa: PLR0911 - one way out for each thing that may come next
    state: ObservedState,
) -> Complete | Proceed:
    """The step that follows from what was observed."""
    part = parts.newest(state.status)
    if part is None:
        return _end(state, _nothing_recorded()) if state.stopping else _begin_part(state)
    if parts.captures(part):
        return _while_capturing(state, part)
    if state.stopping:
        return _end(state, _end_of_stopped(state, part))
    match follow_up(state.recording, state.status, part, now=state.now):
        case EndRecording() as end:
            return _end(state, end)
        case NextPart(at=at) if state.now < at:
            return Proceed(status=state.status, next_part_at=at)
        case NextPart():
            return _begin_part(state)
        case AwaitSummary():
            return Proceed(status=state.status)


def _while_capturing(state: ObservedState, part: Part) -> Complete | Proceed:
    if state.stopping and part.state is PartState.PLANNED and state.pod_of(part) is None:
        return _end(state.with_status(parts.withdrawn(state.status, part, now=state.now)), _nothing_recorded())
    return Proceed(status=state.status)


def _begin_part(state: ObservedState) -> Proceed:
    forbidden = denial(state.recording.spec, state.settings)
    if forbidden is not None:
        return Proceed(status=state.status, blocked_by=ReadyReason(reason=Reason.NOT_ALLOWED, message=forbidden))
    if parts.at_work(state.status) >= parts.MOST_AT_WORK:
        message = f"{parts.MOST_AT_WORK} parts still upload; the next one begins when one of them has ended"
        return Proceed(status=state.status, blocked_by=ReadyReason(reason=Reason.UPLOADING, message=message))
    return Proceed(status=parts.begun(state.recording, state.status, now=state.now))


def _end(state: ObservedState, end: EndRecording) -> Complete | Proceed:
    """The end, once nothing uploads any more."""
    if parts.unfinished(state.status):
        return Proceed(status=state.status)
    return Complete(status=state.status, completion=completion(state.status, end))


def _nothing_recorded() -> EndRecording:
    return EndRecording(Reason.NOTHING_RECORDED, "", succeeded=True)


def _end_of_stopped(state: ObservedState, part: Part) -> EndRecording:
    """Why a recording ended that is to stop: what its last part said counts, a stop that crossed it does not."""
    follows = follow_up(state.recording, state.status, part, now=state.now)
    if isinstance(follows, EndRecording) and reason_facts(follows.reason).nobody_there:
        return follows
    stop = stop_cause(state.recording, state.status, now=state.now)
    return EndRecording(stop.reason, stop.message, succeeded=True)
