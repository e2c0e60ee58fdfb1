# SPDX-License-Identifier: Apache-2.0
"""Follows which shards this replica is to have: begins with those that it gets, and is done with those that it loses.

Nobody gets a shard before whoever had it is done with it: nothing of it waits, is in work or will be.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from cloud_recording.controller.held_shards import HeldShards
from cloud_recording.controller.recording_key import RecordingKey
from cloud_recording.controller.storage_key import StorageKey
from cloud_recording.controller.watch_thread import WatchThread
from cloud_recording.controller.work_queue import WorkQueue

Key = RecordingKey | StorageKey


class Remembers(Protocol):
    """Whatever remembers something between passes."""

    def forget_all(self) -> None:
        """Others may have written everything since."""

    def forget_lost(self) -> None:
        """What is no longer this replica's is another's from now on."""


class Sharing:
    """Has the watch, the queue and what is remembered follow the shards."""

    def __init__(
        self,
        *,
        held: HeldShards,
        queue: WorkQueue[Key],
        memory: Remembers,
        look_behind: Callable[[], Awaitable[None]],
        new_watch: Callable[[str], WatchThread],
        changed: Callable[[frozenset[int]], None],
    ) -> None:
        """`look_behind` finds what no watch tells of; `new_watch` is made for objects of these labels."""
        self._held = held
        self._queue = queue
        self._memory = memory
        self._look_behind = look_behind
        self._new_watch = new_watch
        self._changed = changed
        self._wanted: frozenset[int] = frozenset()
        self._news = asyncio.Event()
        self._watch: WatchThread | None = None

    def assign(self, shards: frozenset[int]) -> None:
        """This replica is to have these, and no others."""
        self._wanted = shards
        self._news.set()

    async def follow(self, dropped: Callable[[frozenset[int]], None]) -> None:
        """Follows until cancelled; `dropped` is told of shards that others may have now."""
        while True:
            await self._news.wait()
            self._news.clear()
            wanted, had = self._wanted, self._held.now
            if had - wanted:
                await self._lose(had - wanted)
                dropped(had - wanted)
            if wanted - had:
                await self._gain(wanted)
            if wanted != had:
                await self._watch_anew()

    async def stop(self) -> None:
        """Ends the watch."""
        if self._watch is not None:
            await self._watch.stop()

    async def _lose(self, shards: frozenset[int]) -> None:
        self._hold(self._held.now - shards)
        # What is in work may add its key once more, for later.
        self._queue.drop(self._lost)
        await self._queue.until_none_in_work(self._lost)
        self._queue.drop(self._lost)
        self._memory.forget_lost()

    async def _gain(self, shards: frozenset[int]) -> None:
        # What was heard while another replica decided may lack what that one did last.
        self._memory.forget_all()
        self._hold(shards)
        await self._look_behind()

    def _hold(self, shards: frozenset[int]) -> None:
        self._held.hold(shards)
        self._changed(shards)

    async def _watch_anew(self) -> None:
        """The new one begins before the old one ends; a key that is not this replica's is passed over."""
        old = self._watch
        self._watch = self._new_watch(self._held.selector) if self._held.now else None
        if self._watch is not None:
            self._watch.start()
        if old is not None:
            await old.stop()

    def _lost(self, key: Key) -> bool:
        return not self._held.owns(key)
