# SPDX-License-Identifier: Apache-2.0
"""What the pod answers to the kubelet and to Prometheus about its one recording."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cloud_recording.common.probe_periods import LIVENESS_PERIOD_SECONDS, READINESS_PERIOD_SECONDS
from cloud_recording.common.volume_room import lasting_seconds
from cloud_recording.runner.supervisor.part_state import State
from cloud_recording.runner.supervisor.quiet_end import seconds_until_quiet
from cloud_recording.runner.supervisor.readiness import Readiness


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeState:
    """What the probes answer from, taken when they are asked."""

    state: State
    readiness: Readiness
    callbacks_waiting: int
    callbacks_delivered: int


class RecordingCollector(Collector):
    """The recording's figures. The pod is the series: no label names the recording."""

    def __init__(self, probe_state: Callable[[], ProbeState]) -> None:
        self._probe_state = probe_state

    def collect(self) -> Iterator[Metric]:
        """The figures of this moment; those of the engine only where the engine tells them."""
        probe_state = self._probe_state()
        facts = probe_state.state.facts
        yield _gauge("ready", "Whether the recorder does what it should.", float(probe_state.readiness.ready))
        yield _counter("restarts", "Restarts of the recorder process.", facts.restarts)
        yield _gauge(
            "callbacks_waiting", "Callbacks that the operator has not acknowledged.", probe_state.callbacks_waiting
        )
        yield _counter(
            "callbacks_delivered", "Callbacks that the operator acknowledged.", probe_state.callbacks_delivered
        )
        if facts.snapshot is not None:
            yield from _engine_figures(facts.snapshot)


def _engine_figures(snapshot: Mapping[str, Any]) -> Iterator[Metric]:
    for name, unit in (("slices", "Slices"), ("bytes", "Bytes of slices")):
        family = GaugeMetricFamily(f"cloudrecording_runner_{name}", f"{unit} by where they are.", labels=["place"])
        for place, value in snapshot.get(name, {}).items():
            family.add_metric([place], value)
        yield family
    seconds = {"recorded": "recordedMilliseconds", "gap": "gapMilliseconds", "position": "positionMilliseconds"}
    for name, field in seconds.items():
        yield _gauge(f"{name}_seconds", f"The recording's {name} time.", snapshot.get(field, 0) / 1000)
    yield from _work_volume(snapshot)
    lateness = snapshot.get("tickLatenessMicroseconds") or {}
    yield _gauge("tick_lateness_p99_seconds", "How late the composer's tick is.", lateness.get("p99", 0) / 1_000_000)
    yield _gauge("participants", "Participants joined now.", snapshot.get("participantCount", 0))


def _work_volume(snapshot: Mapping[str, Any]) -> Iterator[Metric]:
    pending = snapshot.get("pendingMilliseconds", 0) / 1000
    yield _gauge("pending_seconds", "Media that is on the work volume alone.", pending)
    free = snapshot.get("volumeFreeBytes")
    if free is None:
        return
    yield _gauge("volume_free_bytes", "What may still be written before recording pauses, 0 once it has.", free)
    lasts = lasting_seconds(
        free_bytes=free,
        written_bytes=snapshot.get("bytes", {}).get("written", 0),
        recorded_milliseconds=snapshot.get("recordedMilliseconds", 0),
    )
    if lasts is not None:
        yield _gauge("volume_lasts_seconds", "For how long that lasts if no store takes anything meanwhile.", lasts)


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(f"cloudrecording_runner_{name}", documentation, value=value)


def _counter(name: str, documentation: str, value: float) -> Metric:
    return CounterMetricFamily(f"cloudrecording_runner_{name}", documentation, value=value)


class ProbeServer:
    """Serves /healthz, /readyz and /metrics."""

    def __init__(self, probe_state: Callable[[], ProbeState]) -> None:
        self._probe_state = probe_state
        # By a probe's period, when it came last.
        self._asked: dict[float, float] = {}
        self._registry = CollectorRegistry()
        self._registry.register(RecordingCollector(probe_state))
        application = web.Application()
        application.add_routes(
            [
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._metrics),
            ]
        )
        self._runner = web.AppRunner(application, access_log=None)

    async def start(self, *, host: str | None, port: int) -> int:
        """Listens, on every address where no host is given, and returns the port."""
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        return int(self._runner.addresses[0][1])

    def seconds_until_quiet(self) -> float:
        """How long to go on listening so that the kubelet's next probe does not find nobody."""
        return seconds_until_quiet(self._asked.items(), time.monotonic())

    async def stop(self) -> None:
        """Stops listening."""
        await self._runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        """The event loop runs: a hanging recorder process is the supervisor's own business, not the kubelet's."""
        self._asked[LIVENESS_PERIOD_SECONDS] = time.monotonic()
        return web.Response(text="ok\n")

    async def _readyz(self, _: web.Request) -> web.Response:
        self._asked[READINESS_PERIOD_SECONDS] = time.monotonic()
        readiness = self._probe_state().readiness
        return web.Response(text=f"{readiness.reason}\n", status=200 if readiness.ready else 503)

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), content_type="text/plain", charset="utf-8")
