# SPDX-License-Identifier: Apache-2.0
"""`decide`: the only place where a recording's next step is chosen.

It is total and idempotent: every recording and every set of pods has an answer, and a decision that was carried out
leads to one that asks for nothing more. A finished recording stays as it is, whatever its pods do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, assert_never

from cloud_recording.api.phrases import counted
from cloud_recording.api.reasons import Reason
from cloud_recording.api.recording import DURABLE_FINALIZER, CloudRecording, DesiredRecordingState
from cloud_recording.api.settings import OperatorSettings
from cloud_recording.api.status import Amounts, CloudRecordingStatus, Outcome, Part, PartState
from cloud_recording.api.storage_place import place_of
from cloud_recording.api.wire import CALLBACK_CA_ANNOTATION, DESIRED_ANNOTATION
from cloud_recording.domain import heartbeat, names, parts
from cloud_recording.domain.admission import denial, storage_denial
from cloud_recording.domain.completion import Completion, completion
from cloud_recording.domain.decision import (
    Action,
    AnnotatePod,
    CreatePod,
    Decision,
    DeleteClaim,
    DeleteEndedPod,
    DeletePod,
    DeleteRecording,
    ReleasePod,
    ReleaseRecording,
)
from cloud_recording.domain.desired_state import (
    deletion_deadline,
    desired_state,
    discard_asked,
    duration_limit,
    stop_cause,
)
from cloud_recording.domain.observe_pod import node_deadline, observed
from cloud_recording.domain.pod_documents import compact_json, desired_state_document
from cloud_recording.domain.pod_view import PodView
from cloud_recording.domain.restart_policy import AwaitSummary, EndRecording, NextPart, follow_up
from cloud_recording.domain.summarize import ReadyReason, concluded, finished, summarized
from cloud_recording.domain.totals import with_totals

GIVEN_UP_GRACE_SECONDS: Final = 1
"""What a pod is given that is told to end at once: time for the kernel's signal, and none to upload."""

_GIVEN_UP: Final = frozenset({Reason.DISCARDED, Reason.DEADLINE_EXCEEDED})


@dataclass(frozen=True, kw_only=True)
class OperatorContext:
    """What a decision depends on besides the recording and its pods."""

    settings: OperatorSettings
    callback_ca: str
    """The authorities that pods are to trust, in PEM."""
    listening_since: datetime | None = None
    """Since when this operator hears callbacks; None where it always has."""


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """The API server refused the part's pod."""

    part: int
    reason: Reason
    message: str
    retry_after: timedelta
    """When the pod is asked for again; no event tells that a quota was raised."""


def decide(
    recording: CloudRecording,
    pods: Mapping[str, PodView],
    *,
    now: datetime,
    context: OperatorContext,
    refusal: Refusal | None = None,
) -> Decision:
    """What is to become of the recording. `pods` holds every pod of it that is there, by name."""
    if finished(recording.status):
        return _settled(recording, pods, _edited(recording, recording.status), now=now)
    status = _identified(recording)
    status = _with_pods(recording, status, pods, now=now, context=context)
    if refusal is not None:
        status = _with_refusal(status, refusal)
    given_up = _given_up(recording, status, now=now)
    if given_up is not None:
        return _abandoned(recording, status, pods, given_up, now=now)
    step = _next_step(recording, status, pods, now=now, settings=context.settings)
    match step:
        case Conclude(completion=end):
            return _settled(recording, pods, concluded(recording, step.status, end, now=now), now=now)
        case Proceed():
            return _proceeding(recording, step, pods, now=now, context=context, refusal=refusal)
        case _:
            assert_never(step)


@dataclass(frozen=True, kw_only=True)
class Conclude:
    """Every part is over, and so is the recording."""

    status: CloudRecordingStatus
    completion: Completion


@dataclass(frozen=True, kw_only=True)
class Proceed:
    """The recording goes on, or is on its way to its end."""

    status: CloudRecordingStatus
    blocked_by: ReadyReason | None = None
    due: datetime | None = None


def _identified(recording: CloudRecording) -> CloudRecordingStatus:
    identified = recording.status.model_copy(update={"recording_id": names.recording_id(recording.metadata.uid)})
    return with_totals(identified)


