# SPDX-License-Identifier: Apache-2.0
"""The operator's parts put together, brought up and taken down in order.

First what every replica does: the authority, the callback server, the probes. Then the Lease; and only with it the
watch and the queue, of what is in the shards that are this replica's. On the way down the callback server goes last,
so that no report is turned away in between.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Final, Self
from urllib.parse import urlsplit

from aiohttp import web

from cloud_recording.api.settings import OperatorSettings
from cloud_recording.common.backoff import Backoff
from cloud_recording.common.exit_status import EXIT_FAILED, EXIT_OK
from cloud_recording.controller import health_server
from cloud_recording.controller.callback_authority import CallbackAuthority
from cloud_recording.controller.callback_listener import CallbackListener, Limits
from cloud_recording.controller.callback_server import LARGEST_REQUEST, CallbackServer
from cloud_recording.controller.caller_identities import CallerIdentities
from cloud_recording.controller.finalizer_index import FinalizerIndex
from cloud_recording.controller.held_shards import ALL, HeldShards
from cloud_recording.controller.keyed_locks import KeyedLocks
from cloud_recording.controller.known_pods import KnownPods
from cloud_recording.controller.known_recordings import KnownRecordings
from cloud_recording.controller.known_storages import KnownStorages
from cloud_recording.controller.metrics import Metrics
from cloud_recording.controller.reconcile import Reconciler
from cloud_recording.controller.reconcile_storage import StorageReconciler
from cloud_recording.controller.recording_key import RecordingKey
from cloud_recording.controller.sharing import Sharing
from cloud_recording.controller.sightings import Sightings
from cloud_recording.controller.status_writer import StatusWriter
from cloud_recording.controller.storage_key import StorageKey
from cloud_recording.controller.watch_thread import WatchThread
from cloud_recording.controller.work_queue import WorkQueue
from cloud_recording.domain.observed_state import OperatorContext
from cloud_recording.kube.client import Configuration, KubeClient, load_configuration
from cloud_recording.kube.cluster_clock import ClusterClock
from cloud_recording.kube.errors import Unavailable
from cloud_recording.kube.events import EventRecorder
from cloud_recording.kube.lease import LeaseHolder, LeaseTiming
from cloud_recording.kube.own_secret import OwnSecret
from cloud_recording.kube.pods import Pods
from cloud_recording.kube.recordings import Recordings, RecordingStorages
from cloud_recording.kube.shared_lease import SharedLease
from cloud_recording.kube.tokens import TokenReviews
from cloud_recording.kube.turned_away import TurnedAway

logger = logging.getLogger(__name__)

Key = RecordingKey | StorageKey

NAME: Final = "cloud-recording"
STUCK_SECONDS: Final = 300.0
"""A pass is some requests of half a minute at most; one that lasts longer than this will not end."""

STOP_SECONDS: Final = 10.0
START_BACKOFF: Final = Backoff(first_seconds=0.5, most_seconds=15.0)

LIMITS: Final = Limits()


@dataclass(frozen=True, kw_only=True)
class ReplicaIdentity:
    """Where this replica runs."""

    namespace: str
    pod: str
    pod_uid: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """What the pod's environment says; raises ValueError with the name of a variable that is missing."""
        missing = [name for name in ("POD_NAMESPACE", "POD_NAME") if not environment.get(name)]
        if missing:
            raise ValueError(f"the environment must have {' and '.join(missing)}, as the chart gives them to the pod")
        return cls(
            namespace=environment["POD_NAMESPACE"],
            pod=environment["POD_NAME"],
            pod_uid=environment.get("POD_UID", ""),
        )


async def _until_available(work: Callable[[], Awaitable[None]]) -> None:
    """Works until it is done: an API server that is away at the start, as on a node that boots, is waited for here."""
    for attempt in itertools.count(1):
        try:
            await work()
        except Unavailable as error:
            seconds = START_BACKOFF.after(attempt, spread=random.random())  # noqa: S311
            logger.warning("waiting for the API server", extra={"error": error.message, "seconds": round(seconds, 1)})
            await asyncio.sleep(seconds)
        else:
            return


