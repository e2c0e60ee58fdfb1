# SPDX-License-Identifier: Apache-2.0
"""The figures by which a Lease is kept leave time for what is meant to be outlasted."""

from __future__ import annotations

import asyncio
import contextlib
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


class ApiServer:
    """Has one Lease; until it is `back`, requests get no answer."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.back = asyncio.Event()
        self.back.set()
        self.unanswered = 0

    async def answer(self, request: web.Request) -> web.Response:
        if not self.back.is_set():
            self.unanswered += 1
            await self.back.wait()
            return web.Response(status=503)
        if request.method == "GET":
            if self.lease is None:
                details = {"name": "lease"}
                return web.json_response({"kind": "Status", "apiVersion": "v1", "details": details}, status=404)
            return web.json_response(self.lease)
        self.lease = await request.json()
        return web.json_response(self.lease)


@pytest.mark.parametrize(("share_of_the_timing", "held"), [(0.4, True), (0.9, False)])
async def test_the_holder_outlasts_an_api_server_that_is_away_for_ten_seconds(
    unused_tcp_port: int,
    share_of_the_timing: float,
    held: bool,  # noqa: FBT001
) -> None:
    """At a tenth of the real times; ten seconds are two fifths of twenty-five. What is away for longer is lost."""
    timing = LeaseTiming()
    scaled = replace(timing, **{field.name: getattr(timing, field.name) / 10 for field in fields(timing)})
    server, lost = ApiServer(), asyncio.Event()
    loop = asyncio.get_running_loop()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(application, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", unused_tcp_port).start()
    holder = LeaseHolder(
        Configuration(host=f"http://127.0.0.1:{unused_tcp_port}"),
        namespace="operators",
        name="lease",
        identity="one",
        lost=lambda: loop.call_soon_threadsafe(lost.set),
        timing=scaled,
    )
    try:
        await holder.acquire()
        server.back.clear()
        await asyncio.sleep(share_of_the_timing * scaled.duration_seconds)
        server.back.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(lost.wait(), scaled.duration_seconds)
        assert server.unanswered
        assert (holder.held, lost.is_set()) == (held, not held)
    finally:
        server.back.set()
        await holder.release()
        await runner.cleanup()


def test_a_holder_must_give_up_before_others_take_over() -> None:
    with pytest.raises(ValueError, match="renewSeconds"):
        LeaseTiming(duration_seconds=10, renew_deadline_seconds=10)