def _with_pods(
    recording: CloudRecording,
    status: CloudRecordingStatus,
    pods: Mapping[str, PodView],
    *,
    now: datetime,
    context: OperatorContext,
) -> CloudRecordingStatus:
    node_lost = timedelta(seconds=context.settings.runner.node_lost_seconds)
    stopping = desired_state(recording, status, now=now) is DesiredRecordingState.STOPPED
    for part in status.parts:
        pod = pods.get(part.pod)
        if part.state in parts.OVER:
            continue
        if stopping and part.state is PartState.PENDING and pod is not None and pod.over and pod.terminated is None:
            status = _withdrawn(status, part, now=now)
        else:
            status = observed(status, part, pod, uid=recording.metadata.uid, now=now, node_lost=node_lost)
    return with_totals(status)


def _with_refusal(status: CloudRecordingStatus, refusal: Refusal) -> CloudRecordingStatus:
    part = next((known for known in status.parts if known.number == refusal.part), None)
    if part is None or part.state is not PartState.PLANNED:
        return status
    return parts.replaced(status, parts.changed(part, reason=refusal.reason, message=refusal.message))


def _given_up(recording: CloudRecording, status: CloudRecordingStatus, *, now: datetime) -> Completion | None:
    """Why a deleted recording need not be waited for any longer, if that is so and something is left to wait for."""
    if not any(part.state not in parts.OVER for part in status.parts):
        return None
    pending = (status.slices or Amounts()).pending
    if discard_asked(recording):
        return Completion(reason=Reason.DISCARDED, message=f"thrown away: {counted(pending, 'slice')}", succeeded=False)
    deadline = deletion_deadline(recording)
    if deadline is not None and now >= deadline:
        pods = ", ".join(f"'{part.pod}'" for part in status.parts if part.state not in parts.OVER)
        message = f"`spec.deletionDeadlineSeconds` ran out: given up in pod {pods}: {counted(pending, 'slice')}"
        return Completion(reason=Reason.DEADLINE_EXCEEDED, message=message, succeeded=False)
    return None


def _abandoned(
    recording: CloudRecording,
    status: CloudRecordingStatus,
    pods: Mapping[str, PodView],
    end: Completion,
    *,
    now: datetime,
) -> Decision:
    moment = now.replace(microsecond=0)
    for part in status.parts:
        if part.state not in parts.OVER:
            outcome = Outcome.DISCARDED if end.reason is Reason.DISCARDED else None
            lost = parts.changed(
                part, state=PartState.LOST, outcome=outcome, reason=end.reason, end_time=moment, pod_ready=False
            )
            status = parts.replaced(status, lost)
    return _settled(recording, pods, concluded(recording, status, end, now=now), now=now)


def _next_step(  # noqa: PLR0911 - one way out for each thing that may come next
    recording: CloudRecording,
    status: CloudRecordingStatus,
    pods: Mapping[str, PodView],
    *,
    now: datetime,
    settings: OperatorSettings,
) -> Conclude | Proceed:
    stopping = desired_state(recording, status, now=now) is DesiredRecordingState.STOPPED
    part = parts.current(status)
    if part is None:
        if stopping:
            return _ending(status, EndRecording(Reason.NOTHING_RECORDED, "", succeeded=True))
        return _beginning(recording, status, now=now, settings=settings)
    if parts.captures(part):
        if stopping and part.state is PartState.PLANNED and part.pod not in pods:
            return _ending(_withdrawn(status, part, now=now), EndRecording(Reason.NOTHING_RECORDED, "", succeeded=True))
        return Proceed(status=status)
    if stopping:
        return _ending(status, _stopped_end(recording, status, part, now=now))
    match follow_up(recording, status, part, now=now):
        case EndRecording() as end:
            return _ending(status, end)
        case NextPart(at=at) if now < at:
            return Proceed(status=status, due=at)
        case NextPart():
            return _beginning(recording, status, now=now, settings=settings)
        case AwaitSummary():
            return Proceed(status=status)


def _stopped_end(recording: CloudRecording, status: CloudRecordingStatus, part: Part, *, now: datetime) -> EndRecording:
    """Why a recording ended that is wanted no more: what its last part said counts, a stop that crossed it does not."""
    follows = follow_up(recording, status, part, now=now)
    if isinstance(follows, EndRecording) and follows.reason in {Reason.CHANNEL_IDLE, Reason.NO_USERS}:
        return follows
    stop = stop_cause(recording, status, now=now)
    return EndRecording(stop.reason, stop.message, succeeded=True)


