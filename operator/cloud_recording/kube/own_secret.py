# SPDX-License-Identifier: Apache-2.0
"""The one Secret that the operator reads: its own, with the authority that signs its callback certificates."""

from __future__ import annotations

import base64
from dataclasses import dataclass

from cloud_recording.kube.client import KubeClient, path
from cloud_recording.kube.errors import NotFound


@dataclass(frozen=True, kw_only=True)
class StoredSecret:
    """A Secret's content, and the version a replacement must be based on; no version means that it is not there yet."""

    data: dict[str, bytes]
    version: str | None


class OwnSecret:
    """Reads and replaces one named Secret."""

    def __init__(self, client: KubeClient, *, namespace: str, name: str) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name

    async def read(self) -> StoredSecret:
        """What the Secret holds now."""
        try:
            body = await self._client.get(self._collection() + path(self._name))
        except NotFound:
            return StoredSecret(data={}, version=None)
        data = {key: base64.b64decode(value) for key, value in (body.get("data") or {}).items()}
        return StoredSecret(data=data, version=body["metadata"]["resourceVersion"])

    async def write(self, secret: StoredSecret) -> None:
        """Creates or replaces the Secret; raises Conflict when another replica was faster."""
        body = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": self._name, "namespace": self._namespace},
            "type": "Opaque",
            "data": {key: base64.b64encode(value).decode() for key, value in sorted(secret.data.items())},
        }
        if secret.version is None:
            await self._client.post(self._collection(), body)
            return
        body["metadata"] = {"name": self._name, "namespace": self._namespace, "resourceVersion": secret.version}
        await self._client.put(self._collection() + path(self._name), body)

    def _collection(self) -> str:
        return path("api", "v1", "namespaces", self._namespace, "secrets")
