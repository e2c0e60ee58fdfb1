# SPDX-License-Identifier: Apache-2.0
"""The namespaces that a cluster lives in: its own mounts, network, processes and shared memory.

With them everything ends that the cluster changed outside its directory, however it died, but for its control groups
and some empty mount points, which `Sandbox.remove` takes away.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from tests.cluster.component import ClusterError, tail
from tests.cluster.layout import Layout, exclusively
from tests.cluster.network import Network
from tests.cluster.processes import Process, any_cluster_lives, end, launch, processes_of

INIT = Path(__file__).with_name("sandbox-init.sh")
MOUNT_POINTS = (
    Path("/var/lib/kubelet"),
    Path("/var/lib/containerd"),
    Path("/var/lib/cni"),
    Path("/var/log/pods"),
    Path("/var/log/containers"),
    Path("/run/containerd"),
    Path("/run/dbus"),
)
# Locked while the mount points come and go, as all clusters have the same.
SHARED = Path("/run")
NAMESPACES = ("--mount", "--net", "--ipc", "--pid")
CGROUP_REMOVAL_SECONDS = 10


class Sandbox:
    """A cluster's namespaces; programs of the node run in them."""

    def __init__(self, *, layout: Layout, network: Network) -> None:
        self._layout = layout
        self._network = network

    @property
    def address(self) -> str:
        return str(self._network.node_address)

    @property
    def cgroup(self) -> str:
        """The control group, in each hierarchy, that the pods' groups are made under."""
        return f"/{self._layout.name}"

    def enter(self, command: tuple[str, ...]) -> tuple[str, ...]:
        return ("nsenter", "--target", str(_init_of(self._layout).pid), *NAMESPACES, "--", *command)

    def start(self) -> None:
        """Returns when the namespaces are there and linked to the machine's network."""
        for group in _cgroups(self.cgroup):
            _make_cgroup(group)
        with exclusively(SHARED):
            self._start_init()
        self._network.link(interface=self._layout.name, namespace_of=_init_of(self._layout).pid)

    def _start_init(self) -> None:
        log = self._layout.logs / "sandbox.log"
        reading, writing = os.pipe()
        with os.fdopen(reading, "rb") as answer:
            launch(
                (
                    *("unshare", *NAMESPACES, "--propagation", "slave", "--fork", "--kill-child", "--mount-proc"),
                    *("--", "bash", str(INIT), str(self._layout.node)),
                ),
                name=self._layout.name,
                log=log,
                output=writing,
            )
            os.close(writing)
            if answer.readline() != b"ready\n":
                raise ClusterError(f"no namespaces could be made (is this root?); the end of {log}:\n{tail(log)}")


def is_running(layout: Layout) -> bool:
    return any(process.pid_in_sandbox == 1 for process in processes_of(layout.name))


def remove(layout: Layout) -> None:
    """Ends the cluster of this directory, in whatever state it is, and leaves nothing of it but its directory."""
    end((process.pid for process in processes_of(layout.name)), grace_seconds=0)
    for group in _cgroups(f"/{layout.name}"):
        _remove_cgroup(group)
    _remove_mount_points()


def processes_of_pod(layout: Layout, uid: str) -> set[int]:
    """The ids, on this machine, of all that runs in a pod's containers."""
    groups = (found for group in _cgroups(f"/{layout.name}") for found in group.rglob(f"pod{uid}"))
    listings = (listing for group in groups for listing in group.rglob("cgroup.procs"))
    return {int(pid) for listing in listings for pid in listing.read_text().split()}


def _remove_mount_points() -> None:
    """Removes the empty directories that all clusters mount upon, with the last cluster: the kernel lets another
    namespace's mount point be removed, and the mount goes with it."""
    with exclusively(SHARED):
        if any_cluster_lives():
            return
        for place in MOUNT_POINTS:
            with contextlib.suppress(OSError):
                place.rmdir()


def _init_of(layout: Layout) -> Process:
    for process in processes_of(layout.name):
        if process.pid_in_sandbox == 1:
            return process
    raise ClusterError(f"no cluster runs in {layout.root}: start it with python -m tests.cluster up")


def _cgroups(name: str) -> Iterator[Path]:
    """The group of that name in each mounted hierarchy: one with version 2, one per controller with version 1."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mount_point, kind, *_ = line.split()
        if kind in ("cgroup", "cgroup2"):
            yield Path(mount_point + name)


def _make_cgroup(group: Path) -> None:
    controllers = group.parent / "cgroup.controllers"
    if controllers.exists():
        # In version 2 a group has only the controllers that its parent passes on.
        for controller in controllers.read_text().split():
            with contextlib.suppress(OSError):
                (group.parent / "cgroup.subtree_control").write_text(f"+{controller}")
    group.mkdir(exist_ok=True)
    for setting in ("cpuset.cpus", "cpuset.mems"):
        inherited = group.parent / setting
        # In version 1 a group has no processors until it is given some; in version 2 the root has no such file.
        if inherited.exists():
            (group / setting).write_text(inherited.read_text())


def _remove_cgroup(group: Path) -> None:
    """A group stays busy for the moment that the kernel needs to bury its last process."""
    deadline = time.monotonic() + CGROUP_REMOVAL_SECONDS
    for directory, _, _ in os.walk(group, topdown=False):
        while True:
            try:
                Path(directory).rmdir()
                break
            except FileNotFoundError:
                break
            except OSError as busy:
                if time.monotonic() > deadline:
                    raise ClusterError(f"{directory} cannot be removed: {busy}") from busy
                time.sleep(0.02)
