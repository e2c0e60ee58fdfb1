# SPDX-License-Identifier: Apache-2.0
"""A work-queue of keys: each at most once in the queue, at most once in work, and tried again when its work failed.

It knows nothing of what the work is. A key that comes while it is in work is worked once more afterwards, so that
what it was added for is never missed; a thousand additions before its turn are one turn.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from cloud_recording.common.backoff import Backoff
from cloud_recording.controller.metrics import Metrics

logger = logging.getLogger(__name__)

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class _Wait:
    since: float
    cause: str


class WorkQueue(Generic[Key]):
    """Runs `work` for the keys that are added, `concurrency` of them at a time."""

    def __init__(
        self,
        work: Callable[[Key], Awaitable[float | None]],
        *,
        concurrency: int,
        metrics: Metrics,
        backoff: Backoff | None = None,
    ) -> None:
        """`work` returns after how many seconds the key is due again, or None when only an addition brings it back."""
        self._work = work
        self._concurrency = concurrency
        self._metrics = metrics
        self._backoff = backoff or Backoff()
        self._ready: deque[Key] = deque()
        self._waiting: dict[Key, _Wait] = {}
        self._in_work: dict[Key, float] = {}
        self._failures: dict[Key, int] = {}
        self._due: dict[Key, float] = {}
        self._timers: list[tuple[float, int, Key]] = []
        self._order = itertools.count()
        self._wake = asyncio.Event()
        self._timers_changed = asyncio.Event()
        self._out_of_work = asyncio.Event()

    def add(self, key: Key, *, cause: str = "event") -> None:
        """Has the key worked as soon as there is a free worker; the first of several causes is the one that counts."""
        self._due.pop(key, None)
        if key in self._waiting:
            return
        self._waiting[key] = _Wait(since=asyncio.get_running_loop().time(), cause=cause)
        if key not in self._in_work:
            self._ready.append(key)
            self._wake.set()
        self._metrics.queue_depth(len(self._waiting))

    def add_all(self, keys: Iterable[Key], *, cause: str) -> None:
        """The same for each of the keys."""
        for key in keys:
            self.add(key, cause=cause)

    def add_after(self, key: Key, seconds: float) -> None:
        """Has the key worked after that time, unless it is worked before; the earliest of several times counts."""
        due = asyncio.get_running_loop().time() + seconds
        if key in self._waiting or self._due.get(key, float("inf")) <= due:
            return
        self._due[key] = due
        heapq.heappush(self._timers, (due, next(self._order), key))
        self._timers_changed.set()

    def forget(self, key: Key) -> None:
        """Drops what is remembered of a key that exists no more."""
        self._due.pop(key, None)
        self._failures.pop(key, None)

    def drop(self, unwanted: Callable[[Key], bool]) -> None:
        """Drops what waits of these keys, now or until later; what is in work goes on."""
        self._ready = deque(key for key in self._ready if not unwanted(key))
        for known in (self._waiting, self._due, self._failures):
            for key in [key for key in known if unwanted(key)]:
                del known[key]
        self._metrics.queue_depth(len(self._waiting))

    async def until_none_in_work(self, which: Callable[[Key], bool]) -> None:
        """Returns when none of these keys is in work."""
        while any(which(key) for key in self._in_work):
            self._out_of_work.clear()
            await self._out_of_work.wait()

    def oldest_seconds(self) -> float:
        """For how long the key that has waited longest has."""
        # In the order in which they were added.
        oldest = next(iter(self._waiting.values()), None)
        return asyncio.get_running_loop().time() - oldest.since if oldest is not None else 0.0

    def longest_seconds(self) -> float:
        """For how long the key that is longest in work has been."""
        if not self._in_work:
            return 0.0
        return asyncio.get_running_loop().time() - min(self._in_work.values())

    async def run(self) -> None:
        """Works until cancelled; what is in work then is ended where it awaits, and level-triggered work bears that."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_time(), name="queue-timers")
            for number in range(self._concurrency):
                group.create_task(self._worker(), name=f"queue-worker-{number}")

    async def _worker(self) -> None:
        while True:
            while not self._ready:
                self._wake.clear()
                await self._wake.wait()
            key = self._ready.popleft()
            wait = self._waiting.pop(key)
            self._in_work[key] = now = asyncio.get_running_loop().time()
            self._metrics.queue_depth(len(self._waiting))
            self._metrics.pass_begins(waited_seconds=now - wait.since)
            try:
                await self._attempt(key, wait.cause)
            finally:
                del self._in_work[key]
                self._out_of_work.set()
                if key in self._waiting:
                    self._ready.append(key)
                    self._wake.set()

    async def _attempt(self, key: Key, cause: str) -> None:
        clock = asyncio.get_running_loop().time
        started = clock()
        try:
            again_after = await self._work(key)
        except Exception as error:
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            again_after = self._backoff.after(failures, spread=random.random())  # noqa: S311
            expected = getattr(error, "message", None)
            logger.warning(
                "work failed, trying again",
                extra={"key": key, "failures": failures, "seconds": again_after, "error": str(expected or error)},
                exc_info=None if expected else error,
            )
            self._metrics.pass_ended(cause=cause, seconds=clock() - started, succeeded=False)
        else:
            self._failures.pop(key, None)
            self._metrics.pass_ended(cause=cause, seconds=clock() - started, succeeded=True)
        if again_after is not None:
            self.add_after(key, again_after)

    async def _keep_time(self) -> None:
        clock = asyncio.get_running_loop().time
        reached = clock()
        while True:
            self._timers_changed.clear()
            while self._timers and self._timers[0][0] <= reached:
                due, _, key = heapq.heappop(self._timers)
                if self._due.get(key) == due:
                    self.add(key, cause="retry" if key in self._failures else "time")
            next_due = self._timers[0][0] if self._timers else None
            try:
                async with asyncio.timeout_at(next_due):
                    await self._timers_changed.wait()
                reached = clock()
            except TimeoutError:
                # A loop may be early by its clock's resolution; asking the clock again would then find nothing due.
                reached = max(clock(), next_due or 0.0)
