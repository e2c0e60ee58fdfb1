# SPDX-License-Identifier: Apache-2.0
"""The operator's end of the callbacks, for tests: TLS, token, de-duplication by sequence, and ways to misbehave."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from cloud_recording.api.wire import CALLBACK, CALLBACK_PATH

DEADLINE_SECONDS = 60.0
Json = dict[str, Any]


class Authority:
    """A certificate authority that signs the server's certificates."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._certificate = self._sign(self._name, self._key.public_key(), ca=True)

    @property
    def pem(self) -> str:
        """What a client trusts."""
        return self._certificate.public_bytes(serialization.Encoding.PEM).decode()

    def server_context(self, directory: Path) -> ssl.SSLContext:
        """A server's TLS context with a fresh certificate for the loopback address."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "callbacks")])
        certificate = self._sign(subject, key.public_key(), ca=False)
        file = directory / "server.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(file)
        return context

    def _sign(self, subject: x509.Name, public_key: ec.EllipticCurvePublicKey, *, ca: bool) -> x509.Certificate:
        now = datetime.now(tz=UTC)
        usage = x509.KeyUsage(
            digital_signature=not ca,
            key_cert_sign=ca,
            crl_sign=ca,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )


class CallbackServer:
    """Keeps every callback once, in the order of arrival, and fails loudly when order or form is wrong."""

    def __init__(self) -> None:
        self.token = "token-of-the-pod"
        self.callbacks: list[Json] = []
        self.requests = 0
        self.bodies: list[str] = []
        self.answer_instead: Callable[[], web.Response | None] = lambda: None
        """What to answer without taking the callbacks; None takes them."""
        self.lose_answers = False
        """Take the callbacks, then answer with an error, as a connection that breaks at the wrong moment does."""
        self.faults: list[str] = []
        self._changed = asyncio.Condition()
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self, context: ssl.SSLContext) -> None:
        """Listens on the same port each time."""
        application = web.Application(client_max_size=1 << 20)
        application.router.add_post(CALLBACK_PATH, self._take)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port, ssl_context=context).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Is gone, as an operator that restarts."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    @property
    def url(self) -> str:
        """What the pod is told."""
        return f"https://127.0.0.1:{self.port}"

    def types(self, *, without: frozenset[str] = frozenset({"Snapshot"})) -> list[str]:
        """The callbacks' types in order."""
        return [callback["type"] for callback in self.callbacks if callback["type"] not in without]

    def of(self, kind: str) -> list[Json]:
        """The callbacks of a type."""
        return [callback for callback in self.callbacks if callback["type"] == kind]

    async def until(self, condition: Callable[[], bool], *, seconds: float = DEADLINE_SECONDS) -> None:
        """Waits for something to be true of what has arrived."""
        async with asyncio.timeout(seconds):
            async with self._changed:
                await self._changed.wait_for(condition)

    async def until_told(self, kind: str, *, times: int = 1, seconds: float = DEADLINE_SECONDS) -> Json:
        """Waits for a type of callback and returns the newest."""
        await self.until(lambda: len(self.of(kind)) >= times, seconds=seconds)
        return self.of(kind)[-1]

    async def _take(self, request: web.Request) -> web.Response:
        self.requests += 1
        try:
            answer = await self._answer(request)
        finally:
            async with self._changed:
                self._changed.notify_all()
        return answer

    async def _answer(self, request: web.Request) -> web.Response:
        refusal = self.answer_instead()
        if refusal is not None:
            return refusal
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return web.Response(status=401)
        self.bodies.append(await request.text())
        body = await request.json()
        self._fold(body["callbacks"])
        if self.lose_answers:
            return web.Response(status=502)
        return web.json_response({"acknowledged": self._last()})

    def _fold(self, callbacks: list[Json]) -> None:
        sequences = [callback["sequence"] for callback in callbacks]
        if sequences != sorted(set(sequences)):
            self.faults.append(f"a request is out of order: {sequences}")
        for callback in callbacks:
            CALLBACK.validate_python(callback)
            if callback["sequence"] > self._last():
                self.callbacks.append(callback)

    def _last(self) -> int:
        return int(self.callbacks[-1]["sequence"]) if self.callbacks else 0
