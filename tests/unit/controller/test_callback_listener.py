# SPDX-License-Identifier: Apache-2.0
"""Who can reach the callbacks' port, and has shown no token yet, takes up little of it and not for long."""

import asyncio
import base64
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web

from cloud_recording.controller.callback_listener import CallbackListener, Limits
from cloud_recording.controller.certificates import Lifetimes, advance, new_serving
from cloud_recording.kube.tokens import may_be_valid
from cloud_recording.runner.recorder.snapshot_pacing import LONGEST_SILENCE_SECONDS
from cloud_recording.runner.supervisor.held_figures import LONGEST_SECONDS as LONGEST_HELD_SECONDS
from cloud_recording.runner.supervisor.operator_receiver import KEPT_SECONDS

HOST = "localhost"
NOW = datetime.now(UTC)
AUDIENCE = "callbacks.cloudrecording.dev"
PATIENCE = 20.0
LONG = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n"


class Server:
    """A listener with a certificate of its own; `release` lets its handler answer."""

    def __init__(self, directory: Path, limits: Limits) -> None:
        authority = advance(None, now=NOW, lifetimes=Lifetimes())
        serving = new_serving(authority.signing, hosts=[HOST], now=NOW, lifetimes=Lifetimes())
        file = directory / "serving.pem"
        file.write_bytes(serving.certificate + serving.key)
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.load_cert_chain(file)
        self.trust = ssl.create_default_context(cadata=authority.bundle)
        self.refused = 0
        self.listener = CallbackListener(self._answer, largest_request=1024, limits=limits, refused=self._refuse)
        self.release = asyncio.Event()
        self.asked = asyncio.Semaphore(0)
        self.port = 0

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.release()
        await self.release.wait()
        return web.Response(text=await request.text())

    def _refuse(self) -> None:
        self.refused += 1

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(HOST, self.port, ssl=self.trust)


@contextlib.asynccontextmanager
async def serving(directory: Path, **limits: float) -> AsyncIterator[Server]:
    server = Server(directory, Limits(**limits))  # type: ignore[arg-type]
    server.port = await server.listener.open(port=0, context=server.context, host="127.0.0.1")
    try:
        yield server
    finally:
        server.release.set()
        await server.listener.close(patience_seconds=1)


async def until_closed(reader: asyncio.StreamReader) -> bytes:
    """What comes before the connection ends, however it ends."""
    got = b""
    async with asyncio.timeout(PATIENCE):
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while more := await reader.read(1000):
                got += more
    return got


@pytest.mark.parametrize("sent", [b"", b"POST / HT", b"POST / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "])
async def test_a_connection_that_brings_no_whole_head_is_ended(tmp_path: Path, sent: bytes) -> None:
    async with serving(tmp_path, head_seconds=0.3) as server:
        reader, writer = await server.connect()
        writer.write(sent)
        assert await until_closed(reader) == b""
        writer.close()


async def test_a_connection_that_never_shakes_hands_is_ended(tmp_path: Path) -> None:
    async with serving(tmp_path, handshake_seconds=0.3) as server:
        reader, writer = await asyncio.open_connection(HOST, server.port)
        assert await until_closed(reader) == b""
        writer.close()


async def test_a_head_that_trickles_after_a_good_request_is_ended_too(tmp_path: Path) -> None:
    async with serving(tmp_path, head_seconds=0.5) as server:
        server.release.set()
        reader, writer = await server.connect()
        writer.write(LONG + b"hello")
        answer = await reader.readuntil(b"hello")
        assert answer.startswith(b"HTTP/1.1 200")
        writer.write(b"POST / HT")
        assert await until_closed(reader) == b""
        writer.close()


async def test_a_connection_is_kept_between_requests_for_longer_than_a_head_may_take(tmp_path: Path) -> None:
    async with serving(tmp_path, head_seconds=0.2, idle_seconds=60) as server:
        server.release.set()
        reader, writer = await server.connect()
        for _ in range(2):
            writer.write(LONG + b"hello")
            await reader.readuntil(b"hello")
            # Longer than the time that a head may take.
            await asyncio.sleep(0.5)
        assert not reader.at_eof()
        writer.close()


