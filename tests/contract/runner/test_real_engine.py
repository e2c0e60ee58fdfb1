# SPDX-License-Identifier: Apache-2.0
"""The whole runner with this repository's engine, a live RTMP participant and an S3 server that checks signatures."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cloud_recording.api.status import Outcome
from cloud_recording.api.wire import MP4State, Snapshot
from tests.contract.runner.pod import RECORDING_ID, ROOT, Stage, desired, recording
from tests.support.forward_proxy import ForwardProxy, forward_proxy
from tests.support.livekit import API_KEY, API_SECRET, LiveKitServer, livekit_library, livekit_server, publisher
from tests.support.monitoring import DASHBOARD, OF_RECORDERS, Exposition, alerts_of, panels, rendered
from tests.support.participants import participant
from tests.support.room_recordings import gap_seconds
from tests.support.rtmp import RtmpServer, rtmp_server
from tests.support.s3 import ACCESS_KEY, SECRET_KEY, Bucket, s3_server

ENGINE = Path(__file__).resolve().parents[3] / "build" / "lib" / "libagora-cloud-recording-client.so"
SLICE_SECONDS = 2
RESCUER = "77777777-0000-0000-0000-000000000000"
"""The UID of the pod that delivers what another one left."""


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Bucket]:
    """An empty bucket."""
    with s3_server(tmp_path / "s3") as server:
        yield server.bucket("recordings")


@pytest.fixture
def rtmp(tmp_path: Path) -> Iterator[RtmpServer]:
    """An RTMP server with one participant, who is live."""
    with rtmp_server(tmp_path / "rtmp") as server, participant(server.url("alice"), log=tmp_path / "alice.log"):
        yield server


def document(stage: Stage, bucket: Bucket, **options: int) -> dict[str, Any]:
    """What the pod is told: one participant by a secret URL, short slices."""
    told = recording(engine=ENGINE, script="streams", callback_url=stage.operator.url)
    told["storage"]["endpoint"] = bucket.server.endpoint
    told["spec"]["recording"] = {"sliceSeconds": SLICE_SECONDS, "video": {"width": 320, "height": 240}}
    told |= options
    return told


async def start(stage: Stage, told: dict[str, Any], *, url: str) -> None:
    stage.pod.mount_secret("streams", alice=url + "\n")
    stage.pod.mount_secret("bucket", accessKey=ACCESS_KEY, secretKey=SECRET_KEY + "\n")
    stage.pod.mount("recording.json", told)
    stage.pod.mount("desired.json", desired())
    await stage.pod.start()


def newest(stage: Stage) -> Snapshot | None:
    """The newest snapshot that any callback carried."""
    found = [callback["snapshot"] for callback in stage.operator.callbacks if "snapshot" in callback]
    return Snapshot.model_validate(found[-1]) if found else None


def state_of(stage: Stage) -> str | None:
    """The engine's state in the newest snapshot."""
    snapshot = newest(stage)
    return snapshot.state if snapshot else None


def story(stage: Stage) -> list[str]:
    """What the pod's log says has happened, in order."""
    return [line["message"] for line in stage.pod.records()]


def assert_each_line_says_whose_it_is(stage: Stage) -> None:
    for line in stage.pod.records():
        assert (line["namespace"], line["recording"]) == ("studio", "talk"), line


async def until_uploaded(stage: Stage, *, slices: int) -> None:
    """Waits until the operator was told of so many slices in the bucket."""

    def uploaded() -> bool:
        snapshot = newest(stage)
        return snapshot is not None and snapshot.slices.uploaded >= slices

    await stage.operator.until(uploaded, seconds=120)


