# SPDX-License-Identifier: Apache-2.0
"""The life of a recording on a real API server: its pod, its callbacks, its end; and the operator's own deaths."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from cloud_recording.common.callback_names import CallbackName
from cloud_recording.domain.names import pod_name
from tests.contract.controller.delivering_runner import DeliveringRunner
from tests.contract.controller.operator_process import OperatorProcess
from tests.contract.controller.stage import Stage, container, is_true, now, pod_uid, reason
from tests.support.ports import free_port

Json = dict[str, Any]

STARTED = ("RunnerStarted", {"runnerVersion": "1", "engineName": "default", "engineExtended": True})


def summary(body: Json, outcome: str = "Uploaded", **fields: Any) -> Json:
    return {
        "recordingId": body["status"]["recordingId"],
        "part": 0,
        "outcome": outcome,
        "slices": {"written": 2, "uploaded": 2},
        "somebodyJoined": True,
        **fields,
    }


@pytest.mark.usefixtures("operator")
async def test_a_recording_gets_one_restricted_pod_and_the_status_knows_it(stage: Stage) -> None:
    applied = await stage.apply()
    pod = await stage.new_pod()
    recording = await stage.recording()
    assert recording is not None
    assert recording["metadata"]["finalizers"] == ["cloudrecording.dev/durable"]
    (template,) = (await stage.client.get(stage.core("podtemplates")))["items"]
    assert recording["status"]["recordingId"] == applied["metadata"]["uid"].replace("-", "")
    assert (reason(recording), recording["status"]["observedGeneration"]) == ("Pending", 1)
    (owner,) = pod["metadata"]["ownerReferences"]
    assert (owner["uid"], owner["controller"]) == (template["metadata"]["uid"], True)
    assert "ownerReferences" not in template["metadata"]
    listed = await stage.client.get(stage.core("pods"))
    assert [one["metadata"]["name"] for one in listed["items"]] == [pod["metadata"]["name"]]


async def test_callbacks_and_pod_conditions_make_the_status_to_the_end(stage: Stage, operator: OperatorProcess) -> None:
    await stage.apply()
    pod = await stage.new_pod()
    recorder = await stage.recorder(pod, url=operator.url)
    assert (await recorder.tell(STARTED, ("RecordingConnecting", {}))).body == {"acknowledged": 2}
    await stage.until(lambda seen: reason(seen) == "Connecting")
    await recorder.tell(("RecordingStarted", {}), ("DesiredStateApplied", {"generation": 1}))
    await stage.report_running(pod)
    recording = await stage.until(lambda seen: is_true(seen, "Recording") and is_true(seen, "Ready"))
    assert not is_true(recording, "Reconciling")

    await stage.edit(desiredState="Stopped")
    told = await stage.until_pod(
        pod["metadata"]["name"],
        lambda seen: (
            seen and json.loads(seen["metadata"]["annotations"]["cloudrecording.dev/desired"])["state"] == "Stopped"
        ),
    )
    assert told is not None
    await recorder.tell(
        ("RecordingStopped", {}),
        ("RecordingUploaded", {"fileName": "sid_room-1.m3u8"}),
        ("Finished", {"summary": summary(recording)}),
    )
    finished = await stage.until(lambda seen: is_true(seen, "Finished"))
    assert (reason(finished), is_true(finished, "Succeeded"), is_true(finished, "Uploaded")) == (
        "Completed",
        True,
        True,
    )
    assert finished["status"]["progressPercent"] == 100
    assert finished["status"]["playlist"] == "sid_room-1.m3u8"
    released = await stage.until_pod(
        pod["metadata"]["name"], lambda seen: seen and not seen["metadata"].get("finalizers")
    )
    assert released is not None
    events = sorted(await stage.events(), key=lambda event: str(event["eventTime"]))
    assert [(event["type"], event["reason"]) for event in events] == [
        ("Normal", "Connecting"),
        ("Normal", "Recording"),
        ("Normal", "Stopping"),
        ("Normal", "Completed"),
    ]


async def test_a_callback_that_is_sent_again_is_acknowledged_and_changes_nothing(
    stage: Stage, operator: OperatorProcess
) -> None:
    await stage.apply()
    recorder = await stage.recorder(await stage.new_pod(), url=operator.url)
    batch: list[Json] = [{"type": "RecordingConnecting", "sequence": 1, "time": now()}]
    first = await recorder.send(batch)
    before = await stage.until(lambda seen: reason(seen) == "Connecting")
    again = await recorder.send(batch)
    after = await stage.recording()
    assert after is not None
    assert (first, again.body) == (again, {"acknowledged": 1})
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]


async def test_progress_is_written_without_another_pass_and_an_edit_in_between_is_not_missed(
    stage: Stage, operator: OperatorProcess
) -> None:
    await stage.apply()
    pod = await stage.new_pod()
    recorder = await stage.recorder(pod, url=operator.url)
    await recorder.tell(STARTED, ("RecordingConnecting", {}), ("RecordingStarted", {}))
    await stage.report_running(pod)
    await stage.until(lambda seen: is_true(seen, "Recording"))

    async def progress(number: int) -> None:
        slices = {"written": number, "uploaded": number}
        await recorder.tell(
            ("Snapshot", {"snapshot": {"state": "Recording", "recordingId": "0" * 32, "slices": slices}})
        )

    # Each pass leaves a version; until one has left that of the first slice, its echo may ask for another.
    await progress(1)
    await passes_settled(operator)
    before = await passes(operator)
    for number in range(2, 22):
        await progress(number)
    await passes_settled(operator)
    assert await passes(operator) - before <= 5, "an echo that overtakes the answer may ask for one, no more"
    await stage.edit(desiredState="Stopped")
    await progress(22)
    await stage.until_pod(
        pod["metadata"]["name"],
        lambda seen: (
            seen and json.loads(seen["metadata"]["annotations"]["cloudrecording.dev/desired"])["state"] == "Stopped"
        ),
    )


async def test_only_the_pod_itself_is_heard(stage: Stage, operator: OperatorProcess) -> None:
    await stage.apply()
    pod = await stage.new_pod()
    recorder = await stage.recorder(pod, url=operator.url)
    batch: list[Json] = [{"type": "RecordingConnecting", "sequence": 1, "time": now()}]
    stranger = await stage.client.post(stage.core("pods"), stranger_pod())
    for_the_api = await stage.token(pod, audience="https://kubernetes.default.svc.cluster.local")
    of_the_stranger = await stage.token(stranger)
    answers = {
        "no token": await recorder.send(batch, token=""),
        "rubbish": await recorder.send(batch, token="rubbish"),
        "another audience": await recorder.send(batch, token=for_the_api),
        "another pod's token": await recorder.send(batch, token=of_the_stranger),
        "a pod of no recording": await recorder.send(batch, token=of_the_stranger, uid=stranger["metadata"]["uid"]),
    }
    assert {name: answer.status for name, answer in answers.items()} == {
        "no token": 401,
        "rubbish": 401,
        "another audience": 401,
        "another pod's token": 403,
        "a pod of no recording": 410,
    }
    recording = await stage.recording()
    assert recording is not None
    assert recording["status"]["parts"][0]["sequence"] == 0


async def test_what_can_never_be_understood_is_named_so_that_the_rest_can_follow(
    stage: Stage, operator: OperatorProcess
) -> None:
    await stage.apply()
    recorder = await stage.recorder(await stage.new_pod(), url=operator.url)
    good: Json = {"type": "RecordingConnecting", "sequence": 1, "time": now()}
    bad: Json = {"type": "RecorderFailure", "sequence": 2, "time": now(), "code": "not a number"}
    refused = await recorder.send([good, bad])
    assert (refused.status, refused.body["invalid"]) == (400, 2)
    assert "code" in refused.body["message"]
    accepted = await recorder.send([good, {"type": "FromTheFuture", "sequence": 3, "time": now()}])
    assert accepted.body == {"acknowledged": 3}


async def test_callbacks_are_not_lost_where_many_write_the_same_status(stage: Stage, operator: OperatorProcess) -> None:
    await stage.apply()
    pod = await stage.new_pod()
    recorder = await stage.recorder(pod, url=operator.url)
    await recorder.tell(("RecordingConnecting", {}), ("RecordingStarted", {}))

    async def fidget() -> None:
        for number in range(20):
            await stage.report_running(pod, ready=number % 2 == 0)
            await stage.client.patch(stage.recordings("stand-up"), {"metadata": {"annotations": {"note": str(number)}}})

    async def tell() -> list[int]:
        answers = []
        for number in range(20):
            snapshot = {
                "state": "Recording",
                "recordingId": "0" * 32,
                "slices": {"written": number + 1, "uploaded": number + 1},
            }
            answers.append(await recorder.tell(("Snapshot", {"snapshot": snapshot})))
        return [answer.status for answer in answers]

    _, statuses = await asyncio.gather(fidget(), tell())
    assert statuses == [200] * 20, "some of them when they were sent again"
    recording = await stage.recording()
    assert recording is not None
    part = recording["status"]["parts"][0]
    assert (part["sequence"], recording["status"]["slices"]["uploaded"]) == (22, 20)


async def test_the_termination_message_counts_when_the_last_callback_never_came(
    stage: Stage, operator: OperatorProcess
) -> None:
    await stage.apply()
    pod = await stage.new_pod()
    await stage.report_running(pod)
    recorder = await stage.recorder(pod, url=operator.url)
    await recorder.tell(("RecordingConnecting", {}), ("RecordingStarted", {}), ("RecordingStopped", {}))
    await stage.edit(desiredState="Stopped")
    recording = await stage.recording()
    assert recording is not None
    await stage.report_ended(pod, json.dumps(summary(recording)))
    finished = await stage.until(lambda seen: is_true(seen, "Finished"))
    assert (reason(finished), finished["status"]["slices"]["uploaded"]) == ("Completed", 2)


async def test_a_deleted_recording_stays_until_it_is_durable(stage: Stage, operator: OperatorProcess) -> None:
    await stage.apply()
    pod = await stage.new_pod()
    await stage.report_running(pod)
    recorder = await stage.recorder(pod, url=operator.url)
    await recorder.tell(("RecordingConnecting", {}), ("RecordingStarted", {}))
    await stage.delete()
    deleting = await stage.until(lambda seen: reason(seen) == "Deleting")
    assert deleting["metadata"]["finalizers"] == ["cloudrecording.dev/durable"]
    await recorder.tell(("RecordingStopped", {}), ("Finished", {"summary": summary(deleting)}))
    await stage.until_gone()
    left = await stage.pod(pod["metadata"]["name"])
    assert left is None or not left["metadata"].get("finalizers")


async def test_a_drained_pod_is_followed_by_a_new_part_when_it_stopped_and_not_before(
    stage: Stage, operator: OperatorProcess
) -> None:
    await stage.apply()
    first = await stage.new_pod()
    await stage.place(first)
    await stage.report_running(first)
    recorder = await stage.recorder(first, url=operator.url)
    await recorder.tell(("RecordingConnecting", {}), ("RecordingStarted", {}))
    await stage.until(lambda seen: is_true(seen, "Recording"))
    await stage.client.delete(stage.core("pods", first["metadata"]["name"]), {})
    draining = await stage.until(lambda seen: reason(seen) == "Stopping")
    assert len(draining["status"]["parts"]) == 1
    await recorder.tell(("RecordingStopped", {}))
    second = await stage.new_pod(part=1)
    document = json.loads(second["metadata"]["annotations"]["cloudrecording.dev/recording"])
    assert (document["part"]["number"], document["part"]["filePrefix"]) == (1, "bak0_")
    uploading = await stage.recording()
    assert uploading is not None
    assert [part["state"] for part in uploading["status"]["parts"]] == ["Uploading", "Pending"]


async def test_a_recorder_that_its_node_ends_is_followed_at_once_though_nobody_deletes_its_pod(
    stage: Stage, operator: OperatorProcess, tmp_path: Path
) -> None:
    """At a node's shutdown; the pod runs on for as long as it uploads, which may be minutes."""
    async with DeliveringRunner.of(stage, "stand-up", url=operator.url, directory=tmp_path) as runner:
        runner.tell((CallbackName.RUNNER_TERMINATING, {}))
        ending = await stage.until(lambda seen: reason(seen) == "Stopping")
        assert len(ending["status"]["parts"]) == 1, "it captures yet"
        runner.tell((CallbackName.STOPPED, {}))
        await stage.new_pod(part=1)
        seen = await stage.recording()
        assert seen is not None
        first, second = seen["status"]["parts"]
        assert (first["state"], second["state"]) == ("Uploading", "Pending")
        assert (first["reason"], first["message"]) == ("PodEnded", "node 'node-1' told the recorder to end")
        assert reason(seen) in {"Restarting", "Unschedulable"}
        pod = await stage.pod(runner.pod["metadata"]["name"])
        assert pod is not None
        assert (pod["status"]["phase"], "deletionTimestamp" in pod["metadata"]) == ("Running", False)


