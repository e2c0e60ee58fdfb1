# SPDX-License-Identifier: Apache-2.0
"""What the operator's writes cost a client that only makes them, in a namespace that no operator watches."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench.operator.api_calls import Call
from tests.cluster.layout import REPOSITORY
from tests.contract.controller.stage import Stage

FLOOR_RECORDINGS = 200
"""The floor's figures are of so many recordings."""

_GIVEN_BY_THE_SERVER = ("uid", "resourceVersion", "creationTimestamp", "managedFields", "ownerReferences", "generation")


class Floor:
    """A bare client's figures beside the operator's."""

    def __init__(self, stage: Stage, kubeconfig: Path) -> None:
        self._stage = stage
        self._kubeconfig = kubeconfig
        self._prepared = False

    async def cost(
        self, calls: Mapping[Call, int], examples: Mapping[str, Sequence[dict[str, Any]]]
    ) -> dict[str, float]:
        """What it costs to make these calls for each recording, those that write, with bodies like the examples."""
        await self._prepare()
        status = examples["cloudrecordings"][0]["status"]
        writes = []
        for call, count in calls.items():
            if not call.is_write or not count:
                continue
            if call.verb == "POST":
                write = {
                    "verb": "POST",
                    "url": self._url(call.resource),
                    "body": self._bare(examples[call.resource][0]),
                }
            elif call.resource == "cloudrecordings" and call.subresource == "status":
                write = {
                    "verb": "PATCH",
                    "url": self._stage.recordings("{recording}") + "/status",
                    "body": {"status": status},
                }
            else:
                body = {"metadata": {"annotations": {"written": "by the floor"}}}
                write = {"verb": "PATCH", "url": self._stage.recordings("{recording}"), "body": body}
            writes.append({**write, "count": count})
        return await self._run({"writes": writes, "recordings": FLOOR_RECORDINGS})

    async def rate(self, like: dict[str, Any], *, seconds: float) -> dict[str, float]:
        """How many statuses like this recording's it writes in a second."""
        await self._prepare()
        return await self._run({"status": like["status"], "recordings": FLOOR_RECORDINGS, "seconds": seconds})

    async def latency(self, like: dict[str, Any], *, rate: float, seconds: float) -> dict[str, float]:
        """How long it takes to write such a status at that rate."""
        await self._prepare()
        asked = {"status": like["status"], "recordings": FLOOR_RECORDINGS, "seconds": seconds, "rate": rate}
        return await self._run(asked)

    async def _prepare(self) -> None:
        if not self._prepared:
            await self._stage.prepare()
            for number in range(FLOOR_RECORDINGS):
                await self._stage.apply(f"floor-{number}")
            self._prepared = True

    def _url(self, resource: str) -> str:
        if resource == "events":
            return f"/apis/events.k8s.io/v1/namespaces/{self._stage.namespace}/events"
        return self._stage.core(resource)

    def _bare(self, example: dict[str, Any]) -> dict[str, Any]:
        metadata = {name: value for name, value in example["metadata"].items() if name not in _GIVEN_BY_THE_SERVER}
        bare = {**example, "metadata": {**metadata, "namespace": self._stage.namespace}}
        if "regarding" in bare:
            bare["regarding"] = {**bare["regarding"], "namespace": self._stage.namespace}
        return bare

    async def _run(self, request: dict[str, Any]) -> dict[str, float]:
        running = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.bench.operator.bare_client",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={"PYTHONPATH": f"{REPOSITORY / 'operator'}:{REPOSITORY}"},
        )
        request |= {"kubeconfig": str(self._kubeconfig), "statusUrl": self._stage.recordings("{recording}") + "/status"}
        answer, _ = await running.communicate(json.dumps(request).encode())
        assert running.returncode == 0, "the bare client failed"
        return dict(json.loads(answer))
