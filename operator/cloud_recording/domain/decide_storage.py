# SPDX-License-Identifier: Apache-2.0
"""What is to become of a RecordingStorage: tried, tried again, let go of. `decide_storage` is total and idempotent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from pydantic import ValidationError

from cloud_recording.api.reasons import ConditionType, Reason, reason_facts
from cloud_recording.api.recording_storage import (
    IN_USE_FINALIZER,
    RecordingStorage,
    RecordingStorageStatus,
    Right,
    StorageProbe,
    StorageRights,
)
from cloud_recording.api.settings import OperatorSettings
from cloud_recording.api.status import ConditionStatus
from cloud_recording.domain import names, probe_pod
from cloud_recording.domain.admission import shared_storage_denial
from cloud_recording.domain.conditions import Conditions
from cloud_recording.domain.observe_pods import silent_end, why_waiting
from cloud_recording.domain.observed_state import PodRefusal
from cloud_recording.domain.pod_view import PodView

AGAIN: Final = timedelta(hours=1)
"""How long what a probe found counts: nobody tells that a key was taken away."""

FIRST_RETRY: Final = timedelta(seconds=10)
LAST_RETRY: Final = timedelta(minutes=5)
"""The first and the longest pause after a refusal: nobody tells that a bucket, or what is in a Secret, was mended."""

USERS_LOOK: Final = timedelta(seconds=60)
"""How often a deleted one asks who uses it, beside when a recording ends."""

STUCK: Final = timedelta(seconds=60)
"""How long a probe's pod may take to end that was told to: nothing is on it that would be lost."""

_NAMED_USERS: Final = 5


@dataclass(frozen=True, kw_only=True)
class StorageState:
    """A RecordingStorage as a pass finds it."""

    storage: RecordingStorage
    probe: PodView | None
    """The pod that tries it, if it is there."""
    users: Sequence[str]
    """The recordings that are not over and name it; asked for only where it is deleted."""
    now: datetime
    settings: OperatorSettings
    refusal: PodRefusal | None = None

    @property
    def generation(self) -> int:
        """The generation of its spec."""
        return self.storage.metadata.generation


@dataclass(frozen=True)
class CreateProbe:
    """It is to be tried now."""


@dataclass(frozen=True, kw_only=True)
class DeleteProbe:
    """The pod has said what there is, or is of another spec."""

    pod: PodView
    at_once: bool = False


@dataclass(frozen=True)
class ReleaseStorage:
    """Nobody uses it any more: our finalizer goes."""


StorageAction = CreateProbe | DeleteProbe | ReleaseStorage


@dataclass(frozen=True, kw_only=True)
class StorageDecision:
    """What is to become of a RecordingStorage; first the status is written, then the actions are done."""

    status: RecordingStorageStatus
    add_finalizer: bool = False
    actions: tuple[StorageAction, ...] = ()
    requeue_after: timedelta | None = None


def decide_storage(state: StorageState) -> StorageDecision:
    """What is to be done about it now."""
    if state.storage.metadata.deletion_timestamp is not None:
        return _leaving(state)
    found = _tried(state)
    held = IN_USE_FINALIZER in state.storage.metadata.finalizers
    return found if held else replace(found, add_finalizer=True)


def _leaving(state: StorageState) -> StorageDecision:
    if not state.users:
        held = IN_USE_FINALIZER in state.storage.metadata.finalizers
        probe = (DeleteProbe(pod=state.probe),) if state.probe is not None else ()
        return StorageDecision(status=state.storage.status, actions=(*probe, ReleaseStorage()) if held else ())
    listed = ", ".join(f"'{name}'" for name in state.users[:_NAMED_USERS])
    more = f" and {len(state.users) - _NAMED_USERS} more" if len(state.users) > _NAMED_USERS else ""
    status = _not_ready(state, state.storage.status, Reason.IN_USE, f"it is still used by {listed}{more}")
    return StorageDecision(status=status, requeue_after=USERS_LOOK)


def _tried(state: StorageState) -> StorageDecision:
    probe, known = state.probe, state.storage.status
    end = () if probe is None or probe.deleted_at is not None else (DeleteProbe(pod=probe),)
    forbidden = shared_storage_denial(probe_pod.storage_of(state.storage), state.settings)
    if forbidden is not None:
        return StorageDecision(status=_not_ready(state, known, Reason.NOT_ALLOWED, forbidden), actions=end)
    if probe is None:
        return _without_probe(state)
    if probe.deleted_at is not None:
        stuck = state.now >= probe.deleted_at + STUCK
        over = (DeleteProbe(pod=probe, at_once=True),) if stuck else ()
        return StorageDecision(status=_awaiting(state), actions=over, requeue_after=STUCK)
    if probe.annotations.get(names.STORAGE_GENERATION_ANNOTATION) != str(state.generation):
        return StorageDecision(status=_awaiting(state), actions=end, requeue_after=STUCK)
    if probe.over or probe.terminated is not None:
        return StorageDecision(status=_answered(state, probe), actions=end, requeue_after=STUCK)
    return StorageDecision(status=_waiting(state, probe))


def _without_probe(state: StorageState) -> StorageDecision:
    if state.refusal is not None and _is_ready(state):
        # A quota that is used up says nothing of the store.
        return StorageDecision(status=_renewed(state, state.storage.status), requeue_after=state.refusal.retry_after)
    if state.refusal is not None:
        status = _not_ready(state, state.storage.status, state.refusal.reason, state.refusal.message)
        return StorageDecision(status=status, requeue_after=state.refusal.retry_after)
    due = _due(state)
    if state.now < due:
        return StorageDecision(status=_renewed(state, state.storage.status), requeue_after=due - state.now)
    return StorageDecision(status=_awaiting(state), actions=(CreateProbe(),))


