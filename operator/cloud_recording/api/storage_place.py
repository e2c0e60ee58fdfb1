# SPDX-License-Identifier: Apache-2.0
"""What of a storage may change until the first slice is verified in its bucket: where the files go."""

from __future__ import annotations

from cloud_recording.api.regions import region_name
from cloud_recording.api.storage import Storage, StoragePlace


def place_of(storage: Storage) -> StoragePlace:
    """Where the files of this storage go."""
    region = None if storage.region is None else region_name(storage.vendor, storage.region)
    return StoragePlace(bucket=storage.bucket, endpoint=storage.endpoint, region=region)


def at_place(storage: Storage, place: StoragePlace | None) -> Storage:
    """The storage with its files going to this place; as it is, where none is known."""
    if place is None or place == place_of(storage):
        return storage
    return storage.model_copy(update={name: getattr(place, name) for name in StoragePlace.model_fields})
