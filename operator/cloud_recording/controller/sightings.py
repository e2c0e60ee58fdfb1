# SPDX-License-Identifier: Apache-2.0
"""What becomes of what the watch tells: it is remembered, and its key is put into the queue."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from cloud_recording.common.json_types import Json
from cloud_recording.controller.finalizer_index import FinalizerIndex
from cloud_recording.controller.held_shards import HeldShards
from cloud_recording.controller.known_pods import KnownPods
from cloud_recording.controller.known_recordings import KnownRecordings, body_of, version_of
from cloud_recording.controller.known_storages import KnownStorages
from cloud_recording.controller.reconcile import Reconciler
from cloud_recording.controller.recording_key import RecordingKey
from cloud_recording.controller.status_writer import ReconciledVersions
from cloud_recording.controller.storage_key import StorageKey
from cloud_recording.controller.watch import SeenPod, SeenProbe, SeenRecording, SeenStorage
from cloud_recording.controller.work_queue import WorkQueue
from cloud_recording.domain.progress import is_progress


@dataclass(frozen=True, kw_only=True)
class Sightings:
    """Hears of everything that a watch sees, and passes over what other replicas decide about."""

    queue: WorkQueue[RecordingKey | StorageKey]
    reconciler: Reconciler
    versions: ReconciledVersions
    finalizers: FinalizerIndex
    recordings: KnownRecordings
    pods: KnownPods
    storages: KnownStorages
    held: HeldShards

    def recording(self, seen: SeenRecording) -> None:
        """A recording is there, was changed or is gone."""
        key, text = seen.key, seen.text
        if not self.held.owns(key):
            if text is not None and self.held.is_mislabelled(key, seen.bucket):
                self.queue.add(key, cause="recording")
        elif text is None:
            self.queue.forget(key)
            self.reconciler.forget(key)
            if self.held.selector:
                # It may be there all the same, with another label.
                self.queue.add(key, cause="recording")
        else:
            before = self.recordings.text_of(key)
            self.recordings.seen(key, seen.version, text)
            is_newest = self.recordings.text_of(key) is text
            self.versions.unless_reconciled(
                key, seen.version, lambda: self._changed(key, before if is_newest else None, text)
            )

    def _changed(self, key: RecordingKey, before: bytes | None, after: bytes) -> None:
        """Another replica may have taken in more of the same: that is no more work than where this one did."""
        if before is None or not self._carried(key, body_of(before), body_of(after)):
            self.queue.add(key, cause="recording")

    def _carried(self, key: RecordingKey, before: Json, after: Json) -> bool:
        if not self.versions.is_last(key, version_of(before)) or not _is_progress(before, after):
            return False
        self.versions.carry(key, read=version_of(before), written=version_of(after))
        return True

    def pod(self, seen: SeenPod) -> None:
        """The same of a pod of a recording."""
        key, pod = seen.recording, seen.pod
        if not self.held.owns(key):
            return
        self.finalizers.note(key, pod.name, has_finalizer=pod.has_finalizer and not seen.gone)
        if seen.gone:
            self.pods.forget(namespace=key.namespace, name=pod.name)
        else:
            self.pods.seen(key.namespace, pod)
        self.queue.add(key, cause="pod")

    def storage(self, seen: SeenStorage) -> None:
        """The same of a RecordingStorage: whoever decides about a recording that names it goes by it, too."""
        if seen.body is None:
            self.storages.forget(seen.key)
            self.queue.forget(seen.key)
        elif self.held.owns(seen.key):
            self.queue.add(seen.key, cause="storage")
        if seen.body is None or self.storages.seen(seen.body):
            self.queue.add_all(self.storages.users.of(seen.key), cause="storage")

    def probe(self, seen: SeenProbe) -> None:
        """A pod that tries a RecordingStorage has changed."""
        if self.held.owns(seen.storage):
            self.queue.add(seen.storage, cause="pod")

    def forget_all(self) -> None:
        """Others may have written everything since."""
        self.recordings.forget_all()
        self.pods.forget_all()
        self.storages.forget_all()

    def forget_lost(self) -> None:
        """Others decide about what is no longer this replica's."""
        self.reconciler.forget_lost(lambda key: not self.held.owns(key))


def _is_progress(before: Json, after: Json) -> bool:
    try:
        return is_progress(before, after)
    except ValidationError:
        # A pass says what cannot be read.
        return False
