# SPDX-License-Identifier: Apache-2.0
"""Between a recorder and its bucket: answers wrongly while it is told to, and looks at each playlist that is put."""

from __future__ import annotations

import contextlib
import itertools
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

from tests.faults.oracle import PlaylistPut
from tests.faults.schedule import ANSWERS, Fault, Kind
from tests.support.s3 import Bucket
from tests.support.s3_proxy import ask

_REFUSALS: Final = {403: "AccessDenied", 404: "NoSuchBucket", 500: "InternalError", 503: "ServiceUnavailable"}
_WRONG: Final = {"x-amz-checksum-sha256": "A" * 43 + "=", "etag": f'"{"0" * 32}"'}


@dataclass(frozen=True, slots=True)
class Certificates:
    """What servers show: a certificate that recorders trust, and one that they do not; PEM files with their keys."""

    trusted: Path
    other: Path


@dataclass
class FaultProxy:
    """In front of one bucket."""

    bucket: Bucket
    port: int = 0
    puts: list[PlaylistPut] = field(default_factory=list)
    _faults: tuple[Fault, ...] = ()
    _turn: Iterator[int] = field(default_factory=itertools.count)

    def apply(self, faults: list[Fault]) -> None:
        """Has exactly these faults."""
        self._faults = tuple(fault for fault in faults if fault.kind in ANSWERS)

    def fault(self) -> Fault | None:
        """What is wrong with the answer to the next request."""
        turn = next(self._turn)
        return next((fault for fault in self._faults if turn % 3 < fault.of_three), None)

    def has(self, *kinds: Kind) -> bool:
        """Whether one of these is wrong now."""
        return any(fault.kind in kinds for fault in self._faults)

    def look(self, path: str, body: bytes) -> None:
        """Notes what a playlist that is about to be put names, and what of that the bucket does not have."""
        _, bucket, key = path.split("/", 2)
        names = tuple(line for line in body.decode().splitlines() if line and not line.startswith("#"))
        objects = self.bucket.server.directory / "objects" / bucket
        missing = tuple(name for name in names if not (objects / key).with_name(name).exists())
        self.puts.append(PlaylistPut(key=key, names=names, missing=missing))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: FaultProxy
    contexts: tuple[ssl.SSLContext, ssl.SSLContext] | None = None

    def setup(self) -> None:
        if self.contexts is not None:
            trusted, other = self.contexts
            context = other if self.proxy.has(Kind.TLS_BROKEN) else trusted
            self.request = context.wrap_socket(self.request, server_side=True)
        super().setup()

    def _serve(self) -> None:
        fault = self.proxy.fault()
        if fault is not None and fault.kind is Kind.RESET_IN_REQUEST:
            self.rfile.read(int(self.headers.get("content-length", 0)) // 2)
            return self._reset()
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if fault is not None and self._fails_before_asking(fault):
            return None
        if self.command == "PUT" and self.path.endswith(".m3u8"):
            self.proxy.look(self.path, body)
        try:
            status, headers, content = ask(self.proxy.bucket.server.port, self, body)
        except OSError:
            # The server has gone.
            return self._reset()
        return self._answer(fault, status, headers, content)

    def _fails_before_asking(self, fault: Fault) -> bool:
        """Whether the server is not asked; then the answer was given."""
        match fault.kind:
            case Kind.REFUSED:
                status = int(fault.amount)
                code = _REFUSALS.get(status, "InternalError")
                self._send(status, {}, f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode())
            case Kind.TOO_MANY:
                self._send(429, {"Retry-After": f"{fault.amount:.0f}"}, b"")
            case Kind.HANGING:
                while self.proxy.has(Kind.HANGING):
                    time.sleep(0.1)
                self._reset()
            case Kind.TLS_BROKEN:
                # A connection of before: the next one is asked for a certificate.
                self._reset()
            case _:
                return False
        return True

    def _answer(self, fault: Fault | None, status: int, headers: dict[str, str], content: bytes) -> None:
        """Passes the server's answer on, or what a fault makes of it."""
        match fault.kind if fault else None:
            case Kind.ANSWER_LOST:
                return self._reset()
            case Kind.RESET_IN_ANSWER:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nETag: ")
                return self._reset()
            case Kind.TORN_ANSWER:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n<?xml version")
                self.close_connection = True
                return None
            case Kind.SLOW if fault is not None:
                time.sleep(fault.amount)
            case Kind.WRONG_CHECKSUM:
                headers = {name: _WRONG.get(name.lower(), value) for name, value in headers.items()}
        return self._send(status, headers, content)

    def _send(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        left_out = {"transfer-encoding", "date"} | (set() if self.command == "HEAD" else {"content-length"})
        for name, value in headers.items():
            if name.lower() not in left_out:
                self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(content)))
        elif not headers:
            self.send_header("Content-Length", "0")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _reset(self) -> None:
        """Ends the connection as a crash does: the other side is told, and gets nothing that is under way."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def handle(self) -> None:
        # Whom a fault or a kill cut off has nothing to say.
        with contextlib.suppress(OSError, ValueError):
            super().handle()

    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().finish()
        # The listener closes the socket that it was before TLS.
        self.connection.close()

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _serve  # noqa: N815 # the names that the base class calls


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        """A handshake that failed is what was meant to happen, or the recorder's own end."""


@contextlib.contextmanager
def fault_proxy(bucket: Bucket, certificates: Certificates | None) -> Iterator[FaultProxy]:
    """A proxy for the time of the block; with certificates it speaks TLS."""
    proxy = FaultProxy(bucket)
    contexts = (_context(certificates.trusted), _context(certificates.other)) if certificates else None
    handler = type("Handler", (_Handler,), {"proxy": proxy, "contexts": contexts})
    listener = _Listener(("127.0.0.1", 0), handler)
    proxy.port = listener.server_address[1]
    thread = threading.Thread(target=listener.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.apply([])
        listener.shutdown()
        listener.server_close()
        thread.join()


def _context(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context
