# SPDX-License-Identifier: Apache-2.0
"""The control plane fails under recordings: etcd, the API server, and connections; or it has another time than we.

Recordings are harmed as far as the fault itself goes, callbacks count once, and the operator settles by itself.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from http.client import GONE, SERVICE_UNAVAILABLE
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from cloud_recording.common.callback_names import CallbackName
from cloud_recording.common.exit_status import EXIT_FAILED
from cloud_recording.kube.following import SILENT_SECONDS, Collection, Follower
from cloud_recording.kube.lease import LeaseTiming
from cloud_recording.kube.recordings import recordings_path
from cloud_recording.kube.turned_away import TURNED_AWAY_ANNOTATION
from tests.cluster.bare import BareControlPlane
from tests.cluster.client import Kubectl
from tests.contract.controller.conftest import apply_crds
from tests.contract.controller.delivering_runner import DeliveringRunner
from tests.contract.controller.fleet import Fleet
from tests.contract.controller.operator_process import OperatorProcess
from tests.contract.controller.stage import WAIT_SECONDS, Stage, is_true
from tests.contract.controller.tcp_proxy import TCPProxy
from tests.support.set_clock import SetClock

Json = dict[str, Any]

ETCD, API_SERVER = "etcd", "kube-apiserver"
OFF_SECONDS = 600
"""How much a clock is off."""
NODE_LOST_SECONDS = 30
"""The least that may be set: by the API server's clock, the recorder must have been silent for so long, too."""
OUTLASTED_SECONDS = 40
"""Of the Lease, where the operator is to live through the fault."""
SHORT_SECONDS = 6
"""Of the Lease, where it is to be lost."""
FORGOTTEN = 100
"""More versions than an API server writes when it starts."""
RECORDINGS = 5
CUTS = 6
HANGS_SECONDS = 10
AWAY_SECONDS = float(os.environ.get("API_SERVER_AWAY_SECONDS", "0"))
"""For so long, or until the Lease is lost if that takes longer; `API_SERVER_AWAY_SECONDS=60` for a real outage."""

RBAC = "/apis/rbac.authorization.k8s.io/v1"
FLOW_CONTROL = "/apis/flowcontrol.apiserver.k8s.io/v1"
USER = "some-operator"
"""The administrator is never turned away."""
ALL_RIGHTS: Json = {
    "metadata": {"name": USER},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
    "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": USER}],
}
EVERYTHING = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": True, "namespaces": ["*"]}
FLOW_OF_USER: Json = {
    "subjects": [{"kind": "User", "user": {"name": USER}}],
    "resourceRules": [EVERYTHING],
    "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
}


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BareControlPlane]:
    """A control plane that only these tests harm."""
    made = BareControlPlane(tmp_path_factory.mktemp("faulty-plane"))
    try:
        made.up()
        kubectl = Kubectl(made.kubeconfig)
        apply_crds(kubectl)
        yield made
    finally:
        made.down()


@pytest.fixture(scope="module")
def api_server(plane: BareControlPlane) -> Path:
    """The same for the fixtures that all tests of the operator share."""
    return plane.kubeconfig


