# SPDX-License-Identifier: Apache-2.0
"""Brings a cluster of one node up and takes it down: the order of things, and nothing else."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Mapping
from ipaddress import IPv4Network
from pathlib import Path

from tests.cluster import sandbox
from tests.cluster.binaries import Binaries
from tests.cluster.client import Kubectl
from tests.cluster.component import ClusterError, Component, Runner
from tests.cluster.control_plane import ADMINISTRATORS, ControlPlane, Ports
from tests.cluster.images import ImageStore, read_archive
from tests.cluster.layout import DEFAULT_DIRECTORY, Layout, alone, remove_tree
from tests.cluster.network import Network, free_network
from tests.cluster.node import NODE_NAME, PROVISIONER, Node
from tests.cluster.pause import write_pause_archive
from tests.cluster.processes import end
from tests.cluster.progress import report
from tests.cluster.sandbox import Sandbox

NODE_DEADLINE_SECONDS = 120
SHUTDOWN_DEADLINE_SECONDS = 60

STORAGE_CLASS = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {
        "name": "local-directory",
        "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
    },
    "provisioner": PROVISIONER,
    "reclaimPolicy": "Delete",
    "volumeBindingMode": "Immediate",
}


class Cluster:
    """The cluster in a directory, whether it runs or not."""

    def __init__(self, directory: Path = DEFAULT_DIRECTORY) -> None:
        self.layout = Layout(directory.resolve())

    @property
    def kubeconfig(self) -> Path:
        return self.layout.kubeconfig

    @property
    def is_running(self) -> bool:
        """Whether the sandbox is there; `readiness` tells of the programs in it."""
        return self.layout.settings.exists() and sandbox.is_running(self.layout)

    def up(self) -> None:
        """Returns when pods can run. What runs already stays; what an earlier death left behind goes first."""
        _require_root()
        with alone(self.layout):
            if not self.is_running:
                self._remove()
                self._make_sandbox()
            parts = _Parts(self.layout)
            parts.runner.ensure(parts.foundation)
            parts.control_plane.kubeconfig("administrator", group=ADMINISTRATORS, path=self.kubeconfig)
            self._load_pause_image(parts.images)
            parts.runner.ensure(parts.upon_it)
            self._await_node()

    def down(self) -> None:
        """Leaves nothing of the cluster, in whatever state it is."""
        _require_root()
        with alone(self.layout):
            self._remove()

    def load_image(self, archive: Path) -> None:
        """Returns when pods can use the archive's images; pods must not ask for a pull."""
        with alone(self.layout):
            self._running().images.load(read_archive(archive.resolve()))

    def stop(self, component: str, *, grace_seconds: float = 0) -> None:
        """Ends one program, for tests of what happens without it; `start` and `up` bring it back."""
        parts = self._running()
        parts.runner.stop(parts.component(component), grace_seconds=grace_seconds)

    def shut_down(self) -> None:
        """Shuts the node down in order, but for the end: returns when the kubelet has ended the pods, and would let the
        machine go. A kubelet that starts again is that of a machine that did."""
        parts = self._running()
        request = urllib.request.Request(parts.logind.health.replace("/healthz", "/shutdown"), method="POST")  # noqa: S310 -- our own URL
        with urllib.request.urlopen(request, timeout=SHUTDOWN_DEADLINE_SECONDS):  # noqa: S310
            return

    def kill_pod(self, uid: str) -> None:
        """Ends all that runs in a pod at once, with no word to its kubelet, as a machine that loses its power does."""
        self._running()
        end(sandbox.processes_of_pod(self.layout, uid), grace_seconds=0)

    def start(self, component: str) -> None:
        parts = self._running()
        parts.runner.ensure([parts.component(component)])

    def readiness(self) -> Mapping[str, bool]:
        """Which of the cluster's programs are ready; none are named while there is no cluster."""
        if not self.is_running:
            return {}
        parts = _Parts(self.layout)
        return {component.name: parts.runner.is_ready(component) for component in parts.components}

    def _running(self) -> _Parts:
        if not self.is_running:
            raise ClusterError(f"no cluster runs in {self.layout.root}: start it with python -m tests.cluster up")
        return _Parts(self.layout)

    def _remove(self) -> None:
        sandbox.remove(self.layout)
        remove_tree(self.layout.root)

    def _make_sandbox(self) -> None:
        self.layout.prepare()
        network = free_network(self.layout.name)
        Sandbox(layout=self.layout, network=network).start()
        # Written last: without it, what the steps before it made is taken for a leftover, and removed.
        self.layout.settings.write_text(json.dumps({"network": str(network.range)}))
        report(f"the cluster has the addresses {network.range}")

    def _load_pause_image(self, images: ImageStore) -> None:
        archive = self.layout.configuration / "pause.tar"
        write_pause_archive(program=Path(Binaries()["pause"]), archive=archive)
        images.load(read_archive(archive))

    def _await_node(self) -> None:
        kubectl = Kubectl(self.kubeconfig)
        kubectl.apply(STORAGE_CLASS)
        deadline = f"--timeout={NODE_DEADLINE_SECONDS}s"
        kubectl("wait", "--for=create", f"node/{NODE_NAME}", deadline)
        kubectl("wait", "--for=condition=Ready", f"node/{NODE_NAME}", deadline)
        kubectl("wait", "--for=create", "serviceaccount/default", "--namespace=default", deadline)


class _Parts:
    """A running cluster's parts, as its settings lay them out."""

    def __init__(self, layout: Layout) -> None:
        network = Network(IPv4Network(json.loads(layout.settings.read_text())["network"]))
        binaries = Binaries()
        site = Sandbox(layout=layout, network=network)
        self.control_plane = control_plane = ControlPlane(
            layout=layout,
            binaries=binaries,
            address=site.address,
            services=network.services,
            node_name=NODE_NAME,
            ports=Ports(),
        )
        node = Node(layout=layout, binaries=binaries, network=network, control_plane=control_plane, cgroup=site.cgroup)
        self.runner = Runner(layout=layout, site=site, authority=control_plane.authority.pair.certificate)
        self.images = ImageStore(site)
        self.logind = node.logind()
        self.foundation = (
            *(control_plane.etcd(), control_plane.api_server(with_nodes=True)),
            *(node.containerd(), self.logind),
        )
        self.upon_it = (
            *(control_plane.controller_manager(), control_plane.scheduler()),
            *(node.kubelet(), node.kube_proxy(), node.coredns(), node.volume_provisioner()),
        )

    @property
    def components(self) -> tuple[Component, ...]:
        return self.foundation + self.upon_it

    def component(self, name: str) -> Component:
        for component in self.components:
            if component.name == name:
                return component
        names = ", ".join(component.name for component in self.components)
        raise ClusterError(f"the cluster has no component {name}: its components are {names}")


def _require_root() -> None:
    if os.geteuid() != 0:
        raise ClusterError("a cluster needs root, for its namespaces: run as root, or use yours with CLUSTER=current")
