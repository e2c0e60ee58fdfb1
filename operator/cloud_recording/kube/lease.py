# SPDX-License-Identifier: Apache-2.0
"""The Lease that lets one replica at a time decide: acquired, renewed and given back from a thread of its own.

The thread has its own event loop and connection, so that a busy operator renews in time. Losing is final: the process
that lost must not act once more, and is told so at once. So is one whose API server goes back in time: the Lease is
read often enough to show it, and watches hardly do (they wait for the versions of before).

The election is written here and not taken from the Kubernetes package: that one measures with the wall clock, so that
a clock set back or forth makes two holders; it has no deadline for a request; and its Lease lock cannot create one.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from cloud_recording.common.json_types import Json
from cloud_recording.kube.client import Configuration, KubeClient, path
from cloud_recording.kube.errors import Conflict, KubeError, NotFound
from cloud_recording.kube.turned_away import TurnedAway

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class LeaseTiming:
    """How long a Lease holds and how it is kept.

    A holder gives up at the renewal deadline, an attempt under way included. That must come before the Lease runs out
    for everybody else: else two would believe that they hold it.
    """

    duration_seconds: int = 25
    renew_deadline_seconds: float = 20.0
    """Time for an API server to be away for ten seconds from just before a renewal on, and for one more attempt.

    Twelve would not do: up to two seconds pass before, ten without an answer, and the attempt that is under way when it
    comes back may take five to be given up.
    """
    retry_seconds: float = 2.0
    request_seconds: float = 5.0
    """The deadline of one request: of an API server that hangs, another attempt may find it back."""

    def __post_init__(self) -> None:
        if self.renew_deadline_seconds >= self.duration_seconds:
            raise ValueError("`leaderElection.renewSeconds` must be less than `leaderElection.leaseSeconds`")

    @property
    def attempt_seconds(self) -> float:
        """The deadline of a request where there is little time to renew: a second one must still fit in."""
        return min(self.request_seconds, self.renew_deadline_seconds / 2)


class _WentBackError(Exception):
    """The API server's store is one of before, as after a restored backup."""


class OwnWrites:
    """What this process wrote last into the Lease, by the time that it wrote with it.

    Versions alone do not show that a store was put back: by the time somebody looks, they may have caught up.
    """

    def __init__(self) -> None:
        self._stands: str | None = None
        self._tried: set[str] = set()

    @contextmanager
    def writing(self, renewed: str) -> Iterator[None]:
        """Around a write; one without an answer may stand or not."""
        self._tried.add(renewed)
        yield
        self._stands = renewed
        self._tried.clear()

    def check(self, renewed: str) -> None:
        """Raises where the Lease says of this process what it said before its last write."""
        if self._stands is not None and renewed != self._stands and renewed not in self._tried:
            raise _WentBackError(f"the Lease was renewed at {self._stands}, and says {renewed} again")


@dataclass(frozen=True)
class _Seen:
    """A state of the Lease as another holder wrote it, and when it was first seen by our own clock."""

    holder: str
    renewed: str
    at: float