def _beginning(
    recording: CloudRecording, status: CloudRecordingStatus, *, now: datetime, settings: OperatorSettings
) -> Proceed:
    forbidden = denial(recording.spec, settings)
    if forbidden is not None:
        return Proceed(status=status, blocked_by=ReadyReason(reason=Reason.NOT_ALLOWED, message=forbidden))
    if parts.at_work(status) >= parts.MOST_AT_WORK:
        message = f"{parts.MOST_AT_WORK} parts still upload; the next one begins when one of them has ended"
        return Proceed(status=status, blocked_by=ReadyReason(reason=Reason.UPLOADING, message=message))
    return Proceed(status=parts.begun(recording, status, now=now))


def _withdrawn(status: CloudRecordingStatus, part: Part, *, now: datetime) -> CloudRecordingStatus:
    """The part is over before its recorder ever ran."""
    moment = now.replace(microsecond=0)
    over = parts.changed(part, state=PartState.CONCLUDED, reason=Reason.NOTHING_RECORDED, message=None, end_time=moment)
    return parts.replaced(status, over)


def _ending(status: CloudRecordingStatus, end: EndRecording) -> Conclude | Proceed:
    """The end, once nothing uploads any more."""
    if all(part.state in parts.OVER for part in status.parts):
        return Conclude(status=status, completion=completion(status, end))
    return Proceed(status=status)


def _proceeding(
    recording: CloudRecording,
    step: Proceed,
    pods: Mapping[str, PodView],
    *,
    now: datetime,
    context: OperatorContext,
    refusal: Refusal | None,
) -> Decision:
    listening = context.listening_since
    blocked_by = step.blocked_by or _refused_edit(recording, step.status, context.settings)
    status = summarized(recording, step.status, now=now, blocked_by=blocked_by, listening_since=listening)
    actions: list[Action] = []
    for part in status.parts:
        actions += _part_actions(recording, status, part, pods.get(part.pod), now=now, context=context)
    actions += _strays(status, pods)
    held = recording.metadata.deletion_timestamp is not None or DURABLE_FINALIZER in recording.metadata.finalizers
    due = _due(recording, step, status, pods, now=now, context=context, refusal=refusal)
    return Decision(status=status, add_finalizer=not held, actions=tuple(actions), requeue_after=due)


def _refused_edit(
    recording: CloudRecording, status: CloudRecordingStatus, settings: OperatorSettings
) -> ReadyReason | None:
    """That the files of a recording under way do not go where its spec wants them now, as nobody allowed that."""
    part = parts.current(status)
    if part is None or part.storage is None or part.storage.place == place_of(recording.spec.storage):
        return None
    forbidden = storage_denial(recording.spec, settings)
    return ReadyReason(reason=Reason.NOT_ALLOWED, message=forbidden) if forbidden is not None else None


def _part_actions(
    recording: CloudRecording,
    status: CloudRecordingStatus,
    part: Part,
    pod: PodView | None,
    *,
    now: datetime,
    context: OperatorContext,
) -> list[Action]:
    if part.state in parts.OVER:
        return _let_go(recording, status, part, pod)
    if pod is None:
        return [*_outdated(status), CreatePod(part=part)] if part.state is PartState.PLANNED else []
    stopping = desired_state(recording, status, now=now) is DesiredRecordingState.STOPPED
    if stopping and part.state is PartState.PENDING and pod.running_since is None:
        # Its recorder never ran, so nobody is there to hear that it should stop.
        return [] if pod.deleted_at is not None else [DeletePod(pod=pod)]
    desired = desired_state_document(recording, status, part, now=now, settings=context.settings)
    desired_document = desired.model_dump(mode="json", by_alias=True, exclude_none=True)
    changes = {}
    if pod.document(DESIRED_ANNOTATION) != desired_document:
        changes[DESIRED_ANNOTATION] = compact_json(desired_document)
    if pod.annotations.get(CALLBACK_CA_ANNOTATION) != context.callback_ca:
        changes[CALLBACK_CA_ANNOTATION] = context.callback_ca
    return [AnnotatePod(pod=pod, annotations=changes)] if changes else []


