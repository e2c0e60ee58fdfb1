# SPDX-License-Identifier: Apache-2.0
"""Recorders, replicas and an API server in virtual time, by the operator's own rules and with measured costs.

What more recordings than a machine can run would come to: whose processor is used up first, and how long recorders
wait until the operator has what they tell. Nothing is lost by waiting; one that is silent for 90 s is `NotHeard`.
"""

from __future__ import annotations

import heapq
import itertools
import random
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from cloud_recording.controller.callback_server import MOST_UNDER_WAY
from cloud_recording.controller.figures_pacing import FiguresPacing
from cloud_recording.domain.ready_reason import REPORT_TIMEOUT
from cloud_recording.runner.recorder.snapshot_pacing import LONGEST_SILENCE_SECONDS
from cloud_recording.runner.supervisor.callback_delivery import BACKOFF

SLICE_SECONDS = 15.0
UPLOAD_SECONDS = 2.0
WARM_SECONDS = 300.0
MEASURED_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Machines:
    """What there is, and what it takes, as measured on two processors that others used as well."""

    replicas: int
    api_processors: int
    shards: int = 1
    callback_ms: float = 5.0
    """Processor time of a replica for a callback that is served; it has one thread.

    That is where one replica serves and decides, so `watch_ms` is in it.
    """
    watch_ms: float = 0.2
    """Of whoever decides about the recording, to hear of the write."""
    carry_ms: float = 0.2
    """The same to find, where another replica wrote, that it is progress alone, after which no pass follows."""
    shed_ms: float = 1.0
    """For one that is turned away."""
    write_ms: float = 15.0
    """Processor time of the API server to write a status."""


class _Processors:
    """So many of them, with one queue."""

    def __init__(self, count: int) -> None:
        self._free_at = [0.0] * count
        self.busy = 0.0

    def done_at(self, now: float, seconds: float) -> float:
        """When work that comes now is done."""
        begins = max(now, heapq.heappop(self._free_at))
        heapq.heappush(self._free_at, begins + seconds)
        self.busy += seconds
        return begins + seconds


class _Replica:
    def __init__(self, clock: Callable[[], float]) -> None:
        self.thread = _Processors(1)
        self.pacing = FiguresPacing(most_under_way=MOST_UNDER_WAY, clock=clock)
        self.under_way = 0


@dataclass(slots=True)
class _Recorder:
    replica: _Replica
    decides: _Replica
    """Whichever has its shard."""
    heard_at: float
    news_at: float | None = None
    """Since when there is something that the operator does not have."""
    held_until: float = 0.0
    is_asking: bool = False
    failures: int = 0


@dataclass
class Simulation:
    """N recordings that all record."""

    recordings: int
    machines: Machines
    _now: float = 0.0
    _events: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _waits: list[float] = field(default_factory=list)
    _silences: list[float] = field(default_factory=list)
    _shed: int = 0

    def run(self) -> dict[str, Any]:
        """The row of these recordings."""
        chance = random.Random(self.recordings)  # noqa: S311
        self._chance, self._order = chance, itertools.count()
        self._replicas = [_Replica(lambda: self._now) for _ in range(self.machines.replicas)]
        self._api = _Processors(self.machines.api_processors)
        for number in range(self.recordings):
            replica = chance.choice(self._replicas)
            decides = self._replicas[number % self.machines.shards % len(self._replicas)]
            recorder = _Recorder(replica, decides, heard_at=0.0)
            self._at(chance.uniform(0, SLICE_SECONDS), partial(self._slice, recorder))
        self._go_on_until(WARM_SECONDS)
        busy = [replica.thread.busy for replica in self._replicas], self._api.busy
        self._waits, self._silences, self._shed = [], [], 0
        self._go_on_until(WARM_SECONDS + MEASURED_SECONDS)
        replicas = [replica.thread.busy - was for replica, was in zip(self._replicas, busy[0], strict=True)]
        return {
            "n": self.recordings,
            "replicas": len(self._replicas),
            "shards": self.machines.shards,
            "api_processors": self.machines.api_processors,
            "served_rate": round(len(self._waits) / MEASURED_SECONDS, 1),
            "shed_rate": round(self._shed / MEASURED_SECONDS, 1),
            "figures_seconds": round(statistics.mean(replica.pacing.seconds for replica in self._replicas), 1),
            "replica_busy": round(max(replicas) / MEASURED_SECONDS, 2),
            "api_busy": round((self._api.busy - busy[1]) / MEASURED_SECONDS, 2),
            "wait_p95_s": round(statistics.quantiles(self._waits, n=20)[-1], 2),
            "silence_p99_s": round(statistics.quantiles(self._silences, n=100)[-1], 1),
            "not_heard_share": round(
                sum(one > REPORT_TIMEOUT.total_seconds() for one in self._silences) / len(self._silences), 4
            ),
        }

    def _at(self, moment: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._events, (moment, next(self._order), act))

    def _go_on_until(self, end: float) -> None:
        while self._events[0][0] < end:
            self._now, _, act = heapq.heappop(self._events)
            act()
        self._now = end

    def _slice(self, recorder: _Recorder) -> None:
        """One is closed, and uploaded some time later: each is news."""
        self._news(recorder)
        self._at(self._now + UPLOAD_SECONDS, partial(self._news, recorder))
        self._at(self._now + SLICE_SECONDS, partial(self._slice, recorder))

    def _news(self, recorder: _Recorder) -> None:
        if recorder.news_at is None:
            recorder.news_at = max(self._now, recorder.held_until)
            self._ask_in(recorder, recorder.news_at - self._now)

    def _ask_in(self, recorder: _Recorder, seconds: float) -> None:
        if not recorder.is_asking:
            recorder.is_asking = True
            self._at(self._now + seconds, partial(self._ask, recorder))

    def _ask(self, recorder: _Recorder) -> None:
        replica, machines = recorder.replica, self.machines
        replica.pacing.note(replica.under_way)
        if replica.under_way >= MOST_UNDER_WAY:
            self._shed += 1
            recorder.failures += 1
            answered = replica.thread.done_at(self._now, machines.shed_ms / 1000)
            pause = BACKOFF.after(recorder.failures, spread=self._chance.random())
            self._at(answered + pause, partial(self._ask, recorder))
            return
        replica.under_way += 1
        computed = replica.thread.done_at(self._now, (machines.callback_ms - machines.watch_ms) / 1000)
        self._at(computed, partial(self._write, recorder))

    def _write(self, recorder: _Recorder) -> None:
        written = self._api.done_at(self._now, self.machines.write_ms / 1000)
        self._at(written, partial(self._served, recorder))

    def _served(self, recorder: _Recorder) -> None:
        machines = self.machines
        carries = machines.carry_ms if recorder.decides is not recorder.replica else 0.0
        recorder.decides.thread.done_at(self._now, (machines.watch_ms + carries) / 1000)
        recorder.replica.under_way -= 1
        recorder.failures = 0
        recorder.is_asking = False
        self._waits.append(self._now - (self._now if recorder.news_at is None else recorder.news_at))
        self._silences.append(self._now - recorder.heard_at)
        recorder.heard_at, recorder.news_at = self._now, None
        recorder.held_until = self._now + recorder.replica.pacing.pause(spread=self._chance.random())


assert SLICE_SECONDS < LONGEST_SILENCE_SECONDS, "else recorders would also report for the sake of being heard"
