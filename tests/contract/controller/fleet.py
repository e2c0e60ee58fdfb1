# SPDX-License-Identifier: Apache-2.0
"""Many recordings whose runners report all the time, and what must be true of them whatever fails meanwhile."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

from cloud_recording.api.wire import CALLBACK_CA_ANNOTATION
from tests.bench.operator.runners import AT_ONCE, Runner
from tests.contract.controller.stage import Stage, is_true

Json = dict[str, Any]

STARTED = ("RunnerStarted", {"runnerVersion": "1", "engineName": "default", "engineExtended": True})
PAUSE_SECONDS = 0.3
MOST_A_SECOND = 60
SETTLE_SECONDS = 120.0


class Fleet:
    """Recordings `recording-0` and so on, each with its runner and its pod as it was once all recorded."""

    def __init__(self, stage: Stage, url: str) -> None:
        self._stage = stage
        self._url = url
        self.runners: list[Runner] = []
        self.pods: dict[str, Json] = {}
        """By recording."""

    @classmethod
    async def recording(cls, stage: Stage, count: int, *, url: str) -> Self:
        """A fleet that records and reports to this URL."""
        fleet = cls(stage, url)
        for number in range(count):
            await stage.apply(f"recording-{number}")
        beginning = asyncio.Semaphore(AT_ONCE)
        await asyncio.gather(*(fleet._begin(number, beginning) for number in range(count)))
        await fleet.until_all(lambda seen: is_true(seen, "Recording"))
        await fleet.look_at_pods()
        return fleet

    async def _begin(self, number: int, turn: asyncio.Semaphore) -> None:
        async with turn:
            await self._begin_now(number)

    async def _begin_now(self, number: int) -> None:
        name = f"recording-{number}"
        pod = await self._stage.new_pod(name)
        await self._stage.place(pod)
        token = await self._stage.token(pod)
        runner = Runner(number, name, pod["metadata"]["uid"], token, self._url, trust(pod))
        self.runners.append(runner)
        await runner.tell(STARTED, ("RecordingConnecting", {}))
        await self._stage.report_running(pod)
        await runner.tell(("RecordingStarted", {}), ("DesiredStateApplied", {"generation": 1}))

    @asynccontextmanager
    async def reporting(self) -> AsyncIterator[None]:
        """All of them report progress, each again as soon as its last report was taken, but for a moment.

        As many a second come to an operator however many there are: it is not its speed that is tested.
        """

        async def report(runner: Runner) -> None:
            while not over.is_set():
                await runner.tell(runner.progress())
                await asyncio.sleep(pause)

        pause = max(PAUSE_SECONDS, len(self.runners) / MOST_A_SECOND)
        over = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(report(runner)) for runner in self.runners]
            yield
            over.set()
            async with asyncio.timeout(SETTLE_SECONDS):
                await asyncio.wait(tasks)

    async def until_heard(self) -> None:
        """Returns when each of them has been heard once more."""
        before = [runner.acknowledged for runner in self.runners]
        async with asyncio.timeout(SETTLE_SECONDS):
            while any(runner.acknowledged <= known for runner, known in zip(self.runners, before, strict=True)):  # noqa: ASYNC110 - other tasks report
                await asyncio.sleep(0.1)

    async def until_all(self, holds: Any) -> None:
        for runner in self.runners:
            await self._stage.until(holds, name=runner.recording, seconds=SETTLE_SECONDS)

    async def look_at_pods(self) -> None:
        """Remembers the pods as they are now."""
        self.pods = await self._live_pods()

    async def assert_no_pod_touched(self) -> None:
        """Not even written, by anybody."""
        versions = {name: pod["metadata"]["resourceVersion"] for name, pod in (await self._live_pods()).items()}
        assert versions == {name: pod["metadata"]["resourceVersion"] for name, pod in self.pods.items()}

    async def assert_pods_live(self) -> None:
        """The same pods, and none of them was told to end."""
        live = await self._live_pods()
        assert {name: pod["metadata"]["uid"] for name, pod in live.items()} == {
            name: pod["metadata"]["uid"] for name, pod in self.pods.items()
        }
        assert not [name for name, pod in live.items() if "deletionTimestamp" in pod["metadata"]]

    async def trust_anew(self) -> None:
        """Has each runner go by the authorities that its pod's annotation names now, as its mounted file does."""
        for name, pod in (await self._live_pods()).items():
            runner = next(one for one in self.runners if one.recording == name)
            runner.context = trust(pod)
            runner.close()

    async def end(self) -> None:
        """Stops all; each must end as it would have without any fault, with exactly what its runner told."""
        await asyncio.gather(*(self._stop(runner) for runner in self.runners))
        await self.until_all(lambda seen: is_true(seen, "Finished"))
        for runner in self.runners:
            runner.close()
            body = await self._stage.recording(runner.recording)
            assert body is not None
            assert is_true(body, "Succeeded"), body["status"]
            (part,) = body["status"]["parts"]
            told = (part["sequence"], part["slices"]["uploaded"])
            assert told == (runner.acknowledged, runner.acknowledged - 1), runner.recording
            assert "lastError" not in body["status"]

    async def _stop(self, runner: Runner) -> None:
        await self._stage.edit(runner.recording, desiredState="Stopped")
        await runner.tell(("RecordingStopped", {}))
        slices = {"written": runner.acknowledged, "uploaded": runner.acknowledged}
        summary = {
            "recordingId": "0" * 32,
            "part": 0,
            "outcome": "Uploaded",
            "slices": slices,
            "somebodyJoined": True,
        }
        await runner.tell(("Finished", {"summary": summary}))
        await self._stage.report_ended(self.pods[runner.recording], json.dumps(summary))

    async def _live_pods(self) -> dict[str, Json]:
        listed = (await self._stage.client.get(self._stage.core("pods")))["items"]
        by_uid = {pod["metadata"]["uid"]: pod for pod in listed}
        return {runner.recording: by_uid[runner.pod_uid] for runner in self.runners if runner.pod_uid in by_uid}


def trust(pod: Json) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=pod["metadata"]["annotations"][CALLBACK_CA_ANNOTATION])
