# SPDX-License-Identifier: Apache-2.0
"""Callbacks: more than can be served are turned away at once, and none is acknowledged on what may be out of date."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any, cast
from unittest.mock import AsyncMock, Mock

from aiohttp import web

from cloud_recording.api.status import PartState
from cloud_recording.api.wire import CALLBACK_AUDIENCE, CALLBACK_PATH
from cloud_recording.common.json_types import Json
from cloud_recording.controller.callback_server import MOST_UNDER_WAY, CallbackServer
from cloud_recording.controller.caller_identities import CallerIdentities
from cloud_recording.controller.keyed_locks import KeyedLocks
from cloud_recording.controller.known_pods import KnownPods
from cloud_recording.controller.known_recordings import KnownRecordings
from cloud_recording.controller.known_storages import KnownStorages
from cloud_recording.controller.metrics import Metrics
from cloud_recording.controller.status_writer import StatusWriter
from cloud_recording.kube.client import KubeClient
from cloud_recording.kube.errors import Unavailable
from cloud_recording.kube.events import EventRecorder
from cloud_recording.kube.recordings import Recordings, RecordingStorages
from cloud_recording.kube.tokens import TokenReviews
from tests.unit.domain.builders import NOW, a_part, a_pod, a_recording, context, pod_name, pod_uid

CLAIMS = {"aud": [CALLBACK_AUDIENCE], "exp": NOW.timestamp() + 3600}
TOKEN = f"e30.{base64.urlsafe_b64encode(json.dumps(CLAIMS).encode()).decode().rstrip('=')}.e30"


class ApiServer:
    """Vouches for every token; `released` lets it take statuses."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.released = asyncio.Event()
        self.released.set()
        recording = a_recording().parts(a_part(state=PartState.RECORDING, start_time=NOW))
        body = recording.build().model_dump(mode="json", by_alias=True, exclude_none=True)
        self.recording: Json = {"apiVersion": "cloudrecording.dev/v1alpha1", "kind": "CloudRecording", **body}

    async def get(self, url: str) -> Json:
        kind = url.split("/")[-2]
        self.asked.append(f"GET {kind}")
        return self.recording if kind == "cloudrecordings" else a_pod().running().body()

    async def post(self, url: str, body: Json) -> Json:  # noqa: ARG002 - as the client has it
        self.asked.append(f"POST {url.rpartition('/')[2]}")
        bound = {"pod-name": [pod_name()], "pod-uid": [pod_uid()]}
        extra = {f"authentication.kubernetes.io/{name}": value for name, value in bound.items()}
        user = {"username": "system:serviceaccount:meetings:default", "extra": extra}
        return {"status": {"authenticated": True, "audiences": [CALLBACK_AUDIENCE], "user": user}}

    async def patch(self, url: str, body: Json) -> Json:
        self.asked.append(f"PATCH {url.split('/')[-2]}")
        return body

    async def put(self, url: str, body: Json) -> Json:  # noqa: ARG002 - as above
        self.asked.append("PUT status")
        await self.released.wait()
        version = str(int(self.recording["metadata"]["resourceVersion"]) + 1)
        metadata = {**self.recording["metadata"], "resourceVersion": version}
        self.recording = {**self.recording, "status": body["status"], "metadata": metadata}
        return self.recording


def served_by(server: ApiServer, *, turned_away: Callable[[], None] = lambda: None) -> CallbackServer:
    client, clock = cast("KubeClient", server), asyncio.get_running_loop().time
    recordings = KnownRecordings(Recordings(client), clock=clock)
    return CallbackServer(
        identities=CallerIdentities(TokenReviews(client), KnownPods(client, clock=clock), clock=clock, utc=lambda: NOW),
        recordings=recordings,
        storages=KnownStorages(RecordingStorages(client), clock=clock),
        statuses=StatusWriter(recordings, EventRecorder(client, controller="test", instance="test")),
        locks=KeyedLocks(),
        metrics=Metrics(),
        context=context,
        clock=lambda: NOW,
        turned_away=turned_away,
        body_seconds=5,
    )


