# SPDX-License-Identifier: Apache-2.0
"""What stands between two who talk over TCP: it knows nothing of what they say, and can be cut."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Self

from tests.support.ports import free_port

_READ_BYTES = 65536


class TCPProxy:
    """Leads each connection to one of the targets that take it, at random, as a Service does."""

    def __init__(self, port: int, targets: Sequence[int]) -> None:
        self.port = port
        self.targets = list(targets)
        """Ports of this machine."""
        self.connections = 0
        self._open: set[asyncio.StreamWriter] = set()

    @classmethod
    @asynccontextmanager
    async def before(cls, *targets: int) -> AsyncIterator[Self]:
        """One that listens."""
        proxy = cls(free_port(), targets)
        async with await asyncio.start_server(proxy._serve, "127.0.0.1", proxy.port):
            yield proxy
            proxy.cut()

    def cut(self) -> None:
        """Ends every connection without a word."""
        for writer in self._open:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        other = await self._connected()
        if other is None:
            writer.transport.abort()
            return
        ends = {writer, other[1]}
        self._open |= ends
        try:
            await asyncio.gather(_pipe(reader, other[1]), _pipe(other[0], writer))
        finally:
            self._open -= ends

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for port in random.sample(self.targets, len(self.targets)):
            with contextlib.suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", port)
        return None


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_READ_BYTES):
            writer.write(data)
            await writer.drain()
    writer.close()
