# SPDX-License-Identifier: Apache-2.0
"""In front of a real S3 server: keeps account of what is asked, refuses what it is told to, and changes answers."""

import contextlib
import http.client
import threading
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from tests.support.s3 import S3Server

Headers = MutableMapping[str, str]


@dataclass(frozen=True)
class Asked:
    """A request as it came, and how it was answered."""

    method: str
    path: str
    query: str
    size: int
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    """Those of the request, by their names in lower case."""


@dataclass
class S3Proxy:
    port: int
    refuse: Callable[[str, str, str], int | None] = lambda _method, _path, _query: None
    """The status that a request (method, path, query) gets instead of reaching the server."""
    change: Callable[[str, str, Headers], None] = lambda _method, _path, _headers: None
    """Changes the headers of an answer to a request (method, path)."""
    asked: list[Asked] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def puts(self, suffix: str) -> list[Asked]:
        """Returns the successful puts of whole objects whose names end so."""
        return [
            asked
            for asked in list(self.asked)
            if (asked.method, asked.status, asked.query) == ("PUT", 200, "") and asked.path.endswith(suffix)
        ]


def ask(port: int, request: BaseHTTPRequestHandler, body: bytes) -> tuple[int, dict[str, str], bytes]:
    """Asks the server on this port what the proxy was asked; returns status, headers and content of the answer."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request(request.command, request.path, body=body, headers=dict(request.headers))
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()


@contextlib.contextmanager
def s3_proxy(server: S3Server) -> Iterator[S3Proxy]:
    """A proxy of the server for the time of the block. Signatures hold, as the host that was asked for is passed on."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            url = urlsplit(self.path)
            refusal = proxy.refuse(self.command, url.path, url.query)
            status, headers, content = (refusal, {}, b"") if refusal else ask(server.port, self, body)
            proxy.change(self.command, url.path, headers)
            self.send_response(status)
            kept = {name: value for name, value in headers.items() if name.lower() not in {"transfer-encoding", "date"}}
            if self.command != "HEAD":
                kept = {name: value for name, value in kept.items() if name.lower() != "content-length"}
                kept["Content-Length"] = str(len(content))
            elif refusal:
                kept["Content-Length"] = "0"
            for name, value in kept.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)
            sent = {name.lower(): value for name, value in self.headers.items()}
            proxy.asked.append(Asked(self.command, url.path, url.query, len(body), status, sent))

        def log_message(self, *_: object) -> None:
            """Says nothing."""

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass_on  # noqa: N815 # the names that the base class calls

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.daemon_threads = True
    proxy = S3Proxy(listener.server_address[1])
    thread = threading.Thread(target=listener.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()
