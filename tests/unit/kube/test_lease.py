# SPDX-License-Identifier: Apache-2.0
"""The figures by which a Lease is kept leave time for what is meant to be outlasted."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import fields, replace
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio.client import Configuration

from cloud_recording.kube.lease import LeaseHolder, LeaseTiming


def test_a_second_request_fits_into_the_time_to_renew() -> None:
    assert LeaseTiming().attempt_seconds == 5.0
    assert LeaseTiming(duration_seconds=3, renew_deadline_seconds=1.5).attempt_seconds == 0.75


def test_another_takes_over_within_half_a_minute() -> None:
    timing = LeaseTiming()
    assert timing.duration_seconds + timing.retry_seconds < 30


SCALED = replace(
    LeaseTiming(), **{field.name: getattr(LeaseTiming(), field.name) / 10 for field in fields(LeaseTiming)}
)


class ApiServer:
    """Has one Lease; until it is `back`, requests get no answer."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.back = asyncio.Event()
        self.back.set()
        self.unanswered = 0
        self.reads = 0
        self.version = 700
        self.loses_answers = 0
        """To so many writes that are done."""

    async def answer(self, request: web.Request) -> web.Response:
        if not self.back.is_set():
            self.unanswered += 1
            await self.back.wait()
            return web.Response(status=503)
        if request.method == "GET":
            self.reads += 1
            if self.lease is None:
                details = {"name": "lease"}
                return web.json_response({"kind": "Status", "apiVersion": "v1", "details": details}, status=404)
        else:
            lease = await request.json()
            if lease["metadata"].get("resourceVersion") not in {None, str(self.version)}:
                return web.json_response({"kind": "Status", "apiVersion": "v1"}, status=409)
            self.lease = lease
            if self.loses_answers:
                self.loses_answers -= 1
                return web.Response(status=503)
        return web.json_response({**self.lease, "metadata": {"resourceVersion": str(self.version)}})


@contextlib.asynccontextmanager
async def holding(server: ApiServer, timing: LeaseTiming) -> AsyncIterator[tuple[LeaseHolder, asyncio.Event]]:
    """Somebody who wants the Lease of that server, and what is set when it is lost to him."""
    lost, loop = asyncio.Event(), asyncio.get_running_loop()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(application, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    holder = LeaseHolder(
        Configuration(host=f"http://127.0.0.1:{port}"),
        namespace="operators",
        name="lease",
        identity="one",
        lost=lambda: loop.call_soon_threadsafe(lost.set),
        timing=timing,
    )
    try:
        yield holder, lost
    finally:
        server.back.set()
        await holder.release()
        await runner.cleanup()


@pytest.mark.parametrize(("share_of_the_timing", "held"), [(0.4, True), (0.9, False)])
async def test_the_holder_outlasts_an_api_server_that_is_away_for_ten_seconds(
    share_of_the_timing: float,
    held: bool,  # noqa: FBT001
) -> None:
    """At a tenth of the real times; ten seconds are two fifths of twenty-five. What is away for longer is lost."""
    server = ApiServer()
    async with holding(server, SCALED) as (holder, lost):
        await holder.acquire()
        server.back.clear()
        await asyncio.sleep(share_of_the_timing * SCALED.duration_seconds)
        server.back.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(lost.wait(), SCALED.duration_seconds)
        assert server.unanswered
        assert (holder.held, lost.is_set()) == (held, not held)


@pytest.mark.parametrize("holder_is", ["one", "another"])
async def test_a_store_that_goes_back_in_time_ends_who_holds_and_who_waits(holder_is: str) -> None:
    """What either remembers is of a time that never was, and watches wait for it."""
    server = ApiServer()
    spec = {"holderIdentity": holder_is, "renewTime": "before", "leaseDurationSeconds": 60}
    server.lease = {"spec": spec}
    async with holding(server, SCALED) as (holder, lost):
        acquiring = asyncio.create_task(holder.acquire())
        while not server.reads:  # noqa: ASYNC110 - the holder is what is waited for
            await asyncio.sleep(0.01)
        assert not lost.is_set()
        server.version = 600
        await asyncio.wait_for(lost.wait(), 10)
        assert not holder.held
        acquiring.cancel()
        await asyncio.gather(acquiring, return_exceptions=True)


async def test_a_store_that_goes_back_shows_even_where_its_versions_have_caught_up() -> None:
    """An API server that starts writes by itself, and others do: nobody may have looked at the Lease meanwhile."""
    server = ApiServer()
    async with holding(server, SCALED) as (holder, lost):
        await holder.acquire()
        before = server.lease
        while server.lease == before:  # noqa: ASYNC110 - the holder is what is waited for
            await asyncio.sleep(0.01)
        assert not lost.is_set()
        server.lease, server.version = before, server.version + 100
        await asyncio.wait_for(lost.wait(), 10)
        assert not holder.held


async def test_a_renewal_whose_answer_was_lost_is_none_of_a_store_that_went_back() -> None:
    server = ApiServer()
    async with holding(server, SCALED) as (holder, lost):
        await holder.acquire()
        server.loses_answers = 2
        while server.loses_answers:  # noqa: ASYNC110 - the holder is what is waited for
            await asyncio.sleep(0.01)
        reads = server.reads
        while server.reads < reads + 3:  # noqa: ASYNC110 - the holder is what is waited for
            await asyncio.sleep(0.01)
        assert holder.held
        assert not lost.is_set()


def test_a_holder_must_give_up_before_others_take_over() -> None:
    with pytest.raises(ValueError, match="renewSeconds"):
        LeaseTiming(duration_seconds=10, renew_deadline_seconds=10)