class LeaseHolder:
    """Holds a named Lease from `acquire` to `release`, or until it is lost."""

    def __init__(  # noqa: PLR0913 - whose it is, how it is kept, and who hears of it
        self,
        configuration: Configuration,
        *,
        namespace: str,
        name: str,
        identity: str,
        lost: Callable[[], object],
        timing: LeaseTiming | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        turned_away: TurnedAway | None = None,
    ) -> None:
        """`lost` is called from the thread; `clock` is for people who read the Lease, and decides nothing.

        `turned_away` is told to the other replicas, and hears of what they did, whoever holds the Lease.
        """
        self._configuration = configuration
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._lost = lost
        self._timing = timing or LeaseTiming()
        self._clock = clock
        self._turned_away = turned_away or TurnedAway()
        self._answered = False
        self._seen: _Seen | None = None
        self._version = 0
        self._own = OwnWrites()
        self._held = threading.Event()
        self._ended = threading.Event()
        self._release = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)

    @property
    def held(self) -> bool:
        """Whether this process may decide."""
        return self._held.is_set()

    async def acquire(self) -> None:
        """Returns once the Lease is held, however long another holder keeps it, and never after `lost` was called."""
        self._thread.start()
        while not await asyncio.to_thread(self._held.wait, self._timing.retry_seconds):
            if self._ended.is_set():
                await asyncio.Event().wait()

    async def release(self) -> None:
        """Gives the Lease back, so that another replica need not wait for it to run out."""
        self._release.set()
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join, self._timing.duration_seconds)

    def _run(self) -> None:
        try:
            asyncio.run(self._elect())
            if not self._release.is_set():
                logger.error("lease lost", extra={"lease": self._name})
        except _WentBackError as error:
            logger.error(  # noqa: TRY400 - it is known where this comes from
                "the API server's store was put back to what it was before, so the operator begins anew",
                extra={"error": str(error)},
            )
        except Exception:
            logger.exception("the election failed")
        finally:
            self._held.clear()
            self._ended.set()
            if not self._release.is_set():
                self._lost()

    async def _elect(self) -> None:
        seconds = self._timing.attempt_seconds
        async with KubeClient(self._configuration, user_agent="cloud-recording-lease", request_seconds=seconds) as api:
            renewed_at = time.monotonic()
            while not self._release.is_set():
                started, self._answered = time.monotonic(), False
                if await self._attempt_in_time(api, until=renewed_at + self._timing.renew_deadline_seconds):
                    renewed_at = started
                    self._held.set()
                elif self._held.is_set() and time.monotonic() - renewed_at >= self._timing.renew_deadline_seconds:
                    return
                # Only of an API server that answers: what is left of the time is for the next attempt.
                if self._answered:
                    await self._tell_turned_away(api)
                await asyncio.to_thread(self._release.wait, self._timing.retry_seconds)
            if self._held.is_set():
                await self._give_back(api)

    async def _attempt_in_time(self, api: KubeClient, *, until: float) -> bool:
        """An attempt; that of a holder ends with its renewal deadline, whatever becomes of it."""
        if not self._held.is_set():
            return await self._attempt(api)
        try:
            async with asyncio.timeout(max(0.0, until - time.monotonic())):
                return await self._attempt(api)
        except TimeoutError:
            return False

    async def _attempt(self, api: KubeClient) -> bool:
        """Whether the Lease is held now, and newly so; raises when it is seen to be another's while we held it."""
        try:
            lease = await self._read(api)
            if lease is None:
                body = self._body({}, metadata={})
                with self._own.writing(body["spec"]["renewTime"]):
                    self._note(await api.post(self._collection(), body))
                return True
            self._note(lease)
            if self._is_taken(lease["spec"]):
                if self._held.is_set():
                    raise RuntimeError(f"the Lease is held by '{lease['spec'].get('holderIdentity')}'")
                return False
            if self._held.is_set():
                self._own.check(lease["spec"].get("renewTime") or "")
            body = self._body(lease["spec"], metadata=lease["metadata"])
            with self._own.writing(body["spec"]["renewTime"]):
                self._note(await api.put(self._url(), body))
        except Conflict:
            return False
        except KubeError as error:
            logger.warning("lease not renewed", extra={"lease": self._name, "error": error.message})
            return False
        return True

    def _note(self, lease: Json) -> None:
        """Takes in the version of the Lease as it was read or written; raises when it is older than one before.

        Versions of one kind of object are numbers that grow; an API server for which they are anything else tells
        nothing by them.
        """
        self._answered = True
        self._turned_away.hear(lease)
        version = str(lease["metadata"].get("resourceVersion", ""))
        if not version.isdecimal():
            return
        if int(version) < self._version:
            raise _WentBackError(f"the Lease has resource version {version}, and had {self._version} before")
        self._version = int(version)

    def _is_taken(self, spec: Json) -> bool:
        """Whether another holder has it, who renewed it within its duration: by our clock, since we saw it renewed."""
        holder, renewed = spec.get("holderIdentity") or "", spec.get("renewTime") or ""
        if holder in {"", self._identity}:
            return False
        if self._seen is None or (self._seen.holder, self._seen.renewed) != (holder, renewed):
            self._seen = _Seen(holder, renewed, time.monotonic())
        lasts = spec.get("leaseDurationSeconds") or self._timing.duration_seconds
        return time.monotonic() - self._seen.at < lasts

    async def _tell_turned_away(self, api: KubeClient) -> None:
        change = self._turned_away.to_tell()
        if change is None:
            return
        try:
            self._note(await api.patch(self._url(), change))
        except KubeError as error:
            logger.info("turned away recorders not told", extra={"lease": self._name, "error": error.message})

    async def _give_back(self, api: KubeClient) -> None:
        try:
            lease = await self._read(api)
            if lease is not None and lease["spec"].get("holderIdentity") == self._identity:
                await api.put(self._url(), {**lease, "spec": {**lease["spec"], "holderIdentity": ""}})
        except KubeError as error:
            logger.warning("lease not given back", extra={"lease": self._name, "error": error.message})

    async def _read(self, api: KubeClient) -> Json | None:
        try:
            return await api.get(self._url())
        except NotFound:
            return None

    def _now(self) -> str:
        return self._clock().strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    def _body(self, spec: Json, *, metadata: Json) -> Json:
        now = self._now()
        ours = spec.get("holderIdentity") == self._identity
        transitions = spec.get("leaseTransitions") or 0
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": self._namespace, **metadata},
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": self._timing.duration_seconds,
                "acquireTime": spec.get("acquireTime") if ours else now,
                "renewTime": now,
                "leaseTransitions": transitions if ours or not spec else transitions + 1,
            },
        }

    def _collection(self) -> str:
        return path("apis", "coordination.k8s.io", "v1", "namespaces", self._namespace, "leases")

    def _url(self) -> str:
        return self._collection() + path(self._name)
