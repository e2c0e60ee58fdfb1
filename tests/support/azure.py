# SPDX-License-Identifier: Apache-2.0
"""Azure Blob Storage on this machine: Azurite, and in front of it what that does not say as Azure does.

Azurite keeps blobs and checks signatures and rights. The front hands requests on as they come, states the CRC64 of what
it received, which Azurite leaves out, looks at a request's date, and calls who is not believed `AuthenticationFailed`,
where Azurite has the code of who may not. It gives out tokens as Microsoft Entra does, too, and lets in who bears one.
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import ctypes
import email.utils
import functools
import hashlib
import hmac
import json
import os
import secrets
import subprocess
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from tests.support.buckets import AnyBucket
from tests.support.ports import await_listener, free_port
from tests.support.server_front import Answer, ServerFront, forwarded

REPOSITORY = Path(__file__).parents[2]
PROGRAM = REPOSITORY / "build" / "azurite" / "node_modules" / "azurite" / "dist" / "src" / "blob" / "main.js"

VERSION: Final = "2023-11-03"
TENANT: Final = "11111111-2222-3333-4444-555555555555"
CLIENT: Final = "99999999-2222-3333-4444-555555555555"
_ACCOUNTS: Final = 200
"""Each server has one of its own, of one process for all."""
_MOST_SKEW: Final = 15 * 60
_CRC64: Final = """
unsigned long long crc64(const unsigned char *data, unsigned long size) {
  unsigned long long crc = ~0ULL;
  for (; size; size--) {
    crc ^= *data++;
    for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >> 1 ^ 0x9A6C9329AC4BC9B5ULL : crc >> 1;
  }
  return ~crc;
}
"""
"""As Azure's own clients have it."""


@functools.cache
def _azurite() -> tuple[int, list[tuple[str, str]]]:
    """The port of Azurite, which runs until this process ends, and names and keys of its accounts, to be taken."""
    accounts = [(f"films{number}", _a_key()) for number in range(_ACCOUNTS)]
    port = free_port()
    command = [
        *("node", str(PROGRAM), "--blobHost", "127.0.0.1", "--blobPort", str(port)),
        *("--inMemoryPersistence", "--disableTelemetry", "--silent"),
    ]
    environment = {**os.environ, "AZURITE_ACCOUNTS": ";".join(f"{name}:{key}" for name, key in accounts)}
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )
    atexit.register(process.wait)
    atexit.register(process.kill)
    await_listener(port)
    return port, accounts


def _a_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


@functools.cache
def _crc64() -> Any:
    directory = Path(tempfile.mkdtemp(prefix="crc64-"))
    (directory / "crc64.c").write_text(_CRC64)
    library = directory / "crc64.so"
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, directory / "crc64.c"], check=True)
    function = ctypes.CDLL(str(library)).crc64
    function.argtypes, function.restype = (ctypes.c_char_p, ctypes.c_ulong), ctypes.c_ulonglong
    return function


def crc64(content: bytes) -> str:
    """As Azure states it."""
    return base64.b64encode(int(_crc64()(content, len(content))).to_bytes(8, "little")).decode()