@asynccontextmanager
async def kept_running(operator: OperatorProcess) -> AsyncIterator[list[int]]:
    """Starts the operator again whenever it ends, as the kubelet does; yields the statuses with which it ended."""

    async def keep() -> None:
        while True:
            while not operator.ended:  # noqa: ASYNC110 - a process is what is waited for
                await asyncio.sleep(0.2)
            ended.append(operator.wait())
            operator.start()

    ended: list[int] = []
    operator.start()
    await asyncio.to_thread(operator.await_serving)
    task = asyncio.create_task(keep())
    try:
        yield ended
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("versions", ["go-back", "go-on"])
async def test_an_etcd_that_is_put_back_is_told_again_what_it_forgot(
    stage: Stage, plane: BareControlPlane, new_operator: Callable[..., OperatorProcess], tmp_path: Path, versions: str
) -> None:
    """What was acknowledged after the copy is told again; what is done afterwards takes effect at once.

    Versions go on where the copy is restored as etcd advises for Kubernetes.
    """
    operator = new_operator(lease_seconds=OUTLASTED_SECONDS)
    async with kept_running(operator) as ended, AsyncExitStack() as runners:

        async def record(name: str) -> DeliveringRunner:
            made = DeliveringRunner.of(stage, name, url=operator.url, directory=tmp_path)
            return await runners.enter_async_context(made)

        going_on, over = await record("going-on"), await record("over")
        await asyncio.to_thread(plane.kill, ETCD)
        await asyncio.to_thread(plane.back_up, tmp_path / "etcd")
        await asyncio.to_thread(plane.go_on)

        await stage.edit("going-on", desiredState="Paused")
        going_on.tell((CallbackName.DESIRED_STATE_APPLIED, {"generation": 2}))
        await over.end(stage, "over")
        await stage.until(lambda seen: is_true(seen, "Finished"), name="over")
        await record("forgotten")
        assert not ended, "a killed etcd is outlasted"

        revision = await asyncio.to_thread(plane.revision)
        await asyncio.to_thread(plane.kill, API_SERVER, ETCD)
        await asyncio.to_thread(plane.restore, tmp_path / "etcd")
        if versions == "go-on":
            await asyncio.to_thread(plane.go_beyond, revision)
        await asyncio.to_thread(plane.go_on)

        # A watch that waits for the versions of before would not see it.
        await stage.apply("afterwards")
        await stage.new_pod("afterwards")
        assert await stage.recording("forgotten") is None
        going_on.tell((CallbackName.RECORDER_FAILURE, {"code": 5, "message": "it goes on"}))
        await going_on.until_taken()
        await told_again(stage, "going-on", going_on)
        over.tell((CallbackName.RECORDER_FAILURE, {"code": 5, "message": "as by a late report"}))
        await stage.until(lambda seen: is_true(seen, "Finished"), name="over")
        await going_on.end(stage, "going-on")
        await stage.until(lambda seen: is_true(seen, "Succeeded"), name="going-on")


async def told_again(stage: Stage, name: str, runner: DeliveringRunner) -> None:
    """Returns when the status holds everything that the recorder told."""
    await stage.until(lambda seen: seen["status"]["parts"][0]["sequence"] == runner.last_sequence, name=name)


async def test_a_watch_tells_what_comes_after_a_store_went_back_by_a_moment(
    stage: Stage, plane: BareControlPlane, tmp_path: Path
) -> None:
    """Promise: by less than a renewal of the Lease, too, which then is as it was: as when etcd lost its last writes."""
    told: set[str] = set()

    def tell(body: Json, *, gone: bool) -> None:
        assert not gone
        told.add(body["metadata"]["name"])

    async def until_told(name: str) -> None:
        async with asyncio.timeout(SILENT_SECONDS / 2):
            while name not in told:  # noqa: ASYNC110 - the API server is what is waited for
                await asyncio.sleep(0.1)

    follower = Follower(stage.client, Collection(url=recordings_path(stage.namespace)), tell)
    following = asyncio.create_task(follower.run())
    try:
        await stage.apply("kept")
        await until_told("kept")
        await asyncio.to_thread(plane.kill, ETCD)
        await asyncio.to_thread(plane.back_up, tmp_path / "etcd")
        await asyncio.to_thread(plane.go_on)
        for number in range(FORGOTTEN):
            await stage.apply(f"forgotten-{number}")
        await until_told(f"forgotten-{FORGOTTEN - 1}")
        await asyncio.to_thread(plane.kill, API_SERVER, ETCD)
        await asyncio.to_thread(plane.restore, tmp_path / "etcd")
        await asyncio.to_thread(plane.go_on)
        await stage.apply("afterwards")
        await until_told("afterwards")
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def test_an_api_server_that_hangs_for_ten_seconds_costs_nobody_the_lease(
    stage: Stage, plane: BareControlPlane, new_operator: Callable[..., OperatorProcess]
) -> None:
    """By the figures that the chart has."""
    chart = LeaseTiming()
    operator = new_operator(lease_seconds=chart.duration_seconds)
    async with kept_running(operator) as ended:
        await asyncio.to_thread(operator.await_logged, "lease held")
        assert operator.lease_timing == chart
        fleet = await Fleet.recording(stage, 1, url=operator.url)
        async with fleet.reporting():
            with plane.frozen(API_SERVER):
                await asyncio.sleep(HANGS_SECONDS)
            await fleet.until_heard()
            await stage.apply("afterwards")
            await stage.new_pod("afterwards")
        await fleet.end()
    assert not ended


