# SPDX-License-Identifier: Apache-2.0
"""What of a storage may change until the first slice is verified in its bucket: where the files go."""

from __future__ import annotations

from typing import Any

from cloud_recording.api.regions import region_name
from cloud_recording.api.storage import Storage, StoragePlace


def place_of(storage: Storage) -> StoragePlace | None:
    """Where the files of this bucket go; None for a directory, of which nothing may change."""
    if storage.bucket is None:
        return None
    region = None if storage.region is None else region_name(storage.effective_vendor, storage.region)
    return StoragePlace(bucket=storage.bucket, account=storage.account, endpoint=storage.endpoint, region=region)


def place_record(storage: Storage) -> dict[str, Any] | None:
    """The same as JSON has it."""
    place = place_of(storage)
    return None if place is None else place.model_dump(mode="json", by_alias=True, exclude_none=True)


def at_place(storage: Storage, place: StoragePlace | None) -> Storage:
    """The storage with its files going to this place; as it is, where none is known."""
    if place is None or place == place_of(storage):
        return storage
    return storage.model_copy(update={name: getattr(place, name) for name in StoragePlace.model_fields})
