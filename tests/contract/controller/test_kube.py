# SPDX-License-Identifier: Apache-2.0
"""What we rely on the API server for, asked of the API server: versions, preconditions, Leases, Secrets and Events."""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from kubernetes.aio.client import Configuration

from cloud_recording.controller.callback_authority import CallbackAuthority
from cloud_recording.controller.certificates import Lifetimes
from cloud_recording.kube.client import path
from cloud_recording.kube.errors import Conflict, NotFound
from cloud_recording.kube.events import EventNote, EventRecorder
from cloud_recording.kube.lease import LeaseHolder, LeaseTiming
from cloud_recording.kube.own_secret import OwnSecret
from cloud_recording.kube.pods import ForeignObjectError, Pods
from cloud_recording.kube.recordings import Recordings
from tests.contract.controller.stage import LOOK_SECONDS, Stage
from tests.contract.controller.test_recordings import stranger_pod

Json = dict[str, Any]

TIMING = LeaseTiming(duration_seconds=3, renew_deadline_seconds=1.5, retry_seconds=0.2)


async def test_a_status_is_written_only_over_the_version_it_was_made_from(stage: Stage) -> None:
    recordings = Recordings(stage.client)
    body = await stage.apply()
    written = await recordings.write_status(body, {"recordingId": "0" * 32})
    assert written["status"]["recordingId"] == "0" * 32
    with pytest.raises(Conflict):
        await recordings.write_status(body, {"recordingId": "1" * 32})


async def test_a_status_write_leaves_the_spec_alone(stage: Stage) -> None:
    recordings = Recordings(stage.client)
    body = await stage.apply()
    changed = {**body, "spec": {**body["spec"], "desiredState": "Stopped"}}
    written = await recordings.write_status(changed, {"recordingId": "0" * 32})
    assert (written["spec"], written["metadata"]["generation"]) == (body["spec"], 1)


async def test_finalizers_are_replaced_only_where_nobody_else_put_one(stage: Stage) -> None:
    recordings = Recordings(stage.client)
    body = await stage.apply()
    theirs = await recordings.set_finalizers(body, ["example.com/theirs"])
    with pytest.raises(Conflict):
        await recordings.set_finalizers(body, ["cloudrecording.dev/durable"])
    both = await recordings.set_finalizers(theirs, [*theirs["metadata"]["finalizers"], "cloudrecording.dev/durable"])
    assert both["metadata"]["finalizers"] == ["example.com/theirs", "cloudrecording.dev/durable"]


async def test_a_newer_recording_of_the_same_name_is_not_deleted(stage: Stage) -> None:
    recordings = Recordings(stage.client)
    old = await stage.apply()
    await stage.delete()
    new = await stage.apply()
    with pytest.raises(Conflict):
        await recordings.delete(namespace=stage.namespace, name="stand-up", uid=old["metadata"]["uid"])
    await recordings.delete(namespace=stage.namespace, name="stand-up", uid=new["metadata"]["uid"])
    with pytest.raises(NotFound):
        await recordings.read(namespace=stage.namespace, name="stand-up")


async def test_a_pod_is_created_once_and_never_taken_from_somebody_else(stage: Stage) -> None:
    pods = Pods(stage.client)
    pod = stranger_pod()
    pod["metadata"] |= {"namespace": stage.namespace, "labels": {"cloudrecording.dev/recording-uid": "one"}}
    first, second = await pods.create(pod), await pods.create(pod)
    assert first["metadata"]["uid"] == second["metadata"]["uid"]
    pod["metadata"]["labels"] = {"cloudrecording.dev/recording-uid": "another"}
    with pytest.raises(ForeignObjectError):
        await pods.create(pod)


