# SPDX-License-Identifier: Apache-2.0
"""A network that loses and delays what a LiveKit server sends, as the kernels of test machines have no netem.

Whoever joins by its URL is told its own port where the server tells of its own, and media goes through it. The server
has to be one that answers connection checks and makes none (`ice_lite`), else it finds a way past it.
"""

import asyncio
import contextlib
import queue
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.support.livekit import LiveKitServer
from tests.support.ports import free_port, free_udp_port

HOST = "127.0.0.1"


@dataclass
class BadNetwork:
    """Of so many packets one is lost (`loss`), and each is delayed by up to so many seconds (`jitter`), none overtaking
    another: as in a queue that is now longer, now shorter."""

    server: LiveKitServer
    loss: float
    jitter: float
    port: int = field(default_factory=free_port)
    udp_port: int = field(default_factory=free_udp_port)
    sent: int = 0
    lost: int = 0
    _random: random.Random = field(default_factory=lambda: random.Random(1))  # noqa: S311 # the same each time
    _due: float = 0.0

    @property
    def url(self) -> str:
        return f"ws://{HOST}:{self.port}"

    async def run(self, begun: Callable[[Callable[[], object]], None]) -> None:
        """Passes on what comes, until the function is called that `begun` is handed."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        media, front = await loop.create_datagram_endpoint(
            lambda: _FromRecorder(self), local_addr=(HOST, self.udp_port)
        )
        signals = await asyncio.start_server(self._signal, HOST, self.port)
        begun(lambda: loop.call_soon_threadsafe(ended.set))
        await ended.wait()
        signals.close()
        for transport in (media, *[await made for made in front.connections.values()]):
            transport.close()
        # They are closed by the loop's next turn.
        await asyncio.sleep(0)

    def pass_on(self, data: bytes, to: asyncio.DatagramTransport, address: tuple[str, int]) -> None:
        """What the server sends arrives, late or never."""
        self.sent += 1
        if self._random.random() < self.loss:
            self.lost += 1
            return
        loop = asyncio.get_running_loop()
        self._due = max(self._due, loop.time() + self._random.random() * self.jitter)
        loop.call_at(self._due, to.sendto, data, address)

    async def _signal(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection(HOST, self.server.port)
        # As long as the other, so that no length around it changes.
        told, instead = (f"{HOST} {port:5d} ".encode() for port in (self.server.udp_port, self.udp_port))
        try:
            await asyncio.gather(_copied(reader, to_server), _copied(from_server, writer, told, instead))
        finally:
            to_server.close()
            writer.close()


class _FromRecorder(asyncio.DatagramProtocol):
    """Where recorders send to: each has a connection of its own to the server."""

    def __init__(self, network: BadNetwork) -> None:
        self.network = network
        self.connections: dict[tuple[str, int], asyncio.Task[asyncio.DatagramTransport]] = {}
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if addr not in self.connections:
            self.connections[addr] = asyncio.get_running_loop().create_task(self._connect(addr))
        self.connections[addr].add_done_callback(lambda made: made.result().sendto(data))

    async def _connect(self, address: tuple[str, int]) -> asyncio.DatagramTransport:
        back = _FromServer(self, address)
        remote = (HOST, self.network.server.udp_port)
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: back, remote_addr=remote)
        return transport


@dataclass
class _FromServer(asyncio.DatagramProtocol):
    front: _FromRecorder
    address: tuple[str, int]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:  # noqa: ARG002 # the only server there is
        self.front.network.pass_on(data, self.front.transport, self.address)


async def _copied(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, told: bytes = b"", instead: bytes = b""
) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(1 << 16):
            writer.write(data.replace(told, instead) if told else data)
            await writer.drain()
    writer.close()


@contextlib.contextmanager
def bad_network(server: LiveKitServer, *, loss: float, jitter: float) -> Iterator[BadNetwork]:
    """A way to the server for the time of the block."""
    network = BadNetwork(server, loss, jitter)
    end: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()
    thread = threading.Thread(target=lambda: asyncio.run(network.run(end.put)))
    thread.start()
    ended = end.get(timeout=30)
    try:
        yield network
    finally:
        ended()
        thread.join()
