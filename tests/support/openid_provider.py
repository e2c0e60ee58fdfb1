# SPDX-License-Identifier: Apache-2.0
"""An OpenID provider on this machine, as a cluster's API server is one: it signs tokens, and says how to check them."""

from __future__ import annotations

import base64
import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from tests.support.ports import free_port
from tests.support.server_front import Answer, answering

DISCOVERY: Final = "/.well-known/openid-configuration"
_KEY_ID: Final = "films"


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _number(number: int) -> str:
    return _text(number.to_bytes((number.bit_length() + 7) // 8, "big"))


@dataclass
class OpenIdProvider:
    """The issuer of tokens that are good for whoever trusts its URL."""

    port: int = field(default_factory=free_port)
    key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def token(self, audience: str, *, seconds: float = 3600, **claims: Any) -> str:
        """A token for this audience, good for so long from now on."""
        header = {"alg": "RS256", "typ": "JWT", "kid": _KEY_ID}
        now = int(time.time())
        body = {"iss": self.url, "aud": audience, "sub": "recorder", "iat": now, "exp": now + int(seconds), **claims}
        signed = ".".join(_text(json.dumps(part).encode()) for part in (header, body))
        return f"{signed}.{_text(self.key.sign(signed.encode(), padding.PKCS1v15(), SHA256()))}"

    def documents(self) -> dict[str, dict[str, Any]]:
        """What it says of itself, by path."""
        numbers = self.key.public_key().public_numbers()
        public = {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": _KEY_ID}
        return {
            DISCOVERY: {
                "issuer": self.url,
                "jwks_uri": f"{self.url}/keys",
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "response_types_supported": ["id_token"],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["RS256"],
            },
            "/keys": {"keys": [{**public, "n": _number(numbers.n), "e": _number(numbers.e)}]},
        }

    def answer(self, path: str, _headers: Mapping[str, str]) -> Answer:
        """What a request gets."""
        document = self.documents().get(path)
        return 200 if document else 404, {"content-type": "application/json"}, json.dumps(document).encode()


@contextlib.contextmanager
def openid_provider() -> Iterator[OpenIdProvider]:
    """One that answers for the time of the block."""
    provider = OpenIdProvider()
    with answering(provider.port, provider.answer):
        yield provider
