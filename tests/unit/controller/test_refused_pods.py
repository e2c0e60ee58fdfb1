# SPDX-License-Identifier: Apache-2.0
"""What thousands of recordings over a quota ask of the API server, in an hour that passes at once."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from datetime import timedelta
from typing import Any, cast

import pytest

from cloud_recording.common.json_types import Json
from cloud_recording.controller.finalizer_index import FinalizerIndex
from cloud_recording.controller.keyed_locks import KeyedLocks
from cloud_recording.controller.known_pods import KnownPods
from cloud_recording.controller.known_recordings import KnownRecordings
from cloud_recording.controller.known_storages import KnownStorages
from cloud_recording.controller.metrics import Metrics
from cloud_recording.controller.reconcile import Reconciler
from cloud_recording.controller.recording_key import RecordingKey
from cloud_recording.controller.status_writer import StatusWriter
from cloud_recording.controller.work_queue import WorkQueue
from cloud_recording.kube.client import KubeClient
from cloud_recording.kube.errors import NotFound, Refused
from cloud_recording.kube.events import EventRecorder
from cloud_recording.kube.recordings import Recordings, RecordingStorages
from tests.unit.domain.builders import NOW, SETTINGS, a_recording, context, time

RECORDINGS = 60
NAMESPACE = "meetings"
HOUR = 3600
QUOTA = 'pods "x" is forbidden: exceeded quota: few-pods'

pytestmark = pytest.mark.looptime


class FullNamespace:
    """An API server with recordings in it, whose quota takes no pod; counts the seconds in which it was asked."""

    def __init__(self) -> None:
        self._bodies: dict[str, Json] = {}
        self.asked: Counter[int] = Counter()
        self.pods_asked: Counter[str] = Counter()

    def add(self, name: str) -> RecordingKey:
        body = a_recording().unheld().build().model_dump(mode="json", by_alias=True, exclude_none=True)
        metadata: Json = {"name": name, "namespace": NAMESPACE, "uid": str(uuid.uuid4()), "resourceVersion": "1"}
        metadata |= {"generation": 1, "creationTimestamp": time(NOW)}
        self._bodies[name] = {
            "apiVersion": "cloudrecording.dev/v1alpha1",
            "kind": "CloudRecording",
            "metadata": metadata,
            "spec": body["spec"],
        }
        return RecordingKey(NAMESPACE, name)

    def _count(self) -> None:
        self.asked[int(asyncio.get_running_loop().time())] += 1

    async def get(self, url: str) -> Json:
        self._count()
        if "/pods/" in url:
            raise NotFound("not found", status=404)
        return self._bodies[url.rpartition("/")[2]]

    async def post(self, url: str, body: Json) -> Json:
        self._count()
        if url.endswith("/pods"):
            self.pods_asked[body["metadata"]["name"]] += 1
            raise Refused(QUOTA, status=403)
        uid = {"uid": str(uuid.uuid4()), "resourceVersion": "1"}
        return {**body, "metadata": {**body["metadata"], **uid}}

    async def patch(self, url: str, body: Json) -> Json:
        self._count()
        return self._written(url.rpartition("/")[2], metadata=body["metadata"])

    async def put(self, url: str, body: Json) -> Json:
        self._count()
        return self._written(url.removesuffix("/status").rpartition("/")[2], status=body["status"])

    def _written(self, name: str, *, metadata: Json | None = None, **fields: Any) -> Json:
        known = self._bodies[name]
        version = {"resourceVersion": str(int(known["metadata"]["resourceVersion"]) + 1)}
        self._bodies[name] = {**known, **fields, "metadata": {**known["metadata"], **(metadata or {}), **version}}
        return self._bodies[name]


async def test_recordings_over_a_quota_ask_more_and_more_rarely_and_never_all_at_once() -> None:
    """Promise (C4): an hour is some 65 requests for each; 9,000 of them ask 120 times a second once they have settled.

    With the fixed pause of 15 s that there was before it were 724, and 1,791 a second.
    """
    server = FullNamespace()
    client = cast("KubeClient", server)
    loop = asyncio.get_running_loop()
    recordings = KnownRecordings(Recordings(client), clock=loop.time)
    began = loop.time()
    reconciler = Reconciler(
        recordings=recordings,
        storages=KnownStorages(RecordingStorages(client), clock=loop.time),
        pods=KnownPods(client, clock=loop.time),
        statuses=StatusWriter(recordings, EventRecorder(client, controller="test", instance="test")),
        context=context,
        finalizers=FinalizerIndex(),
        locks=KeyedLocks(),
        clock=lambda: NOW + timedelta(seconds=loop.time() - began),
    )
    queue = WorkQueue(reconciler.reconcile, concurrency=SETTINGS.concurrency, metrics=Metrics())
    for number in range(RECORDINGS):
        queue.add(server.add(f"stand-up-{number}"))
    work = asyncio.create_task(queue.run())
    await asyncio.sleep(HOUR)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)

    assert len(server.pods_asked) == RECORDINGS
    assert sum(server.asked.values()) / RECORDINGS <= 90
    settled = [count for second, count in server.asked.items() if second - began > HOUR / 6]
    assert 9000 * sum(settled) / RECORDINGS / (HOUR * 5 / 6) <= 150
    assert max(settled) <= RECORDINGS / 4
