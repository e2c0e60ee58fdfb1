# SPDX-License-Identifier: Apache-2.0
"""Kopf and our client against an API server that fails on purpose, under a virtual clock."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import kmock as mock
import pytest
import pytest_asyncio
import yaml
from kubernetes.aio.client import Configuration

from cloud_recording.controller.finalizer_index import FinalizerIndex
from cloud_recording.controller.keyed_locks import KeyedLocks
from cloud_recording.controller.known_pods import KnownPods
from cloud_recording.controller.known_recordings import KnownRecordings
from cloud_recording.controller.known_storages import KnownStorages
from cloud_recording.controller.metrics import Metrics
from cloud_recording.controller.reconcile import Reconciler
from cloud_recording.controller.recording_key import RecordingKey
from cloud_recording.controller.status_writer import StatusWriter
from cloud_recording.controller.watch import SeenPod, SeenRecording, watch
from cloud_recording.controller.work_queue import WorkQueue
from cloud_recording.domain.names import POD_SELECTOR
from cloud_recording.kube.client import KubeClient
from cloud_recording.kube.errors import Unavailable
from cloud_recording.kube.events import EventRecorder
from cloud_recording.kube.recordings import Recordings, RecordingStorages
from tests.unit.domain.builders import RecordingBuilder, a_pod, a_recording, context, pod_name

Json = dict[str, Any]

KEY = RecordingKey("meetings", "stand-up")
RECORDINGS = "cloudrecording.dev/v1alpha1/cloudrecordings"


@pytest_asyncio.fixture
async def client(kmock: mock.KubernetesEmulator) -> AsyncIterator[KubeClient]:
    async with KubeClient(Configuration(host=str(kmock.url).rstrip("/")), user_agent="test", request_seconds=5) as made:
        yield made


@pytest.fixture
def api_server(kmock: mock.KubernetesEmulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The emulator knows our resource, and KUBECONFIG leads to it."""
    kmock.resources["v1/namespaces"] = resource("Namespace", namespaced=False)
    kmock.resources["v1/pods"] = resource("Pod")
    kmock.resources["v1/podtemplates"] = resource("PodTemplate")
    kmock.resources["apiextensions.k8s.io/v1/customresourcedefinitions"] = resource(
        "CustomResourceDefinition", namespaced=False
    )
    kmock.resources[RECORDINGS] = resource("CloudRecording")
    kubeconfig = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": str(kmock.url).rstrip("/")}}],
        "users": [{"name": "u", "user": {}}],
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(kubeconfig))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))


def resource(kind: str, *, namespaced: bool = True) -> mock.ResourceDict:
    return {
        "kind": kind,
        "singular": kind.lower(),
        "shortnames": set(),
        "categories": set(),
        "verbs": {"list", "watch", "get", "create", "update", "patch", "delete"},
        "subresources": set(),
        "namespaced": namespaced,
    }


def with_uid(request: Any) -> Json:
    return {**request.data, "metadata": {**request.data["metadata"], "uid": "made"}}


def body_of(builder: RecordingBuilder) -> Json:
    dumped = builder.build().model_dump(mode="json", by_alias=True, exclude_none=True)
    return {**dumped, "status": {}}


@pytest.mark.kmock(cls=mock.KubernetesEmulator)
@pytest.mark.looptime
@pytest.mark.usefixtures("api_server")
@pytest.mark.parametrize("namespaces", [(), ("meetings",)], ids=["cluster-wide", "namespaced"])
async def test_the_watch_tells_of_recordings_and_of_our_pods_and_writes_nothing(
    kmock: mock.KubernetesEmulator, namespaces: tuple[str, ...]
) -> None:
    seen: set[object] = set()
    expected = {(KEY, "1"), (KEY, a_pod().body()["metadata"]["name"], True)}
    all_seen = asyncio.Event()

    def note(what: SeenRecording | SeenPod) -> None:
        match what:
            case SeenRecording(key=key, version=version, text=text):
                seen.add((key, version if text is not None else None))
            case SeenPod(recording=key, pod=pod):
                seen.add((key, pod.name, pod.has_finalizer))
        if seen >= expected:
            all_seen.set()

    kmock.objects[RECORDINGS, "meetings", "stand-up"] = body_of(a_recording())
    kmock.objects["v1/pods", "meetings", "ours"] = a_pod().body()
    stop, ready = asyncio.Event(), asyncio.Event()
    watching = asyncio.create_task(
        watch(
            configuration=Configuration(host=str(kmock.url).rstrip("/")),
            namespaces=namespaces,
            recording_seen=note,
            pod_seen=note,
            storage_seen=lambda _: None,
            probe_seen=lambda _: None,
            stop=stop,
            ready=ready,
        )
    )
    await asyncio.wait_for(ready.wait(), 60)
    await asyncio.wait_for(all_seen.wait(), 60)
    kmock.objects[RECORDINGS, "meetings", "stand-up"].delete()
    stop.set()
    await watching
    assert seen == expected
    listed = [request for request in kmock[mock.resource("v1/pods")] if request.action == mock.action.LIST]
    assert {request.params.get("labelSelector") for request in listed} == {POD_SELECTOR}
    assert not [request for request in kmock if request.method.value != "GET"]


