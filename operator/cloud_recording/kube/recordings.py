# SPDX-License-Identifier: Apache-2.0
"""CloudRecordings in the API server: read live, status written under the version it was made from, finalizers."""

from __future__ import annotations

from cloud_recording.api.base import GROUP, VERSION
from cloud_recording.api.recording import PLURAL
from cloud_recording.common.json_types import Json
from cloud_recording.kube.client import KubeClient, path


class Recordings:
    """Reads and writes of CloudRecordings."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client

    async def read(self, *, namespace: str, name: str) -> Json:
        """The recording as it is now; raises NotFound when it is gone."""
        return await self._client.get(self._path(namespace, name))

    async def write_status(self, body: Json, status: Json) -> Json:
        """Replaces the status of `body`, which must be as it was read; raises Conflict when it changed since."""
        metadata = body["metadata"]
        replacement = {**body, "status": status}
        return await self._client.put(self._path(metadata["namespace"], metadata["name"]) + "/status", replacement)

    async def set_finalizers(self, body: Json, finalizers: list[str]) -> Json:
        """Replaces the finalizers of `body`; raises Conflict when it changed since it was read.

        The version travels with the patch because the list is replaced as a whole: a finalizer that somebody else put
        there in the meantime must not vanish.
        """
        metadata = body["metadata"]
        patch = {"metadata": {"resourceVersion": metadata["resourceVersion"], "finalizers": finalizers}}
        return await self._client.patch(self._path(metadata["namespace"], metadata["name"]), patch)

    async def delete(self, *, namespace: str, name: str, uid: str) -> None:
        """Deletes this very recording, and not a newer one of the same name."""
        options = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        await self._client.delete(self._path(namespace, name), options)

    @staticmethod
    def _path(namespace: str, name: str) -> str:
        return path("apis", GROUP, VERSION, "namespaces", namespace, PLURAL, name)
