# SPDX-License-Identifier: Apache-2.0
"""The life of N recordings with one operator on a real API server, phase by phase, each with what it cost."""

from __future__ import annotations

import asyncio
import json
import ssl
import statistics
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import aiohttp

from cloud_recording.api.wire import CALLBACK_CA_ANNOTATION, DESIRED_ANNOTATION
from tests.bench.operator import process
from tests.bench.operator.api_calls import ApiCalls, Call
from tests.bench.operator.floor import FLOOR_RECORDINGS, Floor
from tests.bench.operator.runners import AT_ONCE, Heartbeats, Runner
from tests.contract.controller.operator_process import OperatorProcess
from tests.contract.controller.stage import Stage, is_true

Item = TypeVar("Item")

CALLBACK_SECONDS = 15
QUIET_SECONDS = 2.0
BUSY_SECONDS = 0.05
"""Of its processor, in half a second."""
SETTLE_SECONDS = 1800
CLIENT_SECONDS = 15.0
"""A runner gives a request up after so long."""
STOPS = 5
"""So many recordings are stopped while more callbacks come than are served."""


class Scenario:
    """N recordings, in a namespace of their own."""

    def __init__(self, stage: Stage, operator: OperatorProcess, kubeconfig: Path, recordings: int) -> None:
        self._stage = stage
        self._operator = operator
        self._count = recordings
        self._calls = ApiCalls(kubeconfig)
        self._floor = Floor(Stage(stage.client, f"{stage.namespace}-floor"), kubeconfig)
        self._runners: list[Runner] = []
        self._beats = Heartbeats(self._runners)
        self._beating: asyncio.Task[None] | None = None
        self.row: dict[str, Any] = {"n": recordings}

    async def run(self) -> dict[str, Any]:
        """All phases, in order; the row has a figure for each."""
        for phase in (
            self._create,
            self._connect,
            self._start,
            self._best_rate,
            self._latency,
            self._overload,
            self._restart,
            self._stop_all,
        ):
            begun = time.monotonic()
            await phase()
            print(f"  {phase.__name__[1:]:<10} {time.monotonic() - begun:6.0f} s", file=sys.stderr, flush=True)
        return self.row

    async def _create(self) -> None:
        async def create(number: int) -> None:
            self._calls.own("POST", "cloudrecordings")
            await self._stage.apply(f"recording-{number}")

        async with self._measured() as spent:
            await _at_once(create, range(self._count))
            await self._settle()
        made = await self._bodies("cloudrecordings")
        assert all(body["status"]["parts"][0].get("podUID") for body in made), "not every recording has its pod"
        self.row["create_cpu_ms"] = round(spent.cpu * 1000 / self._count, 2)
        self._note_calls("create", spent.calls)
        examples = {kind: await self._bodies(kind) for kind in {call.resource for call in spent.calls if call.is_write}}
        floor = await self._floor.cost(
            {call: round(count / self._count) for call, count in spent.calls.items()}, examples
        )
        self.row["floor_cpu_ms"] = round(floor["cpuSeconds"] * 1000 / FLOOR_RECORDINGS, 2)
        self.row["rss_idle_mb"] = round(process.resident_mb(self._operator.pid))

    async def _connect(self) -> None:
        pods = await self._bodies("pods")
        assert len(pods) == self._count, f"{len(pods)} pods for {self._count} recordings"
        context = ssl.create_default_context(cadata=pods[0]["metadata"]["annotations"][CALLBACK_CA_ANNOTATION])
        recordings = {
            body["metadata"]["uid"]: body["metadata"]["name"] for body in await self._bodies("cloudrecordings")
        }

        async def runner(numbered: tuple[int, dict[str, Any]]) -> None:
            number, pod = numbered
            name = recordings[pod["metadata"]["labels"]["cloudrecording.dev/recording-uid"]]
            token = await self._stage.token(pod)
            uid = pod["metadata"]["uid"]
            self._runners.append(Runner(number, name, uid, token, self._operator.url, context))

        await _at_once(runner, enumerate(pods))
        before = process.resident_mb(self._operator.pid)
        await _at_once(Runner.connect, self._runners)
        await asyncio.sleep(QUIET_SECONDS)
        more = process.resident_mb(self._operator.pid) - before
        self.row["kib_per_connection"] = round(more * 1024 / self._count, 1)
        self._pods = {pod["metadata"]["uid"]: pod for pod in pods}

    async def _start(self) -> None:
        async def start(runner: Runner) -> None:
            began = {"runnerVersion": "1", "engineName": "default", "engineExtended": True}
            await runner.tell(("RunnerStarted", began), ("RecordingConnecting", {}))
            self._calls.own("PATCH", "pods", "status")
            await self._stage.report_running(self._pods[runner.pod_uid])
            await runner.tell(("RecordingStarted", {}), ("DesiredStateApplied", {"generation": 1}))
            runner.records = True

        self._beat()
        async with self._measured() as spent:
            await _at_once(start, self._runners)
            await self._settle()
            # What runners report of themselves is no part of a start.
            self._calls.own("PUT", "cloudrecordings", "status", count=self._beats.served)
        recording = sum(is_true(body, "Recording") for body in await self._bodies("cloudrecordings"))
        assert recording == self._count, f"{recording} record"
        self._note_calls("start", spent.calls)
        self.row["rss_connected_mb"] = round(process.resident_mb(self._operator.pid))

    async def _best_rate(self) -> None:
        until = time.monotonic() + CALLBACK_SECONDS
        served = -self._beats.served

        async def tell(runner: Runner) -> None:
            nonlocal served
            if time.monotonic() < until:
                await runner.tell(runner.progress())
                served += 1

        while time.monotonic() < until:
            await _at_once(tell, self._runners)
        served += self._beats.served
        self.row["best_rate"] = round(served / CALLBACK_SECONDS, 1)
        await self._settle()
        cpu, beats = self._calls.server_cpu_seconds(), self._beats.served
        floor = await self._floor.rate((await self._bodies("cloudrecordings"))[0], seconds=CALLBACK_SECONDS)
        writes = floor["writes"] + self._beats.served - beats
        self.row["api_write_cpu_ms"] = round(1000 * (self._calls.server_cpu_seconds() - cpu) / writes, 1)
        self.row["floor_rate"] = round(floor["writesPerSecond"], 1)

    async def _latency(self) -> None:
        rate = 0.8 * self.row["best_rate"]
        cpu, beats = process.cpu_seconds(self._operator.pid), self._beats.served
        seen = await self._offer(rate)
        spent, beats = process.cpu_seconds(self._operator.pid) - cpu, self._beats.served - beats
        waits = sorted(1000 * wait for status, wait in seen if status == 200)
        self.row["callback_cpu_ms"] = round(1000 * spent / (len(waits) + beats), 1)
        cuts = statistics.quantiles(waits, n=100)
        for percent in (50, 95, 99):
            self.row[f"callback_p{percent}_ms"] = round(cuts[percent - 1], 1)
        like = (await self._bodies("cloudrecordings"))[0]
        floor = await self._floor.latency(like, rate=rate, seconds=CALLBACK_SECONDS)
        for percent in (50, 95):
            self.row[f"floor_p{percent}_ms"] = round(floor[f"p{percent}Milliseconds"], 1)

    async def _overload(self) -> None:
        offered = 2 * self.row["best_rate"]
        stopping = asyncio.create_task(self._stop_some())
        beats = self._beats.served
        seen = await self._offer(offered)
        beats = self._beats.served - beats
        answers = Counter(status for status, _ in seen)
        turned_away = sorted(wait for status, wait in seen if status == 503)
        self.row["offered_rate"] = round(offered, 1)
        self.row["served_rate"] = round((answers[200] + beats) / CALLBACK_SECONDS, 1)
        self.row["shed"] = answers[503]
        if turned_away:
            self.row["shed_p50_ms"] = round(1000 * statistics.median(turned_away), 1)
        self.row["unanswered"] = answers[0]
        self.row["overload_stop_s"] = round(max(await stopping), 2)
        await self._settle()

    async def _stop_some(self) -> list[float]:
        """Stops recordings one after the other; seconds from each edit to where its recorder is told."""
        waits = []
        for runner in self._runners[:STOPS]:
            await asyncio.sleep(CALLBACK_SECONDS / (STOPS + 2))
            begun = time.monotonic()
            await self._stage.edit(runner.recording, desiredState="Stopped")
            pod = self._pods[runner.pod_uid]["metadata"]["name"]
            await self._stage.until_pod(pod, is_told_to_stop)
            waits.append(time.monotonic() - begun)
        return waits

    async def _restart(self) -> None:
        await self._end_beating()
        for runner in self._runners:
            runner.close()
        self._operator.kill()
        begun = time.monotonic()
        self._operator.start()
        self._operator.await_serving()
        await self._settle()
        self.row["restart_s"] = round(time.monotonic() - begun - QUIET_SECONDS, 1)
        self.row["restart_cpu_s"] = round(process.cpu_seconds(self._operator.pid), 1)
        self.row["restart_peak_mb"] = round(process.peak_mb(self._operator.pid))

    async def _stop_all(self) -> None:
        async def stop(runner: Runner) -> None:
            runner.records = False
            self._calls.own("PATCH", "cloudrecordings")
            await self._stage.edit(runner.recording, desiredState="Stopped")
            ended = {"summary": _summary(runner)}
            await runner.tell(
                ("RecordingStopped", {}), ("RecordingUploaded", {"fileName": "all.m3u8"}), ("Finished", ended)
            )
            self._calls.own("PATCH", "pods", "status")
            await self._stage.report_ended(self._pods[runner.pod_uid], json.dumps(ended["summary"]))

        self._beat()
        begun = time.monotonic()
        await _at_once(stop, self._runners)
        await self._end_beating()
        await self._settle()
        self.row["stop_all_s"] = round(time.monotonic() - begun - QUIET_SECONDS, 1)
        bodies = {body["metadata"]["name"]: body for body in await self._bodies("cloudrecordings")}
        parts = [(bodies[runner.recording]["status"]["parts"], runner) for runner in self._runners]
        self.row["lost"] = sum(is_short(parts, runner) for parts, runner in parts)
        self.row["doubled"] = sum(len(parts) - 1 for parts, _ in parts)
        self.row["unfinished"] = sum(not is_true(bodies[runner.recording], "Finished") for runner in self._runners)

    async def _offer(self, rate: float) -> list[tuple[int, float]]:
        """Progress at this rate, whatever the answers are: the status of each, and seconds from when it was due."""
        idle = list(self._runners)
        seen: list[tuple[int, float]] = []
        begun = time.monotonic()

        async def offer(due: float) -> None:
            runner = idle.pop() if idle else None
            status = 0
            if runner is not None:
                try:
                    async with asyncio.timeout(CLIENT_SECONDS):
                        status = await runner.offer(runner.progress())
                except TimeoutError:
                    status = 0
                idle.insert(0, runner)
            seen.append((status, time.monotonic() - due))

        async with asyncio.TaskGroup() as group:
            for number in range(int(rate * CALLBACK_SECONDS)):
                due = begun + number / rate
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                group.create_task(offer(due))
        return seen

    def _note_calls(self, phase: str, calls: Counter[Call]) -> None:
        """How many calls a recording took, and of which kinds."""
        self.row[f"calls_{phase}"] = round(calls.total() / self._count, 2)
        self.row[f"calls_{phase}_by_kind"] = {
            str(call): round(count / self._count, 2) for call, count in sorted(calls.items()) if count
        }

    @asynccontextmanager
    async def _measured(self) -> AsyncIterator[Spent]:
        spent = Spent()
        cpu, calls = process.cpu_seconds(self._operator.pid), self._calls.now()
        yield spent
        spent.cpu = process.cpu_seconds(self._operator.pid) - cpu
        spent.calls = self._calls.now()
        spent.calls.subtract(calls)

    def _beat(self) -> None:
        self._beating = asyncio.create_task(self._beats.run())

    async def _end_beating(self) -> None:
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)
            self._beating = None

    async def _settle(self) -> None:
        """Returns when the operator has had nothing to do for a while; what runners report brings no pass about."""
        async with aiohttp.ClientSession() as session, asyncio.timeout(SETTLE_SECONDS):
            quiet_since: float | None = None
            cpu, passes = process.cpu_seconds(self._operator.pid), ""
            while quiet_since is None or time.monotonic() - quiet_since < QUIET_SECONDS:
                await asyncio.sleep(0.5)
                before, cpu = cpu, process.cpu_seconds(self._operator.pid)
                if self._beating is None and cpu - before > BUSY_SECONDS:
                    # To ask it for its metrics would be a part of what it costs.
                    quiet_since = None
                    continue
                passes_before = passes
                async with session.get(f"http://127.0.0.1:{self._operator.http_port}/metrics") as answer:
                    told = await answer.text()
                waiting = "cloudrecording_queue_depth 0.0" not in told
                passes = "".join(line for line in told.splitlines() if line.startswith("cloudrecording_passes_total"))
                if waiting or (self._beating is not None and passes != passes_before):
                    quiet_since = None
                elif quiet_since is None:
                    quiet_since = time.monotonic()

    async def _bodies(self, kind: str) -> list[dict[str, Any]]:
        self._calls.own("LIST", kind)
        url = self._stage.recordings() if kind == "cloudrecordings" else self._stage.core(kind)
        return list((await self._stage.client.get(url))["items"])


class Spent:
    """What a phase took: processor seconds of the operator, and its calls."""

    cpu: float
    calls: Counter[Call]


def is_short(parts: list[dict[str, Any]], runner: Runner) -> bool:
    """Whether a callback that was acknowledged is not in the status."""
    return bool(parts[0]["sequence"] < runner.acknowledged)


def is_told_to_stop(pod: dict[str, Any] | None) -> bool:
    """Whether the recorder reads in its pod that it is to stop."""
    assert pod is not None
    return bool(json.loads(pod["metadata"]["annotations"][DESIRED_ANNOTATION])["state"] == "Stopped")


def _summary(runner: Runner) -> dict[str, Any]:
    return {
        "recordingId": "0" * 32,
        "part": 0,
        "outcome": "Uploaded",
        "slices": {"written": runner.acknowledged, "uploaded": runner.acknowledged},
        "somebodyJoined": True,
    }


async def _at_once(work: Callable[[Item], Awaitable[None]], items: Iterable[Item]) -> None:
    """Does the work for all items, some at once."""
    waiting = iter(items)

    async def worker() -> None:
        for item in waiting:
            await work(item)

    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
