# SPDX-License-Identifier: Apache-2.0
"""`python -m tests.bench.operator.bare_client`: makes writes and nothing else, to compare the operator's cost with.

Standard input: JSON with the kubeconfig, and either `writes` (of each kind a body, and how many for one recording) to
be made for so many `recordings`, or a `status` to write again and again for `seconds`, at a `rate` if there is one.
`{recording}` in a URL stands for the name of each recording. Standard output: JSON with processor seconds, the writes,
how many a second, and at a rate how long they took.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import statistics
import sys
import time
from typing import Any
from urllib.parse import quote

from kubernetes.aio import config
from kubernetes.aio.client import Configuration

from cloud_recording.kube.client import KubeClient

AT_ONCE = 32


async def main(request: dict[str, Any]) -> dict[str, float]:
    """Makes the writes; returns what they cost."""
    configuration = Configuration()
    await config.load_kube_config(  # type: ignore[no-untyped-call]
        config_file=request["kubeconfig"], client_configuration=configuration
    )
    async with KubeClient(configuration, user_agent="floor") as client:
        cpu, begun = time.process_time(), time.monotonic()
        waits: list[float] = []
        if "rate" in request:
            waits = await _write_at_rate(client, request)
            made = len(waits)
        else:
            made = await (_write_all(client, request) if "writes" in request else _write_statuses(client, request))
        return {
            **_percentiles(waits),
            "cpuSeconds": time.process_time() - cpu,
            "writesPerSecond": made / (time.monotonic() - begun),
            "writes": made,
        }


async def _write_all(client: KubeClient, request: dict[str, Any]) -> int:
    numbers = iter(range(request["recordings"]))
    made = 0

    async def work() -> None:
        nonlocal made
        for number in numbers:
            for write in request["writes"]:
                for turn in range(write["count"]):
                    await _write(client, write, number, turn)
                    made += 1

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return made


async def _write(client: KubeClient, write: dict[str, Any], number: int, turn: int) -> None:
    body = write["body"]
    if write["verb"] == "POST":
        name = {"name": f"floor-{number}-{turn}"}
        await client.post(write["url"], {**body, "metadata": {**body["metadata"], **name}})
    else:
        await client.patch(_url(write["url"], number), _changed(body, turn))


async def _write_statuses(client: KubeClient, request: dict[str, Any]) -> int:
    until = time.monotonic() + request["seconds"]
    made = 0

    async def work(first: int) -> None:
        nonlocal made
        for number in itertools.cycle(range(first, request["recordings"], AT_ONCE)):
            if time.monotonic() >= until:
                return
            made += 1
            await client.patch(_url(request["statusUrl"], number), _changed({"status": request["status"]}, made))

    await asyncio.gather(*(work(first) for first in range(AT_ONCE)))
    return made


async def _write_at_rate(client: KubeClient, request: dict[str, Any]) -> list[float]:
    """Seconds of each write, from when it was due."""
    begun, waits = time.monotonic(), []

    async def write(number: int, due: float) -> None:
        url = _url(request["statusUrl"], number % request["recordings"])
        await client.patch(url, _changed({"status": request["status"]}, number))
        waits.append(time.monotonic() - due)

    async with asyncio.TaskGroup() as group:
        for number in range(int(request["rate"] * request["seconds"])):
            due = begun + number / request["rate"]
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            group.create_task(write(number, due))
    return waits


def _percentiles(waits: list[float]) -> dict[str, float]:
    if not waits:
        return {}
    cuts = statistics.quantiles(waits, n=100)
    return {f"p{percent}Milliseconds": 1000 * cuts[percent - 1] for percent in (50, 95)}


def _url(url: str, number: int) -> str:
    return url.replace(quote("{recording}"), f"floor-{number}")


def _changed(body: dict[str, Any], number: int) -> dict[str, Any]:
    """A write that changes nothing is none for the API server."""
    return {"status": {**body["status"], "progressPercent": number % 100}} if "status" in body else body


if __name__ == "__main__":
    json.dump(asyncio.run(main(json.load(sys.stdin))), sys.stdout)
