# SPDX-License-Identifier: Apache-2.0
"""What runs in the pods of thousands of recordings, seen from the operator: one TLS connection each, kept open."""

from __future__ import annotations

import asyncio
import json
import random
import ssl
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from cloud_recording.api.wire import CALLBACK_PATH
from cloud_recording.runner.supervisor.callback_delivery import BACKOFF
from tests.contract.controller.stage import now

BEAT_SECONDS = 25.0
"""A recorder reports every 30 seconds at least; a report that is turned away once is in time all the same."""
AT_ONCE = 32
OF_AN_ADDRESS = 500
"""So many of them have one address of loopback, as the pods of a node may have."""


@dataclass
class Runner:
    """One recorder that speaks for a pod."""

    number: int
    recording: str
    pod_uid: str
    token: str
    url: str
    context: ssl.SSLContext
    acknowledged: int = 0
    records: bool = False
    heard_at: float = 0.0
    held_seconds: float = 0.0
    """For how long the operator asked it to keep figures to itself."""
    failures: int = 0
    tried_at: float = 0.0
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)
    _stream: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = field(default=None, repr=False)

    async def connect(self) -> None:
        """Opens the connection, unless it is open."""
        if self._stream is None:
            address = urlsplit(self.url)
            source = f"127.0.{1 + self.number // OF_AN_ADDRESS // 250}.{1 + self.number // OF_AN_ADDRESS % 250}"
            self._stream = await asyncio.open_connection(
                "127.0.0.1",
                address.port,
                ssl=self.context,
                server_hostname=address.hostname,
                local_addr=(source, 0),
            )

    def close(self) -> None:
        """Drops the connection."""
        if self._stream is not None:
            self._stream[1].transport.abort()
            self._stream = None

    async def tell(self, *callbacks: tuple[str, dict[str, Any]]) -> float:
        """Sends the next callbacks until they are taken; returns the seconds that took, from the first try on."""
        begun = time.monotonic()
        while (status := await self.offer(*callbacks)) != 200:
            if status not in (0, 503):
                raise AssertionError(f"{self.recording}: the operator answered {status}")
            await asyncio.sleep(0.5)
        return time.monotonic() - begun

    async def offer(self, *callbacks: tuple[str, dict[str, Any]]) -> int:
        """Sends the next callbacks once; returns the answer's status, 0 where there was none."""
        async with self._turn:
            return await self._offer(callbacks)

    def progress(self) -> tuple[str, dict[str, Any]]:
        """One more slice."""
        slices = {"written": self.acknowledged, "uploaded": self.acknowledged}
        return "Snapshot", {"snapshot": {"state": "Recording", "recordingId": "0" * 32, "slices": slices}}

    def is_due(self) -> bool:
        """Whether it records and has been silent for as long as it may be, or as it was asked to be."""
        pause = BACKOFF.after(self.failures, spread=random.random()) if self.failures else 0.0  # noqa: S311
        silent = time.monotonic() - self.heard_at > max(BEAT_SECONDS, self.held_seconds)
        return self.records and silent and time.monotonic() - self.tried_at >= pause

    async def _offer(self, callbacks: Sequence[tuple[str, dict[str, Any]]]) -> int:
        batch = [
            {"type": kind, "sequence": self.acknowledged + 1 + index, "time": now(), **fields}
            for index, (kind, fields) in enumerate(callbacks)
        ]
        try:
            await self.connect()
            status = await self._post(json.dumps({"podUID": self.pod_uid, "callbacks": batch}).encode())
        except (OSError, EOFError, ssl.SSLError):
            status = 0
        except asyncio.CancelledError:
            # An answer that comes later would be taken for the next one's.
            self.close()
            raise
        if status == 0:
            self.close()
        self.tried_at = time.monotonic()
        self.failures = 0 if status == 200 else self.failures + 1
        if status == 200:
            self.acknowledged += len(batch)
            self.heard_at = time.monotonic()
        return status

    async def _post(self, body: bytes) -> int:
        assert self._stream is not None
        reader, writer = self._stream
        lines = (
            f"POST {CALLBACK_PATH} HTTP/1.1",
            f"Host: {urlsplit(self.url).netloc}",
            f"Authorization: Bearer {self.token}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
        )
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        await writer.drain()
        answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = next(
            (line for line in answer.split("\r\n") if line.startswith("content-length:")), "content-length: 0"
        )
        told = await reader.readexactly(int(length.partition(":")[2]))
        if "connection: close" in answer:
            self.close()
        status = int(answer.split()[1])
        if status == 200:
            self.held_seconds = json.loads(told).get("figuresSeconds", 0.0)
        return status


class Heartbeats:
    """Has runners that record report now and then, whatever else is measured; `served` counts what was taken."""

    def __init__(self, runners: Sequence[Runner]) -> None:
        self._runners = runners
        self.served = 0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            due = iter([runner for runner in self._runners if runner.is_due()])
            await asyncio.gather(*(self._beat(due) for _ in range(AT_ONCE)))
            await asyncio.sleep(0.5)

    async def _beat(self, due: Iterator[Runner]) -> None:
        for runner in due:
            if runner.is_due() and await runner.offer(runner.progress()) == 200:
                self.served += 1