async def test_a_live_channel_is_recorded_uploaded_and_told_truthfully(
    stage: Stage, bucket: Bucket, rtmp: RtmpServer
) -> None:
    await start(stage, document(stage, bucket), url=rtmp.url("alice"))
    started = await stage.operator.until_told("RunnerStarted")
    assert started["engineExtended"] is True
    await until_uploaded(stage, slices=2)
    assert (await stage.pod.answers("/readyz"))[0] == 200
    _, told = await stage.pod.answers("/metrics")
    assert missing_on_the_dashboard(told) == {}
    assert missing_for_alerts(told) == {}
    stage.want(generation=2, state="Stopped")
    assert await stage.pod.ended(seconds=120) == 0
    summary = stage.pod.summary()
    assert summary.outcome is Outcome.UPLOADED
    assert summary.slices.pending == 0
    slices = [key for key in await asyncio.to_thread(bucket.objects) if key.endswith(".ts")]
    assert len(slices) == summary.slices.uploaded == summary.slices.written
    (uploaded,) = stage.operator.of("RecordingUploaded")
    assert uploaded["fileName"] == f"{RECORDING_ID}_room-1.m3u8"
    assert "#EXT-X-ENDLIST" in (await asyncio.to_thread(bucket.read, uploaded["fileName"])).decode()


def missing_on_the_dashboard(told: str) -> dict[str, list[str]]:
    """What the chart's dashboard asks recorders for that this one does not tell, by panel."""
    exposition = Exposition(told)
    asked = {
        f"{panel['title']}: {target['expr']}": exposition.lacks(target["expr"], legend=target["legendFormat"])
        for panel in panels(json.loads(DASHBOARD.read_text()))
        for target in panel["targets"]
        if OF_RECORDERS in target["expr"]
    }
    assert asked
    return {title: missing for title, missing in asked.items() if missing}


def missing_for_alerts(told: str) -> dict[str, list[str]]:
    """What the chart's alerts ask recorders for that this one does not tell, by alert."""
    exposition = Exposition(told)
    asked = {
        one["alert"]: exposition.lacks(one["expr"]) for one in alerts_of(rendered()) if OF_RECORDERS in one["expr"]
    }
    assert asked
    return {alert: missing for alert, missing in asked.items() if missing}


async def test_an_mp4_is_in_the_bucket_and_told_where_one_was_asked_for(
    stage: Stage, bucket: Bucket, rtmp: RtmpServer
) -> None:
    asked = document(stage, bucket)
    asked["spec"]["recording"]["outputs"] = ["HLS", "MP4"]
    await start(stage, asked, url=rtmp.url("alice"))
    await until_uploaded(stage, slices=1)
    stage.want(generation=2, state="Stopped")
    assert await stage.pod.ended(seconds=120) == 0
    made = stage.pod.summary().mp4
    assert made is not None
    assert (made.state, made.file) == (MP4State.DELIVERED, f"{RECORDING_ID}_room-1.mp4")
    assert made.file in await asyncio.to_thread(bucket.objects)


async def test_a_stream_is_passed_through_where_that_is_asked_for(
    stage: Stage, bucket: Bucket, rtmp: RtmpServer
) -> None:
    asked = document(stage, bucket)
    asked["spec"]["recording"]["video"]["passthrough"] = {"longestSliceSeconds": 9}
    await start(stage, asked, url=rtmp.url("alice"))
    await until_uploaded(stage, slices=2)
    stage.want(generation=2, state="Stopped")
    assert await stage.pod.ended(seconds=120) == 0
    assert stage.operator.of("RecorderFailure") == []
    playlist = await asyncio.to_thread(bucket.read, f"{RECORDING_ID}_room-1.m3u8")
    assert "#EXT-X-TARGETDURATION:9\n" in playlist.decode()


