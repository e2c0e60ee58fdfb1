# SPDX-License-Identifier: Apache-2.0
"""The documents that a pod is given: what it is to record, fixed for its life, and what it should be doing now."""

from __future__ import annotations

import json
from datetime import datetime

from cloud_recording.api.channel import URL_SCHEMES
from cloud_recording.api.recording import CloudRecording, DesiredRecordingState
from cloud_recording.api.recording_storage import AnyStorage
from cloud_recording.api.settings import OperatorSettings
from cloud_recording.api.status import CloudRecordingStatus, Part, PartState
from cloud_recording.api.storage import StoragePlace
from cloud_recording.api.storage_place import at_place, behind_proxy_of, place_of
from cloud_recording.api.wire import DesiredState, EngineLibrary, PartIdentity, RecordingDocument
from cloud_recording.domain import names, parts
from cloud_recording.domain.admission import storage_denial
from cloud_recording.domain.desired_state import desired_state, duration_left


def recording_document(recording: CloudRecording, part: Part, settings: OperatorSettings) -> RecordingDocument:
    """What the part's pod is to record. It names Secrets and holds none."""
    metadata, spec = recording.metadata, recording.spec
    known = part.storage.place if part.storage is not None else None
    storage = _unnamed(at_place(spec.storage, behind_proxy_of(spec.storage, known)))
    return RecordingDocument(
        namespace=metadata.namespace,
        name=metadata.name,
        uid=metadata.uid,
        recording_id=names.recording_id(metadata.uid),
        part=PartIdentity(
            number=part.number,
            file_prefix=part.file_prefix,
            rescue=part.state is PartState.RESCUING,
            from_backup=part.state is PartState.RESCUING and parts.is_backed_up(part),
        ),
        spec=spec.model_copy(update={"pod": None, "storage": storage, "backup": spec.backup and _unnamed(spec.backup)}),
        storage=storage,
        storage_name=spec.storage.ref and spec.storage.ref.name,
        backup_name=spec.backup and spec.backup.ref and spec.backup.ref.name,
        directory=None if spec.storage.directory is None else names.STORAGE_PATH,
        backup_directory=None if spec.backup is None or spec.backup.directory is None else names.BACKUP_PATH,
        callback_url=settings.callbacks.url,
        engine=EngineLibrary(name=spec.engine.name, library_path=settings.engines[spec.engine.name]),
        protocols=tuple(scheme for scheme in settings.allowed.protocols if scheme in URL_SCHEMES),
        allow_link_local=settings.allowed.link_local,
        stream_hosts=settings.allowed.stream_hosts,
        node_disk_free_percent=settings.runner.node_disk_free_percent,
        max_wait_seconds=None if recording.status.start_time else spec.recording.max_wait_seconds,
    )


def desired_state_document(
    recording: CloudRecording,
    status: CloudRecordingStatus,
    part: Part,
    *,
    now: datetime,
    settings: OperatorSettings,
) -> DesiredState:
    """What the part's pod should be doing now; all but the newest part only have to come to their end."""
    spec = recording.spec
    may_record = part == parts.newest(status) and parts.captures(part)
    state = desired_state(recording, status, now=now) if may_record else DesiredRecordingState.STOPPED
    refused = _refused_place(recording, part, settings)
    stored = parts.stored_place(status)
    place = (stored if refused is not None else behind_proxy_of(spec.storage, stored)) or refused
    by_spec = DesiredState.of_spec(spec, generation=recording.metadata.generation, state=state)
    # Of a RecordingStorage that is gone nothing is known: the part goes on with what its pod was made with.
    storage = None if spec.storage.is_unresolved else _unnamed(at_place(spec.storage, place))
    by_status = {"max_duration_seconds": duration_left(recording, part), "storage": storage}
    return by_spec.model_copy(update=by_status)


def _refused_place(recording: CloudRecording, part: Part, settings: OperatorSettings) -> StoragePlace | None:
    """Where the part's files go on going, as the administrator does not allow where the spec wants them now."""
    place = part.storage.place if part.storage is not None else None
    storage = recording.spec.storage
    if place is None or storage.is_unresolved or place == place_of(storage):
        return None
    return place if storage_denial(recording.spec, settings) is not None else None


def _unnamed(storage: AnyStorage) -> AnyStorage:
    """The store as a pod is told of it, which knows no RecordingStorages."""
    return storage.model_copy(update={"ref": None})


def compact_json(document: object) -> str:
    """JSON in as few bytes as it takes, always in the same order."""
    return json.dumps(document, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