async def test_a_recording_bears_what_others_put_into_its_pod(stage: Stage, operator: OperatorProcess) -> None:
    """A readiness gate, labels and a sidecar, as admission webhooks inject them: they are written before the pod is."""
    await stage.apply()
    pod = await stage.new_pod()
    await stage.place(pod)
    name = pod["metadata"]["name"]
    other = {"app.kubernetes.io/managed-by": "a-policy", "app.kubernetes.io/component": None}
    await stage.client.patch(stage.core("pods", name), {"metadata": {"labels": other}})
    recorder = await stage.recorder(pod, url=operator.url)
    await recorder.tell(("RecordingConnecting", {}), ("RecordingStarted", {}))
    sidecar = {**container(state={"running": {"startedAt": now()}}, ready=False), "name": "proxy"}
    waits = {"type": "Ready", "status": "False", "reason": "ContainersNotReady", "lastTransitionTime": now()}
    running = container(state={"running": {"startedAt": now()}}, ready=True)
    await stage.report(pod, phase="Running", conditions=[waits], containerStatuses=[sidecar, running])
    recording = await stage.until(lambda seen: is_true(seen, "Recording") and is_true(seen, "Ready"))

    await stage.edit(desiredState="Stopped")
    await recorder.tell(("RecordingStopped", {}))
    ended = {"exitCode": 0, "reason": "Completed", "message": json.dumps(summary(recording)), "finishedAt": now()}
    await stage.report(pod, containerStatuses=[sidecar, container(state={"terminated": ended})])
    await stage.until(lambda seen: is_true(seen, "Succeeded"))
    await stage.end(pod)
    await stage.until_pod(name, lambda seen: seen is None)


