# SPDX-License-Identifier: Apache-2.0
"""CloudRecordings and RecordingStorages in the API server: read live, and written under the version that was read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import ClassVar, Final
from urllib.parse import urlencode

from cloud_recording.api.base import GROUP, VERSION
from cloud_recording.api.recording import PLURAL
from cloud_recording.api.recording_storage import STORAGE_PLURAL
from cloud_recording.common.json_types import Json
from cloud_recording.kube.client import KubeClient, path

LIST_LIMIT: Final = 500
"""Objects per page of a list."""


def recordings_path(namespace: str | None) -> str:
    """Of the recordings of one namespace, or of all."""
    where = () if namespace is None else ("namespaces", namespace)
    return path("apis", GROUP, VERSION, *where, PLURAL)


class Recordings:
    """Reads and writes of CloudRecordings."""

    _plural: ClassVar[str] = PLURAL

    def __init__(self, client: KubeClient) -> None:
        self._client = client

    async def read(self, *, namespace: str, name: str) -> Json:
        """The recording as it is now; raises NotFound when it is gone."""
        return await self._client.get(self._path(namespace, name))

    async def write_status(self, body: Json, status: Json) -> Json:
        """Replaces the status of `body`, which must be as it was read; raises Conflict when it changed since."""
        metadata = body["metadata"]
        # Of the rest the API server keeps what there is; who sends none has none of it read and compared.
        sent = {name: metadata[name] for name in ("name", "namespace", "uid", "resourceVersion")}
        replacement = {"apiVersion": body["apiVersion"], "kind": body["kind"], "metadata": sent, "status": status}
        return await self._client.put(self._path(metadata["namespace"], metadata["name"]) + "/status", replacement)

    async def set_finalizers(
        self, body: Json, finalizers: list[str], *, labels: Mapping[str, str] | None = None
    ) -> Json:
        """Replaces the finalizers of `body` and sets labels; raises Conflict when it changed since it was read.

        The version travels with the patch because the list is replaced as a whole: a finalizer that somebody else put
        there in the meantime must not vanish.
        """
        metadata = body["metadata"]
        wanted: Json = {"resourceVersion": metadata["resourceVersion"], "finalizers": finalizers}
        if labels:
            wanted["labels"] = dict(labels)
        return await self._client.patch(self._path(metadata["namespace"], metadata["name"]), {"metadata": wanted})

    async def annotate(self, *, namespace: str, name: str, annotations: Mapping[str, str]) -> None:
        """Sets annotations, whatever else became of it; raises NotFound when it is gone."""
        await self._client.patch(self._path(namespace, name), {"metadata": {"annotations": dict(annotations)}})

    async def delete(self, *, namespace: str, name: str, uid: str) -> None:
        """Deletes this very recording, and not a newer one of the same name."""
        options = {"preconditions": {"uid": uid}, "propagationPolicy": "Background"}
        await self._client.delete(self._path(namespace, name), options)

    async def listed(self, *, namespace: str) -> AsyncIterator[Json]:
        """Every one in the namespace, page by page."""
        more = ""
        while True:
            query = urlencode({"limit": LIST_LIMIT, "continue": more})
            answer = await self._client.get(f"{self._path(namespace)}?{query}")
            for item in answer["items"]:
                yield item
            more = answer["metadata"].get("continue", "")
            if not more:
                return

    def _path(self, namespace: str, *name: str) -> str:
        return path("apis", GROUP, VERSION, "namespaces", namespace, self._plural, *name)


class RecordingStorages(Recordings):
    """The same of RecordingStorages."""

    _plural: ClassVar[str] = STORAGE_PLURAL
