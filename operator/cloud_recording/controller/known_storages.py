# SPDX-License-Identifier: Apache-2.0
"""RecordingStorages in the API server, as they were last seen there, and which recordings name them.

That one is not there is never remembered: it is a fact only when the API server says so.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydantic import ValidationError

from cloud_recording.api.recording_storage import RecordingStorage, StorageRights
from cloud_recording.api.status import Condition
from cloud_recording.common.json_types import Json
from cloud_recording.controller.recently_seen import RecentlySeen
from cloud_recording.controller.recording_key import RecordingKey
from cloud_recording.controller.storage_key import StorageKey
from cloud_recording.domain.names import FREED_ANNOTATION
from cloud_recording.domain.store_refs import ready_condition
from cloud_recording.kube.errors import KubeError, NotFound
from cloud_recording.kube.recordings import RecordingStorages

logger = logging.getLogger(__name__)

REMEMBERED_SECONDS: Final = 30.0
"""How long one is remembered of which nothing is heard: replicas that watch nothing answer callbacks, too."""


class UnreadableStorageError(Exception):
    """A RecordingStorage that this release cannot read, as a newer one's may be."""

    def __init__(self, key: StorageKey, error: ValidationError) -> None:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        self.message = f"RecordingStorage '{key.name}' cannot be read: {where}: {first['msg']}"
        super().__init__(self.message)


@dataclass(frozen=True, kw_only=True)
class _Told:
    """What recordings that name a RecordingStorage go by, as the watch told it last; None where it cannot be read."""

    generation: int
    leaving: bool
    ready: Condition | None
    rights: StorageRights | None


class KnownStorages:
    """Reads and writes RecordingStorages, and remembers what came of it."""

    def __init__(
        self,
        storages: RecordingStorages,
        *,
        clock: Callable[[], float],
        freed: Callable[[StorageKey], None] = lambda _: None,
    ) -> None:
        """`freed` is told of one that a recording names no more."""
        self._storages = storages
        self.users = StorageUsers(lambda key: freed(key) if self._waits_for_users(key) else None)
        self._told: dict[StorageKey, _Told | None] = {}
        self._known: RecentlySeen[StorageKey, RecordingStorage] = RecentlySeen(clock=clock, seconds=REMEMBERED_SECONDS)

    async def named(self, namespace: str, names: Iterable[str]) -> Mapping[str, RecordingStorage]:
        """Those of these names that are there and that this release can read."""
        found = {}
        for name in names:
            key = StorageKey(namespace, name)
            try:
                storage = self._known.of(key) or await self._read(key)
            except UnreadableStorageError as error:
                logger.warning("a RecordingStorage cannot be read", extra={"storage": name, "error": error.message})
                continue
            if storage is not None:
                found[name] = storage
        return found

    def seen(self, body: Json) -> bool:
        """Takes in what the watch told; whether anything is new to the recordings that name it.

        Most that is told is when it was last tried, and thousands may name it.
        """
        key = StorageKey.of_body(body)
        try:
            storage = parsed(body)
        except UnreadableStorageError:
            self._known.forget(key)
            told = None
        else:
            self._known.seen(key, _version(body), storage)
            told = _told(storage)
        is_new = key not in self._told or self._told[key] != told
        self._told[key] = told
        return is_new

    def forget(self, key: StorageKey) -> None:
        """It is gone."""
        self._known.forget(key)
        self._told.pop(key, None)

    def forget_all(self) -> None:
        """Others may have written everything since."""
        self._known.forget_all()
        self._told.clear()

    async def read(self, key: StorageKey) -> Json | None:
        """It as it is now; None where it is gone."""
        try:
            body = await self._storages.read(namespace=key.namespace, name=key.name)
        except NotFound:
            self._known.forget(key)
            return None
        return body

    async def write_status(self, body: Json, status: Json) -> Json:
        """Replaces the status of `body`; raises Conflict when it changed since it was read."""
        return await self._written(body, self._storages.write_status(body, status))

    async def tell_freed(self, key: StorageKey, *, now: datetime) -> None:
        """Has the replica that decides about it ask who uses it: no recording of ours does any more."""
        if self.users.of(key):
            return
        try:
            await self._storages.annotate(
                namespace=key.namespace, name=key.name, annotations={FREED_ANNOTATION: now.isoformat()}
            )
        except NotFound:
            self._known.forget(key)

    async def set_finalizers(self, body: Json, finalizers: list[str]) -> Json:
        """Replaces the finalizers of `body`; raises Conflict when it changed since it was read."""
        return await self._written(body, self._storages.set_finalizers(body, finalizers))

    def _waits_for_users(self, key: StorageKey) -> bool:
        """Whether it may be let go of once nobody names it."""
        told = self._told.get(key)
        return told is None or told.leaving

    async def _read(self, key: StorageKey) -> RecordingStorage | None:
        body = await self.read(key)
        if body is None:
            return None
        storage = parsed(body)
        self._known.seen(key, _version(body), storage)
        return storage

    async def _written(self, before: Json, write: Awaitable[Json]) -> Json:
        key = StorageKey.of_body(before)
        try:
            body = await write
        except KubeError:
            self._known.forget(key)
            raise
        self._known.wrote(key, _version(body), parsed(body))
        return body


class StorageUsers:
    """Which recordings that are not over name which RecordingStorages, as passes found it."""

    def __init__(self, freed: Callable[[StorageKey], None]) -> None:
        self._freed = freed
        self._names: dict[RecordingKey, frozenset[str]] = {}

    def note(self, key: RecordingKey, names: frozenset[str]) -> None:
        """The recording, which is not over, names these, and no others."""
        left = self._names.pop(key, frozenset()) - names
        if names:
            self._names[key] = names
        for name in left:
            self._freed(StorageKey(key.namespace, name))

    def forget(self, key: RecordingKey) -> None:
        """The recording is over or gone."""
        self.note(key, frozenset())

    def of(self, storage: StorageKey) -> list[RecordingKey]:
        """The recordings that name it."""
        return [
            key for key, names in self._names.items() if key.namespace == storage.namespace and storage.name in names
        ]


def _told(storage: RecordingStorage) -> _Told:
    return _Told(
        generation=storage.metadata.generation,
        leaving=storage.metadata.deletion_timestamp is not None,
        ready=ready_condition(storage),
        rights=storage.status.rights,
    )


def parsed(body: Json) -> RecordingStorage:
    """The RecordingStorage of an API object, without fields of a newer release; raises UnreadableStorageError."""
    try:
        return RecordingStorage.model_validate(body, extra="ignore")
    except ValidationError as error:
        raise UnreadableStorageError(StorageKey.of_body(body), error) from None


def _version(body: Json) -> str:
    return str(body["metadata"]["resourceVersion"])