async def test_what_the_bucket_does_not_take_goes_to_the_backup_and_comes_home(
    stage: Stage, bucket: Bucket, rtmp: RtmpServer, tmp_path: Path
) -> None:
    with s3_server(tmp_path / "spare") as server:
        spare = server.bucket("spare")
        asked = document(stage, bucket)
        asked["spec"]["backup"] = {
            "endpoint": server.endpoint,
            "bucket": spare.name,
            "credentials": {"secretRef": {"name": "spare"}},
            "afterSeconds": 0,
        }
        await start(stage, asked, url=rtmp.url("alice"))
        waiting = await stage.operator.until_told("WaitingForSecret")
        assert {one["field"] for one in waiting["missing"]} == {"spec.backup.credentials.secretRef"}
        stage.pod.mount_secret("spare", accessKey=ACCESS_KEY, secretKey=SECRET_KEY)
        await until_uploaded(stage, slices=1)
        await asyncio.to_thread(bucket.server.stop)

        def backed_up() -> bool:
            snapshot = newest(stage)
            return snapshot is not None and snapshot.slices.backed_up >= 2

        await stage.operator.until(backed_up, seconds=120)
        stage.want(generation=2, state="Stopped", grace=120)
        away = await stage.operator.until_told("RecordingBackedUp", seconds=120)
        assert away["fileName"] in await asyncio.to_thread(spare.objects)
        await asyncio.to_thread(bucket.server.start)
        home = await stage.operator.until_told("RecordingUploaded", seconds=120)
        assert await stage.pod.ended(seconds=120) == 0
        summary = stage.pod.summary()
        assert (summary.outcome, summary.slices.backed_up, summary.backup_playlist) == (Outcome.UPLOADED, 0, None)
        kept = await asyncio.to_thread(bucket.objects)
        assert home["fileName"] in kept
        assert len([key for key in kept if key.endswith(".ts")]) == summary.slices.written


async def test_another_pod_delivers_what_a_killed_one_left_on_its_claim(
    stage: Stage, bucket: Bucket, rtmp: RtmpServer
) -> None:
    """Promise: every closed slice, under the part's own names, with one report of the whole part; a Secret of the
    channel may be gone."""
    told = document(stage, bucket)
    await start(stage, told, url=rtmp.url("alice"))
    await until_uploaded(stage, slices=1)
    await asyncio.to_thread(bucket.server.stop)

    def waits() -> bool:
        snapshot = newest(stage)
        return snapshot is not None and snapshot.slices.pending >= 2

    await stage.operator.until(waits, seconds=120)
    left = newest(stage)
    await stage.pod.close()

    gone = {"uid": 2, "urlSecretRef": {"name": "gone", "key": "url"}}
    channel = told["spec"]["channel"]
    spec = told["spec"] | {"channel": channel | {"streams": [*channel["streams"], gone]}}
    stage.pod.mount("recording.json", told | {"part": {**told["part"], "rescue": True}, "spec": spec})
    stage.pod.mount("desired.json", desired(generation=2, state="Stopped", grace=120))
    await stage.pod.start(pod_uid=RESCUER)
    await asyncio.to_thread(bucket.server.start)
    assert await stage.pod.ended(seconds=120) == 0
    summary = stage.pod.summary()
    assert left is not None
    assert summary.slices.written >= left.slices.written
    assert (summary.slices.uploaded, summary.slices.pending) == (summary.slices.written, 0)
    assert summary.nothing_left
    assert stage.operator.of("RecorderExited") == []
    kept = await asyncio.to_thread(bucket.objects)
    assert len([key for key in kept if key.endswith(".ts")]) == summary.slices.written
    assert "#EXT-X-ENDLIST" in (await asyncio.to_thread(bucket.read, f"{RECORDING_ID}_room-1.m3u8")).decode()


async def test_a_rescue_that_finds_nothing_on_the_claim_ends_well(stage: Stage, bucket: Bucket) -> None:
    """Promise: a pod that ran and was never heard of costs one more pod, and not one after another."""
    told = document(stage, bucket)
    stage.pod.mount("recording.json", told | {"part": {**told["part"], "rescue": True}})
    stage.pod.mount("desired.json", desired(generation=2, state="Stopped", grace=120))
    await stage.pod.start(pod_uid=RESCUER)
    assert await stage.pod.ended(seconds=120) == 0
    summary = stage.pod.summary()
    assert (summary.outcome, summary.slices.written, summary.nothing_left) == (Outcome.UPLOADED, 0, True)
    assert stage.operator.of("UploaderFailure") == []