@pytest.mark.parametrize(
    ("status", "answer", "message"),
    [
        pytest.param(503, b"<html>bad gateway</html>", "<html>bad gateway</html>", id="a-gateways-page"),
        pytest.param(429, json.dumps({"message": "slow down"}).encode(), "slow down", id="too-many-requests"),
        pytest.param(404, b"<html>no such page</html>", "<html>no such page</html>", id="a-proxys-page-for-404"),
        pytest.param(410, b"gone", "gone", id="a-proxys-gone"),
        pytest.param(403, b"<html>blocked</html>", "<html>blocked</html>", id="a-firewalls-page"),
        pytest.param(404, b"404 page not found\n", "404 page not found", id="a-kind-that-is-not-served"),
        pytest.param(500, b"", "HTTP status 500", id="nothing-at-all"),
    ],
)
async def test_an_api_server_that_cannot_answer_is_unavailable_in_its_own_words(
    kmock: mock.RawHandler, client: KubeClient, status: int, answer: bytes, message: str
) -> None:
    kmock["get"] << status << answer
    with pytest.raises(Unavailable) as raised:
        await client.get("/api/v1/namespaces/meetings/pods/p")
    assert raised.value.message == message


@pytest.mark.looptime
async def test_a_request_that_hangs_is_given_up(kmock: mock.RawHandler, client: KubeClient) -> None:
    kmock["get"] << (lambda: asyncio.sleep(3600))
    started = asyncio.get_running_loop().time()
    with pytest.raises(Unavailable):
        await client.get("/api/v1/namespaces/meetings/pods/p")
    assert asyncio.get_running_loop().time() - started == pytest.approx(5, abs=1)


async def test_nobody_listening_is_unavailable_and_not_a_traceback() -> None:
    async with KubeClient(Configuration(host="http://127.0.0.1:9"), user_agent="test") as client:
        with pytest.raises(Unavailable):
            await client.get("/api")


@pytest.mark.kmock(cls=mock.KubernetesEmulator)
@pytest.mark.looptime
@pytest.mark.usefixtures("api_server")
async def test_an_outage_of_the_api_server_delays_a_recording_and_does_no_more(
    kmock: mock.KubernetesEmulator, client: KubeClient
) -> None:
    kmock.objects[RECORDINGS, "meetings", "stand-up"] = body_of(a_recording())
    outage = kmock["get", mock.resource(RECORDINGS)][:4]
    outage << 503
    kmock["put", mock.resource(RECORDINGS)] << (lambda request: request.data)
    kmock["post", mock.resource("v1/podtemplates")] << with_uid
    kmock["post", mock.resource("v1/pods")] << with_uid
    done = asyncio.Event()
    queue = queue_over(client, done=done)
    working = asyncio.create_task(queue.run())
    queue.add(KEY)
    await asyncio.wait_for(done.wait(), 100)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    (written,) = kmock["put", mock.resource(RECORDINGS)]
    (created,) = kmock["post", mock.resource("v1/pods")]
    assert [part["pod"] for part in written.data["status"]["parts"]] == [pod_name()]
    assert created.data["metadata"]["name"] == pod_name()
    assert (len(outage), written.id < created.id) == (4, True)


def queue_over(client: KubeClient, *, done: asyncio.Event) -> WorkQueue[RecordingKey]:
    """A queue of passes; `done` is set by the first that succeeds."""
    clock = asyncio.get_running_loop().time
    recordings = KnownRecordings(Recordings(client), clock=clock)
    reconciler = Reconciler(
        recordings=recordings,
        storages=KnownStorages(RecordingStorages(client), clock=clock),
        pods=KnownPods(client, clock=clock),
        statuses=StatusWriter(recordings, EventRecorder(client, controller="test", instance="test")),
        context=context,
        finalizers=FinalizerIndex(),
        locks=KeyedLocks(),
        clock=lambda: datetime.now(UTC),
    )

    async def work(key: RecordingKey) -> float | None:
        again_after = await reconciler.reconcile(key)
        done.set()
        return again_after

    return WorkQueue(work, concurrency=1, metrics=Metrics())