async def test_an_old_connection_is_ended_with_an_answer_so_that_its_client_may_find_another_replica(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, kept_seconds=0.4) as server:
        server.release.set()
        reader, writer = await server.connect()
        answers = 0
        async with asyncio.timeout(PATIENCE):
            while True:
                writer.write(LONG + b"hello")
                answer = await reader.readuntil(b"hello")
                assert answer.startswith(b"HTTP/1.1 200"), "no request is lost"
                if b"connection: close" in answer.lower():
                    break
                answers += 1
        assert answers > 1
        assert await until_closed(reader) == b""
        writer.close()


def test_a_recorder_that_has_little_to_tell_finds_its_connection_open() -> None:
    assert LONGEST_SILENCE_SECONDS + LONGEST_HELD_SECONDS < KEPT_SECONDS < Limits().idle_seconds


@pytest.mark.parametrize("limit", ["connections", "connections_of_an_address"])
async def test_one_connection_too_many_is_ended_at_once_and_the_others_live(tmp_path: Path, limit: str) -> None:
    async with serving(tmp_path, **{limit: 2}) as server:
        server.release.set()
        first, second = await server.connect(), await server.connect()
        for _, writer in (first, second):
            writer.write(LONG)
            await server.asked.acquire()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            reader, writer = await server.connect()
            assert await until_closed(reader) == b""
            writer.close()
        assert server.refused == 1
        for reader, writer in (first, second):
            writer.write(b"hello")
            await reader.readuntil(b"hello")
            writer.close()


async def test_room_that_a_connection_leaves_is_given_to_the_next(tmp_path: Path) -> None:
    async with serving(tmp_path, connections=1) as server:
        server.release.set()
        for _ in range(3):
            reader, writer = await server.connect()
            writer.write(LONG.replace(b"Host", b"Connection: close\r\nHost") + b"hello")
            assert b"hello" in await until_closed(reader)
            writer.close()
            await writer.wait_closed()


async def test_one_request_too_many_is_told_to_come_again(tmp_path: Path) -> None:
    async with serving(tmp_path, requests_under_way=1) as server:
        _, busy = await server.connect()
        busy.write(LONG + b"hello")
        await server.asked.acquire()
        reader, writer = await server.connect()
        writer.write(LONG + b"hello")
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"Retry-After: " in answer
        busy.close()
        writer.close()


def token(**claims: object) -> str:
    parts = [json.dumps(part).encode() for part in ({"alg": "RS256"}, claims)]
    return ".".join([*(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts), "signature"])


IN_AN_HOUR = (NOW + timedelta(hours=1)).timestamp()


@pytest.mark.parametrize(
    ("shown", "asked"),
    [
        (token(aud=[AUDIENCE], exp=IN_AN_HOUR), True),
        (token(aud=AUDIENCE, exp=IN_AN_HOUR), True),
        # The operator's clock may be ahead.
        (token(aud=[AUDIENCE], exp=(NOW - timedelta(minutes=10)).timestamp()), True),
        (token(aud=[AUDIENCE], exp=(NOW - timedelta(hours=1)).timestamp()), False),
        (token(aud=["https://kubernetes.default.svc"], exp=IN_AN_HOUR), False),
        (token(aud=[AUDIENCE]), False),
        (token(exp=IN_AN_HOUR), False),
        (token(aud=[AUDIENCE], exp="soon"), False),
        (token(aud=[AUDIENCE], exp=IN_AN_HOUR, filling="x" * 20_000), False),
        ("guess", False),
        ("a.b.c", False),
        ("..", False),
        ("a.W10.c", False),
    ],
)
def test_a_token_that_cannot_be_valid_is_not_asked_about(shown: str, *, asked: bool) -> None:
    assert may_be_valid(shown, audience=AUDIENCE, now=NOW) is asked
