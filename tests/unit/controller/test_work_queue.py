# SPDX-License-Identifier: Apache-2.0
"""The work-queue: nothing is worked twice at once, nothing is lost, failures wait longer and longer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

from cloud_recording.common.backoff import Backoff
from cloud_recording.controller.metrics import Metrics
from cloud_recording.controller.work_queue import WorkQueue

pytestmark = pytest.mark.looptime

Work = Callable[[str], Awaitable[float | None]]


@asynccontextmanager
async def running(work: Work, *, concurrency: int = 2, metrics: Metrics | None = None) -> AsyncIterator[WorkQueue[str]]:
    queue = WorkQueue(work, concurrency=concurrency, metrics=metrics or Metrics(), backoff=Backoff(most_seconds=8))
    task = asyncio.create_task(queue.run())
    try:
        yield queue
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_additions_before_its_turn_are_one_turn() -> None:
    worked = []

    async def work(key: str) -> None:
        worked.append(key)

    async with running(work) as queue:
        for key in "abcabcabc":
            queue.add(key)
        await asyncio.sleep(1)
    assert sorted(worked) == ["a", "b", "c"]


async def test_a_key_added_while_it_is_in_work_is_worked_again_and_never_twice_at_once() -> None:
    at_work, most = 0, 0
    finished = []

    async def work(_: str) -> None:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        await asyncio.sleep(10)
        at_work -= 1
        finished.append(now())

    async with running(work) as queue:
        queue.add("a")
        await asyncio.sleep(5)
        queue.add("a")
        queue.add("a")
        assert queue.longest_seconds() == pytest.approx(5)
        await asyncio.sleep(20)
    assert (most, len(finished)) == (1, 2)


async def test_no_more_than_so_many_keys_are_in_work() -> None:
    at_work, most = 0, 0

    async def work(_: str) -> None:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        await asyncio.sleep(1)
        at_work -= 1

    async with running(work, concurrency=3) as queue:
        for number in range(10):
            queue.add(str(number))
        await asyncio.sleep(30)
    assert most == 3


async def test_failures_wait_longer_each_time_and_a_success_forgets_them() -> None:
    attempts: list[float] = []

    async def work(_: str) -> None:
        attempts.append(now())
        if len(attempts) < 7:
            raise RuntimeError("not yet")

    async with running(work) as queue:
        queue.add("a")
        await asyncio.sleep(120)
        waits = [later - earlier for earlier, later in pairwise(attempts)]
        assert len(attempts) == 7
        assert all(full / 2 <= wait <= full for wait, full in zip(waits, [0.5, 1, 2, 4, 8, 8], strict=True))


async def test_what_is_due_later_is_worked_then_and_once() -> None:
    worked: list[float] = []

    async def work(_: str) -> float | None:
        worked.append(now())
        return 60.0 if len(worked) == 1 else None

    async with running(work) as queue:
        start = now()
        queue.add_after("a", 10)
        queue.add_after("a", 5)
        queue.add_after("a", 20)
        await asyncio.sleep(300)
    assert [moment - start for moment in worked] == pytest.approx([5, 65])


async def test_times_finer_than_the_clock_are_due_when_the_loop_says_so() -> None:
    worked = []

    async def work(key: str) -> None:
        worked.append(key)

    async with running(work) as queue:
        for number in range(100):
            queue.add_after(str(number), 1 + number / 7 * 1e-9)
        await asyncio.sleep(2)
    assert len(worked) == 100


async def test_what_is_forgotten_is_not_due_any_more() -> None:
    worked = []

    async def work(key: str) -> None:
        worked.append(key)

    async with running(work) as queue:
        queue.add_after("a", 5)
        queue.forget("a")
        await asyncio.sleep(30)
    assert worked == []


async def test_it_tells_for_how_long_a_key_has_waited_and_what_brought_it_here() -> None:
    metrics, released = Metrics(), asyncio.Event()

    async def work(key: str) -> float | None:
        if key == "failing" and not released.is_set():
            raise ValueError(key)
        await released.wait()
        return 5.0 if key == "again" else None

    async with running(work, concurrency=1, metrics=metrics) as queue:
        queue.add("failing", cause="recording")
        await asyncio.sleep(0.1)
        queue.add("again", cause="recording")
        queue.add("again", cause="pod")
        await asyncio.sleep(0)
        queue.add("waiting", cause="pod")
        await asyncio.sleep(20)
        assert queue.oldest_seconds() == pytest.approx(20, abs=0.5)
        released.set()
        await asyncio.sleep(6)
        assert queue.oldest_seconds() == 0
    told = metrics.exposition().decode()
    passes = {"recording": 2, "pod": 1, "retry": 1, "time": 1}
    assert {f'cloudrecording_passes_total{{cause="{cause}"}} {count}.0' for cause, count in passes.items()} <= set(
        told.splitlines()
    )
    waited = {
        f'cloudrecording_queue_wait_seconds_bucket{{le="{most}"}}': count for most, count in (("10.0", 3), ("30.0", 5))
    }
    assert {f"{name} {count}.0" for name, count in waited.items()} <= set(told.splitlines())
