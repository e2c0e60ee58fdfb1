# SPDX-License-Identifier: Apache-2.0
"""`decide`: the only function that chooses a recording's next step.

It is total and idempotent: every recording and every set of pods has an answer, and a decision that was carried out
leads to one that asks for nothing more. A finished recording stays as it is, whatever its pods do.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import assert_never

from cloud_recording.api.recording import DURABLE_FINALIZER, CloudRecording
from cloud_recording.domain.admission import denied_storage_change
from cloud_recording.domain.decision import Decision, DeleteRecording
from cloud_recording.domain.deletion import give_up
from cloud_recording.domain.next_step import Complete, Proceed, choose_step
from cloud_recording.domain.observe_pods import observe_pods, record_refusal
from cloud_recording.domain.observed_state import ObservedState, OperatorContext, PodRefusal
from cloud_recording.domain.pod_actions import finished_actions, unfinished_actions
from cloud_recording.domain.pod_view import PodView
from cloud_recording.domain.requeue import requeue_after
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
    step = give_up(state) or choose_step(state)  # wait no longer; or begin a part (parts.begun), go on, end
    match step:
        case Complete(status=status, completion=completion):
            return _clean_up(state.with_status(completed(recording, status, completion, now=now)))
        case Proceed():
            return _proceed(state.with_status(step.status), step)
        case _:
            assert_never(step)


def _proceed(state: ObservedState, step: Proceed) -> Decision:
    """Summarises what is known in conditions, and acts on the pods of the parts."""
    recording = state.recording
    blocked_by = step.blocked_by or denied_storage_change(recording, state.status, state.settings)
    listening = state.context.listening_since
    state = state.with_status(
        summarized(recording, state.status, now=state.now, blocked_by=blocked_by, listening_since=listening)
    )
    deleted = recording.metadata.deletion_timestamp is not None
    return Decision(
        status=state.status,
        add_finalizer=not deleted and DURABLE_FINALIZER not in recording.metadata.finalizers,
        actions=unfinished_actions(state),
        requeue_after=requeue_after(state, next_part_at=step.next_part_at),
    )


def _clean_up(state: ObservedState) -> Decision:
    """What is left to do for a recording that is over: letting go of pods and, in time, of itself."""
    actions, left = finished_actions(state), time_to_live(state)
    if left is None:
        return Decision(status=state.status, actions=actions)
    if not left:
        return Decision(status=state.status, actions=(*actions, DeleteRecording()))
    return Decision(status=state.status, actions=actions, requeue_after=left)
