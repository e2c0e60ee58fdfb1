# SPDX-License-Identifier: Apache-2.0
"""What a part's pod shows, taken into the part: why it waits, whether it is ready, how it ended without a summary.

The pod was read live, so that it not being there is a fact. Facts only: what follows from them is decided elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from cloud_recording.api.phrases import counted
from cloud_recording.api.reasons import Reason, reason_facts
from cloud_recording.api.recording import CloudRecording, CloudRecordingSpec
from cloud_recording.api.status import CloudRecordingStatus, LastError, Outcome, Part, PartState
from cloud_recording.common.error_codes import RecordingErrorCode
from cloud_recording.domain import parts
from cloud_recording.domain.last_error import error_of_code, error_of_reason, with_error
from cloud_recording.domain.names import claim_name, recording_id
from cloud_recording.domain.observed_state import ObservedState
from cloud_recording.domain.pod_view import PodView, Termination
from cloud_recording.domain.totals import with_totals

MOST_RUNNER_RESTARTS: Final = 5
"""Crashes of a pod's container after which the part is given up: the kubelet's back-off has then reached minutes."""

LONGEST_OVERLOAD: Final = timedelta(minutes=5)
"""For so long a recorder, which asks twice a minute, may be among those turned away and never be heard."""

_IMAGE_PROBLEMS: Final = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
_WANTS_VOLUME: Final = re.compile(r"persistentvolumeclaim|persistent volumes to bind", re.IGNORECASE)
"""What the scheduler's message has of a claim that is not there, is being deleted, or has no volume."""

_CRASH_LOOP: Final = "CrashLoopBackOff"
_OUT_OF_MEMORY: Final = "OOMKilled"
_EVICTED: Final = "Evicted"
_UNKNOWN: Final = "ContainerStatusUnknown"
"""What a kubelet says of a container that it has not, for example as the pod was told to end before its start."""


def observe_pods(state: ObservedState) -> ObservedState:
    """The state after a look at the pod of each part that is not over."""
    status = with_totals(state.status.model_copy(update={"recording_id": recording_id(state.recording.metadata.uid)}))
    state = state.with_status(status)
    stopping = state.stopping
    for part in parts.unfinished(status):
        pod = state.pod_of(part)
        if stopping and part.state is PartState.PENDING and pod is not None and pod.over and _never_ran(part, pod):
            status = parts.withdrawn(status, part, now=state.now)
        else:
            lost_at = node_deadline(state, part, pod)
            status = _observed(status, part, pod, recording=state.recording, now=state.now, node_lost_at=lost_at)
    for part in filter(parts.may_come_back, state.status.parts):
        status = _after_return(status, part, state.pod_of(part), uid=state.recording.metadata.uid, now=state.now)
    return state.with_status(with_totals(status))


def record_refusal(state: ObservedState) -> ObservedState:
    """The state with what the API server said of a pod that it refused, as the reason why its part waits."""
    refusal = state.refusal
    part = next((one for one in state.status.parts if refusal is not None and one.number == refusal.part), None)
    if refusal is None or part is None or part.state not in {PartState.PLANNED, PartState.RESCUING}:
        return state
    if part.state is PartState.RESCUING and reason_facts(refusal.reason).discards:
        return state.with_status(_given_up(state, part, refusal.reason))
    if part.state is PartState.RESCUING:
        refused = f"pod '{part.pod}', which is to deliver what is left of part {part.number}, is refused: "
        return state.with_status(
            parts.replaced(state.status, parts.changed(part, rescue_message=refused + refusal.message))
        )
    waiting = parts.changed(part, reason=refusal.reason, message=refusal.message)
    return state.with_status(parts.replaced(state.status, waiting))


