# SPDX-License-Identifier: Apache-2.0
"""The resource `RecordingStorage`: a store that is described once and used by many recordings of its namespace."""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeVar

from pydantic import ConfigDict, Field

from cloud_recording.api.base import API_VERSION, Count, KeptModel, Message, OpenEnum, RecordModel, Time
from cloud_recording.api.recording import ObjectMeta
from cloud_recording.api.rules import kubernetes
from cloud_recording.api.status import Condition
from cloud_recording.api.storage import (
    ENDPOINT_RULES,
    ONE_STORE,
    PROXY_RULES,
    STORE_RULES,
    Bucket,
    Storage,
    StorageCredentials,
    Store,
)

STORAGE_KIND: Final = "RecordingStorage"
STORAGE_PLURAL: Final = "recordingstorages"

IN_USE_FINALIZER: Final = "cloudrecording.dev/in-use"

AnyStorage = TypeVar("AnyStorage", bound=Storage)


class RecordingStorageSpec(Store):
    """A bucket and the way to it, or a directory. Which store it is, and where in it files go, never changes."""

    model_config = ConfigDict(json_schema_extra=kubernetes(ONE_STORE, *STORE_RULES, *ENDPOINT_RULES, *PROXY_RULES))

    bucket: Bucket | None = Field(
        default=None,
        description="Name of the bucket. Exactly one of `bucket` and `directory` is given.",
        json_schema_extra=kubernetes(fixed=True),
    )


class Right(OpenEnum):
    """What the probe found of a right to the store."""

    ALLOWED = "Allowed"
    REFUSED = "Refused"
    UNKNOWN = "Unknown"


class StorageRights(KeptModel):
    """What the key may do under `prefix`, as the newest probe found it."""

    put: Right = Field(default=Right.UNKNOWN, description="Putting objects, which every recording needs.")
    get: Right = Field(
        default=Right.UNKNOWN,
        description="Getting objects, which recordings need of a `backup`, to bring everything home.",
    )
    delete: Right = Field(
        default=Right.UNKNOWN,
        description="Deleting objects, which nobody needs: where it is refused, and `livePlaylist` is true, an empty "
        "playlist stays of the probe and of recordings that recorded nothing.",
    )


class RecordingStorageStatus(KeptModel):
    """What is known about the store. Written by the operator alone."""

    observed_generation: Count | None = Field(
        default=None, description="Generation of the spec that this status was made from."
    )
    display: Annotated[str, Field(max_length=128)] | None = Field(
        default=None, description="What the STATUS column shows: the reason of Ready."
    )
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16)] = Field(
        default=(),
        description="The store's state: `Ready` is True after a pod that is made as recordings' pods are, with the "
        "same image, account, Secrets and labels, has put an object there, verified by the store's answer; with "
        "`livePlaylist: false` after it has begun one there, of which nothing stays.",
        json_schema_extra=kubernetes(list_map_keys=("type",)),
    )
    probed_generation: Count | None = Field(
        default=None, description="Generation of the spec that the newest probe that ended was made of."
    )
    probe_time: Time | None = Field(default=None, description="When that probe ended.")
    probe_object: Annotated[str, Field(max_length=512)] | None = Field(
        default=None,
        description="Name of the object that every probe puts, without the prefix. It is removed again where the key "
        "may do that. None with `livePlaylist: false`.",
    )
    rights: StorageRights | None = Field(default=None, description="What the newest probe found of the key's rights.")


class RecordingStorage(RecordModel):
    """A RecordingStorage as the API server gives it."""

    api_version: Literal["cloudrecording.dev/v1alpha1"] = API_VERSION
    kind: Literal["RecordingStorage"] = "RecordingStorage"
    metadata: ObjectMeta
    spec: RecordingStorageSpec
    status: RecordingStorageStatus = RecordingStorageStatus()


class StorageProbe(RecordModel):
    """What a probe's pod says at its end, as its termination message."""

    ready: bool
    cause: str = ""
    """Why not, in the engine's word or one of the operator's reasons."""
    message: Message = ""
    rights: StorageRights = StorageRights()


def as_inline(reference: AnyStorage, spec: RecordingStorageSpec) -> AnyStorage:
    """The storage that names a RecordingStorage, with what that has beside the name."""
    fields = {name: getattr(spec, name) for name in Store.model_fields}
    credentials = spec.credentials and StorageCredentials.model_validate(dict(spec.credentials))
    return reference.model_copy(update={**fields, "credentials": credentials})