async def test_pause_and_layout_are_applied_while_recording(stage: Stage, bucket: Bucket, rtmp: RtmpServer) -> None:
    await start(stage, document(stage, bucket), url=rtmp.url("alice"))
    await until_uploaded(stage, slices=1)
    stage.want(generation=2, state="Paused", layout="BestFit")
    await stage.operator.until(lambda: stage.operator.of("DesiredStateApplied")[-1]["generation"] == 2)
    await stage.operator.until(lambda: state_of(stage) == "Paused")
    stage.want(generation=3, layout="BestFit")
    await stage.operator.until(lambda: state_of(stage) == "Recording")
    assert stage.operator.of("EditRefused") == []
    stage.want(generation=4, state="Stopped", layout="BestFit")
    assert await stage.pod.ended(seconds=120) == 0
    assert stage.pod.summary().gap_milliseconds > 0
    assert_each_line_says_whose_it_is(stage)
    told = story(stage)
    for line in ("joined", "slice closed", "stored", "callback: RecordingStarted", "callback: RecordingUploaded"):
        assert line in told
    assert [line["by"] for line in stage.pod.records() if line["message"] == "command: pause"] == [
        "spec.desiredState",
        "spec.desiredState",
    ]


async def test_the_proxy_on_the_way_to_the_store_changes_while_recording_and_no_process_is_begun_for_it(
    stage: Stage, bucket: Bucket, rtmp: RtmpServer
) -> None:
    """Promise: at any time, to another and to none, though files are stored; a process begun again has the newest."""
    told = document(stage, bucket)

    async def put_through(used: ForwardProxy) -> None:
        used.passed.clear()
        await stage.operator.until(lambda: any(passed.startswith("PUT ") for passed in used.passed))

    def want(generation: int, proxy: ForwardProxy | None, **wanted: str) -> None:
        behind = {} if proxy is None else {"proxyURL": proxy.url}
        stage.want(generation=generation, storage={**told["storage"], **behind}, **wanted)

    with forward_proxy(store=0) as first, forward_proxy(store=0) as second:
        for proxy in (first, second):
            proxy.hosts["127.0.0.1"] = bucket.server.port
        told["storage"]["proxyURL"] = first.url
        told["spec"]["storage"] = told["storage"]
        await start(stage, told, url=rtmp.url("alice"))
        await until_uploaded(stage, slices=1)
        assert first.passed
        engine = await stage.pod.recorder_pid()
        await asyncio.to_thread(first.stop)
        want(2, second)
        await put_through(second)
        assert stage.operator.of("StorageChanged")[-1]["place"]["proxyURL"] == second.url
        await asyncio.to_thread(first.start)
        want(3, first)
        await put_through(first)
        assert await stage.pod.recorder_pid() == engine
        os.kill(engine, signal.SIGKILL)
        await stage.pod.recorder_pid(other_than=engine)
        second.passed.clear()
        await put_through(first)
        told["storage"].pop("proxyURL")
        want(4, None)
        await stage.operator.until(lambda: "proxyURL" not in stage.operator.of("StorageChanged")[-1]["place"])
        first.passed.clear()
        snapshot = newest(stage)
        assert snapshot is not None
        await until_uploaded(stage, slices=snapshot.slices.uploaded + 2)
        assert first.passed == second.passed == []
        want(5, None, state="Stopped")
        assert await stage.pod.ended(seconds=120) == 0
    assert stage.operator.of("EditRefused") == []
    assert stage.pod.summary().outcome is Outcome.UPLOADED


def people(stage: Stage) -> dict[int, str]:
    """Everybody in the newest snapshot, by uid."""
    snapshot = newest(stage)
    return {one.uid: one.state for one in snapshot.participants} if snapshot else {}


