# SPDX-License-Identifier: Apache-2.0
"""The operator's metrics. None is labelled by object: what one recording does, its own pod tells."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

SECONDS_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.35, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Fine where a share of requests is to be below: 0.25 s is what callbacks are to take at most, but for a few."""

WAIT_BUCKETS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Of the time before a pass: a stop is to be heard within 5 s, and ten thousand recordings take a minute at a start."""

CAUSES = ("recording", "pod", "storage", "time", "retry", "start", "authority")
ANSWERS = ("200", "400", "401", "403", "410", "503")
"""What recorders are mostly told."""
VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class Metrics:
    """Everything that is counted, in a registry of its own."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, *, shards: int = 1) -> None:
        self._shards = range(shards)
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._passes = Histogram(
            "cloudrecording_reconcile_duration_seconds",
            "Length of a pass over one recording.",
            ["result"],
            buckets=SECONDS_BUCKETS,
            registry=self._registry,
        )
        self._causes = Counter(
            "cloudrecording_passes", "Passes, by what brought them about.", ["cause"], registry=self._registry
        )
        self._waits = Histogram(
            "cloudrecording_queue_wait_seconds",
            "How long recordings waited for a pass once there was a cause for one.",
            buckets=WAIT_BUCKETS,
            registry=self._registry,
        )
        self._oldest = Gauge(
            "cloudrecording_queue_oldest_seconds",
            "For how long the recording has waited for a pass that has waited longest.",
            registry=self._registry,
        )
        self._depth = Gauge("cloudrecording_queue_depth", "Recordings that wait for a pass.", registry=self._registry)
        self._requests = Histogram(
            "cloudrecording_callback_request_duration_seconds",
            "Time from a request with callbacks to its answer; when it is 200, they are in the status.",
            ["status"],
            buckets=SECONDS_BUCKETS,
            registry=self._registry,
        )
        self._callbacks = Counter(
            "cloudrecording_callbacks", "Callbacks that were answered.", ["status"], registry=self._registry
        )
        self._shed = Counter(
            "cloudrecording_callback_requests_shed",
            "Requests with callbacks that were told at once to come again, as too many were under way.",
            registry=self._registry,
        )
        self._connections = Gauge(
            "cloudrecording_callback_connections", "Connections of recorders that are open.", registry=self._registry
        )
        self._refused = Counter(
            "cloudrecording_callback_connections_refused",
            "Connections that were ended at once, as too many were open, or too many from one address.",
            registry=self._registry,
        )
        self._api_requests = Counter(
            "cloudrecording_api_requests",
            "Requests to the API server; the answer is its HTTP status, or `none`.",
            ["verb", "answer"],
            registry=self._registry,
        )
        self._api_seconds = Histogram(
            "cloudrecording_api_request_duration_seconds",
            "Time from a request to the API server to its answer, or to where it was given up.",
            ["verb"],
            buckets=SECONDS_BUCKETS,
            registry=self._registry,
        )
        self._leader = Gauge(
            "cloudrecording_leader", "1 while this replica holds the Lease and decides.", registry=self._registry
        )
        self._held = Gauge(
            "cloudrecording_shard_held",
            "1 while this replica decides about the recordings of the shard.",
            ["shard"],
            registry=self._registry,
        )
        self._unfinished = Gauge(
            "cloudrecording_unfinished_recordings", "Recordings that are not over.", registry=self._registry
        )
        self._begin_at_zero()

    def _begin_at_zero(self) -> None:
        """A series that begins with its first failure has no rate yet, so that nobody would be called for that one."""
        for result in ("success", "error"):
            self._passes.labels(result=result)
        for cause in CAUSES:
            self._causes.labels(cause=cause)
        for answer in ANSWERS:
            self._requests.labels(status=answer)
            self._callbacks.labels(status=answer)
        for verb in VERBS:
            self._api_seconds.labels(verb=verb)
        self.shards_held(frozenset())

    def queue_depth(self, waiting: int) -> None:
        """How many keys wait in the queue."""
        self._depth.set(waiting)

    def ask_oldest(self, seconds: Callable[[], float]) -> None:
        """Has the time that the oldest key has waited asked for at each exposition."""
        self._oldest.set_function(seconds)

    def pass_begins(self, *, waited_seconds: float) -> None:
        """It is a recording's turn, which has waited for so long."""
        self._waits.observe(waited_seconds)

    def pass_ended(self, *, cause: str, seconds: float, succeeded: bool) -> None:
        """A pass ended."""
        self._causes.labels(cause=cause).inc()
        self._passes.labels(result="success" if succeeded else "error").observe(seconds)

    def callbacks_answered(self, *, outcome: str, count: int, seconds: float) -> None:
        """A request with callbacks was answered."""
        self._requests.labels(status=outcome).observe(seconds)
        self._callbacks.labels(status=outcome).inc(count)

    def request_shed(self) -> None:
        """A request was turned away before anything was done for it."""
        self._shed.inc()

    def ask_connections(self, count: Callable[[], int]) -> None:
        """Has the number of recorders' connections asked for at each exposition."""
        self._connections.set_function(count)

    def connection_refused(self) -> None:
        """A recorder's connection was ended before anything was read from it."""
        self._refused.inc()

    def api_answered(self, verb: str, status: int, seconds: float) -> None:
        """The API server answered a request, or did not (0)."""
        self._api_requests.labels(verb=verb, answer=str(status) if status else "none").inc()
        self._api_seconds.labels(verb=verb).observe(seconds)

    def shards_held(self, shards: frozenset[int]) -> None:
        """This replica decides about these, and no others."""
        self._leader.set(1 if shards else 0)
        for shard in self._shards:
            self._held.labels(shard=str(shard)).set(1 if shard in shards else 0)

    def count_unfinished(self, count: Callable[[], int]) -> None:
        """Has the number of recordings that are not over asked for at each exposition."""
        self._unfinished.set_function(count)

    def exposition(self) -> bytes:
        """Everything in Prometheus' text format."""
        return generate_latest(self._registry)