def _given_up(state: ObservedState, part: Part, reason: Reason) -> CloudRecordingStatus:
    """The status after it turned out that no pod will ever deliver what is left of the part."""
    metadata = state.recording.metadata
    where = "it is in the backup store alone"
    if state.recording.spec.work.persistent_volume_claim is not None:
        claim = claim_name(recording=metadata.name, uid=metadata.uid, part=part.number)
        where = f"claim '{claim}', which it is on, goes with the namespace"
    message = (
        f"namespace '{metadata.namespace}' is being deleted, so no pod can deliver what is left of part {part.number} "
        f"({counted(part.slices.pending, 'slice')} in no store): {where}"
    )
    over = parts.changed(
        part,
        state=PartState.LOST,
        reason=reason,
        message=message,
        rescue_message=None,
        end_time=part.end_time or state.moment,
    )
    return parts.replaced(with_error(state.status, error_of_reason(reason, message, time=state.now)), over)


def _observed(  # noqa: PLR0911 - one way out for each way a pod can be found
    status: CloudRecordingStatus,
    part: Part,
    pod: PodView | None,
    *,
    recording: CloudRecording,
    now: datetime,
    node_lost_at: datetime | None,
) -> CloudRecordingStatus:
    """The status after a look at the pod of a part that is not over."""
    if part.state is PartState.AWAITING_RESCUE:
        # The pod was given up; that of a node that came back may have had a last word all the same.
        return _with_last_word(status, part, pod, uid=recording.metadata.uid, now=now) or status
    if pod is None:
        return status if part.pod_uid is None else _lost(status, part, Reason.POD_LOST, "the pod is gone", now=now)
    if part.pod_uid not in {None, pod.uid}:
        return _lost(status, part, Reason.POD_LOST, "another pod has taken the name of the part's pod", now=now)
    status, part = _seen(status, part, pod, now=now, claims=_claims(recording.spec))
    concluded = _with_last_word(status, part, pod, uid=recording.metadata.uid, now=now)
    if concluded is not None:
        return concluded
    if pod.over:
        reason, message = silent_end(pod)
        return _lost(status, part, reason, message, now=now)
    if node_lost_at is not None and now >= node_lost_at:
        message = f"nothing was heard any more of node '{pod.node}' and the recorder on it"
        return _lost(status, part, Reason.NODE_LOST, message, now=now)
    if pod.restarts >= MOST_RUNNER_RESTARTS and pod.waiting is not None and pod.waiting.reason == _CRASH_LOOP:
        message = f"the recorder's container ended {pod.restarts} times: {_how(pod.last_terminated)}"
        return _lost(status, part, Reason.RECORDER_EXIT, message, now=now)
    return status


def _never_ran(part: Part, pod: PodView) -> bool:
    return pod.terminated is None or (pod.terminated.reason == _UNKNOWN and part.running_time is None)


def _with_last_word(
    status: CloudRecordingStatus, part: Part, pod: PodView | None, *, uid: str, now: datetime
) -> CloudRecordingStatus | None:
    """The status with the part concluded by its pod's termination message; None where there is none."""
    if pod is None or pod.terminated is None or not pod.over or part.pod_uid != pod.uid:
        return None
    summary = parts.read_summary(pod.terminated.message, uid=uid, part=part.number)
    return parts.concluded(status, part, summary, now=pod.terminated.finished_at or now) if summary else None


def _after_return(
    status: CloudRecordingStatus, part: Part, pod: PodView | None, *, uid: str, now: datetime
) -> CloudRecordingStatus:
    """The status once the kubelet of a node that was lost is back and has told the end of the part's pod."""
    if pod is None or not pod.over or pod.uid != part.pod_uid:
        return status
    ended = pod.terminated
    summary = parts.read_summary(ended.message, uid=uid, part=part.number) if ended is not None else None
    message = parts.without_hope(part.message or "")
    if ended is None or summary is None:
        return parts.replaced(status, parts.changed(part, message=message))
    if summary.slices.pending or summary.outcome is Outcome.INCOMPLETE:
        return parts.replaced(status, parts.changed(part, message=parts.with_more(message, summary.message or "")))
    back = f"node '{pod.node}', of which nothing was heard, came back, and what its recorder had is delivered"
    return parts.concluded(status, parts.changed(part, message=back), summary, now=ended.finished_at or now)


