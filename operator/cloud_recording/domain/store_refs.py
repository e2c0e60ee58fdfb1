# SPDX-License-Identifier: Apache-2.0
"""RecordingStorages in place of their names: a recording as it is once what it refers to is written out in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from cloud_recording.api.reasons import ConditionType, Reason
from cloud_recording.api.recording import ONE_ACCOUNT, CloudRecording, CloudRecordingSpec
from cloud_recording.api.recording_storage import AnyStorage, RecordingStorage, Right, as_inline
from cloud_recording.api.status import CloudRecordingStatus, Condition, ConditionStatus
from cloud_recording.api.storage import Storage, StorageVendor
from cloud_recording.api.storage_place import at_place
from cloud_recording.common.json_types import Json
from cloud_recording.domain import conditions, parts
from cloud_recording.domain.conditions import ReadyReason

_RIGHTS_TO_GET: Final[Mapping[StorageVendor, str]] = {
    StorageVendor.GOOGLE_CLOUD_STORAGE: "`storage.objects.get`",
    StorageVendor.AZURE_BLOB_STORAGE: "`r` of a SAS token",
}


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


def resolved(recording: CloudRecording, storages: Mapping[str, RecordingStorage]) -> Resolved:
    """The recording with what these RecordingStorages have in place of their names."""
    spec = recording.spec
    references = tuple(_references(spec))
    if not references:
        return Resolved(recording=recording, waits=None)
    storage = _followed(_written_out(spec.storage, storages), spec.storage, recording.status, storages)
    backup = spec.backup and _written_out(spec.backup, storages)
    begun = parts.newest(recording.status) is not None
    each = (_wait(field, name, storages.get(name), begun=begun) for field, name in references)
    waits = next(filter(None, each), None)
    if waits is None and backup is not None and _unnamed(backup).is_same_place(_unnamed(storage)):
        message = "`spec.backup` must be another place than `spec.storage`, whatever names them"
        waits = ReadyReason(reason=Reason.INVALID_SPEC, message=message)
    written_out = spec.model_copy(update={"storage": storage, "backup": backup})
    if waits is None and len(written_out.service_accounts) > 1:
        waits = ReadyReason(reason=Reason.INVALID_SPEC, message=f"`spec` {ONE_ACCOUNT}, whatever names them")
    return Resolved(recording=recording.model_copy(update={"spec": written_out}), waits=waits)


def ready_condition(storage: RecordingStorage) -> Condition | None:
    """What is said of a RecordingStorage, of its newest generation."""
    found = conditions.get(storage.status, ConditionType.READY)
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


def _wait(field: str, name: str, storage: RecordingStorage | None, *, begun: bool) -> ReadyReason | None:
    """Why the recording cannot begin with this one yet, or, where it has begun, not go on in another part.

    Then a store that refuses is no reason, as what is recorded meanwhile waits on the work volume, nor is one that is
    to be deleted, which its recordings hold.
    """
    named = f"RecordingStorage '{name}', which `{field}` names,"
    if storage is None:
        message = f"{named} is not there, or cannot be read by this release of the operator"
        return ReadyReason(reason=Reason.WAITING_FOR_STORAGE, message=message)
    condition = ready_condition(storage)
    if condition is None or condition.reason is Reason.PROBING:
        return ReadyReason(reason=Reason.PENDING, message=f"{named} is being tried")
    unfit = None if begun else _unfit(field, storage, condition)
    return ReadyReason(reason=Reason.WAITING_FOR_STORAGE, message=f"{named} {unfit}") if unfit is not None else None


def _unfit(field: str, storage: RecordingStorage, condition: Condition) -> str | None:
    """What keeps a recording from beginning with this one, that was tried."""
    if storage.metadata.deletion_timestamp is not None:
        return "is being deleted"
    if condition.status is not ConditionStatus.TRUE:
        return f"is not ready ({condition.reason}): {condition.message}"
    rights = storage.status.rights
    if field != "spec.backup.ref" or rights is None or rights.get is not Right.REFUSED:
        return None
    if storage.spec.directory is None:
        right = _RIGHTS_TO_GET.get(storage.spec.effective_vendor, "`s3:GetObject`")
        return f"has a key that may not get objects, which a backup's must: let it ({right})"
    return "has files that the recorder's user may not read, as it must a backup's: let it"