async def test_participants_change_while_recording_and_stay_changed_when_the_process_is_killed(
    stage: Stage, bucket: Bucket, rtmp: RtmpServer, tmp_path: Path
) -> None:
    alice = {"uid": 11, "urlSecretRef": {"name": "streams", "key": "alice"}}
    bob = {"uid": 12, "url": rtmp.url("bob"), "name": "bob"}
    carol = {"uid": 13, "urlSecretRef": {"name": "streams", "key": "carol"}}
    await start(stage, document(stage, bucket), url=rtmp.url("alice"))
    await until_uploaded(stage, slices=1)
    with participant(rtmp.url("bob"), log=tmp_path / "bob.log"):
        stage.want(generation=2, streams=[alice, bob])
        await stage.operator.until(lambda: people(stage) == {11: "Joined", 12: "Joined"})
        stage.want(generation=3, streams=[bob, carol])
        refused = await stage.operator.until_told("EditRefused")
        assert refused["field"] == "spec.channel.streams"
        assert "the key 'carol' of the Secret 'streams'" in refused["message"]
        assert people(stage) == {11: "Joined", 12: "Joined"}
        stage.want(generation=4, streams=[bob])
        await stage.operator.until(lambda: people(stage) == {11: "Left", 12: "Joined"})
        assert newest(stage).gaps == ()  # type: ignore[union-attr]
        os.kill(await stage.pod.recorder_pid(), signal.SIGKILL)
        await stage.operator.until_told("RecordingStarted", times=2)
        await stage.operator.until(lambda: people(stage) == {12: "Joined"})
        stage.want(generation=5, state="Stopped", streams=[bob])
        assert await stage.pod.ended(seconds=120) == 0
    assert len(stage.operator.of("EditRefused")) == 1
    manifest = json.loads(await asyncio.to_thread(bucket.read, f"{RECORDING_ID}_room-1_manifest.json"))
    there = {one["uid"]: len(one["presences"]) for one in manifest["participants"]}
    assert there == {11: 1, 12: 2}


async def test_a_killed_recorder_process_goes_on_with_the_same_recording(
    stage: Stage, bucket: Bucket, rtmp: RtmpServer
) -> None:
    await start(stage, document(stage, bucket), url=rtmp.url("alice"))
    await until_uploaded(stage, slices=2)
    os.kill(await stage.pod.recorder_pid(), signal.SIGKILL)
    await stage.operator.until_told("RecorderExited")
    await stage.operator.until_told("RecordingStarted", times=2)
    before = newest(stage)
    assert before is not None
    await until_uploaded(stage, slices=before.slices.uploaded + 2)
    stage.want(generation=2, state="Stopped")
    assert await stage.pod.ended(seconds=120) == 0
    summary = stage.pod.summary()
    assert summary.outcome is Outcome.UPLOADED
    slices = [key for key in await asyncio.to_thread(bucket.objects) if key.endswith(".ts")]
    assert len(slices) == summary.slices.uploaded


async def test_what_a_process_left_that_died_while_uploading_is_brought_home(
    stage: Stage, bucket: Bucket, rtmp: RtmpServer
) -> None:
    await start(stage, document(stage, bucket), url=rtmp.url("alice"))
    await until_uploaded(stage, slices=1)
    await asyncio.to_thread(bucket.server.stop)
    await stage.operator.until_told("UploaderFailure", seconds=120)
    stage.want(generation=2, state="Stopped")
    await stage.operator.until_told("RecordingStopped")
    os.kill(await stage.pod.recorder_pid(), signal.SIGKILL)
    await stage.operator.until_told("RecorderExited")
    await asyncio.to_thread(bucket.server.start)
    assert await stage.pod.ended(seconds=120) == 0
    summary = stage.pod.summary()
    assert (summary.outcome, summary.slices.pending) == (Outcome.UPLOADED, 0)
    slices = [key for key in await asyncio.to_thread(bucket.objects) if key.endswith(".ts")]
    assert len(slices) == summary.slices.uploaded
    assert len(stage.operator.of("RecordingUploaded")) == 1