@pytest.mark.usefixtures("operator")
async def test_a_quota_is_waited_for(stage: Stage) -> None:
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    made = await stage.client.post(stage.core("resourcequotas"), quota)
    made["status"] = {"hard": {"pods": "0"}, "used": {"pods": "0"}}
    await stage.client.put(stage.core("resourcequotas", "none") + "/status", made)
    await stage.apply()
    waiting = await stage.until(lambda seen: reason(seen) == "QuotaExceeded")
    assert "pods=0" in next(one["message"] for one in waiting["status"]["conditions"] if one["type"] == "Ready")
    await stage.client.delete(stage.core("resourcequotas", "none"), {})
    await stage.until(pod_uid)


async def test_a_pod_of_somebody_else_is_left_alone(stage: Stage, new_operator: Callable[..., OperatorProcess]) -> None:
    applied = await stage.apply()
    name = pod_name(recording="stand-up", uid=applied["metadata"]["uid"], part=0)
    theirs = await stage.client.post(stage.core("pods"), stranger_pod(name))
    operator = new_operator()
    operator.start()
    rejected = await stage.until(lambda seen: reason(seen) == "PodRejected")
    message = next(one["message"] for one in rejected["status"]["conditions"] if one["type"] == "Ready")
    assert "does not belong to this recording" in message
    left = await stage.pod(name)
    assert left is not None
    assert left["metadata"]["uid"] == theirs["metadata"]["uid"]


