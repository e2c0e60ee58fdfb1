# SPDX-License-Identifier: Apache-2.0
"""The port that recorders report to: HTTPS, with bounds on what anybody may take up who can reach it.

A connection costs memory before it has shown a token, so there is a time for each of its steps (handshake, head of a
request, its body) and a number of connections and of requests under way. Who a caller is, `callback_server`
asks.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from asyncio import sslproto
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, cast

from aiohttp import web

RETRY_SECONDS: Final = 2

TLS_BUFFER_BYTES: Final = 16 * 1024
"""What a TLS record holds at most (RFC 8446, 5.1). asyncio reads into sixteen times as much, on each connection."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one connection, one address and all of them together may take."""

    handshake_seconds: float = 10.0
    head_seconds: float = 10.0
    """From the first byte of a request, or from the connection on, to the end of its head."""
    body_seconds: float = 30.0
    idle_seconds: float = 180.0
    """Between two requests."""
    kept_seconds: float = 600.0
    """How old a connection grows before it is ended after an answer: a Service spreads connections over replicas, not
    requests, so that one that was started anew would be given nothing."""
    connections: int = 12_000
    """Ten thousand recorders have one each."""
    connections_of_an_address: int = 1_000
    """All pods of a node may come from its address, where the network translates theirs."""
    requests_under_way: int = 256


def busy() -> web.Response:
    """Asks for the same again later."""
    told = {"message": "too many requests are under way"}
    return web.json_response(told, status=503, headers={"Retry-After": str(RETRY_SECONDS)})


Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class CallbackListener:
    """An HTTPS server with limits around one handler; leaves no connection behind when it is closed."""

    def __init__(
        self,
        handler: Handler,
        *,
        largest_request: int,
        limits: Limits | None = None,
        shed: Callable[[], None] = lambda: None,
        refused: Callable[[], None] = lambda: None,
    ) -> None:
        """`shed` is told of each request that is turned away here, `refused` of each connection."""
        self._handler = handler
        self._largest_request = largest_request
        self.limits = limits or Limits()
        self._shed = shed
        self._refused = refused
        self._of_address: Counter[str] = Counter()
        self._requests = 0
        self._server: asyncio.Server | None = None
        self._connections: _Connections | None = None

    async def open(self, *, port: int, context: ssl.SSLContext, host: str | None = None) -> int:
        """Listens; returns the port, which is another than 0 only where 0 was asked for."""
        sslproto.SSLProtocol.max_size = TLS_BUFFER_BYTES
        loop = asyncio.get_running_loop()
        self._connections = _Connections(
            self._handle,
            request_factory=lambda message, payload, connection, writer, task: web.BaseRequest(
                message, payload, connection, writer, task, loop, client_max_size=self._largest_request
            ),
            keepalive_timeout=self.limits.idle_seconds,
            access_log=None,
        )
        self._connections.listener = self
        self._server = await loop.create_server(
            self._connections,
            host,
            port,
            ssl=context,
            backlog=1024,
            ssl_handshake_timeout=self.limits.handshake_seconds,
            ssl_shutdown_timeout=self.limits.head_seconds,
        )
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self, *, patience_seconds: float) -> None:
        """Takes no more connections, and gives what is under way its time."""
        if self._server is None or self._connections is None:
            return
        self._server.close()
        self._connections.pre_shutdown()
        await self._connections.shutdown(patience_seconds)

    def connections(self) -> int:
        """How many are open."""
        return self._of_address.total()

    def admit(self, address: str) -> bool:
        """Counts a connection, if there is room for it."""
        room = self.connections() < self.limits.connections
        if not room or self._of_address[address] >= self.limits.connections_of_an_address:
            self._refused()
            return False
        self._of_address[address] += 1
        return True

    def leave(self, address: str) -> None:
        """A connection that was admitted is over."""
        self._of_address[address] -= 1
        if not self._of_address[address]:
            del self._of_address[address]

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = cast("_Connection", request.protocol)
        connection.begin()
        try:
            if self._requests >= self.limits.requests_under_way:
                self._shed()
                return busy()
            self._requests += 1
            try:
                answer = await self._handler(request)
            finally:
                self._requests -= 1
            if connection.is_old():
                answer.force_close()
            return answer
        finally:
            connection.end()


class _Connections(web.Server):
    listener: CallbackListener

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, self.listener, loop=asyncio.get_running_loop(), **self._kwargs)


class _Connection(web.RequestHandler):
    """Ends itself when the head of a request takes too long; aiohttp bounds the time between requests alone."""

    def __init__(self, server: _Connections, listener: CallbackListener, **options: Any) -> None:  # noqa: ANN401 - aiohttp's
        super().__init__(server, **options)
        self._listener = listener
        self._address: str | None = None
        self._head: asyncio.TimerHandle | None = None
        self._busy = False
        # Spread, so that those that were opened together are not all opened anew together.
        kept = listener.limits.kept_seconds * random.uniform(0.5, 1.5)  # noqa: S311
        self._old_at = asyncio.get_running_loop().time() + kept

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        address = str((transport.get_extra_info("peername") or ("",))[0])
        if not self._listener.admit(address):
            self._abort()
            return
        self._address = address
        self._expect_head()

    def data_received(self, data: bytes) -> None:
        if not self._busy and self._head is None:
            self._expect_head()
        super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._head_came()
        if self._address is not None:
            self._listener.leave(self._address)
            self._address = None
        super().connection_lost(exc)

    def is_old(self) -> bool:
        """Whether its client is to open another one."""
        return asyncio.get_running_loop().time() >= self._old_at

    def begin(self) -> None:
        """The head of a request is here."""
        self._busy = True
        self._head_came()

    def end(self) -> None:
        """The request is answered."""
        self._busy = False

    def _expect_head(self) -> None:
        seconds = self._listener.limits.head_seconds
        self._head = asyncio.get_running_loop().call_later(seconds, self._abort)

    def _head_came(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None

    def _abort(self) -> None:
        if isinstance(self.transport, asyncio.Transport):
            self.transport.abort()
