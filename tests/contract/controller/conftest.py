# SPDX-License-Identifier: Apache-2.0
"""An API server with our CRD, a namespace of each test's own, and operators in it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml
from kubernetes.aio import config
from kubernetes.aio.client import Configuration

from cloud_recording.kube.client import KubeClient
from cloud_recording.kube.errors import KubeError
from tests.cluster.bare import BareControlPlane
from tests.cluster.client import Kubectl
from tests.contract.controller.newer_release import newer
from tests.contract.controller.operator_process import REPOSITORY, OperatorProcess
from tests.contract.controller.stage import Stage

CRDS = sorted((REPOSITORY / "crds").glob("*.yaml"))
CRD = REPOSITORY / "crds" / "cloudrecordings.cloudrecording.dev.yaml"


def apply_crds(kubectl: Kubectl) -> None:
    """Returns once the API server knows our kinds."""
    for crd in CRDS:
        kubectl.apply(*yaml.safe_load_all(crd.read_text()))
        kubectl.until_established(crd.name.removesuffix(".yaml"))


@pytest.fixture(scope="package")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The kubeconfig of an API server that knows CloudRecordings, with the garbage collector at work.

    One of these tests' own: what they leave behind (recordings held by finalizers, our CRD applied without Helm) would
    be in the way of the tests that install the chart.
    """
    plane = BareControlPlane(tmp_path_factory.mktemp("controller-plane"))
    try:
        plane.up(garbage_collector=True)
        kubectl = Kubectl(plane.kubeconfig)
        apply_crds(kubectl)
        yield plane.kubeconfig
    finally:
        plane.down()


@pytest_asyncio.fixture
async def configuration(api_server: Path) -> Configuration:
    """How to reach the API server as its administrator."""
    loaded = Configuration()
    await config.load_kube_config(  # type: ignore[no-untyped-call]
        config_file=str(api_server), client_configuration=loaded
    )
    return loaded


@pytest_asyncio.fixture
async def stage(configuration: Configuration) -> AsyncIterator[Stage]:
    """A namespace of the test's own."""
    async with KubeClient(configuration, user_agent="test") as client:
        made = Stage(client, f"test-{secrets.token_hex(4)}")
        await made.prepare()
        yield made


@pytest.fixture
def new_operator(stage: Stage, api_server: Path, tmp_path: Path) -> Iterator[Callable[..., OperatorProcess]]:
    """Makes operators for the test's namespace, and ends them with the test."""
    made: list[OperatorProcess] = []

    def make(**options: object) -> OperatorProcess:
        where: dict[str, Any] = {"kubeconfig": api_server, "directory": tmp_path, "namespace": stage.namespace}
        operator = OperatorProcess(**{**where, "is_forked": True, **options})
        made.append(operator)
        return operator

    yield make
    for operator in made:
        operator.end()
        # pytest shows this with a failed test alone.
        print(operator.log.read_text() if operator.log.exists() else "the operator was not started")


@pytest.fixture
def operator(new_operator: Callable[..., OperatorProcess]) -> OperatorProcess:
    """One operator that runs."""
    process = new_operator()
    process.start()
    process.await_serving()
    return process


@pytest_asyncio.fixture
async def newer_definition(api_server: Path, stage: Stage) -> None:
    """Returns when the API server goes by the newer definition; it takes everything that the older one takes."""
    Kubectl(api_server).apply(newer(yaml.safe_load(CRD.read_text())))
    async with asyncio.timeout(60):
        while True:
            try:
                await stage.apply("probe", desiredState="Stopped", recording={"video": {"layout": "FromTheFuture"}})
            except KubeError:
                await asyncio.sleep(0.1)
            else:
                return