def _due(state: StorageState) -> datetime:
    """When the next probe is due: the longer it has been refused, the longer the pause."""
    status = state.storage.status
    if status.probe_time is None or status.probed_generation != state.generation:
        return state.now
    ready = _conditions(state, status).get(ConditionType.READY)
    if ready is None or ready.status is ConditionStatus.TRUE:
        return status.probe_time + AGAIN
    refused_for = status.probe_time - ready.last_transition_time
    return status.probe_time + min(max(refused_for, FIRST_RETRY), LAST_RETRY)


def _awaiting(state: StorageState) -> RecordingStorageStatus:
    """What is said while a probe is to come: of a spec that was never tried nothing else than that it is."""
    status = state.storage.status
    if status.probed_generation == state.generation and status.conditions:
        return _renewed(state, status)
    known = _conditions(state, status).get(ConditionType.READY)
    if known is not None and known.reason is not Reason.PROBING and known.observed_generation == state.generation:
        # A pod that cannot be had yet has its words already.
        return _renewed(state, status)
    message = f"generation {state.generation} of the spec is being tried"
    return _with_ready(state, status, ConditionStatus.FALSE, Reason.PROBING, message)


def _waiting(state: StorageState, probe: PodView) -> RecordingStorageStatus:
    """What is said while the probe's pod is there: what keeps it, where nothing is known of this spec yet."""
    claim = state.storage.spec.directory.claim_name if state.storage.spec.directory is not None else None
    reason, message = why_waiting(probe, [claim] if claim is not None else [])
    tried = state.storage.status.probed_generation == state.generation
    if tried or reason is None or reason_facts(reason).remedy_of_storage is None:
        return _being_tried(state, waits=f"pod '{probe.name}' waits: {message}" if message else "")
    return _not_ready(state, state.storage.status, reason, message or "")


def _being_tried(state: StorageState, *, waits: str) -> RecordingStorageStatus:
    status = state.storage.status
    if status.probed_generation == state.generation:
        return _renewed(state, status)
    message = "; ".join(filter(None, (f"generation {state.generation} of the spec is being tried", waits)))
    return _with_ready(state, status, ConditionStatus.FALSE, Reason.PROBING, message)


def _answered(state: StorageState, probe: PodView) -> RecordingStorageStatus:
    status = state.storage.status.model_copy(
        update={
            "probed_generation": state.generation,
            "probe_time": _ended_at(probe, now=state.now).replace(microsecond=0),
            "probe_object": probe_pod.probe_object(state.storage),
        }
    )
    answer = _answer(probe)
    if answer is None and _is_ready(state):
        # It says nothing of the store: a claim may be in use on another node, or the pod was put out.
        return _renewed(state, status)
    if answer is None:
        _, how = silent_end(probe)
        message = f"pod '{probe.name}': {how}"
        return _not_ready(state, status, Reason.PROBE_FAILED, message)
    status = status.model_copy(update={"rights": answer.rights})
    if answer.ready:
        message = _without_right(answer.rights, of_bucket=state.storage.spec.directory is None)
        return _with_ready(state, status, ConditionStatus.TRUE, Reason.WRITABLE, message)
    reason = Reason(answer.cause)
    known = reason.known and reason_facts(reason).remedy_of_storage is not None
    return _not_ready(state, status, reason if known else Reason.STORAGE_FAILED, answer.message)


def _ended_at(probe: PodView, *, now: datetime) -> datetime:
    """When the probe ended, by the cluster's clock, by which the next is due: the node's may be hours off."""
    ended = probe.terminated.finished_at if probe.terminated is not None else None
    return min(max(ended or now, probe.created_at or now), now)


def _answer(probe: PodView) -> StorageProbe | None:
    if probe.terminated is None or probe.terminated.exit_code != 0:
        return None
    try:
        return StorageProbe.model_validate_json(probe.terminated.message)
    except ValidationError:
        return None


def _without_right(rights: StorageRights, *, of_bucket: bool) -> str:
    """Which rights are missing, where all that recordings need of a `storage` are there."""
    who, what, tried = ("the key", "objects", "object") if of_bucket else ("the recorder's user", "files", "file")
    words = (
        (rights.get, f"{who} may not get {what}, so it is none for a `backup`"),
        (rights.delete, f"{who} may not delete {what}, so the {tried} that it is tried with stays"),
    )
    return "; ".join(text for right, text in words if right is Right.REFUSED)


def _not_ready(
    state: StorageState, status: RecordingStorageStatus, reason: Reason, message: str
) -> RecordingStorageStatus:
    remedy = reason_facts(reason).remedy_of_storage
    way_out = f"{message.rstrip('. ')}. {remedy.text}" if remedy is not None and remedy.text else message
    return _with_ready(state, status, ConditionStatus.FALSE, reason, way_out)


def _with_ready(
    state: StorageState, status: RecordingStorageStatus, good: ConditionStatus, reason: Reason, message: str
) -> RecordingStorageStatus:
    conditions = _conditions(state, status)
    conditions.set(ConditionType.READY, good, reason, message)
    return _renewed(state, status.model_copy(update={"conditions": conditions.as_tuple(), "display": reason.value}))


def _renewed(state: StorageState, status: RecordingStorageStatus) -> RecordingStorageStatus:
    return status.model_copy(update={"observed_generation": state.generation})


def _is_ready(state: StorageState) -> bool:
    ready = _conditions(state, state.storage.status).get(ConditionType.READY)
    tried = state.storage.status.probed_generation == state.generation
    return tried and ready is not None and ready.status is ConditionStatus.TRUE


def _conditions(state: StorageState, status: RecordingStorageStatus) -> Conditions:
    return Conditions(status.conditions, generation=state.generation, now=state.now)