def node_deadline(state: ObservedState, part: Part, pod: PodView | None) -> datetime | None:
    """When the pod will count as lost with its node, if nothing is heard of either.

    Nobody could hear the recorder while no operator listened. One that was turned away may be this very recorder; but
    an overload that does not end must not keep a recording on a dead node for good.
    """
    if pod is None or pod.over:
        return None
    silent = min((moment for moment in (pod.node_silent_since, pod.deleted_at) if moment is not None), default=None)
    if silent is None:
        return None
    heard = max(filter(None, (silent, part.heard_time, state.context.listening_since)))
    turned_away = state.context.turned_away_at or heard
    return max(heard, min(turned_away, heard + LONGEST_OVERLOAD)) + state.node_lost


def _seen(
    status: CloudRecordingStatus, part: Part, pod: PodView, *, now: datetime, claims: Sequence[str]
) -> tuple[CloudRecordingStatus, Part]:
    """The part with what any pod shows that has not ended yet; a new end of its container becomes the last error."""
    if pod.restarts > part.runner_restarts and pod.last_terminated is not None:
        status = with_error(status, _restart_error(pod.last_terminated, now=now))
    ready = pod.ready and pod.deleted_at is None
    known_ready = part.ready_time or (now.replace(microsecond=0) if part.pod_ready else None)
    if pod.restarts > part.runner_restarts:
        known_ready = None
    part = parts.changed(
        part,
        pod_uid=pod.uid,
        node=pod.node,
        pod_ready=ready,
        ready_time=known_ready or (now.replace(microsecond=0) if ready else None),
        running_time=_running_time(part, pod),
        runner_restarts=max(part.runner_restarts, pod.restarts),
        create_time=part.create_time if part.rescues else pod.created_at,
        state=PartState.PENDING if part.state is PartState.PLANNED else part.state,
    )
    if part.state is PartState.PENDING:
        reason, message = why_waiting(pod, claims)
        part = parts.changed(part, reason=reason, message=message)
    elif part.state is PartState.RESCUING:
        part = parts.changed(part, rescue_message=_why_rescue_waits(part, pod, claims))
    elif _was_told_to_end(part, pod):
        part = parts.changed(part, reason=Reason.POD_ENDED, message=_why_deleted(pod))
    return parts.replaced(status, part), part


def _was_told_to_end(part: Part, pod: PodView) -> bool:
    """Whether the pod says so; where the recorder has said it already, why: at a node's shutdown the pod's end does."""
    if part.reason is Reason.POD_ENDED:
        return pod.deleted_at is not None or pod.disruption is not None
    return pod.deleted_at is not None and part.reason is None


def _running_time(part: Part, pod: PodView) -> datetime | None:
    """When the pod's container was started, which stays so of one that is over: then it has run."""
    if not pod.over:
        return pod.running_since
    return (pod.terminated.started_at if pod.terminated else None) or part.running_time


def _claims(spec: CloudRecordingSpec) -> list[str]:
    """The claims of its user's that the recording's pods mount."""
    stores = (spec.storage, *((spec.backup,) if spec.backup else ()))
    return list(dict.fromkeys(store.directory.claim_name for store in stores if store.directory is not None))


def _why_rescue_waits(part: Part, pod: PodView, claims: Sequence[str]) -> str | None:
    """What keeps the pod that delivers from running; None while nothing does."""
    reason, message = why_waiting(pod, claims)
    if pod.running_since is not None or reason is None:
        return None
    return f"pod '{pod.name}', which is to deliver what is left of part {part.number}, waits: {message or reason}"


def why_waiting(pod: PodView, claims: Sequence[str]) -> tuple[Reason | None, str | None]:
    """Why a pod that mounts these claims does not run yet, as far as it has words for it."""
    if pod.deleted_at is not None:
        return Reason.POD_ENDED, _why_deleted(pod)
    if pod.unscheduled is not None:
        volume = _WANTS_VOLUME.search(pod.unscheduled.message or "")
        return Reason.WAITING_FOR_VOLUME if volume else Reason.UNSCHEDULABLE, pod.unscheduled.message
    if pod.waiting is None:
        return None, None
    if pod.waiting.reason in _IMAGE_PROBLEMS:
        return Reason.IMAGE_PULL_FAILED, pod.waiting.message or pod.waiting.reason
    if pod.waiting.reason == _CRASH_LOOP:
        return Reason.RECORDER_EXIT, f"the recorder's container cannot start: {_how(pod.last_terminated)}"
    # ContainerCreating and PodInitializing are on the way; anything else that has words for it is worth telling.
    message = pod.waiting.message or _unmounted(pod, claims)
    return (Reason.PENDING, message) if message else (None, None)


