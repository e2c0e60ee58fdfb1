# SPDX-License-Identifier: Apache-2.0
"""Pods and their volume claims in the API server: created at most once, annotated, deleted, released."""

from __future__ import annotations

from cloud_recording.kube.client import Json, KubeClient, path
from cloud_recording.kube.errors import Conflict, NotFound, Refused


class ForeignObjectError(Exception):
    """An object of the name that we need exists and belongs to somebody else; `message` names it."""

    def __init__(self, kind: str, *, namespace: str, name: str) -> None:
        self.message = (
            f"a {kind} named '{name}' exists in namespace '{namespace}' and does not belong to this recording"
        )
        super().__init__(self.message)


class Pods:
    """Reads and writes of pods and of the claims they mount."""

    def __init__(self, client: KubeClient) -> None:
        self._client = client

    async def read(self, *, namespace: str, name: str) -> Json | None:
        """The pod as it is now, or None when the API server says that there is none."""
        try:
            return await self._client.get(_pod(namespace, name))
        except NotFound:
            return None

    async def create(self, pod: Json) -> Json:
        """Returns the pod of this name, created now or earlier; raises ForeignObjectError when it is not ours."""
        namespace = pod["metadata"]["namespace"]
        return await self._create_once("pod", path("api", "v1", "namespaces", namespace, "pods"), pod)

    async def create_claim(self, claim: Json) -> Json:
        """Returns the volume claim of this name, as `create` does for pods."""
        namespace = claim["metadata"]["namespace"]
        url = path("api", "v1", "namespaces", namespace, "persistentvolumeclaims")
        return await self._create_once("persistentvolumeclaim", url, claim)

    async def annotate(self, *, namespace: str, name: str, uid: str, annotations: dict[str, str]) -> None:
        """Sets annotations on this very pod; one that is gone, or was replaced, needs none."""
        # A uid in a merge patch must be the object's own: that of another pod of the name is refused as a change of it.
        try:
            await self._client.patch(_pod(namespace, name), {"metadata": {"uid": uid, "annotations": annotations}})
        except NotFound:
            return
        except Refused as error:
            if not _is_another(error):
                raise

    async def delete(self, *, namespace: str, name: str, uid: str, grace_seconds: int | None = None) -> None:
        """Asks for the end of this very pod; one that is gone, or was replaced, is no error."""
        options: Json = {"preconditions": {"uid": uid}}
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        try:
            await self._client.delete(_pod(namespace, name), options)
        except (NotFound, Conflict):
            return

    async def remove_finalizer(self, *, pod: Json, finalizer: str) -> None:
        """Lets go of a pod whose summary is counted; raises Conflict when it changed since it was read."""
        metadata = pod["metadata"]
        left = [name for name in metadata.get("finalizers", []) if name != finalizer]
        patch = {"metadata": {"resourceVersion": metadata["resourceVersion"], "finalizers": left or None}}
        try:
            await self._client.patch(_pod(metadata["namespace"], metadata["name"]), patch)
        except NotFound:
            return

    async def _create_once(self, kind: str, collection: str, body: Json) -> Json:
        try:
            return await self._client.post(collection, body)
        except Conflict:
            metadata = body["metadata"]
            existing = await self._client.get(collection + path(metadata["name"]))
            if _owner_uids(existing) != _owner_uids(body):
                raise ForeignObjectError(kind, namespace=metadata["namespace"], name=metadata["name"]) from None
            return existing


def _pod(namespace: str, name: str) -> str:
    return path("api", "v1", "namespaces", namespace, "pods", name)


def _owner_uids(body: Json) -> set[str]:
    return {owner["uid"] for owner in body["metadata"].get("ownerReferences", [])}


def _is_another(error: Refused) -> bool:
    """Whether the only complaint is that the object of that name has another uid."""
    causes = (error.details.get("details") or {}).get("causes") or []
    return [cause.get("field") for cause in causes] == ["metadata.uid"]
