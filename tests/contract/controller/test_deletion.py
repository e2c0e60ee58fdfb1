# SPDX-License-Identifier: Apache-2.0
"""Whoever deletes, and however: what waits has its time, and nothing is left behind. The garbage collector is real."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cloud_recording.common.callback_names import CallbackName
from cloud_recording.kube.client import path
from tests.cluster.client import Kubectl
from tests.contract.controller.delivering_runner import DeliveringRunner
from tests.contract.controller.operator_process import OperatorProcess
from tests.contract.controller.stage import Recorder, Stage, is_true, reason
from tests.contract.controller.test_recordings import summary

Json = dict[str, Any]

ON_A_CLAIM: Json = {"work": {"persistentVolumeClaim": {"size": "1Gi"}}}
MADE = ("pods", "podtemplates", "persistentvolumeclaims")


async def recording_on_a_claim(stage: Stage, operator: OperatorProcess) -> tuple[Json, Recorder]:
    """A recording at work: its pod, which has a node, and who speaks for it."""
    await stage.apply(**ON_A_CLAIM)
    pod = await stage.new_pod()
    await stage.place(pod)
    await stage.report_running(pod)
    recorder = await stage.recorder(pod, url=operator.url)
    await recorder.tell(("RecordingConnecting", {}), ("RecordingStarted", {}))
    await stage.until(lambda seen: is_true(seen, "Recording"))
    return pod, recorder


async def concluded(stage: Stage, recorder: Recorder, pod: Json) -> None:
    """The recorder says its last word and its container ends."""
    body = await stage.recording()
    assert body is not None
    await recorder.tell(("RecordingStopped", {}), ("Finished", {"summary": summary(body)}))
    await stage.report_ended(pod, json.dumps(summary(body)))


@pytest.mark.parametrize("propagation", ["Foreground", "Background", "Orphan"])
async def test_a_deleted_recording_keeps_its_pod_until_what_waits_is_stored(
    stage: Stage, operator: OperatorProcess, propagation: str
) -> None:
    pod, recorder = await recording_on_a_claim(stage, operator)
    await stage.delete(propagation=propagation)
    await stage.until(lambda seen: reason(seen) == "Deleting")
    await stage.until_collected()
    told = await stage.pod(pod["metadata"]["name"])
    assert told is not None, "the pod is there"
    assert "deletionTimestamp" not in told["metadata"], "and has more than the grace period of a pod"
    assert json.loads(told["metadata"]["annotations"]["cloudrecording.dev/desired"])["state"] == "Stopped"
    (claim,) = (await stage.client.get(stage.core("persistentvolumeclaims")))["items"]
    assert "deletionTimestamp" not in claim["metadata"]
    await concluded(stage, recorder, pod)
    await stage.until_gone()
    await stage.end(pod)
    await stage.until_empty(*MADE)


async def test_a_finished_recording_takes_all_of_its_own_along_though_no_operator_is_there(
    stage: Stage, operator: OperatorProcess
) -> None:
    pod, recorder = await recording_on_a_claim(stage, operator)
    await stage.edit(desiredState="Stopped")
    await concluded(stage, recorder, pod)
    (claim,) = (await stage.client.get(stage.core("persistentvolumeclaims")))["items"]
    assert "deletionTimestamp" not in claim["metadata"], "something may be left on it"
    finished = await stage.until(lambda seen: is_true(seen, "Finished") and not seen["metadata"].get("finalizers"))
    assert is_true(finished, "Succeeded")
    assert await asyncio.to_thread(operator.stop) == 0
    await stage.delete(propagation="Foreground")
    await stage.until_gone()
    await stage.end(pod)
    await stage.until_empty(*MADE)


async def test_a_claim_on_which_nothing_is_left_goes_with_its_part(stage: Stage, operator: OperatorProcess) -> None:
    pod, recorder = await recording_on_a_claim(stage, operator)
    await stage.edit(desiredState="Stopped")
    body = await stage.recording()
    assert body is not None
    last = summary(body, nothingLeft=True)
    await recorder.tell(("RecordingStopped", {}), ("Finished", {"summary": last}))
    await stage.report_ended(pod, json.dumps(last))
    await stage.until(lambda seen: is_true(seen, "Finished"))
    await stage.end(pod)
    await stage.until_empty("pods", "persistentvolumeclaims")


async def test_what_a_recording_left_that_was_torn_away_is_taken_away_later(
    stage: Stage, operator: OperatorProcess, new_operator: Callable[..., OperatorProcess]
) -> None:
    """Somebody takes the finalizer off by hand while no operator is there, and makes a recording of that name again."""
    pod, _ = await recording_on_a_claim(stage, operator)
    assert await asyncio.to_thread(operator.stop) == 0
    await stage.delete(propagation="Orphan")
    await stage.client.patch(stage.recordings("stand-up"), {"metadata": {"finalizers": None}})
    await stage.until_gone()
    again = await stage.apply(**ON_A_CLAIM)
    new_operator(name="operator-1").start()
    await stage.end(pod)
    second = await stage.new_pod()
    await stage.until_pod(pod["metadata"]["name"], lambda seen: seen is None)
    templates = (await stage.client.get(stage.core("podtemplates")))["items"]
    assert {one["metadata"]["labels"]["cloudrecording.dev/recording-uid"] for one in templates} == {
        again["metadata"]["uid"]
    }
    assert second["metadata"]["labels"]["cloudrecording.dev/recording-uid"] == again["metadata"]["uid"]


async def test_a_part_that_a_namespace_that_ends_takes_no_more_is_named_and_alarms_nobody(
    stage: Stage, operator: OperatorProcess, tmp_path: Path
) -> None:
    """Pods may be deleted before recordings: until then the next part is asked for in vain, and no Event is taken."""
    async with DeliveringRunner.of(stage, "stand-up", url=operator.url, directory=tmp_path) as runner:
        began = len(operator.log.read_text())
        await stage.client.delete(path("api", "v1", "namespaces", stage.namespace), {})
        await stage.client.delete(stage.core("pods", runner.pod["metadata"]["name"]), {})
        runner.tell((CallbackName.RUNNER_TERMINATING, {}), (CallbackName.STOPPED, {}))
        refused = await stage.until(lambda seen: reason(seen) == "NamespaceTerminating")
        assert [part["state"] for part in refused["status"]["parts"]] == ["Uploading", "Planned"]
        await stage.delete()
        deleting = await stage.until(lambda seen: reason(seen) == "Deleting")
        first, second = deleting["status"]["parts"]
        assert (first["state"], second["state"], second["reason"]) == ("Uploading", "Concluded", "NothingRecorded")
        told = operator.log.read_text()[began:]
        assert "it is being terminated" in told
        assert [line for line in told.splitlines() if " warning " in line or " error " in line] == []


async def test_kubectl_drains_a_node_without_force(stage: Stage, operator: OperatorProcess, api_server: Path) -> None:
    node = f"node-of-{stage.namespace}"
    await stage.client.post("/api/v1/nodes", {"metadata": {"name": node}})
    await stage.apply()
    pod = await stage.new_pod()
    await stage.place(pod, node)
    await stage.report_running(pod)
    assert operator.log.exists()
    # No kubelet is here that could end the pod, so what would be evicted is asked for.
    drained = await asyncio.to_thread(Kubectl(api_server), "drain", node, "--delete-emptydir-data", "--dry-run=server")
    assert pod["metadata"]["name"] in drained
