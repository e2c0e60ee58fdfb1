# SPDX-License-Identifier: Apache-2.0
"""The Lease that lets one replica at a time decide: acquired, renewed and given back from a thread of its own.

The thread has its own event loop and connection, so that a busy operator renews in time. Losing is final: the
process that lost must not act once more, and whoever holds the lock says so by `lost`.

The election is that of the Kubernetes package; `_BoundedLock` adds what it leaves to its lock: a deadline for each
request, shorter than the Lease, and network errors as "not now" instead of the end of the election.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import aiohttp
from kubernetes.aio.client import ApiClient, ApiException, Configuration, CoordinationV1Api
from kubernetes.aio.leaderelection.electionconfig import Config
from kubernetes.aio.leaderelection.leaderelection import LeaderElection
from kubernetes.aio.leaderelection.leaderelectionrecord import LeaderElectionRecord
from kubernetes.aio.leaderelection.resourcelock.leaselock import LeaseLock

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")


@dataclass(frozen=True, kw_only=True)
class LeaseTiming:
    """How long a Lease holds and how it is kept.

    The renewal gives up at `renew_deadline_seconds` plus two requests, which must come before the Lease runs out for
    everybody else: else two would believe they hold it.
    """

    duration_seconds: int = 15
    renew_deadline_seconds: float = 10.0
    retry_seconds: float = 2.0
    request_seconds: float = 2.0

    def __post_init__(self) -> None:
        if self.renew_deadline_seconds + 2 * self.request_seconds >= self.duration_seconds:
            raise ValueError("the renewal of the Lease must be given up before the Lease runs out")


class LeaseHolder:
    """Holds a named Lease from `acquire` to `release`, or until it is lost."""

    def __init__(
        self,
        configuration: Configuration,
        *,
        namespace: str,
        name: str,
        identity: str,
        lost: Callable[[], object],
        timing: LeaseTiming | None = None,
    ) -> None:
        self._configuration = configuration
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._lost = lost
        self._timing = timing or LeaseTiming()
        self._held = threading.Event()
        self._finished = threading.Event()
        self._releasing = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._election: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    @property
    def held(self) -> bool:
        """Whether this process may decide."""
        return self._held.is_set()

    async def acquire(self) -> None:
        """Returns once the Lease is held, however long another holder keeps it."""
        self._thread.start()
        while not await asyncio.to_thread(self._held.wait, self._timing.retry_seconds):
            if self._finished.is_set():
                raise RuntimeError("the election ended before the Lease was held")

    async def release(self) -> None:
        """Gives the Lease back, so that another replica need not wait for it to run out."""
        self._releasing = True
        if self._loop is not None and self._election is not None and not self._finished.is_set():
            self._loop.call_soon_threadsafe(self._election.cancel)
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, 2 * self._timing.request_seconds)

    def _run(self) -> None:
        try:
            asyncio.run(self._elect())
        finally:
            was_held = self._held.is_set()
            self._held.clear()
            self._finished.set()
            if not self._releasing:
                logger.error("lease lost", extra={"lease": self._name, "held_before": was_held})
                self._lost()

    async def _elect(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with ApiClient(self._configuration) as api:
            lock = _BoundedLock(
                name=self._name,
                namespace=self._namespace,
                identity=self._identity,
                api=api,
                seconds=self._timing.request_seconds,
            )
            election = LeaderElection(
                Config(
                    lock,
                    lease_duration=self._timing.duration_seconds,
                    renew_deadline=self._timing.renew_deadline_seconds,
                    retry_period=self._timing.retry_seconds,
                    onstarted_leading=self._hold,
                    onstopped_leading=_nothing,
                )
            )
            self._election = asyncio.create_task(election.run())
            try:
                await self._election
            except asyncio.CancelledError:
                if self._held.is_set():
                    await lock.give_back()

    async def _hold(self) -> None:
        self._held.set()


async def _nothing() -> None:
    """The election wants to be told what to do at its end; the thread's own end says it."""


class _BoundedLock(LeaseLock):
    """The package's Lease lock, with a deadline on every request."""

    def __init__(self, *, name: str, namespace: str, identity: str, api: ApiClient, seconds: float) -> None:
        super().__init__(name, namespace, identity, api)
        self._coordination = CoordinationV1Api(api_client=api)
        self._seconds = seconds

    async def get(
        self, name: str, namespace: str
    ) -> tuple[bool, LeaderElectionRecord] | tuple[bool, Exception] | tuple[bool, None]:
        return await self._bounded(super().get(name, namespace), otherwise=(False, ApiException(reason="no answer")))

    async def create(self, name: str, namespace: str, election_record: LeaderElectionRecord) -> bool:
        return await self._bounded(super().create(name, namespace, election_record), otherwise=False)

    async def update(self, name: str, namespace: str, updated_record: LeaderElectionRecord) -> bool:
        return await self._bounded(super().update(name, namespace, updated_record), otherwise=False)

    async def give_back(self) -> None:
        """Empties the holder, if it is still us; whoever asks next gets the Lease at once."""
        try:
            async with asyncio.timeout(self._seconds):
                lease = await self._coordination.read_namespaced_lease(self.name, self.namespace)
                if lease.spec is None or lease.spec.holder_identity != self.identity:
                    return
                lease.spec.holder_identity = None
                await self._coordination.replace_namespaced_lease(self.name, self.namespace, lease)
        except (TimeoutError, aiohttp.ClientError, ApiException) as error:
            logger.warning("lease not given back", extra={"error": type(error).__name__})

    async def _bounded(self, request: Awaitable[Answer], *, otherwise: Answer) -> Answer:
        try:
            async with asyncio.timeout(self._seconds):
                return await request
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            logger.warning("lease request failed", extra={"error": type(error).__name__})
            return otherwise
