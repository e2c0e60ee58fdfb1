# SPDX-License-Identifier: Apache-2.0
"""What a pass asks of the API server that the watch has told it, and that it never acts on what is out of date."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from cloud_recording.api.settings import OperatorSettings
from cloud_recording.api.status import CloudRecordingStatus, Outcome, PartState
from cloud_recording.common.json_types import Json
from cloud_recording.controller.finalizer_index import FinalizerIndex
from cloud_recording.controller.keyed_locks import KeyedLocks
from cloud_recording.controller.known_pods import KnownPods
from cloud_recording.controller.known_recordings import KnownRecordings, compact
from cloud_recording.controller.known_storages import KnownStorages
from cloud_recording.controller.reconcile import Reconciler
from cloud_recording.controller.recording_key import RecordingKey
from cloud_recording.controller.status_writer import StatusWriter
from cloud_recording.domain.names import LABEL_BUCKET
from cloud_recording.domain.pod_view import PodView
from cloud_recording.domain.shards import BUCKETS, bucket_of
from cloud_recording.kube.client import KubeClient
from cloud_recording.kube.errors import Conflict, NotFound
from cloud_recording.kube.events import EventRecorder
from cloud_recording.kube.recordings import Recordings, RecordingStorages
from tests.unit.domain.builders import NOW, SETTINGS, RecordingBuilder, a_part, a_pod, a_recording, context, pod_name

KEY = RecordingKey("meetings", "stand-up")


class ApiServer:
    """One recording and its pods, under versions that grow with each write; what is asked of it is kept."""

    def __init__(self, recording: RecordingBuilder) -> None:
        self.version = 1
        self.recording: Json = {}
        self.pods: dict[str, Json] = {}
        self.asked: list[str] = []
        self.becomes(recording)

    def becomes(self, recording: RecordingBuilder) -> None:
        """Somebody else wrote it."""
        body = recording.build().model_dump(mode="json", by_alias=True, exclude_none=True)
        self._write({"apiVersion": "cloudrecording.dev/v1alpha1", "kind": "CloudRecording", **body})

    def _write(self, body: Json) -> Json:
        self.version += 1
        self.recording = {**body, "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        return self.recording

    def _ask(self, what: str, body: Json | None = None) -> None:
        self.asked.append(what)
        version = (body or {}).get("metadata", {}).get("resourceVersion")
        if version not in {None, self.recording["metadata"]["resourceVersion"]}:
            raise Conflict("it changed", status=409)

    async def get(self, url: str) -> Json:
        kind, name = url.split("/")[-2:]
        self._ask(f"GET {kind}")
        if kind == "cloudrecordings":
            return self.recording
        if name not in self.pods:
            raise NotFound("not found", status=404)
        return self.pods[name]

    async def post(self, url: str, body: Json) -> Json:
        kind = url.rpartition("/")[2]
        self._ask(f"POST {kind}")
        self.version += 1
        made = {**body, "metadata": {**body["metadata"], "uid": f"uid-{kind}", "resourceVersion": str(self.version)}}
        if kind == "pods":
            self.pods[body["metadata"]["name"]] = made
        return made

    async def patch(self, url: str, body: Json) -> Json:  # noqa: ARG002 - as the client has it
        self._ask("PATCH finalizers", body)
        return self._write({**self.recording, "metadata": {**self.recording["metadata"], **body["metadata"]}})

    async def put(self, url: str, body: Json) -> Json:  # noqa: ARG002 - as above
        self._ask("PUT status", body)
        return self._write({**self.recording, "status": body["status"]})


class Operator:
    """The part of it that makes passes."""

    def __init__(self, server: ApiServer, settings: OperatorSettings = SETTINGS) -> None:
        self._server = server
        client, clock = cast("KubeClient", server), asyncio.get_running_loop().time
        self._recordings = KnownRecordings(Recordings(client), clock=clock)
        self._pods = KnownPods(client, clock=clock)
        self._reconciler = Reconciler(
            recordings=self._recordings,
            storages=KnownStorages(RecordingStorages(client), clock=clock),
            pods=self._pods,
            statuses=StatusWriter(self._recordings, EventRecorder(client, controller="test", instance="test")),
            context=lambda: context(settings),
            finalizers=FinalizerIndex(),
            locks=KeyedLocks(),
            clock=lambda: NOW,
        )

    def sees_recording(self) -> None:
        body = self._server.recording
        self._recordings.seen(KEY, body["metadata"]["resourceVersion"], compact(body))

    def sees_pod(self, body: Json) -> None:
        self._pods.seen(KEY.namespace, PodView.of(body))

    async def labels(self) -> None:
        """Sees a recording that is another replica's, by a wrong label."""
        await self._reconciler.label(KEY)

    async def passes(self) -> list[str]:
        """Makes a pass; returns what it asked for."""
        self._server.asked.clear()
        await self._reconciler.reconcile(KEY)
        return list(self._server.asked)


def status_of(server: ApiServer) -> CloudRecordingStatus:
    return CloudRecordingStatus.model_validate(server.recording["status"])


async def test_a_recording_that_the_watch_told_of_is_begun_with_five_writes_and_not_read() -> None:
    server = ApiServer(a_recording().unheld())
    operator = Operator(server)
    operator.sees_recording()
    assert await operator.passes() == ["PATCH finalizers", "PUT status", "POST podtemplates", "POST pods"]
    assert await operator.passes() == ["PUT status"]
    assert await operator.passes() == []
    assert status_of(server).parts[0].pod_uid == "uid-pods"