async def test_an_api_server_that_is_away_for_longer_than_the_lease_is_waited_for(
    stage: Stage, plane: BareControlPlane, new_operator: Callable[..., OperatorProcess]
) -> None:
    """The operator ends, as others might act by then, begins anew, and takes what recorders kept meanwhile."""
    operator = new_operator(lease_seconds=SHORT_SECONDS)
    async with kept_running(operator) as ended:
        fleet = await Fleet.recording(stage, RECORDINGS, url=operator.url)
        async with fleet.reporting():
            await asyncio.to_thread(plane.kill, API_SERVER)
            away = asyncio.create_task(asyncio.sleep(AWAY_SECONDS))
            async with asyncio.timeout(WAIT_SECONDS):
                while not ended:  # noqa: ASYNC110 - a process is what is waited for
                    await asyncio.sleep(0.2)
            await away
            await asyncio.to_thread(plane.go_on)
            await fleet.until_heard()
            await stage.apply("afterwards")
            await stage.new_pod("afterwards")
            await fleet.assert_no_pod_touched()
        await fleet.end()
    assert set(ended) == {EXIT_FAILED}


async def test_an_api_server_that_cuts_connections_and_turns_requests_away_delays_and_does_no_more(
    stage: Stage, plane: BareControlPlane, new_operator: Callable[..., OperatorProcess], tmp_path: Path
) -> None:
    """Watches and writes are cut every second, then everything the operator asks is 429 by priority and fairness."""
    operator = new_operator(lease_seconds=OUTLASTED_SECONDS)
    await stage.client.post(f"{RBAC}/clusterrolebindings", ALL_RIGHTS)
    kubeconfig = yaml.safe_load(plane.kubeconfig_of(USER).read_text())
    cluster = kubeconfig["clusters"][0]["cluster"]
    async with TCPProxy.before(urlsplit(cluster["server"]).port or 443) as proxy:
        cluster["server"] = f"https://127.0.0.1:{proxy.port}"
        operator.kubeconfig = tmp_path / "kubeconfig"
        operator.kubeconfig.write_text(yaml.safe_dump(kubeconfig))
        async with kept_running(operator) as ended:
            fleet = await Fleet.recording(stage, RECORDINGS, url=operator.url)
            async with fleet.reporting():
                for number in range(CUTS):
                    await asyncio.sleep(1)
                    proxy.cut()
                    if number == CUTS // 2:
                        await stage.apply("cut")
                await stage.new_pod("cut")
                async with turned_away(stage):
                    async with asyncio.timeout(WAIT_SECONDS):
                        while await fleet.runners[0].offer(fleet.runners[0].progress()) != SERVICE_UNAVAILABLE:  # noqa: ASYNC110 - the operator is what is waited for
                            await asyncio.sleep(0.1)
                    await stage.apply("turned-away")
                    await asyncio.to_thread(operator.await_logged, "lease not renewed")
                await stage.new_pod("turned-away")
                await until_the_lease_says_so(stage)
                await fleet.until_heard()
                await fleet.assert_no_pod_touched()
            await fleet.end()
            assert not ended


async def until_the_lease_says_so(stage: Stage) -> None:
    """Returns when every replica could know that recorders were turned away."""
    url = f"/apis/coordination.k8s.io/v1/namespaces/{stage.namespace}/leases/cloud-recording"
    async with asyncio.timeout(WAIT_SECONDS):
        while TURNED_AWAY_ANNOTATION not in ((await stage.client.get(url))["metadata"].get("annotations") or {}):  # noqa: ASYNC110 - the operator is what is waited for
            await asyncio.sleep(0.1)


