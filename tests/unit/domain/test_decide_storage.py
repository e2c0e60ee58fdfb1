# SPDX-License-Identifier: Apache-2.0
"""What becomes of a RecordingStorage, from what is known of it and of the pod that tries it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from cloud_recording.api.pod_options import Resources
from cloud_recording.api.reasons import REASONS, Reason
from cloud_recording.api.recording_storage import IN_USE_FINALIZER, RecordingStorage
from cloud_recording.api.settings import OperatorSettings
from cloud_recording.api.status import Condition
from cloud_recording.domain.decide_storage import (
    AGAIN,
    FIRST_RETRY,
    LAST_RETRY,
    STUCK,
    CreateProbe,
    DeleteProbe,
    ReleaseStorage,
    StorageDecision,
    StorageState,
    decide_storage,
)
from cloud_recording.domain.names import STORAGE_GENERATION_ANNOTATION
from cloud_recording.domain.observed_state import PodRefusal
from cloud_recording.domain.pod_view import PodView
from cloud_recording.domain.probe_pod import build_probe_pod
from tests.unit.domain.builders import NOW, SETTINGS, UID, after, time

Json = dict[str, Any]

READY = {"ready": True, "rights": {"put": "Allowed", "get": "Allowed", "delete": "Allowed"}}
DENIED = {"ready": False, "cause": "AccessDenied", "message": "the key may not put", "rights": {"put": "Refused"}}


def a_storage(*, deleted: bool = False, **metadata: Any) -> RecordingStorage:
    leaving = {"deletionTimestamp": time(NOW)} if deleted else {}
    return RecordingStorage.model_validate(
        {
            "metadata": {
                "name": "films",
                "namespace": "meetings",
                "uid": UID,
                "generation": 1,
                "creationTimestamp": time(NOW),
                "finalizers": [IN_USE_FINALIZER],
                **leaving,
                **metadata,
            },
            "spec": {
                "endpoint": "https://s3.example.com",
                "bucket": "recordings",
                "credentials": {"secretRef": {"name": "bucket-credentials"}},
            },
        }
    )


def a_probe(
    storage: RecordingStorage,
    *,
    answer: Json | None = None,
    ended: datetime = NOW,
    exit_code: int = 0,
    metadata: Json | None = None,
    **status: Any,
) -> PodView:
    """The pod that tries it, ended where there is an answer or an exit code."""
    body = build_probe_pod(storage, SETTINGS)
    body["metadata"] |= {"uid": "probe-1", "creationTimestamp": time(NOW), **(metadata or {})}
    if answer is not None or exit_code:
        message = json.dumps(answer) if answer is not None else ""
        terminated = {"exitCode": exit_code, "message": message, "reason": "Error", "finishedAt": time(ended)}
        status = {
            "phase": "Failed" if exit_code else "Succeeded",
            "containerStatuses": [{"name": "recorder", "state": {"terminated": terminated}}],
            **status,
        }
    return PodView.of({**body, "status": status})


def decided(
    storage: RecordingStorage,
    probe: PodView | None = None,
    *,
    now: datetime = NOW,
    users: tuple[str, ...] = (),
    settings: OperatorSettings = SETTINGS,
) -> StorageDecision:
    return decide_storage(StorageState(storage=storage, probe=probe, users=users, now=now, settings=settings))


def after_it(storage: RecordingStorage, decision: StorageDecision) -> RecordingStorage:
    return storage.model_copy(update={"status": decision.status})


def tried(answer: Json, *, at: datetime = NOW, storage: RecordingStorage | None = None) -> RecordingStorage:
    """A storage of which a probe has given this answer, after it was applied."""
    known = storage or after_it(a_storage(), decided(a_storage()))
    return after_it(known, decided(known, a_probe(known, answer=answer, ended=at), now=at))


def ready(decision: StorageDecision) -> Condition:
    (condition,) = decision.status.conditions
    assert decision.status.display == condition.reason
    return condition


def test_a_new_storage_is_held_and_tried_at_once() -> None:
    decision = decided(a_storage(finalizers=[]))
    assert (decision.add_finalizer, decision.actions) == (True, (CreateProbe(),))
    assert (ready(decision).status, ready(decision).reason) == ("False", "Probing")


def test_a_good_answer_makes_it_ready_and_ends_the_pod() -> None:
    storage = a_storage()
    probe = a_probe(storage, answer=READY)
    decision = decided(storage, probe)
    assert (ready(decision).status, ready(decision).reason, ready(decision).message) == ("True", "Writable", "")
    assert decision.actions == (DeleteProbe(pod=probe),)
    assert (decision.status.probed_generation, decision.status.probe_time) == (1, NOW)
    again = decided(after_it(storage, decision), probe, now=after(3))
    assert again.status == decision.status, "a pass that was cut off before the deletion comes to the same"


def test_a_store_in_which_nothing_is_put_twice_has_no_object_that_it_is_tried_with() -> None:
    storage = a_storage()
    storage = storage.model_copy(update={"spec": storage.spec.model_copy(update={"live_playlist": False})})
    decision = decided(storage, a_probe(storage, answer=READY))
    assert (ready(decision).status, decision.status.probe_object) == ("True", None)


@pytest.mark.parametrize(
    ("answer", "reason", "words"),
    [
        (
            DENIED,
            "AccessDenied",
            "the key may not put. Let the key, or the identity's role, put objects (`s3:PutObject`, with tags",
        ),
        ({**DENIED, "cause": "FromTheFuture"}, "StorageFailed", "the key may not put. Mend what the message names"),
        ({**DENIED, "cause": "Completed"}, "StorageFailed", "the key may not put. Mend what the message names"),
        ({**DENIED, "cause": "WaitingForSecret"}, "WaitingForSecret", "the key may not put. Create it"),
    ],
)
def test_a_refusal_is_told_with_its_cause_and_a_way_out(answer: Json, reason: str, words: str) -> None:
    storage = a_storage()
    told = ready(decided(storage, a_probe(storage, answer=answer)))
    assert (told.status, told.reason) == ("False", reason)
    assert told.message.startswith(words)


def test_a_missing_right_that_no_recording_needs_is_told_of_a_store_that_is_ready() -> None:
    told = ready(decided(a_storage(), a_probe(a_storage(), answer={**READY, "rights": {"get": "Refused"}})))
    assert told.status == "True"
    assert "may not get objects, so it is none for a `backup`" in told.message


def test_a_directory_is_not_told_of_a_key() -> None:
    spec = {"spec": {"directory": {"claimName": "films"}}}
    known = a_storage().model_dump(mode="json", by_alias=True, exclude_none=True)
    storage = RecordingStorage.model_validate({**known, **spec})
    told = ready(
        decided(storage, a_probe(storage, answer={**READY, "rights": {"get": "Refused", "delete": "Refused"}}))
    )
    assert told.message.startswith("the recorder's user may not get files, so it is none for a `backup`; ")
    assert "key" not in told.message


def test_a_probe_takes_nothing_that_recorders_are_given() -> None:
    """Promise: a store is not called unready because a GPU's quota is used up."""
    given = {"requests": {"nvidia.com/gpu": "1"}, "limits": {"nvidia.com/gpu": "1"}}
    runner = SETTINGS.runner.model_copy(update={"resources": Resources.model_validate(given)})
    pod = build_probe_pod(a_storage(), SETTINGS.model_copy(update={"runner": runner}))
    assert "nvidia.com/gpu" not in json.dumps(pod["spec"]["containers"][0]["resources"])


