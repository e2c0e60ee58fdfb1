# SPDX-License-Identifier: Apache-2.0
"""Gives out keys to whoever has an identity, as AWS does, and lets to an S3 server only who was given some.

It answers as three of AWS' services: STS (AssumeRoleWithWebIdentity), the agent of EKS Pod Identity, and a machine's
metadata service (IMDSv2). All else is for the S3 server, which checks signatures: each request has to bear the session
token of keys that are still good. Of the standard library alone: in a cluster it is a pod's only program, which asks
the API server whose token it is shown (TokenReview).
"""

import contextlib
import http.client
import json
import os
import secrets
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

AUDIENCE = "sts.amazonaws.com"
ROLE = "arn:aws:iam::123456789012:role/films"
MACHINE_ROLES = "/latest/meta-data/iam/security-credentials/"
_OWN = Path("/var/run/secrets/kubernetes.io/serviceaccount")

_ASSUMED = """<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>{AccessKeyId}</AccessKeyId>
<SecretAccessKey>{SecretAccessKey}</SecretAccessKey><SessionToken>{Token}</SessionToken>
<Expiration>{Expiration}</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>
"""
_REFUSED = """<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>
<Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>
"""
_S3_REFUSED = "<Error><Code>{code}</Code><Message>{message}</Message></Error>"

Headers = dict[str, str]
Answer = tuple[int, Headers, bytes]


@dataclass
class IdentityServer:
    """What it knows: the S3 server, the keys that open it, and who may have them."""

    upstream: tuple[str, int]
    keys: tuple[str, str]
    trusts: Callable[[str], bool]
    """Whether it gives keys to whoever shows this token."""
    seconds: int = 3600
    """How long keys are good that are given out from now on; those who use them renew them five minutes before."""
    port: int = 0
    given: dict[str, float] = field(default_factory=dict)
    """Until when each session token is good."""
    used: list[str] = field(default_factory=list)
    """The session tokens of the requests that were let through."""
    machine_asked: int = 0

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def answer(self, method: str, path: str, headers: Headers, body: bytes) -> Answer:
        """What a request gets; one for the S3 server is let through where its session token is good."""
        url = urlsplit(path)
        query = parse_qs(url.query)
        if query.get("Action") == ["AssumeRoleWithWebIdentity"]:
            return self._assume_role(query)
        if url.path == "/v1/credentials":
            return self._of_agent(headers.get("authorization", ""))
        if url.path.startswith("/latest/"):
            return self._of_machine(method, url.path, headers)
        return self._of_store(method, path, headers, body)

    def revoke(self) -> None:
        """Takes back every key that was given out."""
        self.given = dict.fromkeys(self.given, 0.0)

    def _assume_role(self, query: dict[str, list[str]]) -> Answer:
        if query.get("RoleArn") == [ROLE] and self.trusts(query["WebIdentityToken"][0]):
            return 200, {"Content-Type": "text/xml"}, _ASSUMED.format_map(self._new_keys()).encode()
        message = "Not authorized to perform sts:AssumeRoleWithWebIdentity"
        return 403, {"Content-Type": "text/xml"}, _REFUSED.format(code="AccessDenied", message=message).encode()

    def _of_agent(self, token: str) -> Answer:
        if self.trusts(token):
            return 200, {"Content-Type": "application/json"}, json.dumps(self._new_keys()).encode()
        return 404, {}, b"(ResourceNotFoundException): No association found for this pod., fault: client"

    def _of_machine(self, method: str, path: str, headers: Headers) -> Answer:
        self.machine_asked += 1
        if (method, path) == ("PUT", "/latest/api/token"):
            return 200, {}, b"session"
        if headers.get("x-aws-ec2-metadata-token") != "session":
            return 401, {}, b""
        if path == MACHINE_ROLES:
            return 200, {}, b"node"
        found = path == f"{MACHINE_ROLES}node"
        return (200, {}, json.dumps(self._new_keys()).encode()) if found else (404, {}, b"")

    def _new_keys(self) -> dict[str, str]:
        token, until = secrets.token_hex(16), time.time() + self.seconds
        self.given[token] = until
        expiration = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(until))
        access_key, secret_key = self.keys
        return {
            "AccessKeyId": access_key,
            "SecretAccessKey": secret_key,
            "Token": token,
            "Expiration": expiration,
        }

    def _of_store(self, method: str, path: str, headers: Headers, body: bytes) -> Answer:
        token = headers.get("x-amz-security-token")
        if token is None:
            return _refusal(403, "InvalidAccessKeyId", "a session token is missing")
        if time.time() > self.given.get(token, 0.0):
            return _refusal(400, "ExpiredToken", "The provided token has expired.")
        self.used.append(token)
        with contextlib.closing(http.client.HTTPConnection(*self.upstream, timeout=60)) as connection:
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()


def _refusal(status: int, code: str, message: str) -> Answer:
    return status, {"Content-Type": "application/xml"}, _S3_REFUSED.format(code=code, message=message).encode()


def listen(server: IdentityServer, address: str) -> ThreadingHTTPServer:
    """Binds the server's port, any where it is 0; the caller serves."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, given, content = server.answer(self.command, self.path, headers, body)
            self.send_response(status)
            dropped = {"transfer-encoding", "date"} | (set() if self.command == "HEAD" else {"content-length"})
            kept = {name: value for name, value in given.items() if name.lower() not in dropped}
            for name, value in kept.items():
                self.send_header(name, value)
            if "content-length" not in {name.lower() for name in kept}:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _answer  # noqa: N815 # the names that the base class calls

    listener = ThreadingHTTPServer((address, server.port), Handler)
    listener.daemon_threads = True
    server.port = listener.server_address[1]
    return listener


@contextlib.contextmanager
def identity_server(upstream: int, keys: tuple[str, str], *, token: str) -> Iterator[IdentityServer]:
    """One in front of the S3 server on this port for the time of the block; it trusts whoever shows the token."""
    server = IdentityServer(upstream=("127.0.0.1", upstream), keys=keys, trusts=lambda shown: shown == token)
    listener = listen(server, "127.0.0.1")
    thread = threading.Thread(target=listener.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()


def _is_of(account: str) -> Callable[[str], bool]:
    """Whether the API server says that a token is this account's: `system:serviceaccount:NAMESPACE:NAME`."""

    def trusts(token: str) -> bool:
        review = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [AUDIENCE]},
        }
        request = urllib.request.Request(
            "https://kubernetes.default.svc/apis/authentication.k8s.io/v1/tokenreviews",
            data=json.dumps(review).encode(),
            headers={
                "Authorization": f"Bearer {(_OWN / 'token').read_text()}",
                "Content-Type": "application/json",
            },
        )
        context = ssl.create_default_context(cafile=str(_OWN / "ca.crt"))
        with urllib.request.urlopen(request, context=context, timeout=30) as answer:  # noqa: S310
            status = json.load(answer)["status"]
        return bool(status.get("authenticated")) and status["user"]["username"] == account

    return trusts


def main() -> None:
    """Serves in a pod until it ends."""
    host, _, port = os.environ["UPSTREAM"].partition(":")
    server = IdentityServer(
        upstream=(host, int(port)),
        keys=(os.environ["ROOT_ACCESS_KEY"], os.environ["ROOT_SECRET_KEY"]),
        trusts=_is_of(os.environ["TRUSTED_ACCOUNT"]),
        port=int(os.environ["PORT"]),
    )
    listen(server, "0.0.0.0").serve_forever()  # noqa: S104 # a pod's own address is not known before


if __name__ == "__main__":
    main()
