# SPDX-License-Identifier: Apache-2.0
"""What a watch tells of recordings that this replica, or another one, decides about."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest

from cloud_recording.api.status import Amounts
from cloud_recording.controller.finalizer_index import FinalizerIndex
from cloud_recording.controller.held_shards import HeldShards
from cloud_recording.controller.known_recordings import KnownRecordings, compact
from cloud_recording.controller.recording_key import RecordingKey
from cloud_recording.controller.sightings import Sightings
from cloud_recording.controller.status_writer import ReconciledVersions
from cloud_recording.controller.watch import SeenPod, SeenRecording
from cloud_recording.domain.shards import bucket_of
from tests.unit.controller.test_sharing import SHARDS, key_in
from tests.unit.domain.builders import NOW, a_pod, a_recording, after
from tests.unit.domain.test_truth import recording_part

OURS, THEIRS = key_in(0), key_in(1)


class Noted:
    """Stands for whatever is told something; keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: self.told.append(name)


class Queue:
    def __init__(self) -> None:
        self.keys: list[RecordingKey] = []

    def add(self, key: RecordingKey, *, cause: str) -> None:
        assert cause in {"recording", "pod"}
        self.keys.append(key)

    def forget(self, key: RecordingKey) -> None:
        """Of one that may be gone."""


def sightings(*, held: set[int]) -> tuple[Sightings, Queue, Noted]:
    shards = HeldShards(SHARDS)
    shards.hold(held)
    queue, noted = Queue(), cast("Any", Noted())
    seen = Sightings(
        queue=cast("Any", queue),
        reconciler=noted,
        versions=ReconciledVersions(),
        finalizers=FinalizerIndex(),
        recordings=noted,
        pods=noted,
        storages=noted,
        held=shards,
    )
    return seen, queue, noted


def seen_recording(key: RecordingKey, *, bucket: int | None = None, gone: bool = False) -> SeenRecording:
    label = None if bucket is None else str(bucket)
    return SeenRecording(key=key, version="1", text=None if gone else b"{}", bucket=label)


@pytest.mark.parametrize("bucket", [None, bucket_of(*THEIRS)])
def test_what_another_replica_decides_about_is_passed_over(bucket: int | None) -> None:
    seen, queue, noted = sightings(held={0})
    seen.recording(seen_recording(THEIRS, bucket=bucket))
    seen.recording(seen_recording(THEIRS, bucket=bucket, gone=True))
    seen.pod(SeenPod(recording=THEIRS, pod=a_pod().running().build(), gone=False))
    assert (queue.keys, noted.told) == ([], [])
    assert not seen.finalizers.of(THEIRS)


def test_one_that_is_seen_here_by_a_wrong_label_is_looked_at() -> None:
    seen, queue, _ = sightings(held={0})
    seen.recording(seen_recording(THEIRS, bucket=bucket_of(*OURS)))
    assert queue.keys == [THEIRS]


def version(number: int, **changes: Any) -> dict[str, Any]:
    """A recording of ours that records, as the API server has it."""
    part = recording_part(heard_time=NOW, slices=Amounts(written=4, uploaded=3))
    metadata = {"namespace": OURS.namespace, "name": OURS.name, "resourceVersion": str(number)}
    body = a_recording().parts(part).build().model_dump(mode="json", by_alias=True, exclude_none=True)
    return {**body, "metadata": {**body["metadata"], **metadata}, **changes}


def heard_more(body: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Its status after a callback with more of the same, and whatever else is said."""
    (part,) = body["status"]["parts"]
    told = {**part, "sequence": 9, "heardTime": after(20).isoformat(), "slices": {"written": 5, "uploaded": 4}}
    return {**body["status"], "slices": told["slices"], "parts": [{**told, **changes}]}


@pytest.mark.parametrize(
    ("change", "passes"),
    [
        pytest.param({"status": heard_more(version(1))}, 0, id="more of the same"),
        pytest.param({"status": heard_more(version(1), state="Paused")}, 1, id="another state"),
        pytest.param({"status": heard_more(version(1)), "spec": {**version(1)["spec"], "desiredState": "Stopped"}}, 1),
        pytest.param({"metadata": {**version(2)["metadata"], "labels": {"a": "b"}}}, 1, id="an edit of its labels"),
        pytest.param({"status": {"parts": "unreadable"}}, 1, id="what cannot be read"),
    ],
)
def test_what_another_replica_took_in_is_work_only_where_it_decides_anything(
    change: dict[str, Any], passes: int
) -> None:
    """Promise: no pass follows a callback that changed only figures, whichever replica took it in."""
    seen, queue, _ = sightings(held={0})
    seen = replace(seen, recordings=KnownRecordings(cast("Any", None), clock=lambda: 0.0))
    seen.recording(SeenRecording(key=OURS, version="1", text=compact(version(1))))
    assert queue.keys.pop() == OURS
    seen.versions.mark(OURS, "1")
    seen.recording(SeenRecording(key=OURS, version="2", text=compact(version(2, **change))))
    assert len(queue.keys) == passes
    # Also of what follows.
    seen.recording(SeenRecording(key=OURS, version="3", text=compact(version(3, **change))))
    assert len(queue.keys) == 2 * passes


def test_more_of_the_same_on_what_nobody_has_looked_at_is_looked_at() -> None:
    seen, queue, _ = sightings(held={0})
    seen = replace(seen, recordings=KnownRecordings(cast("Any", None), clock=lambda: 0.0))
    for number in (1, 2):
        seen.recording(SeenRecording(key=OURS, version=str(number), text=compact(version(number))))
    assert queue.keys == [OURS, OURS]


def test_late_news_of_an_older_version_does_not_take_the_newer_ones_place() -> None:
    """What the API server tells of before is no progress over what is known."""
    seen, queue, _ = sightings(held={0})
    seen = replace(seen, recordings=KnownRecordings(cast("Any", None), clock=lambda: 0.0))
    seen.recordings.seen(OURS, "3", compact(version(3)))
    seen.versions.mark(OURS, "3")
    seen.recording(SeenRecording(key=OURS, version="2", text=compact(version(2))))
    assert queue.keys == [OURS]
    assert seen.versions.is_last(OURS, "3")


@pytest.mark.parametrize(("held", "looked_at"), [({0}, [OURS]), ({0, 1}, [])])
def test_one_that_went_out_of_sight_may_have_another_label_where_labels_are_watched(
    held: set[int], looked_at: list[RecordingKey]
) -> None:
    """Else one of which somebody changed the label would be told nothing more."""
    seen, queue, noted = sightings(held=held)
    seen.recording(seen_recording(OURS, gone=True))
    assert (queue.keys, noted.told) == (looked_at, ["forget"])