async def test_a_pod_that_took_the_name_of_another_is_neither_annotated_nor_deleted(stage: Stage) -> None:
    pods = Pods(stage.client)
    pod = await stage.client.post(stage.core("pods"), stranger_pod())
    named: dict[str, Any] = {"namespace": stage.namespace, "name": "stranger"}
    await pods.annotate(**named, uid="another", annotations={"a": "b"})
    await pods.delete(**named, uid="another")
    left = await pods.read(**named)
    assert left is not None
    assert "annotations" not in left["metadata"]
    await pods.annotate(**named, uid=pod["metadata"]["uid"], annotations={"a": "b"})
    await pods.delete(**named, uid=pod["metadata"]["uid"])
    assert await pods.read(**named) is None


async def test_what_is_gone_needs_neither_annotation_nor_deletion(stage: Stage) -> None:
    pods = Pods(stage.client)
    named: dict[str, Any] = {"namespace": stage.namespace, "name": "gone", "uid": "any"}
    await pods.annotate(**named, annotations={"a": "b"})
    await pods.delete(**named)


async def test_repetitions_of_an_event_are_a_series(stage: Stage) -> None:
    recorder = EventRecorder(stage.client, controller="cloud-recording", instance="test")
    body = await stage.apply()
    note = EventNote(warning=True, reason="QuotaExceeded", action="Reconcile", note="no room")
    for _ in range(3):
        await recorder.record(body, note)
    await recorder.record(body, EventNote(warning=False, reason="Recording", action="Reconcile", note="it records"))
    told = {event["reason"]: event for event in await stage.events()}
    assert {reason: event["type"] for reason, event in told.items()} == {
        "QuotaExceeded": "Warning",
        "Recording": "Normal",
    }
    assert told["QuotaExceeded"]["series"]["count"] == 3
    assert told["QuotaExceeded"]["regarding"]["uid"] == body["metadata"]["uid"]


async def test_a_note_is_cut_by_bytes_and_never_within_a_letter(stage: Stage) -> None:
    recorder = EventRecorder(stage.client, controller="cloud-recording", instance="test")
    body = await stage.apply()
    for text in ("会议" * 400, "e" + "é" * 700):
        await recorder.record(body, EventNote(warning=True, reason="Long", action="Reconcile", note=text))
    notes = [event["note"] for event in await stage.events()]
    assert len(notes) == 2, "none was refused"
    assert all(len(note.encode()) <= 1024 and note.endswith("…") and "\ufffd" not in note for note in notes)


async def test_an_event_that_cannot_be_written_stops_nothing(stage: Stage) -> None:
    recorder = EventRecorder(stage.client, controller="cloud-recording", instance="test")
    body = await stage.apply()
    nowhere = {**body, "metadata": {**body["metadata"], "namespace": "does-not-exist"}}
    await recorder.record(nowhere, EventNote(warning=False, reason="Recording", action="Reconcile", note=""))


def holder(
    configuration: Configuration, stage: Stage, identity: str, lost: threading.Event | None = None
) -> LeaseHolder:
    return LeaseHolder(
        configuration,
        namespace=stage.namespace,
        name="lease",
        identity=identity,
        lost=(lost or threading.Event()).set,
        timing=TIMING,
    )


async def renewed_beyond_its_duration(stage: Stage) -> None:
    """Returns when the Lease is held for longer than it lasts unless it is renewed."""
    url = path("apis", "coordination.k8s.io", "v1", "namespaces", stage.namespace, "leases", "lease")
    async with asyncio.timeout(60):
        while True:
            spec = (await stage.client.get(url))["spec"]
            since, renewed = (datetime.fromisoformat(spec[moment]) for moment in ("acquireTime", "renewTime"))
            if (renewed - since).total_seconds() > TIMING.duration_seconds:
                return
            await asyncio.sleep(LOOK_SECONDS)


async def test_one_at_a_time_holds_the_lease_and_it_is_given_back_at_once(
    configuration: Configuration, stage: Stage
) -> None:
    first, second = holder(configuration, stage, "first"), holder(configuration, stage, "second")
    await first.acquire()
    waiting = asyncio.create_task(second.acquire())
    await renewed_beyond_its_duration(stage)
    assert (first.held, second.held, waiting.done()) == (True, False, False)
    given_back = time.monotonic()
    await first.release()
    await waiting
    assert time.monotonic() - given_back < TIMING.duration_seconds
    assert (first.held, second.held) == (False, True)
    await second.release()


