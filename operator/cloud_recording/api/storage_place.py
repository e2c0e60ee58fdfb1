# SPDX-License-Identifier: Apache-2.0
"""What of a storage may change until the first slice is verified in its bucket: where the files go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cloud_recording.api.regions import region_name
from cloud_recording.api.storage import Storage, StoragePlace

_PROXY: Final = "proxyURL"


def place_of(storage: Storage) -> StoragePlace | None:
    """Where the files of this bucket go; None for a directory, of which nothing may change."""
    if storage.bucket is None:
        return None
    region = None if storage.region is None else region_name(storage.effective_vendor, storage.region)
    return StoragePlace(
        bucket=storage.bucket,
        account=storage.account,
        endpoint=storage.endpoint,
        region=region,
        proxy_url=storage.proxy_url,
    )


def place_record(storage: Storage) -> dict[str, Any] | None:
    """The same as JSON has it."""
    place = place_of(storage)
    return None if place is None else place.model_dump(mode="json", by_alias=True, exclude_none=True)


def at_place(storage: Storage, place: StoragePlace | None) -> Storage:
    """The storage with its files going to this place; as it is, where none is known."""
    if place is None or place == place_of(storage):
        return storage
    return storage.model_copy(update={name: getattr(place, name) for name in StoragePlace.model_fields})


def is_same_but_for_proxy(place: Mapping[str, Any], other: Mapping[str, Any] | None) -> bool:
    """Whether files stay where they are, as JSON has it: a proxy is on the way there, and may change at any time."""
    return other is not None and {**place, _PROXY: None} == {**other, _PROXY: None}


def behind_proxy_of(storage: Storage, place: StoragePlace | None) -> StoragePlace | None:
    """The place as it is reached today, if this storage's files are to go there still."""
    here = place_of(storage)
    if place is None or here is None or place.model_copy(update={"proxy_url": here.proxy_url}) != here:
        return place
    return here
