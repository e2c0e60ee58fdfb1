# SPDX-License-Identifier: Apache-2.0
"""Between a publisher and a LiveKit server: says of each track that it is stereo.

Web clients say so of a microphone with two channels. The Python client sends two channels where the server asks for
them, which it does of tracks that are said to be stereo, but has no way to say it.
"""

import asyncio
import contextlib
import threading
from collections.abc import Iterator

import aiohttp
from aiohttp import web

from tests.support.livekit import LiveKitServer

ADD_TRACK = b"\x22"
"""The tag of `SignalRequest.add_track`, which is one message of several, and so the only field."""

STEREO = ADD_TRACK + b"\x02\x60\x01"
"""Another `add_track` with `AddTrackRequest.stereo` alone: what comes twice is merged."""


@contextlib.contextmanager
def stereo_signalling(server: LiveKitServer) -> Iterator[str]:
    """The URL of the server for publishers of stereo, for the time of the block. Media takes its usual way."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    runner = web.AppRunner(_proxy(server.url))
    try:
        port = asyncio.run_coroutine_threadsafe(_listen(runner), loop).result()
        yield f"ws://127.0.0.1:{port}"
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _listen(runner: web.AppRunner) -> int:
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port: int = runner.addresses[0][1]
    return port


def _proxy(url: str) -> web.Application:
    async def pass_on(request: web.Request) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name == "Authorization"}
        async with aiohttp.ClientSession(headers=headers) as session:
            try:
                upstream = await session.ws_connect(f"{url}{request.path_qs}")
            except aiohttp.WSServerHandshakeError as refused:
                return web.Response(status=refused.status)
            downstream = web.WebSocketResponse()
            await downstream.prepare(request)
            back = asyncio.create_task(_copy(upstream, downstream))
            async for message in downstream:
                says_track = message.data.startswith(ADD_TRACK)
                await upstream.send_bytes(message.data + STEREO if says_track else message.data)
            await upstream.close()
            await back
        return downstream

    application = web.Application()
    application.router.add_get("/{path:.*}", pass_on)
    return application


async def _copy(upstream: aiohttp.ClientWebSocketResponse, downstream: web.WebSocketResponse) -> None:
    async for message in upstream:
        await downstream.send_bytes(message.data)
    await downstream.close()
