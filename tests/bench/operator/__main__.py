# SPDX-License-Identifier: Apache-2.0
"""`python -m tests.bench.operator N …` measures the operator with N recordings and writes build/bench/operator.json.

API server, operator and the runners share the machine: compare figures within a row, and CPU rather than wall time.
etcd keeps its files in memory, as it would be its disk that is measured otherwise. With `--simulate` nothing runs:
recorders, replicas and API server are simulated.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import tempfile
from pathlib import Path
from typing import Any

import yaml
from kubernetes.aio import config
from kubernetes.aio.client import Configuration

from cloud_recording.kube.client import KubeClient
from tests.bench.native.measure import WORK
from tests.bench.operator.scenario import Scenario
from tests.bench.operator.simulation import Machines, Simulation
from tests.cluster.bare import BareControlPlane
from tests.cluster.client import Kubectl
from tests.cluster.layout import REPOSITORY
from tests.contract.controller.operator_process import OperatorProcess
from tests.contract.controller.stage import Stage

CRDS = sorted((REPOSITORY / "crds").glob("*.yaml"))
NAMESPACE = "bench"
IN_MEMORY = Path("/dev/shm")


def measure(recordings: int) -> dict[str, Any]:
    """One row, on a control plane of its own."""
    with tempfile.TemporaryDirectory(prefix="bench-operator-", dir=IN_MEMORY) as name:
        directory = Path(name)
        plane = BareControlPlane(directory / "plane")
        operator = OperatorProcess(
            kubeconfig=plane.kubeconfig, directory=directory, namespace=NAMESPACE, lease_seconds=60
        )
        try:
            plane.up()
            kubectl = Kubectl(plane.kubeconfig)
            for crd in CRDS:
                kubectl.apply(*yaml.safe_load_all(crd.read_text()))
                kubectl.until_established(crd.name.removesuffix(".yaml"))
            return asyncio.run(_run(plane.kubeconfig, operator, recordings))
        finally:
            operator.end()
            plane.down()


async def _run(kubeconfig: Path, operator: OperatorProcess, recordings: int) -> dict[str, Any]:
    configuration = Configuration()
    await config.load_kube_config(  # type: ignore[no-untyped-call]
        config_file=str(kubeconfig), client_configuration=configuration
    )
    async with KubeClient(configuration, user_agent="bench", request_seconds=300) as client:
        stage = Stage(client, NAMESPACE)
        await stage.prepare()
        operator.start()
        operator.await_serving()
        return await Scenario(stage, operator, kubeconfig, recordings).run()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.operator")
    parser.add_argument("counts", nargs="+", type=int, metavar="N", help="how many recordings")
    parser.add_argument("--simulate", action="store_true", help="in virtual time, with the costs that were measured")
    parser.add_argument("--replicas", type=int, default=1, help="of the operator, where it is simulated")
    parser.add_argument("--shards", type=int, default=1, help="that these share, where they are simulated")
    parser.add_argument("--api-processors", type=int, default=8, help="of the API server, where it is simulated")
    options = parser.parse_args()
    counts = options.counts
    if options.simulate:
        machines = Machines(replicas=options.replicas, shards=options.shards, api_processors=options.api_processors)
        for count in counts:
            print(json.dumps(Simulation(count, machines).run(), indent=2), flush=True)
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    WORK.mkdir(parents=True, exist_ok=True)
    rows = []
    for count in counts:
        print(f"{count} recordings", flush=True)
        rows.append(measure(count))
        print(json.dumps(rows[-1], indent=2), flush=True)
        (WORK / "operator.json").write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
