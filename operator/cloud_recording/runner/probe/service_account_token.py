# SPDX-License-Identifier: Apache-2.0
"""The token that Google takes from a service account: signed by its own key, so that no other server is asked."""

from __future__ import annotations

import base64
import json
import time
from typing import Final

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

_SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
_SECONDS: Final = 600


def service_account_token(document: str) -> str:
    """A token by the key that Google hands out as a JSON document; ValueError where it is none."""
    account = json.loads(document)
    try:
        key = load_pem_private_key(account["private_key"].encode(), password=None)
        email, key_id = account["client_email"], account["private_key_id"]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("is no service account's key") from error
    if not isinstance(key, RSAPrivateKey):
        raise ValueError("is no service account's key")  # noqa: TRY004 - what the file holds, and no program's mistake
    now = int(time.time())
    header = {"alg": "RS256", "typ": "JWT", "kid": key_id}
    claims = {"iss": email, "sub": email, "scope": _SCOPE, "iat": now, "exp": now + _SECONDS}
    text = f"{_part(json.dumps(header).encode())}.{_part(json.dumps(claims).encode())}"
    return f"{text}.{_part(key.sign(text.encode(), PKCS1v15(), SHA256()))}"


def _part(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
