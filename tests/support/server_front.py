# SPDX-License-Identifier: Apache-2.0
"""What stands in front of a store's test server and answers in its place, with TLS where that is asked for."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import threading
from collections.abc import Mapping
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
