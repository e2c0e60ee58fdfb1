# SPDX-License-Identifier: Apache-2.0
"""What a part's pod left is delivered by another: when that is needed, when it can begin, and what it waits for.

A claim keeps what was not uploaded, and the backup store what the bucket has not. The next pod mounts the claim as soon
as Kubernetes has ended the one before, which is never forced: two must not write to one volume.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from cloud_recording.api.reasons import Reason, reason_facts
from cloud_recording.api.recording import CloudRecording
from cloud_recording.api.status import CloudRecordingStatus, Outcome, Part, PartState
from cloud_recording.api.storage_place import place_of
from cloud_recording.common.backoff import Backoff
from cloud_recording.domain import names, parts
from cloud_recording.domain.admission import stores_denial
from cloud_recording.domain.observed_state import ObservedState
from cloud_recording.domain.pod_view import PodView

BACKOFF: Final = Backoff(first_seconds=10.0, most_seconds=300.0)
"""How long after one rescuing pod the next is made."""

OVERDUE_AFTER: Final = timedelta(minutes=5)
"""How long files may be in the backup store alone, after the part's end, until somebody should look."""

MOST_UNHEARD: Final = 3
"""So many pods are made for a part of which nothing was ever heard: what keeps them from it may keep any other, too."""

_OUT_OF_SERVICE: Final = "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute"


def with_rescues(state: ObservedState) -> ObservedState:
    """The state with every part that left something on its way to be rescued, as far as that can begin now."""
    for known in state.status.parts:
        part = known
        if part.state in parts.OVER and is_needed(state.recording, part):
            part = parts.changed(part, state=PartState.AWAITING_RESCUE, lost=parts.was_lost(part), pod_ready=False)
        if part.state is PartState.AWAITING_RESCUE:
            part = _given_up(state, part) if _is_hopeless(part) else _begun(state, part)
        elif part.state is PartState.RESCUING and part.pod_uid is None and state.pod_of(part) is None:
            part = _not_made_yet(state, part)
        elif part.state in parts.OVER and not _has_claim(state.recording) and part.pending_milliseconds:
            part = _with_loss(part, state.pod_of(part))
        if part != known:
            state = state.with_status(parts.replaced(state.status, part))
    return state


def is_needed(recording: CloudRecording, part: Part) -> bool:
    """Whether a part that is over left something that another pod can get at."""
    given_up = part.reason is not None and reason_facts(part.reason).discards
    if given_up or part.outcome is Outcome.DISCARDED or part.engine_extended is False or _is_hopeless(part):
        return False
    if part.stays_in_backup:
        return False
    if not _has_claim(recording):
        # Only what was concluded in the backup store has a journal there, by which it comes home without its disk; and
        # only of a bucket can be told that this is where it says it goes.
        goes_home = recording.spec.backup is not None and place_of(recording.spec.storage) is not None
        return goes_home and part.backup_playlist is not None
    if recording.spec.backup is not None and parts.is_backed_up(part):
        return True
    if part.state is PartState.LOST:
        # Whatever was heard of it: what a recorder wrote while no operator listened is known to its journal alone.
        has_run = part.running_time is not None or part.runner_restarts > 0
        return has_run or part.start_time is not None or bool(part.slices.written)
    return part.outcome is Outcome.INCOMPLETE or bool(part.slices.pending)


def due_at(part: Part) -> datetime | None:
    """When the part's next rescue may begin, where it is not the first."""
    if part.state is not PartState.AWAITING_RESCUE or part.rescue_time is None:
        return None
    return part.rescue_time + timedelta(seconds=BACKOFF.after(part.rescues, spread=0.0))


def overdue_at(status: CloudRecordingStatus) -> datetime | None:
    """When it is too long that files of a part that has ended are in the backup store alone."""
    ended = (part for part in parts.unfinished(status) if not parts.captures(part))
    waits = (
        part for part in ended if part.backup_playlist or (part.state in parts.RESCUED and parts.is_backed_up(part))
    )
    since = [part.stop_time or part.end_time for part in waits]
    return min((moment + OVERDUE_AFTER for moment in since if moment is not None), default=None)


def message(status: CloudRecordingStatus) -> str:
    """What is being rescued, and what that waits for; nothing where nothing is."""
    rescued = [part for part in status.parts if part.state in parts.RESCUED]
    return "; ".join(
        part.rescue_message or f"pod '{part.pod}' delivers what the pod of part {part.number} left" for part in rescued
    )


