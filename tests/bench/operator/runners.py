# SPDX-License-Identifier: Apache-2.0
"""What runs in the pods of thousands of recordings, seen from the operator: one TLS connection each, kept open."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from cloud_recording.api.wire import CALLBACK_PATH
from tests.contract.controller.stage import now

OF_AN_ADDRESS = 500
"""So many of them have one address of loopback, as the pods of a node may have."""


@dataclass
class Runner:
    """One recorder that speaks for a pod; not for two tasks at once."""

    number: int
    recording: str
    pod_uid: str
    token: str
    url: str
    context: ssl.SSLContext
    acknowledged: int = 0
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
        if status == 200:
            self.acknowledged += len(batch)
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
        await reader.readexactly(int(length.partition(":")[2]))
        return int(answer.split()[1])
