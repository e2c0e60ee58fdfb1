# SPDX-License-Identifier: Apache-2.0
"""What stands in front of a store's test server and answers in its place, with TLS where that is asked for."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

Answer = tuple[int, dict[str, str], bytes]
"""Status, headers by their names in lower case, and content."""


def forwarded(port: int, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
    """What the server at this port of this machine answers."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request(method, path, body=body, headers=dict(headers))
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


class ServerFront(ThreadingHTTPServer):
    """Ends its connections with itself, as a server that dies does."""

    daemon_threads = True

    def __init__(self, port: int, handler: type[BaseHTTPRequestHandler], *, tls: tuple[Path, Path] | None) -> None:
        """Listens on this machine's port from now on; `tls` are certificate and key."""
        super().__init__(("127.0.0.1", port), handler)
        self._connections: list[socket.socket] = []
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def end(self) -> None:
        """Returns once nobody listens any more."""
        self.shutdown()
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.append(request)
        super().process_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that ends is no error."""

    def server_close(self) -> None:
        super().server_close()
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def answering(port: int, answer: Callable[[str, Mapping[str, str]], Answer]) -> Iterator[None]:
    """Has that answer each GET (path, headers by their names in lower case) for the time of the block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:  # the name that the base class calls
            asked = {name.lower(): value for name, value in self.headers.items()}
            status, headers, content = answer(self.path, asked)
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    front = ServerFront(port, Handler, tls=None)
    try:
        yield
    finally:
        front.end()