async def test_an_operators_death_touches_no_pod_and_its_successor_goes_on(
    stage: Stage, operator: OperatorProcess, new_operator: Callable[..., OperatorProcess]
) -> None:
    await stage.apply()
    pod = await stage.new_pod()
    await stage.report_running(pod)
    recorder = await stage.recorder(pod, url=operator.url)
    await recorder.tell(("RecordingConnecting", {}), ("RecordingStarted", {}))
    await stage.until(lambda seen: is_true(seen, "Recording"))
    operator.kill()
    before = await stage.pod(pod["metadata"]["name"])
    successor = new_operator(name="operator-1", callback_port=operator.callback_port)
    successor.start()
    successor.await_serving()
    answer = await recorder.tell(("Snapshot", {"snapshot": {"state": "Recording", "recordingId": "0" * 32}}))
    assert (answer.status, answer.body) == (200, {"acknowledged": 3})
    await stage.apply("another")
    await stage.new_pod("another")
    after = await stage.pod(pod["metadata"]["name"])
    assert before is not None
    assert after is not None
    assert (after["metadata"]["uid"], after["spec"]) == (before["metadata"]["uid"], before["spec"])


async def test_a_second_replica_hears_recorders_and_decides_only_when_the_first_has_gone(
    stage: Stage, operator: OperatorProcess, new_operator: Callable[..., OperatorProcess]
) -> None:
    await stage.apply()
    pod = await stage.new_pod()
    second = new_operator(name="operator-1")
    second.start()
    second.await_serving()
    recorder = await stage.recorder(pod, url=second.url)
    assert (await recorder.tell(("RecordingConnecting", {}))).status == 200
    await stage.until(lambda seen: reason(seen) == "Connecting")
    assert "lease held" not in second.log.read_text()
    assert operator.stop() == 0
    await stage.apply("another")
    await stage.new_pod("another")
    assert "lease held" in second.log.read_text()


