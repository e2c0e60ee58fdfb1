# SPDX-License-Identifier: Apache-2.0
"""Pods, their volume claims and the PodTemplates they belong to: created at most once, annotated, deleted, released.

Whose an object is tells its label with the recording's UID. References to owners do not: whoever deletes with
`--cascade=orphan` has them taken away.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final
from urllib.parse import urlencode

from cloud_recording.common.json_types import Json
from cloud_recording.domain.names import LABEL_RECORDING_UID
from cloud_recording.kube.client import KubeClient, path
from cloud_recording.kube.errors import Conflict, NotFound, Refused

LIST_LIMIT: Final = 500
"""Objects per page of a list."""


def pods_path(namespace: str | None) -> str:
    """Of the pods of one namespace, or of all."""
    where = () if namespace is None else ("namespaces", namespace)
    return path("api", "v1", *where, "pods")


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

    async def delete_claim(self, *, namespace: str, name: str, recording_uid: str) -> None:
        """Deletes the claim if it is the recording's; its volume goes when no pod uses it any more."""
        url = path("api", "v1", "namespaces", namespace, "persistentvolumeclaims", name)
        try:
            claim = await self._client.get(url)
            if _recording_uid(claim) == recording_uid:
                await self._client.delete(url, {"preconditions": {"uid": claim["metadata"]["uid"]}})
        except (NotFound, Conflict):
            return

    async def create_template(self, template: Json) -> Json:
        """Returns the PodTemplate of this name, as `create` does for pods."""
        namespace = template["metadata"]["namespace"]
        return await self._create_once(
            "podtemplate", path("api", "v1", "namespaces", namespace, "podtemplates"), template
        )

    async def templates(self, *, namespace: str | None, selector: str) -> AsyncIterator[Json]:
        """Every PodTemplate with these labels, in one namespace or in all."""
        where = ("api", "v1", "podtemplates") if namespace is None else _templates(namespace)
        more = ""
        while True:
            query = {"labelSelector": selector, "limit": LIST_LIMIT, "continue": more}
            listed = await self._client.get(f"{path(*where)}?{urlencode(query)}")
            for item in listed["items"]:
                yield item
            more = listed["metadata"].get("continue", "")
            if not more:
                return

    async def hand_over_template(self, *, namespace: str, name: str, finalizer: str, owner: Json) -> None:
        """Makes the PodTemplate, if there is one, the owner's, and lets go of it."""
        url = path(*_templates(namespace), name)
        try:
            metadata = (await self._client.get(url))["metadata"]
            patch = _without(metadata, finalizer)
            await self._client.patch(url, {"metadata": {**patch, "ownerReferences": [owner]}})
        except NotFound:
            return

    async def delete_template(self, *, namespace: str, name: str, finalizer: str) -> None:
        """Deletes the PodTemplate, and with it what belongs to it; one that is gone is no error."""
        url = path(*_templates(namespace), name)
        try:
            metadata = (await self._client.get(url))["metadata"]
            await self._client.patch(url, {"metadata": _without(metadata, finalizer)})
            preconditions = {"uid": metadata["uid"]}
            await self._client.delete(url, {"preconditions": preconditions, "propagationPolicy": "Background"})
        except NotFound:
            return

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
        patch = {"metadata": _without(metadata, finalizer)}
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
            if _recording_uid(existing) not in {_recording_uid(body)} - {None}:
                raise ForeignObjectError(kind, namespace=metadata["namespace"], name=metadata["name"]) from None
            return existing


def _pod(namespace: str, name: str) -> str:
    return path("api", "v1", "namespaces", namespace, "pods", name)


def _templates(namespace: str) -> tuple[str, ...]:
    return ("api", "v1", "namespaces", namespace, "podtemplates")


def _recording_uid(body: Json) -> str | None:
    uid: str | None = (body["metadata"].get("labels") or {}).get(LABEL_RECORDING_UID)
    return uid


def _without(metadata: Json, finalizer: str) -> Json:
    """The patch of an object's metadata that takes the finalizer off it, if the object is as it was read."""
    left = [name for name in metadata.get("finalizers", []) if name != finalizer]
    return {"resourceVersion": metadata["resourceVersion"], "finalizers": left or None}


def _is_another(error: Refused) -> bool:
    """Whether the only complaint is that the object of that name has another uid."""
    causes = (error.details.get("details") or {}).get("causes") or []
    return [cause.get("field") for cause in causes] == ["metadata.uid"]
