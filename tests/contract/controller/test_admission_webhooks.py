# SPDX-License-Identifier: Apache-2.0
"""Admission webhooks on recorders' pods: one is down, one denies, one changes what it is shown."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from cloud_recording.kube.errors import KubeError
from tests.contract.controller.admission_webhook import NAME, AdmissionWebhook
from tests.contract.controller.delivering_runner import DeliveringRunner
from tests.contract.controller.operator_process import OperatorProcess
from tests.contract.controller.stage import WAIT_SECONDS, Stage, conditions, container, is_true, now, reason

Json = dict[str, Any]

CANARY: Json = {
    "metadata": {"name": "canary"},
    "spec": {
        "containers": [
            {
                "name": "canary",
                "image": "canary",
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                    "runAsNonRoot": True,
                    "runAsUser": 1,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
            }
        ]
    },
}


async def test_a_webhook_that_is_down_or_denies_is_told_and_waited_for(
    stage: Stage, operator: OperatorProcess, tmp_path: Path
) -> None:
    """The status has the API server's words, and the recording goes on by itself as soon as the webhook lets it."""
    async with AdmissionWebhook.registered(stage) as webhook:
        await until_asked(stage)
        await stage.apply("unasked")
        down = await stage.until(lambda seen: reason(seen) == "PodRejected", name="unasked")
        assert f'failed calling webhook "{NAME}"' in ready_message(down)
        assert "connection refused" in ready_message(down)

        async with webhook.serving():
            await stage.new_pod("unasked")
            runner = DeliveringRunner.of(stage, "edited", url=operator.url, directory=tmp_path)
            async with runner as recorder:
                webhook.denies = "no changes on Fridays"
                await stage.apply("denied")
                denied = await stage.until(lambda seen: reason(seen) == "PodRejected", name="denied")
                assert "no changes on Fridays" in ready_message(denied)

                await stage.edit("edited", desiredState="Paused")
                told = await stage.until_told("PodRejected", of="edited")
                assert "no changes on Fridays" in told["note"]
                webhook.denies = None
                name = recorder.pod["metadata"]["name"]
                await stage.until_pod(name, lambda pod: "Paused" in json.dumps(pod))


async def test_what_a_webhook_adds_to_a_pod_does_no_harm(
    stage: Stage, operator: OperatorProcess, tmp_path: Path
) -> None:
    """Labels and another container stay as they are, and the pod ends with its recorder, whatever else runs in it."""
    sidecar = {**CANARY["spec"]["containers"][0], "name": "proxy"}
    async with AdmissionWebhook.registered(stage, mutating=True) as webhook:
        await until_asked(stage)
        webhook.adds = [
            {"op": "add", "path": "/metadata/labels/team", "value": "blue"},
            {"op": "add", "path": "/metadata/annotations/example.com~1seen", "value": "yes"},
            {"op": "add", "path": "/spec/containers/0", "value": sidecar},
        ]
        async with webhook.serving():
            runner = DeliveringRunner.of(stage, "changed", url=operator.url, directory=tmp_path)
            async with runner as recorder:
                await stage.until(lambda seen: is_true(seen, "Recording"), name="changed")
                running = container(name="proxy", state={"running": {"startedAt": now()}})
                pod = await recorder.end(stage, "changed", others=[running])
                await stage.until(lambda seen: is_true(seen, "Succeeded"), name="changed")
                assert pod["metadata"]["labels"]["team"] == "blue"
                assert [one["name"] for one in pod["spec"]["containers"]] == ["proxy", "recorder"]
                name = pod["metadata"]["name"]
                await stage.until_pod(name, lambda seen: seen is None or "deletionTimestamp" in seen["metadata"])


async def until_asked(stage: Stage) -> None:
    """Returns when the API server asks the webhook, which is down, about pods."""
    async with asyncio.timeout(WAIT_SECONDS):
        while True:
            try:
                await stage.client.post(stage.core("pods") + "?dryRun=All", CANARY)
            except KubeError as error:
                if NAME in error.message:
                    return
                raise
            await asyncio.sleep(0.1)


def ready_message(body: Json) -> str:
    return str(next(one["message"] for one in conditions(body) if one["type"] == "Ready"))
