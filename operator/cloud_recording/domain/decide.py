# SPDX-License-Identifier: Apache-2.0
"""`decide`: the only function that chooses a recording's next step.

It is total and idempotent: every recording and every set of pods has an answer, and a decision that was carried out
leads to one that asks for nothing more. A finished recording stays as it is, whatever its pods do.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import assert_never

from cloud_recording.api.reasons import Reason, reason_facts
from cloud_recording.api.recording import DURABLE_FINALIZER, CloudRecording
from cloud_recording.api.status import CloudRecordingStatus, Part, PartState
from cloud_recording.domain import parts
from cloud_recording.domain.admission import denied_storage_change, why_not_begun
from cloud_recording.domain.completion import completion
from cloud_recording.domain.conditions import ReadyReason
from cloud_recording.domain.decision import Complete, Decision, DeleteRecording, Proceed
from cloud_recording.domain.deletion import give_up
from cloud_recording.domain.desired_state import stop_cause
from cloud_recording.domain.merging import with_merge
from cloud_recording.domain.observe_pods import observe_pods, record_refusal
from cloud_recording.domain.observed_state import ObservedState, OperatorContext, PodRefusal
from cloud_recording.domain.pod_actions import finished_actions, unfinished_actions
from cloud_recording.domain.pod_view import PodView
from cloud_recording.domain.requeue import requeue_after
from cloud_recording.domain.rescue import with_rescues
from cloud_recording.domain.restart_policy import AwaitSummary, EndRecording, NextPart, follow_up
from cloud_recording.domain.summarize import completed, finished, summarized, with_generation_observed
from cloud_recording.domain.ttl_after_finished import time_to_live


def decide(
    recording: CloudRecording,
    pods: Mapping[str, PodView],
    *,
    now: datetime,
    context: OperatorContext,
    refusal: PodRefusal | None = None,
) -> Decision:
    """What is to become of the recording. `pods` holds every pod of it that is there, by name."""
    state = ObservedState(
        recording=recording, status=recording.status, pods=pods, now=now, context=context, refusal=refusal
    )
    if finished(recording.status):
        return _clean_up(state.with_status(with_generation_observed(recording)))
    state = observe_pods(state)  # what each part's pod shows: it waits, is ready, ended, was deleted, is gone
    state = record_refusal(state)  # that the API server did not take a part's pod
    state = with_rescues(state)  # what a part's pod left is to be delivered by another
    step = give_up(state) or _choose_step(state)  # wait no longer; or begin a part (parts.begun), go on, end
    match step:
        case Complete(status=status, completion=end):
            return _clean_up(state.with_status(completed(recording, status, end, now=now)))
        case Proceed():
            return _proceed(state.with_status(step.status), step)
        case _:
            assert_never(step)


def summary(
    recording: CloudRecording, status: CloudRecordingStatus, *, now: datetime, context: OperatorContext
) -> CloudRecordingStatus:
    """The status with what follows from callbacks alone: a pass that sees the pods as well comes to the same words."""
    state = ObservedState(recording=recording, status=status, pods={}, now=now, context=context)
    if finished(status):
        return summarized(recording, status, now=now)
    step = _choose_step(state)
    return _summarized(state, blocked_by=step.blocked_by if isinstance(step, Proceed) else None)


def _choose_step(  # noqa: PLR0911 - one way out for each thing that may come next
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
    has_pod = part.state is not PartState.PLANNED or state.pod_of(part) is not None
    return Proceed(status=state.status, blocked_by=None if has_pod else why_not_begun(state))


def _begin_part(state: ObservedState) -> Proceed:
    blocked_by = why_not_begun(state)
    if blocked_by is not None:
        return Proceed(status=state.status, blocked_by=blocked_by)
    if len(parts.unfinished(state.status)) >= parts.MOST_UNFINISHED:
        message = f"{parts.MOST_UNFINISHED} parts are still to be delivered; the next one begins when one of them is"
        return Proceed(status=state.status, blocked_by=ReadyReason(reason=Reason.UPLOADING, message=message))
    return Proceed(status=parts.begun(state.recording, state.status, now=state.now))


def _end(state: ObservedState, end: EndRecording) -> Complete | Proceed:
    """The end, once nothing uploads any more, and the parts are one where they can be."""
    if parts.unfinished(state.status):
        return Proceed(status=state.status)
    state = with_merge(state)
    if parts.is_merging(state.status):
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


def _proceed(state: ObservedState, step: Proceed) -> Decision:
    """Summarises what is known in conditions, and acts on the pods of the parts."""
    recording = state.recording
    state = state.with_status(_summarized(state, blocked_by=step.blocked_by))
    deleted = recording.metadata.deletion_timestamp is not None
    return Decision(
        status=state.status,
        add_finalizer=not deleted and DURABLE_FINALIZER not in recording.metadata.finalizers,
        actions=unfinished_actions(state),
        requeue_after=requeue_after(state, next_part_at=step.next_part_at),
    )


def _summarized(state: ObservedState, *, blocked_by: ReadyReason | None) -> CloudRecordingStatus:
    recording, status = state.recording, state.status
    if blocked_by is None and not state.stopping:
        blocked_by = denied_storage_change(recording, status, state.settings)
    listening = state.context.hears_all_since
    return summarized(recording, status, now=state.now, blocked_by=blocked_by, listening_since=listening)


def _clean_up(state: ObservedState) -> Decision:
    """What is left to do for a recording that is over: letting go of pods and, in time, of itself."""
    actions, left = finished_actions(state), time_to_live(state)
    if left is None:
        return Decision(status=state.status, actions=actions)
    if not left:
        return Decision(status=state.status, actions=(*actions, DeleteRecording()))
    return Decision(status=state.status, actions=actions, requeue_after=left)
