# SPDX-License-Identifier: Apache-2.0
"""An HTTP proxy as companies have for what leaves their networks: it resolves names that nobody else knows."""

import contextlib
import select
import socket
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.ports import free_port
from tests.support.server_front import ServerFront, forwarded

_NOT_PASSED_ON = ("transfer-encoding", "connection", "date", "server")


class ForwardProxy:
    """Passes on what it is asked for (`http://`), and opens tunnels (`CONNECT`), to the hosts that it knows."""

    def __init__(self, hosts: Mapping[str, int], tls: tuple[Path, Path] | None = None) -> None:
        """`hosts` are names and the ports of this machine that they lead to; `tls` are certificate and key."""
        self.hosts = dict(hosts)
        self.tls = tls
        self.port = free_port()
        self.refuse: int | None = None
        """The status that everybody gets, with a page of the proxy's own."""
        self.passed: list[str] = []
        """The methods and hosts of what was let through."""
        self._front: ServerFront | None = None

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def port_of(self, method: str, host: str) -> int | None:
        """Where the host is, of what is let through, which is noted."""
        if self.refuse is None and host in self.hosts:
            self.passed.append(f"{method} {host}")
            return self.hosts[host]
        return None

    def start(self) -> None:
        """Listens from now on."""
        self._front = ServerFront(self.port, type("Handler", (_Handler,), {"proxy": self}), tls=self.tls)

    def stop(self) -> None:
        """Returns once nobody listens any more; what was under way breaks off."""
        if self._front is not None:
            self._front.end()
            self._front = None


class _Handler(BaseHTTPRequestHandler):
    proxy: ForwardProxy
    protocol_version = "HTTP/1.1"

    def _port_of(self, host: str) -> int | None:
        port = self.proxy.port_of(self.command, host)
        if port is not None:
            return port
        self._answer(self.proxy.refuse or 502, {"content-type": "text/html"}, b"<html>The proxy says no.</html>")
        return None

    def _answer(self, status: int, headers: Mapping[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if "content-length" not in headers:
            self.send_header("content-length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        url = urlsplit(self.path)
        port = self._port_of(url.hostname or "")
        if port is None:
            return
        path = f"{url.path}?{url.query}" if url.query else url.path
        status, headers, content = forwarded(port, self.command, path, dict(self.headers), body)
        kept = {name: value for name, value in headers.items() if name not in _NOT_PASSED_ON}
        self._answer(status, kept, content)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass_on  # noqa: N815 # the names that the base class calls

    def do_CONNECT(self) -> None:  # so the base class calls it
        self.close_connection = True
        port = self._port_of(self.path.rpartition(":")[0])
        if port is None:
            return
        with socket.create_connection(("127.0.0.1", port)) as server:
            self.send_response(200)
            self.end_headers()
            _join(self.connection, server)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def _join(one: socket.socket, other: socket.socket) -> None:
    """Hands on what either says, until one ends."""
    with contextlib.suppress(OSError):
        while True:
            for ready in select.select([one, other], [], [])[0]:
                said = ready.recv(1 << 16)
                if not said:
                    return
                (other if ready is one else one).sendall(said)


@contextlib.contextmanager
def forward_proxy(*, tls: tuple[Path, Path] | None = None, **hosts: int) -> Iterator[ForwardProxy]:
    """A proxy for the time of the block; `hosts` are names in `.invalid`, which nobody resolves, and their ports."""
    proxy = ForwardProxy({f"{name}.invalid": port for name, port in hosts.items()}, tls)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
