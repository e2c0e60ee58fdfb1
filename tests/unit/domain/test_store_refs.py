# SPDX-License-Identifier: Apache-2.0
"""Recordings that name RecordingStorages: what they wait for, and what they are made with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cloud_recording.api.needed_secrets import needed_keys
from cloud_recording.api.reasons import STORAGE_REASONS, Reason, reason_facts
from cloud_recording.api.recording import CloudRecording
from cloud_recording.api.recording_storage import RecordingStorage
from cloud_recording.api.settings import AllowedSettings
from cloud_recording.api.status import CloudRecordingStatus, Outcome, PartState
from cloud_recording.api.wire import DESIRED_ANNOTATION
from cloud_recording.domain.decide import decide
from cloud_recording.domain.decision import AnnotatePod, CreatePod
from cloud_recording.domain.playlist_url import playlists_of
from cloud_recording.domain.pod_documents import desired_state_document, recording_document
from cloud_recording.domain.store_refs import names_in, resolved
from tests.unit.domain.builders import NOW, SETTINGS, a_part, a_recording, context, time

Json = dict[str, Any]

FILMS = {"storage": {"ref": {"name": "films"}}}


def a_storage(
    name: str = "films",
    *,
    reason: str | None = "Writable",
    generation: int = 1,
    get: str = "Allowed",
    deleted: bool = False,
    **spec: Any,
) -> RecordingStorage:
    """One that was found so at generation 1."""
    condition = {"type": "Ready", "status": str(reason == "Writable"), "observedGeneration": 1, "message": "its words"}
    conditions = [{**condition, "reason": reason, "lastTransitionTime": time(NOW)}] if reason else []
    metadata = {"name": name, "namespace": "meetings", "uid": "1", "generation": generation}
    leaving = {"deletionTimestamp": time(NOW)} if deleted else {}
    return RecordingStorage.model_validate(
        {
            "metadata": {**metadata, **leaving, "creationTimestamp": time(NOW)},
            "spec": {
                "endpoint": "https://s3.example.com",
                "bucket": "films",
                "credentials": {"secretRef": {"name": "films-key"}},
                **spec,
            },
            "status": {"conditions": conditions, "rights": {"put": "Allowed", "get": get}},
        }
    )


def by_name(**spec: Any) -> CloudRecording:
    recording = a_recording().build()
    body = recording.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    parsed = type(recording.spec).model_validate({**body, **FILMS, **spec})
    return recording.model_copy(update={"spec": parsed})


def passed(recording: CloudRecording, *storages: RecordingStorage) -> Any:
    stores = resolved(recording, {one.metadata.name: one for one in storages})
    return decide(stores.recording, {}, now=NOW, context=replace(context(), store_wait=stores.waits))


@pytest.mark.parametrize(
    ("storages", "reason", "words"),
    [
        ((), "WaitingForStorage", "RecordingStorage 'films', which `spec.storage.ref` names, is not there"),
        ((a_storage(deleted=True),), "WaitingForStorage", "is being deleted"),
        ((a_storage(reason=None),), "Pending", "is being tried"),
        ((a_storage(reason="Probing"),), "Pending", "is being tried"),
        ((a_storage(generation=2),), "Pending", "is being tried"),
        ((a_storage(reason="NoSuchBucket"),), "WaitingForStorage", "is not ready (NoSuchBucket): its words"),
    ],
)
def test_a_recording_begins_no_part_before_its_storage_is_ready(
    storages: tuple[RecordingStorage, ...], reason: str, words: str
) -> None:
    decision = passed(by_name(), *storages)
    assert decision.status.parts == ()
    assert not any(isinstance(action, CreatePod) for action in decision.actions)
    (ready,) = [one for one in decision.status.conditions if one.type == "Ready"]
    assert ready.reason == reason
    assert words in ready.message


DRAINED: dict[str, Any] = {
    "state": PartState.CONCLUDED,
    "outcome": Outcome.DRAINED,
    "create_time": NOW,
    "start_time": NOW,
    "end_time": NOW,
}


@pytest.mark.parametrize(
    ("storage", "parts"),
    [
        (a_storage(), 2),
        (a_storage(reason="StorageUnreachable"), 2),
        (a_storage(reason="AccessDenied", deleted=True), 2),
        (a_storage(generation=2), 1),
    ],
)
def test_a_recording_under_way_goes_on_in_another_part_whatever_its_store_takes(
    storage: RecordingStorage, parts: int
) -> None:
    """Promise: an outage of the bucket loses nothing while the work volume has room, in a later part too."""
    recording = by_name()
    begun = recording.model_copy(update={"status": CloudRecordingStatus(parts=(a_part(**DRAINED),))})
    assert len(passed(begun, storage).status.parts) == parts


@pytest.mark.parametrize("state", [PartState.PLANNED, PartState.RESCUING])
def test_no_pod_is_made_with_what_is_not_allowed_by_now(state: PartState) -> None:
    """Promise: who may edit a RecordingStorage reaches no Secret and no host by it that the administrator denies."""
    recording = by_name(work={"persistentVolumeClaim": {"size": "1Gi"}})
    body = recording.model_copy(
        update={"status": CloudRecordingStatus(parts=(a_part(state=state, create_time=NOW, pod_uid=None),))}
    )
    allowed = AllowedSettings(secrets=("films-key",))

    def actions(storage: RecordingStorage) -> list[str]:
        stores = resolved(body, {"films": storage})
        known = context(SETTINGS.model_copy(update={"allowed": allowed}))
        decision = decide(stores.recording, {}, now=NOW, context=replace(known, store_wait=stores.waits))
        return [type(action).__name__ for action in decision.actions]

    stolen = a_storage(generation=1, credentials={"secretRef": {"name": "somebody-elses"}})
    assert "CreatePod" in actions(a_storage())
    assert "CreatePod" not in actions(stolen)


def test_it_is_made_as_if_the_store_was_written_out() -> None:
    recording = resolved(by_name(), {"films": a_storage()}).recording
    decision = passed(by_name(), a_storage())
    (part,) = decision.status.parts
    assert (part.storage.place.bucket, part.storage.storage_name) == ("films", "films")
    document = recording_document(recording, part, SETTINGS)
    assert document.storage == document.spec.storage
    assert (document.storage_name, document.storage.ref) == ("films", None)
    assert {needed.ref.name for needed in needed_keys(document.spec)} == {"films-key"}


def test_a_backup_keeps_what_is_beside_its_name() -> None:
    backup = {"ref": {"name": "spare"}, "afterSeconds": 5}
    stores = resolved(by_name(backup=backup), {"films": a_storage(), "spare": a_storage("spare", bucket="spare")})
    assert stores.waits is None
    found = stores.recording.spec.backup
    assert found is not None
    assert (found.bucket, found.after_seconds) == ("spare", 5)


def a_directory(name: str, *, get: str) -> RecordingStorage:
    directory = {"spec": {"directory": {"claimName": "films"}}}
    found = a_storage(name, get=get).model_dump(mode="json", by_alias=True, exclude_none=True)
    return RecordingStorage.model_validate({**found, **directory})


@pytest.mark.parametrize(
    ("spare", "reason", "words"),
    [
        (a_storage("spare"), "InvalidSpec", "must be another place than `spec.storage`"),
        (a_storage("spare", bucket="spare", get="Refused"), "WaitingForStorage", "may not get objects"),
        (a_directory("spare", get="Refused"), "WaitingForStorage", "the recorder's user may not read"),
        (a_storage("spare", bucket="spare", reason="AccessDenied"), "WaitingForStorage", "`spec.backup.ref`"),
    ],
)
def test_a_backup_that_is_none_is_not_begun_with(spare: RecordingStorage, reason: str, words: str) -> None:
    waits = resolved(by_name(backup={"ref": {"name": "spare"}}), {"films": a_storage(), "spare": spare}).waits
    assert waits is not None
    assert waits.reason == reason
    assert words in waits.message


def begun(*storages: RecordingStorage) -> CloudRecording:
    """A recording whose part was begun with these."""
    return by_name().model_copy(update={"status": passed(by_name(), *storages).status})


def desired_endpoint(recording: CloudRecording, storage: RecordingStorage | None) -> str | None:
    """Where its part is told to put files, once the RecordingStorage is this."""
    known = {} if storage is None else {"films": storage}
    found = resolved(recording, known).recording
    document = desired_state_document(found, found.status, found.status.parts[0], now=NOW, settings=SETTINGS)
    return None if document.storage is None else document.storage.endpoint


def test_a_part_follows_another_endpoint_once_that_was_tried() -> None:
    """Promise: a storage that was mended is mended for recordings under way too, while nothing of them is stored."""
    recording, elsewhere = begun(a_storage()), "https://s3.example.org"
    assert desired_endpoint(recording, a_storage()) == "https://s3.example.com"
    assert desired_endpoint(recording, a_storage(generation=2, endpoint=elsewhere)) == "https://s3.example.com"
    assert desired_endpoint(recording, a_storage(reason="AccessDenied", endpoint=elsewhere)) == "https://s3.example.com"
    assert desired_endpoint(recording, a_storage(endpoint=elsewhere)) == elsewhere


def test_a_recording_whose_storage_is_gone_goes_on_with_what_its_pod_was_made_with() -> None:
    """Promise: whoever takes our finalizer off a RecordingStorage harms no recording that runs."""
    recording = begun(a_storage())
    assert desired_endpoint(recording, None) is None
    stores = resolved(recording, {})
    assert playlists_of(stores.recording, recording.status) == ()
    decision = passed(recording)
    told = [action for action in decision.actions if isinstance(action, AnnotatePod)]
    assert not any(
        DESIRED_ANNOTATION in one.annotations and "ref" in one.annotations[DESIRED_ANNOTATION] for one in told
    )


def test_names_are_found_without_reading_the_spec() -> None:
    both = {"spec": {"storage": {"ref": {"name": "a"}}, "backup": {"ref": {"name": "b"}}}}
    assert names_in(both) == {"a", "b"}
    for body in (
        {},
        {"spec": None},
        {"spec": {"storage": {"bucket": "a"}, "backup": None}},
        {"spec": {"storage": {"ref": 1}}},
    ):
        assert names_in(body) == set()


def test_what_a_store_refuses_is_mended_where_the_store_is_described() -> None:
    """Promise: nobody is sent to a field that a recording with a reference cannot have."""
    for reason in STORAGE_REASONS:
        for stored in (False, True):
            text = reason_facts(reason).remedy_text(stored=stored, named="films")
            # Where it is the pod's own volume or node, it is none of the store's.
            of_store = reason not in {Reason.WORK_VOLUME_UNREADABLE, Reason.CLOCK_SKEW}
            assert text.startswith("RecordingStorage 'films': ") is of_store, reason
            assert "spec.storage" not in text


def test_two_stores_that_name_two_accounts_have_no_pod() -> None:
    """Promise: a pod runs as one account, and which one is never left to chance."""

    def waits(*, spare: str) -> Any:
        recording = by_name(backup={"ref": {"name": "spare"}})
        by_account: dict[str, Any] = {"credentials": None, "serviceAccountName": "films"}
        films = a_storage(**by_account)
        return resolved(
            recording,
            {
                "films": films,
                "spare": a_storage("spare", **{**by_account, "serviceAccountName": spare, "bucket": "spare"}),
            },
        ).waits

    assert waits(spare="films") is None
    refused = waits(spare="other")
    assert refused.reason == "InvalidSpec"
    assert "`spec` must name one ServiceAccount in `storage`, `backup` and `pod`" in refused.message
