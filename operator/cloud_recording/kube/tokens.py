# SPDX-License-Identifier: Apache-2.0
"""TokenReview: who holds a token that a pod has shown us."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cloud_recording.kube.client import Json, KubeClient, path

_POD_NAME: Final = "authentication.kubernetes.io/pod-name"
_POD_UID: Final = "authentication.kubernetes.io/pod-uid"
_SERVICE_ACCOUNT: Final = ("system", "serviceaccount")


@dataclass(frozen=True, kw_only=True)
class PodIdentity:
    """The pod that a token was issued to, on the word of the API server."""

    namespace: str
    name: str
    uid: str


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
