# SPDX-License-Identifier: Apache-2.0
"""Google Cloud Storage on this machine: fake-gcs-server, and in front of it what that does not do as Google does.

The server speaks Google's JSON API, keeps objects and reckons their digests. The front takes the XML API, as the
recorder asks: it checks tokens and rights, knows objects of parts, answers refusals in Google's XML, and states digests
where Google does.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, quote, unquote, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.support.buckets import AnyBucket
from tests.support.ports import await_listener, free_port
from tests.support.server_front import Answer, ServerFront, forwarded

REPOSITORY = Path(__file__).parents[2]
PROGRAM = REPOSITORY / "build" / "bin" / "fake-gcs-server"

PUT, GET, DELETE = "storage.objects.create", "storage.objects.get", "storage.objects.delete"
ALL_RIGHTS = frozenset({PUT, GET, DELETE})


@dataclass(frozen=True)
class Account:
    """A service account, by its key, and what it may do."""

    key: rsa.RSAPrivateKey
    rights: frozenset[str]
    key_id: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def email(self) -> str:
        return f"recorder-{self.key_id[:8]}@test.iam.gserviceaccount.com"

    def document(self) -> str:
        """The key as Google hands it out."""
        pem = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        fields = {"type": "service_account", "project_id": "test", "private_key_id": self.key_id, "private_key": pem}
        return json.dumps({**fields, "client_email": self.email, "universe_domain": "googleapis.com"}, indent=2)


@dataclass
class GoogleServer:
    """Both servers; they may be stopped and started again on the same ports, and keep what they have."""

    directory: Path
    tls: tuple[Path, Path] | None = None
    port: int = field(default_factory=free_port)
    change: Callable[[str, str, dict[str, str]], None] = lambda _method, _path, _headers: None
    """Changes the headers of an answer to a request (method, path)."""
    refuse: Callable[[str, str, str], tuple[int, str] | None] = lambda _method, _path, _query: None
    """Status and code that a request (method, path, query) is refused with."""
    asked: list[tuple[str, str, str, int]] = field(default_factory=list)
    """Method, path, query and status of each request."""
    parts: dict[str, dict[int, bytes]] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)
    tokens: dict[str, float] = field(default_factory=dict)
    """Until when each token that was given out opens everything."""
    shown: list[str] = field(default_factory=list)
    """The token of each request."""
    types: dict[str, str] = field(default_factory=dict)
    begun: dict[str, dict[str, str]] = field(default_factory=dict)
    """Headers of the request that the object of this key began with, newest, by their names in lower case."""
    _server_port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None
    _front: ServerFront | None = None

    @property
    def endpoint(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def account(self, *rights: str) -> Account:
        """A service account with these rights, or all."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        account = Account(key, frozenset(rights) or ALL_RIGHTS)
        self.accounts[account.key_id] = account
        return account

    def bucket(self, name: str) -> GoogleBucket:
        """Returns the bucket, made if it does not exist."""
        bucket = GoogleBucket(self, name)
        bucket.create()
        return bucket

    def start(self) -> None:
        """Returns once both answer."""
        objects = self.directory / "objects"
        objects.mkdir(parents=True, exist_ok=True)
        command = [
            *(str(PROGRAM), "-scheme", "http", "-host", "127.0.0.1", "-port", str(self._server_port)),
            *("-backend", "filesystem", "-filesystem-root", str(objects)),
        ]
        with (self.directory / "server.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        await_listener(self._server_port)
        self._front = ServerFront(self.port, _handler(self), tls=self.tls)

    def stop(self) -> None:
        """Returns once nobody listens any more."""
        if self._front is not None:
            self._front.end()
            self._front = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def ask(self, method: str, path: str, body: bytes = b"", kind: str = "application/json") -> Answer:
        """Asks the server behind."""
        return forwarded(self._server_port, method, path, {"content-type": kind}, body)


@dataclass(frozen=True)
class GoogleBucket(AnyBucket):
    server: GoogleServer
    name: str

    def create(self) -> None:
        status, _, body = self.server.ask("POST", "/storage/v1/b", json.dumps({"name": self.name}).encode())
        assert status in {HTTPStatus.OK, HTTPStatus.CONFLICT}, body

    def is_there(self) -> bool:
        return self.server.ask("GET", f"/storage/v1/b/{self.name}")[0] == HTTPStatus.OK

    def objects(self) -> list[str]:
        return [one["name"] for one in self._listing()]

    def read(self, key: str) -> bytes:
        status, _, content = self.server.ask("GET", self.path(key, prefix="/download"))
        if status != HTTPStatus.OK:
            raise KeyError(key)
        return content

    def content_type(self, key: str) -> str:
        return next(str(one["contentType"]) for one in self._listing() if one["name"] == key)

    def path(self, key: str, *, prefix: str = "") -> str:
        return f"{prefix}/storage/v1/b/{self.name}/o/{quote(key, safe='')}"

    def _listing(self) -> list[dict[str, Any]]:
        _, _, body = self.server.ask("GET", f"/storage/v1/b/{self.name}/o?maxResults=1000")
        return sorted(json.loads(body).get("items", []), key=lambda one: str(one["name"]))


@dataclass(frozen=True)
class _Request:
    method: str
    bucket: GoogleBucket
    key: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


def _refused(status: int, code: str) -> Answer:
    words = "What Google says."
    body = f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>{words}</Message></Error>"
    return status, {"content-type": "application/xml"}, body.encode()


def _answer(server: GoogleServer, request: _Request) -> Answer:
    """What Google answers."""
    rights = _rights(server, request.headers.get("authorization", ""))
    if rights is None:
        return _refused(401, "AuthenticationRequired")
    if not request.bucket.is_there():
        return _refused(404, "NoSuchBucket")
    return _of_bucket(server, request, rights)


def _of_bucket(server: GoogleServer, request: _Request, rights: frozenset[str]) -> Answer:
    """The same where the bucket is there, and whoever asks has these rights."""
    there = request.key in request.bucket.objects()
    if there and request.headers.get("x-goog-if-generation-match") == "0":
        return _refused(412, "PreconditionFailed")
    needed = {"PUT": {PUT}, "POST": {PUT}, "GET": {GET}, "HEAD": {GET}, "DELETE": {DELETE}}[request.method]
    # What takes an object's place removes it; parts do once they are put together.
    if there and request.method == ("POST" if "uploadId" in request.query else "PUT"):
        needed = {PUT, DELETE}
    if not needed <= rights:
        return _refused(403, "AccessDenied")
    if request.method in {"GET", "HEAD", "DELETE"} and not there and "uploadId" not in request.query:
        return _refused(404, "NoSuchKey")
    return _ACTS[request.method](server, request)


def _rights(server: GoogleServer, authorization: str) -> frozenset[str] | None:
    """What the token lets; None where it is nobody's, or no longer valid."""
    token = authorization.removeprefix("Bearer ")
    server.shown.append(token)
    if token in server.tokens:
        return ALL_RIGHTS if time.time() < server.tokens[token] else None
    account = _account(server, authorization)
    return None if account is None else account.rights


def _account(server: GoogleServer, authorization: str) -> Account | None:
    """Whose key has signed the token; None where it is nobody's, or no longer valid."""
    try:
        header, claims, signature = authorization.removeprefix("Bearer ").split(".")
        account = server.accounts[json.loads(_decoded(header))["kid"]]
        text = f"{header}.{claims}".encode()
        account.key.public_key().verify(_decoded(signature), text, PKCS1v15(), SHA256())
        said = json.loads(_decoded(claims))
    except (ValueError, KeyError, InvalidSignature):
        return None
    valid = said["iat"] - 300 <= time.time() < said["exp"] <= said["iat"] + 3600
    return account if valid and said["iss"] == said["sub"] == account.email and "scope" in said else None


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _put(server: GoogleServer, request: _Request) -> Answer:
    upload = request.query.get("uploadId")
    if upload is None:
        server.begun[request.key] = request.headers
        made = _stored(server, request, request.body, request.headers["content-type"])
        md5 = base64.b64decode(made["md5Hash"]).hex()
        return 200, {"etag": f'"{md5}"', "x-goog-hash": f"crc32c={made['crc32c']},md5={made['md5Hash']}"}, b""
    if upload not in server.parts:
        return _refused(404, "NoSuchUpload")
    server.parts[upload][int(request.query["partNumber"])] = request.body
    digest = hashlib.md5(request.body).digest()  # noqa: S324 - what Google states
    return 200, {"etag": f'"{digest.hex()}"', "x-goog-hash": f"md5={base64.b64encode(digest).decode()}"}, b""


def _post(server: GoogleServer, request: _Request) -> Answer:
    upload = request.query.get("uploadId")
    if upload is None:
        begun = uuid.uuid4().hex
        server.parts[begun] = {}
        server.begun[request.key] = request.headers
        server.types[begun] = request.headers["content-type"]
        name = "InitiateMultipartUploadResult"
        fields = f"<Bucket>{request.bucket.name}</Bucket><Key>{request.key}</Key><UploadId>{begun}</UploadId>"
        return 200, {}, f"<{name}>{fields}</{name}>".encode()
    if upload not in server.parts:
        return _refused(404, "NoSuchUpload")
    parts = server.parts.pop(upload)
    content = b"".join(parts[number] for number in sorted(parts))
    made = _stored(server, request, content, server.types.pop(upload))
    name = "CompleteMultipartUploadResult"
    fields = f'<Bucket>{request.bucket.name}</Bucket><Key>{request.key}</Key><ETag>"CAE-{len(parts)}"</ETag>'
    return 200, {"x-goog-hash": f"crc32c={made['crc32c']}"}, f"<{name}>{fields}</{name}>".encode()


def _stored(server: GoogleServer, request: _Request, content: bytes, kind: str) -> dict[str, Any]:
    name = quote(request.key, safe="")
    path = f"/upload/storage/v1/b/{request.bucket.name}/o?uploadType=media&name={name}"
    status, _, body = server.ask("POST", path, content, kind)
    assert status == HTTPStatus.OK, body
    made: dict[str, Any] = json.loads(body)
    return made


def _get(server: GoogleServer, request: _Request) -> Answer:
    return server.ask(request.method, request.bucket.path(request.key, prefix="/download"))


def _delete(server: GoogleServer, request: _Request) -> Answer:
    upload = request.query.get("uploadId")
    if upload is not None:
        return (204, {}, b"") if server.parts.pop(upload, None) is not None else _refused(404, "NoSuchUpload")
    status, _, _ = server.ask("DELETE", request.bucket.path(request.key))
    return 204 if status < HTTPStatus.MULTIPLE_CHOICES else status, {}, b""


_ACTS: dict[str, Callable[[GoogleServer, _Request], Answer]] = {
    "PUT": _put,
    "POST": _post,
    "GET": _get,
    "HEAD": _get,
    "DELETE": _delete,
}


def _handler(server: GoogleServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        kept: ClassVar = {"content-type", "etag", "last-modified", "x-goog-hash", "x-goog-generation"}

        def _answered(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            url = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
            name, _, key = url.path.removeprefix("/").partition("/")
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = _Request(self.command, GoogleBucket(server, unquote(name)), unquote(key), query, headers, body)
            refusal = server.refuse(self.command, unquote(url.path), url.query)
            status, said, content = _refused(*refusal) if refusal else _answer(server, request)
            sent = {name: value for name, value in said.items() if name in self.kept}
            server.change(self.command, unquote(url.path), sent)
            sent["content-length"] = said.get("content-length", "0") if self.command == "HEAD" else str(len(content))
            server.asked.append((self.command, unquote(url.path), url.query, status))
            self.send_response(status)
            for header, value in sent.items():
                self.send_header(header, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _answered  # noqa: N815 # the names that the base class calls

    return Handler


@contextlib.contextmanager
def google_server(directory: Path, *, tls: tuple[Path, Path] | None = None) -> Iterator[GoogleServer]:
    """Running servers for the time of the block; `tls` is the front's certificate and key, both PEM files."""
    directory.mkdir(parents=True, exist_ok=True)
    server = GoogleServer(directory, tls)
    server.start()
    try:
        yield server
    finally:
        server.stop()