def test_what_is_refused_is_tried_again_in_growing_pauses() -> None:
    """Promise: some ten seconds after the first refusal, and never more than five minutes after one."""
    storage = tried(DENIED, at=after(2))
    pauses: list[timedelta] = []
    for _ in range(8):
        waiting = decided(storage, now=after(2) if not pauses else storage.status.probe_time or NOW)
        assert waiting.requeue_after is not None
        assert waiting.actions == ()
        pauses.append(waiting.requeue_after)
        due = (storage.status.probe_time or NOW) + waiting.requeue_after
        assert decided(storage, now=due).actions == (CreateProbe(),)
        storage = tried(DENIED, at=due, storage=storage)
    assert (pauses[0], pauses[-1]) == (FIRST_RETRY, LAST_RETRY)
    assert pauses == sorted(pauses)


def test_what_is_ready_is_tried_again_after_an_hour_and_stays_ready_meanwhile() -> None:
    storage = tried(READY)
    assert decided(storage, now=after(10)).requeue_after == AGAIN - timedelta(seconds=10)
    again = decided(storage, now=NOW + AGAIN)
    assert (again.actions, ready(again).status) == ((CreateProbe(),), "True")
    running: Json = {"containerStatuses": [{"name": "recorder", "state": {"running": {"startedAt": time(NOW)}}}]}
    assert ready(decided(storage, a_probe(storage, **running), now=NOW + AGAIN)).status == "True"
    lost = decided(storage, a_probe(storage, answer=DENIED, ended=NOW + AGAIN), now=NOW + AGAIN)
    assert ready(lost).reason == "AccessDenied"


@pytest.mark.parametrize("off", [-7200, 7200])
def test_a_nodes_clock_that_is_off_changes_no_pause(off: int) -> None:
    storage = a_storage()
    told = decided(storage, a_probe(storage, answer=READY, ended=after(off)), now=after(5)).status
    assert told.probe_time is not None
    assert NOW <= told.probe_time <= after(5)


def test_a_quota_that_is_used_up_says_nothing_against_a_store_that_is_ready() -> None:
    """Promise: the pods of recordings, which the quota counts, keep no others from their store."""
    storage = a_storage()
    storage = after_it(storage, decided(storage, a_probe(storage, answer=READY)))
    minute = timedelta(minutes=1)
    refusal = PodRefusal(part=0, reason=Reason.QUOTA_EXCEEDED, message="exceeded quota", retry_after=minute)
    state = StorageState(storage=storage, probe=None, users=(), now=after(7200), settings=SETTINGS, refusal=refusal)
    refused = decide_storage(state)
    assert ready(refused).status == "True"
    assert refused.requeue_after == minute