async def tell(callbacks: CallbackServer, sequence: int, *, after: int | None = None) -> web.Response:
    snapshot = {"type": "Snapshot", "sequence": sequence, "time": NOW.isoformat()}
    snapshot["snapshot"] = {"state": "Recording", "recordingId": "0" * 32, "slices": {"written": sequence}}
    request: Any = Mock(path=CALLBACK_PATH, method="POST", headers={"Authorization": f"Bearer {TOKEN}"})

    async def body() -> Json:
        return {"podUID": pod_uid(), "callbacks": [snapshot]} | ({} if after is None else {"after": after})

    request.json = body
    return await callbacks.handle(request)


async def test_progress_costs_one_write_once_the_recording_and_its_pod_are_known() -> None:
    server = ApiServer()
    callbacks = served_by(server)
    assert (await tell(callbacks, 1)).status == 200
    server.asked.clear()
    assert (await tell(callbacks, 2)).status == 200
    assert server.asked == ["PUT status"]


async def test_what_is_known_already_is_acknowledged_on_what_is_read_now() -> None:
    server = ApiServer()
    callbacks = served_by(server)
    await tell(callbacks, 1)
    server.asked.clear()
    answer = await tell(callbacks, 1)
    assert json.loads(answer.text or "") == {"acknowledged": 1}
    assert server.asked == ["GET cloudrecordings"]


async def test_a_status_that_was_put_back_takes_nothing_that_follows_what_it_forgot() -> None:
    server = ApiServer()
    callbacks = served_by(server)
    before = server.recording
    for sequence in (1, 2):
        await tell(callbacks, sequence, after=sequence - 1)
    # As when a backup is restored: a write under what is remembered fails, and what is there is an earlier one.
    server.recording = {**before, "metadata": {**before["metadata"], "resourceVersion": "1"}}
    callbacks._recordings.forget_all()
    server.asked.clear()
    answer = await tell(callbacks, 3, after=2)
    assert (answer.status, json.loads(answer.text or "")) == (200, {"acknowledged": 0})
    assert server.asked == ["GET cloudrecordings"]
    assert json.loads((await tell(callbacks, 3)).text or "") == {"acknowledged": 3}, "an earlier release's runner"


async def test_more_than_can_be_served_are_turned_away_at_once_and_the_others_served() -> None:
    server, told_so = ApiServer(), Mock()
    callbacks = served_by(server, turned_away=told_so)
    await tell(callbacks, 1)
    server.released.clear()
    waiting = [asyncio.create_task(tell(callbacks, number + 2)) for number in range(MOST_UNDER_WAY)]
    while server.asked[-1] != "PUT status":  # noqa: ASYNC110 - the tasks above are what is waited for
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    server.asked.clear()
    turned_away = await tell(callbacks, 100)
    assert (turned_away.status, turned_away.headers["Retry-After"]) == (503, "2")
    assert not server.asked
    server.released.set()
    assert {(await one).status for one in waiting} == {200}
    told_so.assert_called_once_with()


async def test_who_cannot_be_served_as_the_api_server_is_away_is_turned_away_too() -> None:
    server, told_so = ApiServer(), Mock()
    callbacks = served_by(server, turned_away=told_so)
    server.put = AsyncMock(side_effect=Unavailable("etcd is slow", status=500))  # type: ignore[method-assign]
    assert (await tell(callbacks, 1)).status == 503
    told_so.assert_called_once_with()


async def test_recorders_are_asked_to_keep_figures_to_themselves_while_there_is_too_much_to_serve() -> None:
    callbacks = served_by(ApiServer())
    callbacks._pacing.seconds = 8.0
    told = json.loads((await tell(callbacks, 1)).text or "")
    assert told["acknowledged"] == 1
    assert 4 <= told["figuresSeconds"] <= 8
