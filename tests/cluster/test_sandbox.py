# SPDX-License-Identifier: Apache-2.0
"""However a cluster ends, the machine is afterwards as it was before."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.client import Kubectl
from tests.cluster.cluster import Cluster
from tests.cluster.processes import processes_of
from tests.cluster.target import Target

# What a kubelet and a kube-proxy set for the whole machine if nothing keeps them from it.
KERNEL_SETTINGS = ("vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops", "net/ipv4/ip_forward")
DEATH_DEADLINE_SECONDS = 30


@pytest.fixture
def another(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster of the test's own, beside whatever the other tests use."""
    another = Cluster(tmp_path / "cluster")
    yield another
    another.down()


def test_a_cluster_that_was_killed_comes_back_and_then_leaves_only_its_neighbour(
    cluster: Target, testbed_image: str, another: Cluster
) -> None:
    before = _kernel_settings()
    another.up()
    _kill(another)
    another.up()
    readiness = another.readiness()
    assert readiness
    assert all(readiness.values()), readiness
    assert _kernel_settings() == before
    another.down()
    assert _traces(another) == []
    _assert_runs_pods(cluster.kubectl, testbed_image)


def _assert_runs_pods(kubectl: Kubectl, image: str) -> None:
    kubectl("run", "neighbour", f"--image={image}", "--restart=Never", "--image-pull-policy=IfNotPresent", "--", "true")
    try:
        kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/neighbour", "--timeout=120s")
    finally:
        kubectl("delete", "pod", "neighbour")


def _kill(cluster: Cluster) -> None:
    """As abrupt as a crash of the machine gets without one: its first process ends, and so do all others at once."""
    for process in processes_of(cluster.layout.name):
        if process.pid_in_sandbox == 1:
            os.kill(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + DEATH_DEADLINE_SECONDS
    while processes_of(cluster.layout.name):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _kernel_settings() -> dict[str, str]:
    return {setting: (Path("/proc/sys") / setting).read_text() for setting in KERNEL_SETTINGS}


def _traces(cluster: Cluster) -> list[str]:
    name = cluster.layout.name
    interfaces = subprocess.run(("ip", "-oneline", "link"), capture_output=True, text=True, check=True).stdout
    mounts = Path("/proc/self/mounts").read_text()
    found = [line for line in (interfaces + mounts).splitlines() if name in line or str(cluster.layout.root) in line]
    found += [str(group) for group in Path("/sys/fs/cgroup").rglob(f"{name}*")]
    found += [str(process) for process in processes_of(name)]
    return found + [str(cluster.layout.root)] * cluster.layout.root.exists()
