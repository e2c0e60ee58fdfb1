# SPDX-License-Identifier: Apache-2.0
"""A namespace of the API server as seen by a person, by the kubelet and by a recorder: each does what it does for real.

There is no node here. What a kubelet would report of a pod is written to the pod's status, and callbacks are sent
with a token that the API server issued for that very pod, over TLS checked with the authority in its annotation.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final

import aiohttp

from cloud_recording.api.wire import CALLBACK_AUDIENCE, CALLBACK_CA_ANNOTATION, CALLBACK_PATH
from cloud_recording.domain.names import probe_pod_name
from cloud_recording.kube.client import KubeClient, path
from cloud_recording.kube.errors import NotFound

Json = dict[str, Any]

WAIT_SECONDS: Final = 90.0
LOOK_SECONDS: Final = 0.1
RESTRICTED: Final = {"pod-security.kubernetes.io/enforce": "restricted"}
SPEC: Final[Json] = {
    "channel": {"name": "room-1", "uid": 1000, "streams": [{"uid": 1, "url": "rtmp://media.example.com/live/alice"}]},
    "storage": {
        "endpoint": "https://s3.example.com",
        "bucket": "recordings",
        "credentials": {"secretRef": {"name": "bucket-credentials"}},
    },
}


@dataclass
class Stage:
    """One namespace."""

    client: KubeClient
    namespace: str

    async def prepare(self) -> None:
        """Makes the namespace, which holds pods to the restricted standard, and its default account."""
        metadata = {"name": self.namespace, "labels": RESTRICTED}
        await self.client.post("/api/v1/namespaces", {"metadata": metadata})
        await self.client.post(self.core("serviceaccounts"), {"metadata": {"name": "default"}})

    async def apply(self, name: str = "stand-up", **spec: Any) -> Json:
        """Creates a recording, as a person does."""
        body = {
            "apiVersion": "cloudrecording.dev/v1alpha1",
            "kind": "CloudRecording",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {**SPEC, **spec},
        }
        return await self.client.post(self.recordings(), body)

    async def edit(self, name: str = "stand-up", **spec: Any) -> None:
        await self.client.patch(self.recordings(name), {"spec": spec})

    async def delete(self, name: str = "stand-up", *, propagation: str | None = None) -> None:
        options = {} if propagation is None else {"propagationPolicy": propagation}
        await self.client.delete(self.recordings(name), options)

    async def apply_storage(self, name: str, **spec: Any) -> Json:
        """Creates a RecordingStorage, as a person does."""
        body = {
            "apiVersion": "cloudrecording.dev/v1alpha1",
            "kind": "RecordingStorage",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {**SPEC["storage"], "bucket": "films", **spec},
        }
        return await self.client.post(self.storages(), body)

    async def edit_storage(self, name: str, **spec: Any) -> None:
        await self.client.patch(self.storages(name), {"spec": spec})

    async def delete_storage(self, name: str) -> None:
        await self.client.delete(self.storages(name), {})

    async def until_storage(self, name: str, holds: Callable[[Json], Any]) -> Json:
        """The RecordingStorage as soon as this holds of it."""
        seen: Json | None = None
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while True:
                    seen = await self.found(self.storages(name))
                    if seen is not None and holds(seen):
                        return seen
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            raise AssertionError(f"it did not come to it: {seen}") from None

    async def until_storage_gone(self, name: str) -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while await self.found(self.storages(name)) is not None:  # noqa: ASYNC110 - the API server is waited for
                await asyncio.sleep(LOOK_SECONDS)

    async def new_probe(self, name: str, *, generation: int = 1) -> Json:
        """The pod that tries this generation of the RecordingStorage."""
        storage = await self.client.get(self.storages(name))
        pod = await self.until_pod(
            probe_pod_name(storage=name, uid=storage["metadata"]["uid"]),
            lambda seen: (
                seen
                and not seen["metadata"].get("deletionTimestamp")
                and seen["metadata"]["annotations"]["cloudrecording.dev/storage-generation"] == str(generation)
            ),
        )
        assert pod is not None
        return pod

    async def recording(self, name: str = "stand-up") -> Json | None:
        return await self.found(self.recordings(name))

    async def pod(self, name: str) -> Json | None:
        return await self.found(self.core("pods", name))

    async def events(self) -> list[Json]:
        listed = await self.client.get(path("apis", "events.k8s.io", "v1", "namespaces", self.namespace, "events"))
        return list(listed["items"])

    async def until(
        self, holds: Callable[[Json], Any], *, name: str = "stand-up", seconds: float = WAIT_SECONDS
    ) -> Json:
        """The recording as soon as this holds of it."""
        seen: Json | None = None
        try:
            async with asyncio.timeout(seconds):
                while True:
                    seen = await self.recording(name)
                    if seen is not None and holds(seen):
                        return seen
                    await asyncio.sleep(LOOK_SECONDS)
        except TimeoutError:
            raise AssertionError(f"it did not come to it: {seen}") from None

    async def until_gone(self, name: str = "stand-up") -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            while await self.recording(name) is not None:  # noqa: ASYNC110 - the API server is what is waited for
                await asyncio.sleep(LOOK_SECONDS)

    async def until_told(self, reason: str, *, of: str | None = None) -> Json:
        """The first Event with this reason, of this recording or of any."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                for event in await self.events():
                    if event["reason"] == reason and of in {None, event["regarding"]["name"]}:
                        return event
                await asyncio.sleep(LOOK_SECONDS)

    async def until_pod(self, name: str, holds: Callable[[Json | None], Any]) -> Json | None:
        """The pod, or None for none, as soon as this holds of it."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                pod = await self.pod(name)
                if holds(pod):
                    return pod
                await asyncio.sleep(LOOK_SECONDS)

    async def new_pod(self, name: str = "stand-up", *, part: int = 0) -> Json:
        """The pod of the recording's part, once the status knows it."""
        known = await self.until(lambda seen: pod_uid(seen, part), name=name)
        pod = await self.pod(known["status"]["parts"][part]["pod"])
        assert pod is not None
        return pod

    async def place(self, pod: Json, node: str = "node-1") -> None:
        """Puts the pod on a node, as the scheduler does: one without a node goes at once when it is deleted."""
        name = pod["metadata"]["name"]
        target = {"metadata": {"name": name}, "target": {"kind": "Node", "name": node}}
        await self.client.post(self.core("pods", name) + "/binding", target)

    async def end(self, pod: Json) -> None:
        """Waits until the pod is told to end and nothing holds it, and then ends it, as its kubelet does."""
        name = pod["metadata"]["name"]
        await self.until_pod(
            name,
            lambda seen: (
                seen is None or (seen["metadata"].get("deletionTimestamp") and not seen["metadata"].get("finalizers"))
            ),
        )
        with contextlib.suppress(NotFound):
            await self.client.delete(self.core("pods", name), {"gracePeriodSeconds": 0})

    async def until_collected(self) -> None:
        """Returns when the garbage collector has had its say about every recording that was deleted before.

        It may know of recordings for half a minute only after their definition. So it is shown one more that is deleted
        in the foreground, which it alone can let go.
        """
        await self.apply("canary", desiredState="Stopped")
        owner = await self.until(lambda seen: is_true(seen, "Finished"), name="canary")
        reference = {key: owner[key] for key in ("apiVersion", "kind")}
        reference |= {key: owner["metadata"][key] for key in ("name", "uid")} | {"blockOwnerDeletion": True}
        dependent = {"metadata": {"name": "of-the-canary", "ownerReferences": [reference]}}
        await self.client.post(self.core("configmaps"), dependent)
        await self.delete("canary", propagation="Foreground")
        await self.until_gone("canary")

    async def until_empty(self, *kinds: str) -> None:
        """Returns when the namespace has no object of these kinds."""
        async with asyncio.timeout(WAIT_SECONDS):
            for kind in kinds:
                while (await self.client.get(self.core(kind)))["items"]:  # noqa: ASYNC110 - as above
                    await asyncio.sleep(LOOK_SECONDS)

    async def report(self, pod: Json, **status: Any) -> Json:
        """Writes a pod's status, as its kubelet does, and returns the pod."""
        return await self.client.patch(self.core("pods", pod["metadata"]["name"]) + "/status", {"status": status})

    async def report_running(self, pod: Json, *, ready: bool = True) -> None:
        value = "True" if ready else "False"
        await self.report(
            pod,
            phase="Running",
            conditions=[
                {"type": "Ready", "status": value, "lastTransitionTime": now()},
                {"type": "ContainersReady", "status": value, "lastTransitionTime": now()},
            ],
            containerStatuses=[container(state={"running": {"startedAt": now()}}, ready=ready)],
        )

    async def report_ended(self, pod: Json, message: str, *, exit_code: int = 0, others: Sequence[Json] = ()) -> Json:
        """The recorder's container ended, and with it the pod unless others' containers still run in it."""
        terminated = {"exitCode": exit_code, "reason": "Completed", "message": message, "finishedAt": now()}
        ended = "Succeeded" if exit_code == 0 else "Failed"
        statuses = [*others, container(state={"terminated": terminated})]
        return await self.report(pod, phase="Running" if others else ended, containerStatuses=statuses)

    async def token(self, pod: Json, *, audience: str = CALLBACK_AUDIENCE) -> str:
        """A token that the API server issues for this pod, as the kubelet gets it for the projected volume."""
        metadata = pod["metadata"]
        bound = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
        request = {"spec": {"audiences": [audience], "expirationSeconds": 3600, "boundObjectRef": bound}}
        answer = await self.client.post(self.core("serviceaccounts", "default") + "/token", request)
        return str(answer["status"]["token"])

    async def recorder(self, pod: Json, *, url: str) -> Recorder:
        """A recorder that speaks for the pod."""
        return Recorder(url=url, pod=pod, token=await self.token(pod))

    def recordings(self, *name: str) -> str:
        return path("apis", "cloudrecording.dev", "v1alpha1", "namespaces", self.namespace, "cloudrecordings", *name)

    def storages(self, *name: str) -> str:
        return path("apis", "cloudrecording.dev", "v1alpha1", "namespaces", self.namespace, "recordingstorages", *name)

    def core(self, *segments: str) -> str:
        return path("api", "v1", "namespaces", self.namespace, *segments)

    async def found(self, url: str) -> Json | None:
        try:
            return await self.client.get(url)
        except NotFound:
            return None