async def test_a_bucket_key_that_is_mended_heals_the_upload(stage: Stage, bucket: Bucket, rtmp: RtmpServer) -> None:
    told = document(stage, bucket)
    await start(stage, told, url=rtmp.url("alice"))
    stage.pod.mount_secret("bucket", secretKey="a-wrong-key-for-now")
    failure = await stage.operator.until_told("UploaderFailure", seconds=120)
    assert "a-wrong-key-for-now" not in str(failure)
    stage.pod.mount_secret("bucket", secretKey=SECRET_KEY)
    await until_uploaded(stage, slices=2)
    stage.pod.signal(signal.SIGTERM)
    assert await stage.pod.ended(seconds=120) == 0
    assert stage.pod.summary().outcome is Outcome.DRAINED
    assert_each_line_says_whose_it_is(stage)
    retried = [line for line in stage.pod.records() if line["message"].startswith("not stored; tried again")]
    assert retried
    assert {line["cause"] for line in retried} == {"SignatureDoesNotMatch"}
    assert next(line for line in stage.pod.records() if line["message"] == "command: stop")["by"] == "the pod's end"


async def test_an_empty_channel_ends_by_itself_and_says_that_nobody_came(
    stage: Stage, bucket: Bucket, rtmp: RtmpServer
) -> None:
    await start(stage, document(stage, bucket, maxWaitSeconds=5), url=rtmp.url("nobody"))
    assert await stage.pod.ended(seconds=120) == 0
    summary = stage.pod.summary()
    assert (summary.outcome, summary.code, summary.somebody_joined) == (Outcome.IDLE, 434, False)


async def test_a_channel_whose_names_lead_where_nobody_may_go_is_waited_for_in_the_same_part(
    stage: Stage, bucket: Bucket, rtmp: RtmpServer
) -> None:
    """The name is one of 169.254.169.254: only who resolves it can tell."""
    await start(stage, document(stage, bucket), url="rtmp://0xa9fea9fe/live/alice")
    refused = await stage.operator.until_told("RecordingRefused", seconds=60)
    assert refused["code"] == 430
    assert "participant 11: the URL leads to a link-local address" in refused["message"]
    assert (await stage.pod.answers("/readyz"))[0] == 503
    await stage.operator.until_told("RecordingRefused", times=2, seconds=60)
    stage.pod.mount_secret("streams", alice=rtmp.url("alice"))
    await until_uploaded(stage, slices=1)
    stage.want(generation=2, state="Stopped")
    assert await stage.pod.ended(seconds=120) == 0
    assert stage.pod.summary().outcome is Outcome.UPLOADED
    told = stage.operator.types()
    assert "RecordingFatalError" not in told
    assert "RecorderExited" not in told
    assert stage.operator.of("RecorderFailure") == []