def _has_claim(recording: CloudRecording) -> bool:
    return recording.spec.work.persistent_volume_claim is not None


def _is_hopeless(part: Part) -> bool:
    return part.engine_extended is None and part.rescues >= MOST_UNHEARD


def _given_up(state: ObservedState, part: Part) -> Part:
    """A part that is over as it was, as no pod that was to deliver what it left was heard of."""
    metadata = state.recording.metadata
    claim = names.claim_name(recording=metadata.name, uid=metadata.uid, part=part.number)
    stated = f"its claim '{claim}' may hold media: nothing was heard of {part.rescues} pods that were to deliver it"
    return parts.changed(
        part,
        state=PartState.LOST if part.lost else PartState.CONCLUDED,
        rescue_message=None,
        message=parts.with_more(part.message, stated),
    )


def _begun(state: ObservedState, part: Part) -> Part:
    pod = state.pod_of(part)
    if pod is not None and _has_claim(state.recording):
        return parts.changed(part, rescue_message=_waits_for(part, pod))
    kept_back = why_kept_back(state)
    if kept_back is not None:
        return parts.changed(part, rescue_message=f"what is left of part {part.number} waits: {kept_back}")
    due = due_at(part)
    if due is not None and state.now < due:
        return parts.changed(part, rescue_message=f"what is left of part {part.number} is tried again after a pause")
    metadata = state.recording.metadata
    return parts.changed(
        part,
        state=PartState.RESCUING,
        pod=names.pod_name(recording=metadata.name, uid=metadata.uid, part=part.number, rescue=part.rescues + 1),
        pod_uid=None,
        # A claim has the outbox on it, whose callbacks are counted on; a volume of the pod's own has a new one.
        sequence=part.sequence if _has_claim(state.recording) else 0,
        rescues=part.rescues + 1,
        rescue_time=state.moment,
        rescue_message=None,
        runner_restarts=0,
        ready_time=None,
        running_time=None,
        heard_time=None,
        desired_generation=None,
    )


def why_kept_back(state: ObservedState) -> str | None:
    """Why no pod may be made that delivers: a store is not described yet, or not allowed, as it is described by now."""
    missing = state.context.store_wait
    if missing is not None and state.recording.spec.has_unresolved_store:
        return missing.message
    return stores_denial(state.recording.spec, state.settings)


def _not_made_yet(state: ObservedState, part: Part) -> Part:
    """A part whose rescuing pod the API server refused, or that is kept back since."""
    kept_back = why_kept_back(state)
    if kept_back is None:
        return part
    return parts.changed(part, rescue_message=f"what is left of part {part.number} waits: {kept_back}")


def _with_loss(part: Part, pod: PodView | None) -> Part:
    """A part whose volume goes with its pod: what was in no store is not recorded, and the part says how much."""
    gone = min(part.pending_milliseconds, part.recorded_milliseconds)
    back = parts.hope(pod.node or "") if pod is not None and _may_come_back(part, pod) else ""
    known = " when it was last heard of" if part.lost else ""
    stated = f"{gone / 1000:.0f} s of media that were in no store{known} are gone with its work volume{back}"
    return parts.changed(
        part,
        recorded_milliseconds=part.recorded_milliseconds - gone,
        pending_milliseconds=0,
        message=parts.with_more(part.message, stated),
    )


def _may_come_back(part: Part, pod: PodView | None) -> bool:
    """Whether the recorder may deliver after all; a pod that still winds up has its recorder's last word already."""
    return part.reason is Reason.NODE_LOST and pod is not None and not pod.over


def _waits_for(part: Part, pod: PodView) -> str:
    """Why the volume is not free yet, and the way out where that takes a person."""
    left = f"what is left of part {part.number} is on its claim"
    where = f"pod '{pod.name}'" + (f" on node '{pod.node}'" if pod.node else "")
    if pod.node_silent_since is None:
        return f"{left}, and delivered once {where} is gone"
    return (
        f"{left}, and delivered once Kubernetes has ended {where}: bring the node back, or, if it is shut down for "
        f"good, `kubectl taint node {pod.node} {_OUT_OF_SERVICE}`"
    )