@dataclass
class AzureServer:
    """An account of Azurite's, behind a front, which may be stopped and started again."""

    tls: tuple[Path, Path] | None = None
    port: int = field(default_factory=free_port)
    change: Callable[[str, str, dict[str, str]], None] = lambda _method, _path, _headers: None
    """Changes the headers of an answer to a request (method, path with query)."""
    refuse: Callable[[str, str, Mapping[str, str]], tuple[int, str] | None] = lambda _method, _path, _headers: None
    """Status and code that a request (method, path with query, headers) is refused with."""
    asked: list[tuple[str, str, int]] = field(default_factory=list)
    """Method, path with query, and status of each request."""
    trusted: str = ""
    """The token of a pod to whose owner Entra gives tokens."""
    token_seconds: int = 3600
    """How long those are good that are given out from now on; who uses them renews them five minutes before."""
    given: dict[str, float] = field(default_factory=dict)
    """Until when each token that was given out is good."""
    _front: ServerFront | None = None

    def __post_init__(self) -> None:
        self.behind, accounts = _azurite()
        self.account, self.key = accounts.pop()

    @property
    def endpoint(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def bucket(self, name: str) -> AzureContainer:
        """Returns the container, made if it does not exist."""
        container = AzureContainer(self, name)
        container.create()
        return container

    def sas(self, container: str, rights: str, *, seconds: float = 3600) -> str:
        """A token for the container that is good for so long, with these of the rights `racwdl`."""
        begin, end = (
            (datetime.now(UTC) + timedelta(seconds=at)).strftime("%Y-%m-%dT%H:%M:%SZ") for at in (-3600, seconds)
        )
        where = f"/blob/{self.account}/{container}"
        text = "\n".join((rights, begin, end, where, "", "", "", VERSION, "c", *([""] * 7)))
        fields = {"sv": VERSION, "sr": "c", "sp": rights, "st": begin, "se": end}
        return urlencode({**fields, "sig": self._signed(text)})

    def revoke(self) -> None:
        """Takes back every token that was given out."""
        self.given = dict.fromkeys(self.given, 0.0)

    def start(self) -> None:
        self._front = ServerFront(self.port, _handler(self), tls=self.tls)

    def stop(self) -> None:
        """Returns once nobody listens any more."""
        if self._front is not None:
            self._front.end()
            self._front = None

    def ask(self, method: str, path: str, query: Mapping[str, str] | None = None) -> Answer:
        """Asks Azurite, as whoever has the account's key."""
        query = query or {}
        date = email.utils.formatdate(usegmt=True)
        headers = {"x-ms-date": date, "x-ms-version": VERSION, "content-length": "0"}
        asked = "".join(f"\n{name}:{value}" for name, value in sorted(query.items()))
        listed = f"x-ms-date:{date}\nx-ms-version:{VERSION}\n"
        blank = "\n" * 12
        text = f"{method}{blank}{listed}/{self.account}/{self.account}{path}{asked}"
        headers["authorization"] = f"SharedKey {self.account}:{self._signed(text)}"
        full = f"/{self.account}{path}" + (f"?{urlencode(query)}" if query else "")
        return forwarded(self.behind, method, full, headers, b"")

    def _signed(self, text: str) -> str:
        mac = hmac.new(base64.b64decode(self.key), text.encode(), hashlib.sha256)
        return base64.b64encode(mac.digest()).decode()


@dataclass(frozen=True)
class AzureContainer(AnyBucket):
    server: AzureServer
    name: str

    def create(self) -> None:
        status, _, body = self.server.ask("PUT", f"/{self.name}", {"restype": "container"})
        assert status in {HTTPStatus.CREATED, HTTPStatus.CONFLICT}, body

    def objects(self) -> list[str]:
        query = {"comp": "list", "restype": "container"}
        _, _, body = self.server.ask("GET", f"/{self.name}", query)
        return sorted(str(name.text) for name in ET.fromstring(body).iterfind("Blobs/Blob/Name"))  # noqa: S314 - Azurite's

    def read(self, key: str) -> bytes:
        status, _, content = self.server.ask("GET", self._path(key))
        if status != HTTPStatus.OK:
            raise KeyError(key)
        return content

    def put(self, key: str, content: bytes) -> None:
        """Puts a blob, as somebody else."""
        headers = {"x-ms-blob-type": "BlockBlob", "content-length": str(len(content))}
        path = f"/{self.server.account}{self._path(key)}?{self.server.sas(self.name, 'cw')}"
        status, _, body = forwarded(self.server.behind, "PUT", path, headers, content)
        assert status == HTTPStatus.CREATED, body

    def content_type(self, key: str) -> str:
        return self.headers(key)["content-type"]

    def headers(self, key: str) -> dict[str, str]:
        """What Azurite says of the blob."""
        return self.server.ask("HEAD", self._path(key))[1]

    def _path(self, key: str) -> str:
        return f"/{self.name}/{quote(key)}"


def _refused(status: int, code: str) -> Answer:
    words = f"What Azure says.\nRequestId:{secrets.token_hex(16)}"
    body = f'\ufeff<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code><Message>{words}</Message></Error>'
    headers = {"content-type": "application/xml", "x-ms-error-code": code, "x-ms-request-id": secrets.token_hex(16)}
    return status, headers, body.encode()


def _answer(server: AzureServer, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
    """What Azure, or Entra, answers."""
    if path == f"/{TENANT}/oauth2/v2.0/token":
        return _token(server, body)
    kind, _, bearer = headers.get("authorization", "").partition(" ")
    if kind == "Bearer":
        if server.given.get(bearer, 0) < time.time():
            return _refused(401, "InvalidAuthenticationInfo")
        token = server.sas(urlsplit(path).path.split("/")[2], "racwdt")
        path = f"{path}{'&' if '?' in path else '?'}{token}"
        headers = {name: value for name, value in headers.items() if name != "authorization"}
    if "sig" not in parse_qs(urlsplit(path).query):
        date = headers.get("x-ms-date") or headers.get("date") or ""
        if abs(email.utils.parsedate_to_datetime(date).timestamp() - time.time()) > _MOST_SKEW:
            return _refused(403, "AuthenticationFailed")
    status, said, content = forwarded(server.behind, method, path, headers, body)
    if said.get("x-ms-error-code") == "AuthorizationFailure":
        return _refused(403, "AuthenticationFailed")
    if method == "PUT" and status < HTTPStatus.MULTIPLE_CHOICES:
        said["x-ms-content-crc64"] = crc64(body)
    return status, said, content


def _token(server: AzureServer, body: bytes) -> Answer:
    asked = {name: values[0] for name, values in parse_qs(body.decode()).items()}
    known = {"client_id": CLIENT, "client_assertion": server.trusted, "scope": "https://storage.azure.com/.default"}
    if not server.trusted or not known.items() <= asked.items():
        words = "AADSTS700213: No matching federated identity record found for presented assertion subject."
        said = {"error": "invalid_client", "error_description": words}
        return 401, {"content-type": "application/json"}, json.dumps(said).encode()
    token = secrets.token_urlsafe(32)
    server.given[token] = time.time() + server.token_seconds
    given = {"token_type": "Bearer", "expires_in": server.token_seconds, "access_token": token}
    return 200, {"content-type": "application/json"}, json.dumps(given).encode()


def _handler(server: AzureServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answered(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            refusal = server.refuse(self.command, unquote(self.path), headers)
            asked = (self.command, self.path, headers, body)
            status, said, content = _refused(*refusal) if refusal else _answer(server, *asked)
            sent = {name: value for name, value in said.items() if name not in _HOP}
            server.change(self.command, unquote(self.path), sent)
            if self.command != "HEAD":
                sent["content-length"] = str(len(content))
            server.asked.append((self.command, unquote(self.path), status))
            self.send_response_only(status)
            for name, value in {"date": email.utils.formatdate(usegmt=True), **sent}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _answered  # noqa: N815 # the names that the base class calls

    return Handler


_HOP: Final = frozenset({"connection", "keep-alive", "transfer-encoding"})
"""Of Azurite's connection, and not of the front's."""


@contextlib.contextmanager
def azure_server(*, tls: tuple[Path, Path] | None = None) -> Iterator[AzureServer]:
    """A running server for the time of the block; `tls` is its certificate and key, both PEM files."""
    server = AzureServer(tls)
    server.start()
    try:
        yield server
    finally:
        server.stop()