def _unmounted(pod: PodView, claims: Sequence[str]) -> str:
    """What a pod with these claims waits for on its node; the kubelet tells the cause in Events of the pod alone."""
    if not claims or pod.node is None or pod.can_start:
        return ""
    volumes = " and ".join(f"claim '{claim}'" for claim in claims)
    return (
        f"node '{pod.node}' has not yet mounted {volumes}, or has no network for the pod: if that lasts, "
        f"`kubectl describe pod {pod.name}` says what keeps it"
    )


def _why_deleted(pod: PodView) -> str:
    return pod.disruption.message if pod.disruption and pod.disruption.message else "the pod was told to end"


def silent_end(pod: PodView) -> tuple[Reason, str]:
    """Why a pod is over that left no summary."""
    ended = pod.terminated or pod.last_terminated
    if pod.reason == _EVICTED:
        return Reason.EVICTED, pod.message.strip() or "the kubelet evicted the pod"
    if ended is not None and ended.reason == _OUT_OF_MEMORY:
        return Reason.OUT_OF_MEMORY, "the recorder's container was ended for using more memory than its limit"
    if pod.disruption is not None:
        return Reason.POD_LOST, pod.disruption.message or pod.disruption.reason
    if ended is None and pod.message.strip():
        # As where the node's kubelet took none any more.
        return Reason.POD_LOST, f"its container never ran: {pod.message.strip()}"
    return Reason.POD_LOST, f"the pod ended without a summary: {_how(ended)}"


def _how(ended: Termination | None) -> str:
    if ended is None:
        return "its container never ran"
    return f"{ended.reason or 'ended'}, exit code {ended.exit_code}"


def _restart_error(ended: Termination, *, now: datetime) -> LastError:
    time = ended.finished_at or now
    if ended.reason != _OUT_OF_MEMORY:
        message = f"the recorder's container ended ({_how(ended)}) and was started again in the same pod"
        return error_of_code(RecordingErrorCode.RECORDER_EXIT, message, time=time)
    message = "the recorder's container used more memory than its limit and was started again in the same pod"
    return error_of_reason(Reason.OUT_OF_MEMORY, message, time=time)


def _lost(
    status: CloudRecordingStatus, part: Part, reason: Reason, message: str, *, now: datetime
) -> CloudRecordingStatus:
    moment = now.replace(microsecond=0)
    if part.state is PartState.RESCUING:
        # How the part itself ended stays; `with_rescues` has another pod made.
        again = parts.changed(part, state=PartState.AWAITING_RESCUE, missing_secrets=None, pod_ready=False)
        return parts.replaced(with_error(status, error_of_reason(reason, message, time=now)), again)
    lost = parts.changed(
        part,
        state=PartState.LOST,
        lost=True,
        missing_secrets=None,
        reason=reason,
        message=message,
        pod_ready=False,
        end_time=moment,
        stop_time=part.stop_time or _last_known(status, part, moment),
    )
    error = error_of_reason(reason, message, time=now)
    status, lost = with_error(status, error), parts.left_channel(lost)
    if part.stop_time is not None or lost.stop_time is None or part.number != status.parts[-1].number:
        return parts.replaced(status, lost)
    # No other part has begun, so whatever is behind is the part's own.
    kept = parts.until_cut(lost, status.gaps)
    return parts.replaced(status.model_copy(update={"gaps": kept}), parts.cut_off(lost, status.gaps))


def _last_known(status: CloudRecordingStatus, part: Part, moment: datetime) -> datetime | None:
    """Up to when the lost part's media is certain: what is not in a store is gone with the pod."""
    if part.start_time is None:
        return None
    durable = status.last_durable_slice_time
    return max(part.start_time, min(durable, moment)) if durable is not None else part.start_time