def test_a_probe_says_what_it_waits_for_and_no_longer_than_it_does() -> None:
    """The kubelet's words for a container that it cannot begin were told of recordings' pods alone."""
    storage = a_storage()

    def waiting(reason: str, message: str = "") -> PodView:
        state = {"waiting": {"reason": reason, "message": message}}
        return a_probe(storage, phase="Pending", containerStatuses=[{"name": "recorder", "state": state}])

    stuck = decided(storage, waiting("CreateContainerError", "no such device"))
    assert ready(stuck).reason == "Probing"
    told = ready(stuck).message
    assert told.startswith("generation 1 of the spec is being tried; pod 'films-")
    assert told.endswith("-probe' waits: no such device")
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no node has room"}
    full = decided(storage, a_probe(storage, phase="Pending", conditions=[unscheduled]))
    assert ready(full).reason == "Unschedulable"
    begins = ready(decided(after_it(storage, full), waiting("ContainerCreating")))
    assert (begins.reason, begins.message) == ("Probing", "generation 1 of the spec is being tried")


@pytest.mark.parametrize("reason", [Reason.QUOTA_EXCEEDED, Reason.POD_REJECTED, Reason.NAMESPACE_TERMINATING])
def test_a_pod_that_is_refused_is_told_in_words_that_a_storage_has(reason: Reason) -> None:
    refusal = PodRefusal(part=0, reason=reason, message="not now", retry_after=timedelta(minutes=1))
    state = StorageState(storage=a_storage(), probe=None, users=(), now=NOW, settings=SETTINGS, refusal=refusal)
    assert ready(decide_storage(state)).reason == reason
    assert REASONS[reason].remedy_of_storage is not None


def test_a_probe_without_an_answer_says_nothing_against_a_store_that_is_ready() -> None:
    """Promise: a claim that is mounted on another node, or a drained node, keeps no recording waiting."""
    storage = tried(READY)
    late = NOW + AGAIN
    decision = decided(storage, a_probe(storage, exit_code=1, ended=late), now=late)
    assert (ready(decision).status, decision.status.probe_time) == ("True", late)


def test_a_probe_without_an_answer_is_told_of_a_store_that_was_never_tried() -> None:
    storage = a_storage()
    told = ready(decided(storage, a_probe(storage, exit_code=1)))
    assert told.reason == "ProbeFailed"
    assert "-probe': the pod ended without a summary: Error, exit code 1" in told.message


def test_an_edit_is_tried_at_once_and_until_then_it_is_not_ready() -> None:
    edited = tried(READY)
    edited = edited.model_copy(update={"metadata": edited.metadata.model_copy(update={"generation": 2})})
    decision = decided(edited)
    assert (decision.actions, ready(decision).reason) == ((CreateProbe(),), "Probing")
    assert ready(decision).message == "generation 2 of the spec is being tried"
    outdated = a_probe(a_storage(), answer=READY)
    assert outdated.annotations[STORAGE_GENERATION_ANNOTATION] == "1"
    decision = decided(edited, outdated)
    assert (decision.actions, ready(decision).reason) == ((DeleteProbe(pod=outdated),), "Probing")


def test_what_is_not_allowed_is_not_tried() -> None:
    allowed = SETTINGS.allowed.model_copy(update={"secrets": ("other",)})
    settings = SETTINGS.model_copy(update={"allowed": allowed})
    probe = a_probe(a_storage())
    decision = decided(a_storage(), probe, settings=settings)
    assert (ready(decision).reason, decision.actions) == ("NotAllowed", (DeleteProbe(pod=probe),))
    assert "must not name the Secret 'bucket-credentials'" in ready(decision).message


def test_a_deleted_storage_waits_for_its_recordings_and_names_them() -> None:
    leaving = a_storage(deleted=True)
    held = decided(leaving, users=tuple("abcdefg"))
    assert (ready(held).reason, held.actions) == ("InUse", ())
    assert ready(held).message.startswith("it is still used by 'a', 'b', 'c', 'd', 'e' and 2 more. Wait until")
    assert decided(leaving).actions == (ReleaseStorage(),)
    probe = a_probe(leaving)
    assert decided(leaving, probe).actions == (DeleteProbe(pod=probe), ReleaseStorage())
    assert decided(a_storage(deleted=True, finalizers=[])).actions == ()


def test_a_probe_whose_node_is_gone_keeps_no_other_waiting() -> None:
    storage = a_storage()
    probe = replace(a_probe(storage), deleted_at=NOW)
    assert decided(storage, probe).actions == ()
    assert decided(storage, probe, now=NOW + STUCK).actions == (DeleteProbe(pod=probe, at_once=True),)