@pytest.mark.parametrize("unheld", [True, False], ids=["finalizer-to-be-written", "finalizer-there"])
async def test_a_stop_that_the_watch_has_not_told_yet_keeps_the_pod_from_being_made(unheld: bool) -> None:  # noqa: FBT001
    new, stopped = a_recording(), a_recording().stopped()
    server = ApiServer(new.unheld() if unheld else new)
    operator = Operator(server)
    operator.sees_recording()
    server.becomes(stopped)
    assert "POST pods" not in await operator.passes()
    assert not server.pods


async def test_a_part_that_is_over_gets_no_pod_though_it_is_remembered_as_planned() -> None:
    planned = a_part(state=PartState.PLANNED, pod_uid=None)
    server = ApiServer(a_recording().parts(planned))
    operator = Operator(server)
    await operator.passes()
    server.pods.clear()
    lost = a_part(state=PartState.LOST, start_time=NOW, end_time=NOW)
    server.becomes(a_recording().parts(lost, a_part(1, state=PartState.PLANNED, pod_uid=None)))
    await operator.passes()
    assert list(server.pods) == [pod_name(1)]


async def test_a_pod_counts_as_gone_only_when_the_api_server_says_so() -> None:
    server = ApiServer(a_recording().parts(a_part(state=PartState.RECORDING, start_time=NOW)))
    pod = a_pod().running().body()
    server.pods[pod_name()] = pod
    operator = Operator(server)
    operator.sees_recording()
    asked = await operator.passes()
    assert "GET pods" in asked, "nothing was ever heard of it"
    assert [part.state for part in status_of(server).parts] == [PartState.RECORDING]


async def test_a_pod_that_ended_is_read_before_its_part_is_over() -> None:
    """What is remembered says that it ended; it does not, as its container was started again."""
    server = ApiServer(a_recording().parts(a_part(state=PartState.RECORDING, start_time=NOW)))
    server.pods[pod_name()] = a_pod().running().body()
    operator = Operator(server)
    operator.sees_recording()
    ended: dict[str, Any] = a_pod().ended(exit_code=1).body()
    ended["metadata"]["resourceVersion"] = "1"
    operator.sees_pod(ended)
    await operator.passes()
    assert [part.state for part in status_of(server).parts] == [PartState.RECORDING]


async def test_no_pod_delivers_what_another_may_still_have_open() -> None:
    """At the operator's start no watch has told of pods yet, and another replica may have heard the part's end."""
    left: dict[str, Any] = {"state": PartState.CONCLUDED, "outcome": Outcome.INCOMPLETE, "engine_extended": True}
    recording = a_recording().spec(work={"persistentVolumeClaim": {"size": "1Gi"}}).stopped()
    server = ApiServer(recording.parts(a_part(**left, start_time=NOW, stop_time=NOW, end_time=NOW)))
    server.pods[pod_name()] = a_pod().running().deleted().released().body()
    operator = Operator(server)
    assert "POST pods" not in await operator.passes()
    assert status_of(server).parts[0].state is PartState.AWAITING_RESCUE
    server.pods.clear()
    assert "POST pods" in await operator.passes()


SHARED = SETTINGS.model_copy(update={"shards": 4})
BUCKET = str(bucket_of(*KEY))


def label_of(body: Json) -> str | None:
    label: str | None = (body["metadata"].get("labels") or {}).get(LABEL_BUCKET)
    return label


async def test_where_several_replicas_decide_what_is_written_anyway_has_the_label() -> None:
    """Promise: that each watches its own costs no request."""
    server = ApiServer(a_recording().unheld())
    operator = Operator(server, SHARED)
    operator.sees_recording()
    assert await operator.passes() == ["PATCH finalizers", "PUT status", "POST podtemplates", "POST pods"]
    assert label_of(server.recording) == BUCKET
    assert [label_of(pod) for pod in server.pods.values()] == [BUCKET]


async def test_where_one_decides_nothing_is_labelled() -> None:
    server = ApiServer(a_recording().unheld())
    await Operator(server).passes()
    assert label_of(server.recording) is None
    assert [label_of(pod) for pod in server.pods.values()] == [None]


async def test_a_recording_from_before_there_were_shards_is_labelled_and_its_pod_is_not() -> None:
    server = ApiServer(a_recording().parts(a_part(state=PartState.RECORDING, start_time=NOW)))
    server.pods[pod_name()] = a_pod().running().body()
    operator = Operator(server, SHARED)
    await operator.passes()
    assert label_of(server.recording) == BUCKET
    assert server.recording["metadata"]["finalizers"] == ["cloudrecording.dev/durable"]
    assert [label_of(pod) for pod in server.pods.values()] == [None]


@pytest.mark.parametrize("owner", [True, False])
async def test_a_label_that_a_copied_manifest_brought_along_is_corrected(owner: bool) -> None:  # noqa: FBT001
    """By whoever sees it: else those alone who do nothing about the recording would."""
    server = ApiServer(a_recording().unheld())
    server.recording["metadata"]["labels"] = {LABEL_BUCKET: str((int(BUCKET) + 1) % BUCKETS)}
    operator = Operator(server, SHARED)
    await (operator.passes() if owner else operator.labels())
    assert label_of(server.recording) == BUCKET
    assert bool(server.pods) == owner
