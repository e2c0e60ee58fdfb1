# SPDX-License-Identifier: Apache-2.0
"""What a watch tells of recordings that this replica, or another one, decides about."""

from __future__ import annotations

from typing import Any, cast

import pytest

from cloud_recording.controller.finalizer_index import FinalizerIndex
from cloud_recording.controller.held_shards import HeldShards
from cloud_recording.controller.recording_key import RecordingKey
from cloud_recording.controller.sightings import Sightings
from cloud_recording.controller.status_writer import ReconciledVersions
from cloud_recording.controller.watch import SeenPod, SeenRecording
from cloud_recording.domain.shards import bucket_of
from tests.unit.controller.test_sharing import SHARDS, key_in
from tests.unit.domain.builders import a_pod

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


@pytest.mark.parametrize(("held", "looked_at"), [({0}, [OURS]), ({0, 1}, [])])
def test_one_that_went_out_of_sight_may_have_another_label_where_labels_are_watched(
    held: set[int], looked_at: list[RecordingKey]
) -> None:
    """Else one of which somebody changed the label would be told nothing more."""
    seen, queue, noted = sightings(held=held)
    seen.recording(seen_recording(OURS, gone=True))
    assert (queue.keys, noted.told) == (looked_at, ["forget"])