def _let_go(recording: CloudRecording, status: CloudRecordingStatus, part: Part, pod: PodView | None) -> list[Action]:
    """What is done about pod and claim of a part that is over; as long as the pod is held, it is not done."""
    if pod is None or not pod.held:
        return []
    empty = recording.spec.work.persistent_volume_claim is not None and part.nothing_left
    actions: list[Action] = [DeleteClaim(part=part)] if empty else []
    released = _release(pod, lost=part.state is PartState.LOST)
    # A claim stays for as long as there is a pod that names it, ended or not; one that failed is worth a look.
    kept = parts.keeps_pod(status, part) and not (empty and part.outcome is not Outcome.FATAL)
    if not kept and not any(isinstance(action, DeletePod) for action in released):
        actions.append(DeletePod(pod=pod))
    return actions + released


def _outdated(status: CloudRecordingStatus) -> Iterable[Action]:
    """The pod that is kept no longer once there is one more: that of the part that the newest takes the place of."""
    number = status.parts[-1].number - parts.KEPT_PODS
    return [DeleteEndedPod(part=part) for part in status.parts if part.number == number and part.state in parts.OVER]


def _release(pod: PodView | None, *, lost: bool) -> list[Action]:
    """What is done about the pod of a part that is over: its summary is counted, or will never come."""
    if pod is None or not pod.held:
        return []
    if pod.deleted_at is not None or not (pod.sidecars_linger or (lost and not pod.over)):
        return [ReleasePod(pod=pod)]
    # It is told to end even where nobody may hear it, for the day its node is back: two must not capture.
    return [DeletePod(pod=pod), ReleasePod(pod=pod)]


def _strays(status: CloudRecordingStatus, pods: Mapping[str, PodView]) -> Iterable[Action]:
    """Pods of parts that the status no longer lists: nothing holds them any more."""
    listed = {part.pod for part in status.parts}
    return [action for name, pod in pods.items() if name not in listed for action in _release(pod, lost=True)]


def _due(
    recording: CloudRecording,
    step: Proceed,
    status: CloudRecordingStatus,
    pods: Mapping[str, PodView],
    *,
    now: datetime,
    context: OperatorContext,
    refusal: Refusal | None,
) -> timedelta | None:
    """After what time something is due by the clock alone; what is overdue was dealt with by this very decision."""
    limit = timedelta(seconds=context.settings.runner.node_lost_seconds)
    moments = [
        step.due,
        duration_limit(recording, status, now=now),
        deletion_deadline(recording),
        *(node_deadline(pod, limit=limit) for pod in pods.values() if not pod.over),
        *heartbeat.next_deadlines(status, listening_since=context.listening_since),
    ]
    left = [moment - now for moment in moments if moment is not None and moment > now]
    if refusal is not None:
        left.append(refusal.retry_after)
    return min(left, default=None)


def _edited(recording: CloudRecording, status: CloudRecordingStatus) -> CloudRecordingStatus:
    """The status of a recording that is over, of the newest generation: an edit changes nothing, and was seen.

    Who goes by `observedGeneration`, as GitOps tools do, would wait for ever otherwise.
    """
    generation = recording.metadata.generation
    if (status.observed_generation or 0) >= generation:
        return status
    conditions = tuple(one.model_copy(update={"observed_generation": generation}) for one in status.conditions)
    return status.model_copy(update={"observed_generation": generation, "conditions": conditions})


def _settled(
    recording: CloudRecording, pods: Mapping[str, PodView], status: CloudRecordingStatus, *, now: datetime
) -> Decision:
    """What is left to do for a recording that is over: letting go of pods and, in time, of itself."""
    actions: list[Action] = []
    states = {part.pod: part for part in status.parts}
    for pod in pods.values():
        part = states.get(pod.name)
        if part is not None and part.reason in _GIVEN_UP and not pod.over and pod.held:
            actions.append(DeletePod(pod=pod, grace_seconds=GIVEN_UP_GRACE_SECONDS))
            actions.append(ReleasePod(pod=pod))
        elif part is None:
            actions += _release(pod, lost=True)
        else:
            actions += _let_go(recording, status, part, pod)
    if DURABLE_FINALIZER in recording.metadata.finalizers:
        actions.append(ReleaseRecording())
    if recording.metadata.deletion_timestamp is not None:
        return Decision(status=status, actions=tuple(actions))
    ttl, completed = recording.spec.ttl_seconds_after_finished, status.completion_time
    if ttl is None or completed is None:
        return Decision(status=status, actions=tuple(actions))
    left = completed + timedelta(seconds=ttl) - now
    if left <= timedelta():
        return Decision(status=status, actions=(*actions, DeleteRecording()))
    return Decision(status=status, actions=tuple(actions), requeue_after=left)