@asynccontextmanager
async def turned_away(stage: Stage) -> AsyncIterator[None]:
    """As long as it lasts, the API server answers 429 to the operator's user."""
    flow = {"matchingPrecedence": 2, "priorityLevelConfiguration": {"name": USER}, "rules": [FLOW_OF_USER]}
    schema = {"metadata": {"name": USER}, "spec": flow}
    limited = {"nominalConcurrencyShares": 0, "limitResponse": {"type": "Reject"}, "borrowingLimitPercent": 0}
    level = {"metadata": {"name": USER}, "spec": {"type": "Limited", "limited": limited}}
    await stage.client.post(f"{FLOW_CONTROL}/prioritylevelconfigurations", level)
    await stage.client.post(f"{FLOW_CONTROL}/flowschemas", schema)
    try:
        yield
    finally:
        await stage.client.delete(f"{FLOW_CONTROL}/flowschemas/{USER}", {})
        await stage.client.delete(f"{FLOW_CONTROL}/prioritylevelconfigurations/{USER}", {})


async def test_an_operator_whose_clock_is_off_goes_by_the_api_servers(
    stage: Stage, new_operator: Callable[..., OperatorProcess], tmp_path: Path
) -> None:
    """A node that has just fallen silent is not lost, one that was silent for long enough is, and times are true."""
    ahead, behind = (Stage(stage.client, f"{stage.namespace}-{name}") for name in ("ahead", "behind"))
    for one in (ahead, behind):
        await one.prepare()
    async with asyncio.TaskGroup() as group:
        for one, name, seconds in ((ahead, "ahead", OFF_SECONDS), (behind, "behind", -OFF_SECONDS)):
            group.create_task(hears_of_a_silent_node(one, new_operator, tmp_path / name, seconds_off=seconds))


async def hears_of_a_silent_node(
    stage: Stage, new_operator: Callable[..., OperatorProcess], directory: Path, *, seconds_off: int
) -> None:
    """Of one that just fell silent, of one that was silent for long enough, and of one that returns."""
    await asyncio.to_thread(directory.mkdir)
    clock = SetClock(directory)
    clock.set(seconds_off)
    operator = new_operator(
        namespace=stage.namespace,
        name=directory.name,
        lease_seconds=OUTLASTED_SECONDS,
        environment=clock.environment,
        runner={"nodeLostSeconds": NODE_LOST_SECONDS},
    )
    runner = DeliveringRunner.of(stage, "stand-up", url=operator.url, directory=directory)
    async with kept_running(operator) as ended, runner as recorder:
        recording = await stage.until(lambda seen: is_true(seen, "Recording"))
        part = recording["status"]["parts"][0]
        for told in (part["heardTime"], *(one["lastTransitionTime"] for one in recording["status"]["conditions"])):
            assert abs(seconds_ago(told)) < OFF_SECONDS / 2

        await report_silent(stage, recorder.pod, seconds=0)
        seen = await stage.until(lambda seen: not seen["status"]["parts"][0]["podReady"])
        assert seen["status"]["parts"][0]["state"] == "Recording"
        await stage.report_running(recorder.pod)
        await stage.until(lambda seen: seen["status"]["parts"][0]["podReady"])
        await report_silent(stage, recorder.pod, seconds=NODE_LOST_SECONDS)
        await stage.until(lambda seen: (seen["status"].get("lastError") or {}).get("reason") == "NodeLost")

        # The node returns, and with it a recorder that records what another one does by now.
        await stage.new_pod(part=1)
        await stage.report_running(recorder.pod)
        speaks = await stage.recorder(recorder.pod, url=operator.url)
        assert (await speaks.tell(("Snapshot", {}))).status == GONE
        await stage.until_pod(
            recorder.pod["metadata"]["name"], lambda seen: seen is None or "deletionTimestamp" in seen["metadata"]
        )
        assert not ended


def seconds_ago(moment: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()


async def report_silent(stage: Stage, pod: Json, *, seconds: int) -> None:
    """Writes what the node controller writes of a node that was heard of last so many seconds ago."""
    since = (datetime.now(UTC) - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
    silent = {"type": "Ready", "status": "False", "lastTransitionTime": since}
    alive = {"type": "ContainersReady", "status": "True", "lastTransitionTime": since}
    await stage.report(pod, conditions=[silent, alive])
