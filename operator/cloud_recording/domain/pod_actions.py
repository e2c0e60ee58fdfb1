# SPDX-License-Identifier: Apache-2.0
"""The actions on pods and their claims: which are created, annotated with a new desired state, deleted or released."""

from __future__ import annotations

from typing import Final

from cloud_recording.api.reasons import reason_facts
from cloud_recording.api.recording import DURABLE_FINALIZER
from cloud_recording.api.status import CloudRecordingStatus, MergeState, Outcome, Part, PartState
from cloud_recording.api.wire import CALLBACK_CA_ANNOTATION, DESIRED_ANNOTATION
from cloud_recording.domain import parts
from cloud_recording.domain.admission import why_not_begun
from cloud_recording.domain.decision import (
    Action,
    AnnotatePod,
    CreateMergePod,
    CreatePod,
    DeleteClaim,
    DeleteEndedPod,
    DeletePod,
    ReleasePod,
    ReleaseRecording,
)
from cloud_recording.domain.observed_state import ObservedState
from cloud_recording.domain.pod_documents import compact_json, desired_state_document
from cloud_recording.domain.pod_view import PodView
from cloud_recording.domain.rescue import why_kept_back

GIVEN_UP_GRACE_SECONDS: Final = 1
"""What a pod is given that is told to end at once: time for the kernel's signal, and none to upload."""


def unfinished_actions(state: ObservedState) -> tuple[Action, ...]:
    """What is done about the pods of a recording that is not over."""
    actions: list[Action] = []
    for part in state.status.parts:
        pod = state.pod_of(part)
        if part.state not in parts.OVER:
            actions += _work_on(state, part, pod)
        elif pod is not None and _is_awaited(part, pod):
            actions += _tell_to_end(pod)
        else:
            actions += _let_go(state, part, pod)
    return (*actions, *_merge_parts(state), *_release_strays(state))


def finished_actions(state: ObservedState) -> tuple[Action, ...]:
    """What is done about the pods of a recording that is over, and about our finalizer on it."""
    actions: list[Action] = []
    listed = {part.pod: part for part in state.status.parts}
    for pod in state.pods.values():
        part = listed.get(pod.name)
        if part is not None:
            actions += _end_at_once(pod) if _was_given_up(part, pod) else _let_go(state, part, pod)
    actions += _release_strays(state)
    if DURABLE_FINALIZER in state.recording.metadata.finalizers:
        actions.append(ReleaseRecording())
    return tuple(actions)


def _work_on(state: ObservedState, part: Part, pod: PodView | None) -> list[Action]:
    if part.state is PartState.AWAITING_RESCUE:
        return _make_way(pod)
    if pod is None:
        if part.state is PartState.RESCUING and part.pod_uid is None:
            return [CreatePod(part=part)] if why_kept_back(state) is None else []
        begins = part.state is PartState.PLANNED and why_not_begun(state) is None
        return [*_outdated(state.status), CreatePod(part=part)] if begins else []
    if state.stopping and part.state is PartState.PENDING and pod.running_since is None:
        # Its recorder never ran, so nobody is there to hear that it should stop.
        return [] if pod.deleted_at is not None else [DeletePod(pod=pod)]
    document = desired_state_document(state.recording, state.status, part, now=state.now, settings=state.settings)
    desired = document.model_dump(mode="json", by_alias=True, exclude_none=True)
    changes = {}
    if pod.annotation_json(DESIRED_ANNOTATION) != desired:
        changes[DESIRED_ANNOTATION] = compact_json(desired)
    if pod.annotations.get(CALLBACK_CA_ANNOTATION) != state.context.callback_ca:
        changes[CALLBACK_CA_ANNOTATION] = state.context.callback_ca
    return [AnnotatePod(pod=pod, annotations=changes)] if changes else []


def _let_go(state: ObservedState, part: Part, pod: PodView | None) -> list[Action]:
    """What is done about pod and claim of a part that is over; as long as the pod is held, it is not done."""
    if pod is None or not pod.has_finalizer:
        return []
    empty = state.recording.spec.work.persistent_volume_claim is not None and part.nothing_left
    actions: list[Action] = [DeleteClaim(part=part)] if empty else []
    released = _release(pod, lost=part.state is PartState.LOST)
    # A claim stays for as long as there is a pod that names it, ended or not; one that failed is worth a look.
    kept = parts.keeps_pod(state.status, part) and not (empty and part.outcome is not Outcome.FATAL)
    if not kept and not any(isinstance(action, DeletePod) for action in released):
        actions.append(DeletePod(pod=pod))
    return actions + released


def _make_way(pod: PodView | None) -> list[Action]:
    """The pod before gives its volume back once Kubernetes has ended it; nothing of that is forced."""
    if pod is None:
        return []
    actions = _tell_to_end(pod)
    return [*actions, ReleasePod(pod=pod)] if pod.has_finalizer else actions


def _tell_to_end(pod: PodView) -> list[Action]:
    """It is told even where nobody may hear it, for the day its node is back: two must not capture."""
    return [DeletePod(pod=pod)] if pod.deleted_at is None else []


def _is_awaited(part: Part, pod: PodView) -> bool:
    """Whether the pod is held though its part is over: its node may come back, and then its last word is the truth."""
    return parts.may_come_back(part) and not pod.over and not pod.forced


def _outdated(status: CloudRecordingStatus) -> list[Action]:
    """The pod that is kept no longer once there is one more: that of the part that the newest takes the place of."""
    number = status.parts[-1].number - parts.KEPT_PODS
    return [DeleteEndedPod(part=part) for part in status.parts if part.number == number and part.state in parts.OVER]


def _release(pod: PodView, *, lost: bool) -> list[Action]:
    """What is done about the pod of a part that is over: its summary is counted, or will never come."""
    if not pod.has_finalizer:
        return []
    if pod.deleted_at is not None or not (pod.outlives_recorder or (lost and not pod.over)):
        return [ReleasePod(pod=pod)]
    return [*_tell_to_end(pod), ReleasePod(pod=pod)]


def _release_strays(state: ObservedState) -> list[Action]:
    """Pods of parts that the status no longer lists: nothing holds them any more."""
    listed = {part.pod for part in state.status.parts} | _pod_that_merges(state.status)
    return [action for name, pod in state.pods.items() if name not in listed for action in _release(pod, lost=True)]


def _merge_parts(state: ObservedState) -> list[Action]:
    """The pod that makes one playlist over all parts, once it is decided on."""
    merge = parts.merge_of(state.status)
    if merge is None or merge.state is not MergeState.MERGING or merge.pod is None or merge.pod_uid is not None:
        return []
    return [] if merge.pod in state.pods else [CreateMergePod(merge=merge)]


def _pod_that_merges(status: CloudRecordingStatus) -> set[str]:
    """The pod that is at work on that; of any other nothing more is to be learnt."""
    merge = parts.merge_of(status)
    if merge is None or merge.state is not MergeState.MERGING or merge.pod is None:
        return set()
    return {merge.pod}


def _was_given_up(part: Part, pod: PodView) -> bool:
    discards = part.reason is not None and reason_facts(part.reason).discards
    return discards and not pod.over and pod.has_finalizer


def _end_at_once(pod: PodView) -> list[Action]:
    return [DeletePod(pod=pod, grace_seconds=GIVEN_UP_GRACE_SECONDS), ReleasePod(pod=pod)]