class Operator:
    """One replica, from its start to its end."""

    def __init__(self, settings: OperatorSettings, replica: ReplicaIdentity) -> None:
        self._settings = settings
        self._replica = replica
        self._metrics = Metrics(shards=settings.shards)
        self._finalizers = FinalizerIndex()
        self._held = HeldShards(settings.shards)
        self._stop = asyncio.Event()
        self._exit_status = EXIT_OK
        self._clock = ClusterClock()
        self._listening_since: datetime | None = None
        self._turned_away = TurnedAway()

    async def run(self) -> int:
        """Runs until told to stop, the Lease is lost or the watch ends; returns the exit status."""
        self._stop_on_signals()
        configuration = await load_configuration()
        # What is opened is closed in the reverse order, wherever this ends.
        async with contextlib.AsyncExitStack() as stack:
            client = await stack.enter_async_context(
                KubeClient(configuration, user_agent=NAME, answered=self._metrics.api_answered, clock=self._clock)
            )
            pods, locks = KnownPods(client, clock=time.monotonic), KeyedLocks[RecordingKey]()
            recordings = KnownRecordings(Recordings(client), clock=time.monotonic)
            storages = KnownStorages(
                RecordingStorages(client),
                clock=time.monotonic,
                freed=lambda key: queue.add(key, cause="recording"),
            )
            events = self._events(client)
            statuses = StatusWriter(recordings, events)
            authority = CallbackAuthority(
                OwnSecret(client, namespace=self._replica.namespace, name=self._settings.callbacks.ca_secret_name),
                hosts=[urlsplit(self._settings.callbacks.url).hostname or ""],
                clock=self._clock.now,
                changed=lambda: queue.add_all(reconciler.unfinished, cause="authority"),
            )
            reconciler = Reconciler(
                recordings=recordings,
                storages=storages,
                pods=pods,
                statuses=statuses,
                context=lambda: self._context(authority),
                finalizers=self._finalizers,
                locks=locks,
                clock=self._clock.now,
            )
            storage_reconciler = StorageReconciler(
                storages=storages,
                recordings=Recordings(client),
                pods=Pods(client),
                events=events,
                context=lambda: self._context(authority),
                clock=self._clock.now,
            )

            async def look(key: Key) -> float | None:
                if not self._held.owns(key):
                    if isinstance(key, RecordingKey):
                        await reconciler.label(key)
                    else:
                        await storages.tell_freed(key, now=self._clock.now())
                    return None
                if isinstance(key, StorageKey):
                    return await storage_reconciler.reconcile(key)
                return await reconciler.reconcile(key)

            queue = WorkQueue(look, concurrency=self._settings.concurrency, metrics=self._metrics)
            callbacks = CallbackServer(
                identities=CallerIdentities(TokenReviews(client), pods, clock=time.monotonic, utc=self._clock.now),
                recordings=recordings,
                storages=storages,
                statuses=statuses,
                locks=locks,
                metrics=self._metrics,
                context=lambda: self._context(authority),
                clock=self._clock.now,
                turned_away=self._turn_away,
                body_seconds=LIMITS.body_seconds,
            )
            self._metrics.ask_oldest(queue.oldest_seconds)
            self._metrics.count_unfinished(lambda: len(reconciler.unfinished))

            # Every replica answers the kubelet and recorders.
            await self._open_probes(stack, authority, queue)
            if not await self._unless_stopped(_until_available(authority.refresh)):
                return self._exit_status
            await self._open_callbacks(stack, callbacks, authority)
            stack.push_async_callback(_cancel, asyncio.create_task(authority.keep(), name="authority"))

            # One of them decides about a recording: the one that holds the Lease, or this part of it.
            seen = Sightings(
                queue=queue,
                reconciler=reconciler,
                versions=statuses.versions,
                finalizers=self._finalizers,
                recordings=recordings,
                pods=pods,
                storages=storages,
                held=self._held,
            )
            sharing = Sharing(
                held=self._held,
                queue=queue,
                memory=seen,
                look_behind=lambda: _until_available(lambda: self._queue_left_behind(reconciler, queue)),
                new_watch=partial(self._watch, configuration, seen),
                changed=self._shards_changed,
            )
            lease, dropped = self._lease(configuration, sharing)
            stack.push_async_callback(lease.release)
            if not await self._unless_stopped(lease.acquire()):
                return self._exit_status
            logger.info("lease held")
            if self._settings.shards == 1:
                sharing.assign(ALL)
            stack.callback(self._metrics.shards_held, frozenset[int]())
            stack.push_async_callback(sharing.stop)
            await self._unless_stopped(_together(queue.run(), sharing.follow(dropped)))
        return self._exit_status

    def _events(self, client: KubeClient) -> EventRecorder:
        return EventRecorder(client, controller=NAME, instance=self._replica.pod, clock=self._clock.now)

    def _context(self, authority: CallbackAuthority) -> OperatorContext:
        return OperatorContext(
            settings=self._settings,
            callback_ca=authority.bundle,
            listening_since=self._listening_since,
            turned_away_at=self._turned_away.last,
        )

    def _turn_away(self) -> None:
        """Some recorder is heard later than it wanted to be; to ask which would take what serves it."""
        self._turned_away.note(self._clock.now())

    def _shed(self) -> None:
        self._metrics.request_shed()
        self._turn_away()

    def _refused(self) -> None:
        self._metrics.connection_refused()
        self._turn_away()

    async def _open_probes(
        self,
        stack: contextlib.AsyncExitStack,
        authority: CallbackAuthority,
        queue: WorkQueue[Key],
    ) -> None:
        """Opens the server of probes and metrics; like the one for callbacks it closes when the stack does."""

        def healthy() -> str | None:
            stuck = queue.longest_seconds()
            return None if stuck < STUCK_SECONDS else f"a pass has not ended for {int(stuck)} s"

        def ready() -> str | None:
            expires = authority.expires_at
            return (
                None if expires is not None and expires > self._clock.now() else "the callback certificate is not valid"
            )

        served = health_server.application(metrics=self._metrics, healthy=healthy, ready=ready)
        runner = web.AppRunner(served, access_log=None)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, port=self._settings.http.port, shutdown_timeout=STOP_SECONDS).start()

    async def _open_callbacks(
        self, stack: contextlib.AsyncExitStack, callbacks: CallbackServer, authority: CallbackAuthority
    ) -> None:
        listener = CallbackListener(
            callbacks.handle,
            largest_request=LARGEST_REQUEST,
            limits=LIMITS,
            shed=self._shed,
            refused=self._refused,
        )
        self._metrics.ask_connections(listener.connections)
        stack.push_async_callback(listener.close, patience_seconds=STOP_SECONDS)
        await listener.open(port=self._settings.callbacks.port, context=authority.context)
        self._listening_since = self._clock.now()
        logger.info("servers opened", extra={"callbacks": self._settings.callbacks.port})

    def _lease(
        self, configuration: Configuration, sharing: Sharing
    ) -> tuple[LeaseHolder, Callable[[frozenset[int]], None]]:
        """The Lease, and whom to tell of shards that others may have."""
        loop = asyncio.get_running_loop()
        election = self._settings.leader_election
        common: dict[str, Any] = {
            "namespace": self._replica.namespace,
            "name": election.lease_name,
            "identity": f"{self._replica.pod}_{self._replica.pod_uid}",
            "lost": lambda: loop.call_soon_threadsafe(self._fail),
            "clock": self._clock.now,
            "turned_away": self._turned_away,
            "timing": LeaseTiming(
                duration_seconds=election.lease_seconds,
                renew_deadline_seconds=election.renew_seconds,
                retry_seconds=election.retry_seconds,
            ),
        }
        if self._settings.shards == 1:
            return LeaseHolder(configuration, **common), lambda _: None
        shared = SharedLease(
            configuration,
            **common,
            shards=self._settings.shards,
            assigned=lambda shards: loop.call_soon_threadsafe(sharing.assign, shards),
        )
        return shared, shared.dropped

    def _shards_changed(self, shards: frozenset[int]) -> None:
        self._metrics.shards_held(shards)
        if self._settings.shards > 1:
            logger.info("shards held", extra={"shards": sorted(shards)})

    def _watch(self, configuration: Configuration, seen: Sightings, selector: str) -> WatchThread:
        """That the watch ends ends the operator."""
        return WatchThread(
            configuration=configuration,
            namespaces=self._settings.watch_namespaces,
            selector=selector,
            recording_seen=seen.recording,
            pod_seen=seen.pod,
            storage_seen=seen.storage,
            probe_seen=seen.probe,
            ended=self._fail,
        )

    async def _queue_left_behind(self, reconciler: Reconciler, queue: WorkQueue[Key]) -> None:
        """Looks at recordings that went while nobody watched: the watch does not tell of them."""
        for namespace in self._settings.watch_namespaces or (None,):
            async for key in reconciler.left_behind(namespace, owns=self._held.owns):
                queue.add(key, cause="start")

    def _stop_on_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)

    async def _unless_stopped(self, work: Coroutine[Any, Any, None]) -> bool:
        """Whether the work came to its end before the operator was told to; what it raises is raised here."""
        task = asyncio.create_task(work)
        stopping = asyncio.create_task(self._stop.wait())
        try:
            await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
            return task.done() and not self._stop.is_set()
        finally:
            for one in (task, stopping):
                one.cancel()
            await asyncio.gather(task, stopping, return_exceptions=True)

    def _fail(self) -> None:
        self._exit_status = EXIT_FAILED
        self._stop.set()


async def _together(*works: Coroutine[Any, Any, None]) -> None:
    """Does all of it; the first failure ends the others and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(work)
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
