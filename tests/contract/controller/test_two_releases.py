# SPDX-License-Identifier: Apache-2.0
"""Operators of two releases side by side, as in an upgrade that is taken back: one acts, and both take callbacks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.contract.controller.fleet import Fleet
from tests.contract.controller.newer_release import KEPT, newer_operator
from tests.contract.controller.operator_process import OperatorProcess
from tests.contract.controller.stage import Stage
from tests.contract.controller.tcp_proxy import TCPProxy
from tests.contract.controller.test_replicas import pair_behind, seconds_to_a_pod, until_led

RECORDINGS = 10
LEADS = "cloudrecording_leader 1.0"


@asynccontextmanager
async def never_two_at_work(operators: Sequence[OperatorProcess]) -> AsyncIterator[None]:
    """Asks both all the time who acts; both say so of themselves at no moment."""

    async def look() -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                leaders = [operator.name for operator in operators if LEADS in await told(session, operator)]
                assert len(leaders) <= 1, leaders
                await asyncio.sleep(0.05)

    task = asyncio.create_task(look())
    try:
        yield
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def told(session: aiohttp.ClientSession, operator: OperatorProcess) -> str:
    """Its metrics; nothing while it is not there."""
    try:
        async with session.get(f"http://127.0.0.1:{operator.http_port}/metrics") as answer:
            return await answer.text()
    except aiohttp.ClientError:
        return ""


async def assert_kept(stage: Stage, fleet: Fleet) -> None:
    """What the newer release wrote is in each status, and each recording has but one part."""
    for runner in fleet.runners:
        body = await stage.recording(runner.recording)
        assert body is not None
        (part,) = body["status"]["parts"]
        assert (body["status"]["novelty"], part["novelty"], part["state"]) == (KEPT, KEPT, "Recording")


@pytest.mark.usefixtures("newer_definition")
async def test_an_older_release_acts_beside_a_newer_one_and_keeps_what_that_wrote(
    stage: Stage, new_operator: Callable[..., OperatorProcess], tmp_path: Path
) -> None:
    """The newer one acts, then the older one, then the newer one again; recorders report to both of them."""
    async with TCPProxy.before() as service:
        newer, older = pair_behind(
            service, new_operator, environment=({"PYTHONPATH": str(newer_operator(tmp_path))}, {})
        )
        await until_led(newer)
        async with never_two_at_work((newer, older)):
            fleet = await Fleet.recording(stage, RECORDINGS, url=f"https://localhost:{service.port}")
            async with fleet.reporting():
                await fleet.until_heard()
                await assert_kept(stage, fleet)

                assert await asyncio.to_thread(newer.stop) == 0
                assert await seconds_to_a_pod(stage, "by-the-older") < 30
                await fleet.until_heard()
                await assert_kept(stage, fleet)

                newer.start()
                await asyncio.to_thread(newer.await_serving)
                await fleet.until_heard()
                assert await asyncio.to_thread(older.stop) == 0
                assert await seconds_to_a_pod(stage, "by-the-newer") < 30
                await fleet.until_heard()
                await assert_kept(stage, fleet)
                await fleet.assert_no_pod_touched()
            older.start()
            await asyncio.to_thread(older.await_serving)
            await fleet.end()