async def test_two_installations_in_one_namespace_notice_each_other(
    stage: Stage, operator: OperatorProcess, new_operator: Callable[..., OperatorProcess]
) -> None:
    await stage.apply()
    await stage.new_pod()
    election = {"leaseName": "another", "leaseSeconds": 5, "renewSeconds": 3, "retrySeconds": 1}
    other = new_operator(name="another")
    callbacks = {"url": other.url, "port": other.callback_port, "caSecretName": "another-ca"}
    other.settings = {"leaderElection": election, "callbacks": callbacks}
    other.start()
    other.await_serving()
    await stage.until_told("AnotherOperator")
    said = operator.log.read_text() + other.log.read_text()
    assert "another installation of the operator works in this namespace" in said


async def test_an_api_server_that_is_away_at_the_start_is_waited_for(
    stage: Stage, new_operator: Callable[..., OperatorProcess], api_server: Path, tmp_path: Path
) -> None:
    away = free_port()
    host, port = by_way_of(away, kubeconfig=api_server, written_to=tmp_path / "away")
    operator = new_operator()
    operator.kubeconfig = tmp_path / "away"
    operator.start()
    await asyncio.to_thread(operator.await_logged, "waiting for the API server")
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://localhost:{operator.http_port}/healthz") as alive,
    ):
        assert alive.status == 200, "nobody ends it meanwhile"
    async with await asyncio.start_server(forward_to(host, port), host, away):
        await asyncio.to_thread(operator.await_serving)
        await stage.apply()
        await stage.new_pod()
        operator.kill()


def by_way_of(port: int, *, kubeconfig: Path, written_to: Path) -> tuple[str, int]:
    """Writes a kubeconfig that leads to this port of the same host; returns where the API server really is."""
    configuration = yaml.safe_load(kubeconfig.read_text())
    cluster = configuration["clusters"][0]["cluster"]
    host, real = cluster["server"].removeprefix("https://").split(":")
    cluster["server"] = f"https://{host}:{port}"
    written_to.write_text(yaml.safe_dump(configuration))
    return host, int(real)


def forward_to(host: str, port: int) -> Callable[..., Any]:
    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_connection(host, port)
        await asyncio.gather(pipe(reader, ours), pipe(theirs, writer))

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    return forward


async def test_a_replica_that_lost_its_lease_ends(stage: Stage, operator: OperatorProcess) -> None:
    await stage.apply()
    await stage.new_pod()
    lease = f"/apis/coordination.k8s.io/v1/namespaces/{stage.namespace}/leases/cloud-recording"
    await stage.client.patch(lease, {"spec": {"holderIdentity": "another", "renewTime": f"{now()[:-1]}000Z"}})
    assert await asyncio.to_thread(operator.wait) == 1


async def test_probes_and_metrics_tell_what_is(stage: Stage, operator: OperatorProcess) -> None:
    await stage.apply()
    await stage.new_pod()
    async with aiohttp.ClientSession(f"http://localhost:{operator.http_port}") as session:
        answers = {}
        for url in ("/healthz", "/readyz", "/metrics"):
            async with session.get(url) as response:
                answers[url] = (response.status, await response.text())
    assert [answers[url][0] for url in answers] == [200, 200, 200]
    assert "cloudrecording_leader 1.0" in answers["/metrics"][1]
    assert 'cloudrecording_reconcile_duration_seconds_count{result="success"}' in answers["/metrics"][1]


async def passes(operator: OperatorProcess) -> float:
    """How many passes there were."""
    name = 'cloudrecording_reconcile_duration_seconds_count{result="success"} '
    async with (
        aiohttp.ClientSession(f"http://localhost:{operator.http_port}") as session,
        session.get("/metrics") as answer,
    ):
        lines = (await answer.text()).splitlines()
    return next((float(line.removeprefix(name)) for line in lines if line.startswith(name)), 0.0)


async def passes_settled(operator: OperatorProcess) -> None:
    """Returns when a second has gone by without a pass."""
    before, since = await passes(operator), asyncio.get_running_loop().time()
    async with asyncio.timeout(60):
        while asyncio.get_running_loop().time() - since < 1:
            await asyncio.sleep(0.1)
            if (now_made := await passes(operator)) != before:
                before, since = now_made, asyncio.get_running_loop().time()


def stranger_pod(name: str = "stranger") -> Json:
    context = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    restricted = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    containers = [{"name": "main", "image": "busybox", "securityContext": restricted}]
    spec = {"serviceAccountName": "default", "securityContext": context, "containers": containers}
    return {"metadata": {"name": name}, "spec": spec}