@dataclass
class Recorder:
    """What sends callbacks from within a pod."""

    url: str
    pod: Json
    token: str
    sequence: int = 0

    async def tell(self, *callbacks: tuple[str, Json]) -> Answer:
        """Sends the next callbacks, again and again while the operator asks for that, as the runner does."""
        batch = []
        for kind, fields in callbacks:
            self.sequence += 1
            batch.append({"type": kind, "sequence": self.sequence, "time": now(), **fields})
        async with asyncio.timeout(WAIT_SECONDS):
            while (answer := await self.send(batch)).status == HTTPStatus.SERVICE_UNAVAILABLE:
                assert answer.retry_after is not None, "who asks for patience says for how long"
                await asyncio.sleep(answer.retry_after)
        return answer

    async def send(self, batch: list[Json], *, uid: str | None = None, token: str | None = None) -> Answer:
        """Sends a batch as it is, with this pod's token or another."""
        metadata = self.pod["metadata"]
        context = ssl.create_default_context(cadata=metadata["annotations"][CALLBACK_CA_ANNOTATION])
        bearer = self.token if token is None else token
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        body = {"podUID": metadata["uid"] if uid is None else uid, "callbacks": batch}
        connector = aiohttp.TCPConnector(ssl=context)
        async with (
            aiohttp.ClientSession(connector=connector, headers=headers) as session,
            session.post(self.url + CALLBACK_PATH, json=body) as response,
        ):
            told = response.headers.get("Retry-After")
            retry_after = None if told is None else float(told)
            return Answer(status=response.status, body=await response.json(), retry_after=retry_after)


@dataclass(frozen=True)
class Answer:
    """What the operator said to a batch."""

    status: int
    body: Json
    retry_after: float | None = None
    """Seconds, where the same batch is to be sent again."""


def container(**fields: Any) -> Json:
    return {
        "name": "recorder",
        "image": "cloud-recording:test",
        "imageID": "",
        "ready": False,
        "restartCount": 0,
        **fields,
    }


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def reason(body: Json) -> str | None:
    """The STATUS column."""
    return next((one["reason"] for one in conditions(body) if one["type"] == "Ready"), None)


def is_true(body: Json, kind: str) -> bool:
    return any(one["type"] == kind and one["status"] == "True" for one in conditions(body))


def conditions(body: Json) -> list[Json]:
    return list((body.get("status") or {}).get("conditions") or [])


def pod_uid(body: Json, part: int = 0) -> str | None:
    listed = (body.get("status") or {}).get("parts") or []
    return listed[part].get("podUID") if len(listed) > part else None
