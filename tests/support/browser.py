# SPDX-License-Identifier: Apache-2.0
"""Plays recordings as a viewer does: straight from their bucket by HTTP, in Chromium, by hls.js or the browser itself.

The page that plays reports by itself what it saw, so nothing has to drive the browser.
"""

import contextlib
import functools
import json
import queue
import re
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit

import pytest
from botocore.exceptions import ClientError

from tests.support.files import Files
from tests.support.s3 import REPOSITORY, Bucket

PAGE = REPOSITORY / "tests" / "browser" / "player.html"
HLS = REPOSITORY / "build" / "browser" / "node_modules" / "hls.js" / "dist" / "hls.min.js"
PATIENCE_SECONDS = 180
RATE = 4
"""How much faster than its time a recording is played."""

CHROMIUM = [
    *("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions"),
    *("--disable-background-timer-throttling", "--disable-renderer-backgrounding", "--mute-audio"),
    *("--autoplay-policy=no-user-gesture-required", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
    *("--enable-logging=stderr", "--log-level=1"),
]


@dataclass(frozen=True)
class Played:
    """What the page saw until the media ended, or until it could not go on."""

    outcome: str
    fatal: str | None
    errors: list[str]
    currentTime: float  # noqa: N815 # the page's names
    duration: float
    width: int
    height: int
    decodedFrames: int  # noqa: N815
    decodedAudioBytes: int  # noqa: N815
    discontinuities: int
    playlistSeconds: float | None  # noqa: N815
    targetSeconds: float | None  # noqa: N815


@dataclass
class Site:
    """A bucket's objects by HTTP, as they are stored and with the content type they are stored with; and the page."""

    server: ThreadingHTTPServer
    reports: "queue.Queue[dict[str, Any]]" = field(default_factory=queue.Queue)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    """Answers a browser; `~` is no bucket's key here."""

    protocol_version = "HTTP/1.1"

    def __init__(self, bucket: Bucket, reports: "queue.Queue[dict[str, Any]]", *arguments: Any) -> None:
        self.bucket = bucket
        self.reports = reports
        super().__init__(*arguments)

    def do_GET(self) -> None:
        """The page, hls.js, or the object of the path's key."""
        path = urlsplit(self.path).path
        if path == "/~/player":
            self._answer(PAGE.read_bytes(), "text/html")
        elif path == "/~/hls.js":
            self._answer(HLS.read_bytes(), "text/javascript")
        else:
            self._object(unquote(path).removeprefix("/"))

    def do_POST(self) -> None:
        """The page's report."""
        report = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(b"", "text/plain")
        self.reports.put(json.loads(report))

    def log_message(self, *_: Any) -> None:
        """Quiet: what matters is in the report."""

    def _object(self, key: str) -> None:
        wanted = {"Range": self.headers["Range"]} if self.headers["Range"] else {}
        try:
            found = self.bucket.client.get_object(Bucket=self.bucket.name, Key=key, **wanted)
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            self._answer(b"", "text/plain", status=status)
            return
        extra = {"Content-Range": found["ContentRange"], "Accept-Ranges": "bytes"} if wanted else {}
        status = HTTPStatus.PARTIAL_CONTENT if wanted else HTTPStatus.OK
        self._answer(found["Body"].read(), found["ContentType"], status=status, extra=extra)

    def _answer(
        self, content: bytes, kind: str, *, status: int = HTTPStatus.OK, extra: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **(extra or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        # A browser that has seen enough hangs up.
        with contextlib.suppress(ConnectionError):
            self.wfile.write(content)


@contextlib.contextmanager
def site(bucket: Bucket) -> Iterator[Site]:
    """The bucket's site for the time of the block."""
    reports: queue.Queue[dict[str, Any]] = queue.Queue()
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, bucket, reports))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield Site(server, reports)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def play(bucket: Bucket, key: str, *, directory: Path, rate: float = RATE) -> Played:
    """Plays the object to its end: a playlist by hls.js, any other by the browser alone."""
    with site(bucket) as running:
        query = {"media": "/" + quote(key), "hls": int(key.endswith(".m3u8")), "rate": rate}
        with chromium(f"{running.url}/~/player?{urlencode(query)}", directory) as log:
            try:
                return Played(**running.reports.get(timeout=PATIENCE_SECONDS))
            except queue.Empty:
                console = re.findall(r".*CONSOLE.*", log.read_text(errors="replace"))
                raise AssertionError(f"{key} did not end within {PATIENCE_SECONDS} s; console: {console}") from None


@contextlib.contextmanager
def chromium(url: str, directory: Path) -> Iterator[Path]:
    """A browser that shows the page for the time of the block; yields its log."""
    log = directory / "chromium.log"
    profile = directory / "chromium"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*CHROMIUM, f"--user-data-dir={profile}", url], stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        yield log
    finally:
        # It ends its own processes.
        process.terminate()
        process.wait(timeout=PATIENCE_SECONDS)


def check_played(played: Played, files: Files) -> None:
    """It was played to its end, with pictures and sound, and nothing in it made the player skip or repair."""
    assert (played.outcome, played.fatal) == ("ended", None)
    # On a busy machine a player may wait for its next slice, and that is all.
    assert set(played.errors) <= {"bufferStalledError"}
    assert played.currentTime == pytest.approx(files.seconds, abs=0.3)
    assert played.decodedFrames == pytest.approx(files.seconds * 15, rel=0.1)
    assert played.decodedAudioBytes > 0