async def test_a_room_that_refuses_the_recorder_is_asked_again_once_its_secret_is_mended(
    stage: Stage, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise: the part goes on waiting, tells why, and says that it is in the room before anybody else is."""
    monkeypatch.setenv("CLOUD_RECORDING_LIVEKIT_LIBRARY", str(livekit_library()))
    with livekit_server(tmp_path / "livekit") as server:
        stage.pod.mount_secret("livekit", apiKey=API_KEY, apiSecret="not-the-secret-of-this-key-at-all")
        await start(stage, of_room(stage, bucket, server), url="")
        refused = await stage.operator.until_told("RecordingRefused", seconds=60)
        assert refused["room"] is True
        assert "the LiveKit server does not accept the API key with this secret (401)" in refused["message"]
        stage.pod.mount_secret("livekit", apiSecret=API_SECRET)
        await stage.operator.until(lambda: _in_channel(stage), seconds=60)
        assert stage.operator.of("RecordingStarted") == []
        with publisher(server, "room-1", "alice", log=tmp_path / "alice.log"):
            await until_uploaded(stage, slices=1)
            stage.want(generation=2, state="Stopped")
            assert await stage.pod.ended(seconds=120) == 0
    assert stage.pod.summary().outcome is Outcome.UPLOADED
    snapshot = newest(stage)
    assert snapshot is not None
    assert [one.identity for one in snapshot.participants] == ["alice"]
    assert "RecordingFatalError" not in stage.operator.types()
    told_to_anybody = [stage.pod.log.read_text(), *stage.operator.bodies]
    assert not any(secret in text for text in told_to_anybody for secret in ("not-the-secret", API_SECRET, "eyJ"))


async def test_a_killed_recorder_process_is_back_in_its_room_before_anybody_there_sees_two(
    stage: Stage, bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise: it is back as who it was, and records again within three seconds, where the machine has time for it."""
    monkeypatch.setenv("CLOUD_RECORDING_LIVEKIT_LIBRARY", str(livekit_library()))
    with (
        livekit_server(tmp_path / "livekit") as server,
        publisher(server, "room-1", "alice", log=tmp_path / "alice.log") as alice,
    ):
        stage.pod.mount_secret("livekit", apiKey=API_KEY, apiSecret=API_SECRET)
        await start(stage, of_room(stage, bucket, server), url="")
        await until_uploaded(stage, slices=1)
        before = sorted(await asyncio.to_thread(server.identities, "room-1"))
        os.kill(await stage.pod.recorder_pid(), signal.SIGKILL)
        await stage.operator.until_told("RecordingStarted", times=2)
        assert sorted(await asyncio.to_thread(server.identities, "room-1")) == before
        snapshot = newest(stage)
        assert snapshot is not None
        await until_uploaded(stage, slices=snapshot.slices.uploaded + 2)
        assert await asyncio.to_thread(alice.ask, "seen") == "[]", "a hidden recorder is nobody's to see"
        stage.want(generation=2, state="Stopped")
        assert await stage.pod.ended(seconds=120) == 0
    manifest = json.loads(await asyncio.to_thread(bucket.read, f"{RECORDING_ID}_room-1_manifest.json"))
    assert [one["identity"] for one in manifest["participants"]] == ["alice"]
    (gap,) = manifest["gaps"]
    print(f"killed: nothing is recorded for {gap_seconds(gap):.1f} s")
    assert gap_seconds(gap) < 15


def of_room(stage: Stage, bucket: Bucket, server: LiveKitServer) -> dict[str, Any]:
    """The document of a room of the server; the Secret `livekit` has the key."""
    made = document(stage, bucket)
    livekit = {"url": server.url, "apiKeySecretRef": {"name": "livekit"}}
    made["spec"]["channel"] = {"name": "room-1", "uid": 1, "livekit": livekit}
    return made


def _in_channel(stage: Stage) -> bool:
    snapshot = newest(stage)
    return snapshot is not None and snapshot.in_channel is True


async def test_no_stream_url_or_key_is_in_the_log_of_the_real_engine(
    stage: Stage, bucket: Bucket, rtmp: RtmpServer
) -> None:
    """G8: libraries below the engine print what they are given."""
    await start(stage, document(stage, bucket, maxWaitSeconds=5), url=rtmp.url("a-stream-key-nobody-may-read"))
    assert await stage.pod.ended(seconds=120) == 0
    texts = [stage.pod.log.read_text(), *stage.operator.bodies, stage.pod.termination_message.read_text()]
    assert not any("a-stream-key-nobody-may-read" in text or SECRET_KEY in text for text in texts)


def pending(stage: Stage) -> int:
    """How many slices wait on the work volume."""
    snapshot = newest(stage)
    return snapshot.slices.pending if snapshot else 0


async def test_a_recording_goes_to_another_bucket_until_a_slice_is_stored_and_not_afterwards(
    stage: Stage, bucket: Bucket, rtmp: RtmpServer
) -> None:
    """What had been recorded before goes there, too; the engine has the last word."""
    told = document(stage, bucket)
    told["storage"]["bucket"] = "nowhere"
    await start(stage, told, url=rtmp.url("alice"))
    await stage.operator.until_told("UploaderFailure", seconds=120)
    await stage.operator.until(lambda: pending(stage) > 0, seconds=120)
    failing = newest(stage)
    assert failing is not None
    assert failing.storage is not None
    assert (failing.storage.state, failing.storage.cause) == ("Failing", "NoSuchBucket")

    right = {**told["storage"], "bucket": bucket.name}
    stage.want(generation=2, storage=right)
    changed = await stage.operator.until_told("StorageChanged", seconds=120)
    assert changed["place"]["bucket"] == bucket.name
    await until_uploaded(stage, slices=2)
    healed = newest(stage)
    assert healed is not None
    assert healed.storage is not None
    assert healed.storage.state == "Ready"

    stage.want(generation=3, storage={**right, "bucket": "third"})
    refused = await stage.operator.until_told("EditRefused", seconds=120)
    assert refused["field"] == "spec.storage"
    assert f'bucket "{bucket.name}"' in refused["message"]
    stage.want(generation=4, state="Stopped", storage=right)
    assert await stage.pod.ended(seconds=120) == 0
    summary = stage.pod.summary()
    assert (summary.outcome, summary.slices.pending, summary.gap_milliseconds) == (Outcome.UPLOADED, 0, 0)
    slices = [key for key in await asyncio.to_thread(bucket.objects) if key.endswith(".ts")]
    assert len(slices) == summary.slices.written


async def test_what_is_copied_out_of_a_pod_is_delivered_from_elsewhere(
    stage: Stage, bucket: Bucket, rtmp: RtmpServer, tmp_path: Path
) -> None:
    """The way that the operations guide shows under 'Rescuing'; a copy is what `kubectl cp` makes."""
    told = document(stage, bucket)
    await start(stage, told, url=rtmp.url("alice"))
    await until_uploaded(stage, slices=1)
    await asyncio.to_thread(bucket.server.stop)
    await stage.operator.until(lambda: pending(stage) > 1, seconds=120)
    rescued = tmp_path / "rescued" / RECORDING_ID
    await asyncio.to_thread(shutil.copytree, stage.pod.work, rescued)
    await stage.pod.close()
    waiting = {path.name for path in (rescued / RECORDING_ID).glob("*.ts")}
    await asyncio.to_thread(bucket.server.start)

    spec = {**told["spec"]}
    spec["channel"] = {**spec["channel"], "streams": [{"uid": 11, "url": rtmp.url("alice")}]}
    metadata = {"name": "talk"}
    manifest = {
        "apiVersion": "cloudrecording.dev/v1alpha1",
        "kind": "CloudRecording",
        "metadata": metadata,
        "spec": spec,
    }
    keys = {"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bucket"}, "stringData": keys}
    (tmp_path / "recording.yaml").write_text(yaml.safe_dump_all([manifest, secret]))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cloud_recording", "rescue", RECORDING_ID, "-f", str(tmp_path / "recording.yaml")),
        *("--engine", str(ENGINE), "--work-directory", str(tmp_path / "rescued")),
        env={**os.environ, "PYTHONPATH": str(ROOT / "operator")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), timeout=120)
    assert process.returncode == 0, said.decode()
    stored = set(await asyncio.to_thread(bucket.objects))
    assert waiting <= stored
    playlist = (await asyncio.to_thread(bucket.read, f"{RECORDING_ID}_room-1.m3u8")).decode()
    assert {line for line in playlist.splitlines() if line.endswith(".ts")} == {
        key for key in stored if key.endswith(".ts")
    }
    assert playlist.endswith("#EXT-X-ENDLIST\n")
