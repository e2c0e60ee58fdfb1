# SPDX-License-Identifier: Apache-2.0
"""What is remembered of RecordingStorages, and which of their changes concern the recordings that name them."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cloud_recording.controller.known_storages import KnownStorages
from cloud_recording.controller.recording_key import RecordingKey
from cloud_recording.controller.storage_key import StorageKey
from cloud_recording.kube.recordings import RecordingStorages

FILMS = StorageKey("meetings", "films")


def body(version: int, *, probed: str = "2026-05-04T12:00:00Z", ready: str = "True", **metadata: Any) -> dict[str, Any]:
    condition = {"type": "Ready", "status": ready, "reason": "Writable", "message": "", "observedGeneration": 1}
    return {
        "metadata": {
            "namespace": FILMS.namespace,
            "name": FILMS.name,
            "uid": "1",
            "generation": 1,
            "resourceVersion": str(version),
            "creationTimestamp": "2026-05-04T11:00:00Z",
            **metadata,
        },
        "spec": {
            "bucket": "films",
            "region": "eu-west-1",
            "vendor": "AWS",
            "credentials": {"secretRef": {"name": "k"}},
        },
        "status": {
            "probeTime": probed,
            "conditions": [{**condition, "lastTransitionTime": "2026-05-04T11:00:00Z"}],
        },
    }


@pytest.fixture
def freed() -> list[StorageKey]:
    return []


@pytest.fixture
def known(freed: list[StorageKey]) -> KnownStorages:
    return KnownStorages(cast("RecordingStorages", SimpleNamespace()), clock=lambda: 0.0, freed=freed.append)


def test_that_a_store_was_tried_again_is_no_news_to_thousands_of_recordings(known: KnownStorages) -> None:
    """Promise: the hourly try of a store that all name does not have all of them looked at at once."""
    assert known.seen(body(1))
    assert not known.seen(body(2, probed="2026-05-04T13:00:00Z"))
    assert known.seen(body(3, ready="False"))
    assert known.seen(body(4, ready="False", deletionTimestamp="2026-05-04T14:00:00Z"))
    known.forget(FILMS)
    assert known.seen(body(5))


def test_that_nobody_names_it_any_more_matters_to_one_that_is_to_be_deleted(
    known: KnownStorages, freed: list[StorageKey]
) -> None:
    recording = RecordingKey(FILMS.namespace, "talk")
    known.seen(body(1))
    known.users.note(recording, frozenset({FILMS.name}))
    known.users.forget(recording)
    assert freed == []
    known.seen(body(2, deletionTimestamp="2026-05-04T14:00:00Z"))
    known.users.note(recording, frozenset({FILMS.name}))
    known.users.forget(recording)
    assert freed == [FILMS]
    known.users.note(recording, frozenset({FILMS.name}))
    known.users.note(recording, frozenset({"others"}))
    assert freed == [FILMS, FILMS], "an edit names another one"


class Storages:
    """What the API server is asked to write into a RecordingStorage."""

    def __init__(self) -> None:
        self.annotated: list[dict[str, str]] = []

    async def annotate(self, *, namespace: str, name: str, annotations: dict[str, str]) -> None:
        assert StorageKey(namespace, name) == FILMS
        self.annotated.append(annotations)


async def test_whoever_decides_about_one_is_told_by_whoever_decides_about_its_last_users() -> None:
    """Promise: one that is deleted is let go of when its last recording ends, whichever replicas act on the two."""
    storages = Storages()
    known = KnownStorages(cast("RecordingStorages", storages), clock=lambda: 0.0)
    first, last = (RecordingKey(FILMS.namespace, name) for name in ("talk", "walk"))
    for recording in (first, last):
        known.users.note(recording, frozenset({FILMS.name}))
    now = datetime(2026, 5, 4, 15, tzinfo=UTC)
    known.users.forget(first)
    await known.tell_freed(FILMS, now=now)
    assert storages.annotated == []
    known.users.forget(last)
    await known.tell_freed(FILMS, now=now)
    assert storages.annotated == [{"cloudrecording.dev/freed": "2026-05-04T15:00:00+00:00"}]