async def test_a_lease_whose_holder_died_is_taken_when_it_runs_out(configuration: Configuration, stage: Stage) -> None:
    dead = {
        "metadata": {"name": "lease"},
        "spec": {
            "holderIdentity": "dead",
            "leaseDurationSeconds": 2,
            # A clock that is an hour fast makes no difference: what counts is that it is not renewed any more.
            "renewTime": (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        },
    }
    await stage.client.post(f"/apis/coordination.k8s.io/v1/namespaces/{stage.namespace}/leases", dead)
    heir = holder(configuration, stage, "heir")
    async with asyncio.timeout(60):
        await heir.acquire()
    await heir.release()


async def test_a_holder_that_finds_another_in_its_place_says_so(configuration: Configuration, stage: Stage) -> None:
    lost = threading.Event()
    robbed = holder(configuration, stage, "robbed", lost)
    await robbed.acquire()
    lease = f"/apis/coordination.k8s.io/v1/namespaces/{stage.namespace}/leases/lease"
    await stage.client.patch(lease, {"spec": {"holderIdentity": "robber"}})
    assert await asyncio.to_thread(lost.wait, 60)
    assert not robbed.held


def authority(stage: Stage, at: list[datetime], changed: list[str]) -> CallbackAuthority:
    return CallbackAuthority(
        OwnSecret(stage.client, namespace=stage.namespace, name="callback-ca"),
        hosts=["localhost"],
        clock=lambda: at[0],
        changed=lambda: changed.append("changed"),
        lifetimes=Lifetimes(),
    )


async def test_replicas_share_one_authority_through_its_rotation(stage: Stage) -> None:
    at, changed = [datetime.now(UTC)], list[str]()
    replicas = [authority(stage, at, changed) for _ in range(3)]
    await asyncio.gather(*(replica.refresh() for replica in replicas))
    shared_by(replicas)
    at[0] += timedelta(days=306)
    await asyncio.gather(*(replica.refresh() for replica in replicas))
    with_successor = shared_by(replicas)
    assert with_successor.count("BEGIN CERTIFICATE") == 2
    at[0] += timedelta(days=2)
    await asyncio.gather(*(replica.refresh() for replica in replicas))
    for replica in replicas:
        assert await handshake(replica, trusted=with_successor)
    assert len(changed) >= 2 * len(replicas)


@pytest.mark.parametrize("spoilt", ["signing.crt", "signing.key", "successor.crt", "former.crt"])
async def test_an_authority_that_somebody_spoilt_is_made_anew(stage: Stage, spoilt: str) -> None:
    at, changed = [datetime.now(UTC)], list[str]()
    secret = OwnSecret(stage.client, namespace=stage.namespace, name="callback-ca")
    before = authority(stage, at, changed)
    await before.refresh()
    at[0] += timedelta(days=306)
    await before.refresh()
    stored = await secret.read()
    await secret.write(replace(stored, data={**stored.data, spoilt: b"no PEM"}))
    await before.refresh()
    after = authority(stage, at, changed)
    await after.refresh()
    assert await handshake(after, trusted=shared_by([before, after]))


def shared_by(replicas: list[CallbackAuthority]) -> str:
    """The bundle that all of them have."""
    (bundle,) = {replica.bundle for replica in replicas}
    return bundle


async def handshake(replica: CallbackAuthority, *, trusted: str) -> bool:
    """Whether a client that trusts this bundle accepts what the replica serves."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=replica.context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        context = ssl.create_default_context(cadata=trusted)
        # The rotation is a year ahead of the machine's clock, which OpenSSL goes by.
        context.verify_flags |= ssl.VerifyFlags(0x200000)
        _, writer = await asyncio.open_connection("localhost", port, ssl=context)
        writer.close()
        return True
