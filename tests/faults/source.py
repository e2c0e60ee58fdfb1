# SPDX-License-Identifier: Apache-2.0
"""A live source over HTTP: who asks gets the film from its next key picture on, each picture when its time has come."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.faults.film import PICTURES_PER_SECOND, Film

_QUEUE_BYTES = 64 * 1024


@dataclass
class Source:
    """Sends the film's first picture at `begun` (seconds since the epoch), and the others behind it."""

    film: Film
    port: int = 0
    begun: float = field(default_factory=time.time)
    _away: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/film.ts"

    def leave(self) -> None:
        """Breaks connections, and refuses new ones."""
        self._away.set()

    def come_back(self) -> None:
        """Takes connections again."""
        self._away.clear()

    def is_away(self) -> bool:
        """Whether it has left."""
        return self._away.is_set()

    def due(self, number: int) -> float:
        """When a picture is sent, in seconds since the epoch."""
        return self.begun + number / PICTURES_PER_SECOND

    def newest(self) -> int:
        """The number of the picture that was sent last."""
        return int((time.time() - self.begun) * PICTURES_PER_SECOND)

    def serve(self, connection: socket.socket) -> None:
        """Sends until the other side has gone, the source leaves, or the film is over."""
        # The next key picture: each whole second has one.
        first = (self.newest() // PICTURES_PER_SECOND + 1) * PICTURES_PER_SECOND
        for number in range(first, len(self.film.pieces)):
            if self._away.wait(max(0.0, self.due(number) - time.time())):
                return
            connection.sendall(self.film.pieces[number])


@contextlib.contextmanager
def serving(film: Film) -> Iterator[Source]:
    """A source for the time of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if source.is_away():
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Type", "video/mp2t")
            self.end_headers()
            self.wfile.flush()
            with contextlib.suppress(OSError):
                source.serve(self.connection)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.daemon_threads = True
    source = Source(film, listener.server_address[1])
    thread = threading.Thread(target=listener.serve_forever, daemon=True)
    thread.start()
    try:
        yield source
    finally:
        source.leave()
        listener.shutdown()
        listener.server_close()
        thread.join()
