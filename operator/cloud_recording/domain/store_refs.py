# SPDX-License-Identifier: Apache-2.0
"""RecordingStorages in place of their names: a recording as it is once what it refers to is written out in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cloud_recording.api.reasons import ConditionType, Reason
from cloud_recording.api.recording import CloudRecording, CloudRecordingSpec
from cloud_recording.api.recording_storage import AnyStorage, RecordingStorage, Right, as_inline
from cloud_recording.api.status import CloudRecordingStatus, Condition, ConditionStatus
from cloud_recording.api.storage import Storage
from cloud_recording.api.storage_place import at_place
from cloud_recording.common.json_types import Json
from cloud_recording.domain import parts
from cloud_recording.domain.conditions import ReadyReason


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """A recording with its stores written out, as far as they are there."""

    recording: CloudRecording
    waits: ReadyReason | None
    """What its next pod waits for; None where there is nothing."""


def names_in(body: Json) -> frozenset[str]:
    """The RecordingStorages that a recording, as the API server gives it, refers to, by name."""
    spec = body.get("spec") or {}
    refs = ((spec.get(field) or {}).get("ref") for field in ("storage", "backup"))
    return frozenset(ref["name"] for ref in refs if isinstance(ref, dict) and isinstance(ref.get("name"), str))


def named_storages(spec: CloudRecordingSpec) -> frozenset[str]:
    """The RecordingStorages that a spec refers to, by name."""
    return frozenset(name for _, name in _references(spec))


def resolved(recording: CloudRecording, storages: Mapping[str, RecordingStorage]) -> Resolved:
    """The recording with what these RecordingStorages have in place of their names."""
    spec = recording.spec
    if not named_storages(spec):
        return Resolved(recording=recording, waits=None)
    storage = _followed(_written_out(spec.storage, storages), spec.storage, recording.status, storages)
    backup = spec.backup and _written_out(spec.backup, storages)
    why = _wait if parts.newest(recording.status) is None else _wait_of_begun
    waits = next(filter(None, (why(field, name, storages.get(name)) for field, name in _references(spec))), None)
    if waits is None and backup is not None and _unnamed(backup).is_same_place(_unnamed(storage)):
        message = "`spec.backup` must be another place than `spec.storage`, whatever names them"
        waits = ReadyReason(reason=Reason.INVALID_SPEC, message=message)
    written_out = spec.model_copy(update={"storage": storage, "backup": backup})
    return Resolved(recording=recording.model_copy(update={"spec": written_out}), waits=waits)


def ready_condition(storage: RecordingStorage) -> Condition | None:
    """What is said of a RecordingStorage, of its newest generation."""
    found = next((one for one in storage.status.conditions if one.type is ConditionType.READY), None)
    return found if found is not None and found.observed_generation >= storage.metadata.generation else None


def _references(spec: CloudRecordingSpec) -> Iterator[tuple[str, str]]:
    """Each field of the spec that names a RecordingStorage, and the name."""
    if spec.storage.ref is not None:
        yield "spec.storage.ref", spec.storage.ref.name
    if spec.backup is not None and spec.backup.ref is not None:
        yield "spec.backup.ref", spec.backup.ref.name


def _written_out(storage: AnyStorage, storages: Mapping[str, RecordingStorage]) -> AnyStorage:
    found = storages.get(storage.ref.name) if storage.ref is not None else None
    return storage if found is None else as_inline(storage, found.spec)


def _followed(
    storage: Storage, reference: Storage, status: CloudRecordingStatus, storages: Mapping[str, RecordingStorage]
) -> Storage:
    """The storage with its files going where they go already, until where it wants them now has been tried."""
    found = storages.get(reference.ref.name) if reference.ref is not None else None
    newest = parts.newest(status)
    if found is None or newest is None or newest.storage is None or _is_ready(found):
        return storage
    return at_place(storage, newest.storage.place)


def _unnamed(storage: Storage) -> Storage:
    return storage.model_copy(update={"ref": None})


def _is_ready(storage: RecordingStorage) -> bool:
    condition = ready_condition(storage)
    return condition is not None and condition.status is ConditionStatus.TRUE


def _wait_of_begun(field: str, name: str, storage: RecordingStorage | None) -> ReadyReason | None:
    """Why a recording that has begun cannot go on in another part.

    A store that refuses is no reason, as what is recorded meanwhile waits on the work volume, nor is one that is to be
    deleted, which its recordings hold.
    """
    named = f"RecordingStorage '{name}', which `{field}` names,"
    if storage is None:
        message = f"{named} is not there, or cannot be read by this release of the operator"
        return ReadyReason(reason=Reason.WAITING_FOR_STORAGE, message=message)
    condition = ready_condition(storage)
    if condition is None or condition.reason is Reason.PROBING:
        return ReadyReason(reason=Reason.PENDING, message=f"{named} is being tried")
    return None


def _wait(field: str, name: str, storage: RecordingStorage | None) -> ReadyReason | None:
    """Why the recording cannot begin with this one yet."""
    waits = _wait_of_begun(field, name, storage)
    if storage is None or waits is not None:
        return waits
    named = f"RecordingStorage '{name}', which `{field}` names,"
    if storage.metadata.deletion_timestamp is not None:
        return ReadyReason(reason=Reason.WAITING_FOR_STORAGE, message=f"{named} is being deleted")
    condition = ready_condition(storage)
    if condition is None:
        return ReadyReason(reason=Reason.PENDING, message=f"{named} is being tried")
    if condition.status is not ConditionStatus.TRUE:
        message = f"{named} is not ready ({condition.reason}): {condition.message}"
        return ReadyReason(reason=Reason.WAITING_FOR_STORAGE, message=message)
    rights = storage.status.rights
    if field == "spec.backup.ref" and rights is not None and rights.get is Right.REFUSED:
        of_bucket = "has a key that may not get objects, which a backup's must: let it (`s3:GetObject`)"
        of_directory = "has files that the recorder's user may not read, as it must a backup's: let it"
        message = f"{named} {of_bucket if storage.spec.directory is None else of_directory}"
        return ReadyReason(reason=Reason.WAITING_FOR_STORAGE, message=message)
    return None
