# SPDX-License-Identifier: Apache-2.0
"""TokenReview: who holds a token that a pod has shown us."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cloud_recording.common.json_types import Json
from cloud_recording.kube.client import KubeClient, path

LONGEST_TOKEN: Final = 16 * 1024
JWT_PARTS: Final = 3
"""Header, claims and signature (RFC 7519)."""
LEEWAY_SECONDS: Final = 900.0
"""How far the operator's clock may be off before it refuses what the API server would take."""

_POD_NAME: Final = "authentication.kubernetes.io/pod-name"
_POD_UID: Final = "authentication.kubernetes.io/pod-uid"
_SERVICE_ACCOUNT: Final = ("system", "serviceaccount")


@dataclass(frozen=True, kw_only=True)
class PodIdentity:
    """The pod that a token was issued to, on the word of the API server."""

    namespace: str
    name: str
    uid: str


def may_be_valid(token: str, *, audience: str, now: datetime) -> bool:
    """Whether it is worth asking about a token: it claims to be for the audience, and not to have expired.

    Nothing is believed: a token that claims both may be forged, which the API server sees.
    """
    parts = token.split(".")
    if len(token) > LONGEST_TOKEN or len(parts) != JWT_PARTS:
        return False
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        audiences, expires = claims["aud"], float(claims["exp"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
    named = audiences if isinstance(audiences, list) else [audiences]
    return audience in named and now.timestamp() < expires + LEEWAY_SECONDS


class TokenReviews:
    """Asks the API server about tokens."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client

    async def pod_of(self, token: str, *, audience: str) -> PodIdentity | None:
        """The pod that this token was issued to for this audience; None when the API server does not vouch."""
        review = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [audience]},
        }
        answer = await self._client.post(path("apis", "authentication.k8s.io", "v1", "tokenreviews"), review)
        return _identity(answer.get("status") or {}, audience=audience)


def _identity(status: Json, *, audience: str) -> PodIdentity | None:
    # An API server that knows nothing of audiences would leave the list out, and then any token would do.
    if not status.get("authenticated") or audience not in (status.get("audiences") or []):
        return None
    user = status.get("user") or {}
    extra = user.get("extra") or {}
    system, kind, namespace, *_ = [*str(user.get("username", "")).split(":"), "", "", ""]
    names, uids = extra.get(_POD_NAME) or [], extra.get(_POD_UID) or []
    if (system, kind) != _SERVICE_ACCOUNT or not namespace or len(names) != 1 or len(uids) != 1:
        return None
    return PodIdentity(namespace=namespace, name=names[0], uid=uids[0])
