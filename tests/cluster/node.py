# SPDX-License-Identifier: Apache-2.0
"""The programs that make the sandbox a node: containerd, kubelet, kube-proxy, CoreDNS, the volume provisioner, and what
tells the kubelet that the node shuts down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.binaries import Binaries
from tests.cluster.component import Component
from tests.cluster.control_plane import ADMINISTRATORS, NODE_LEASE_SECONDS, SERVICE_DOMAIN, ControlPlane
from tests.cluster.layout import Layout, write_if_changed
from tests.cluster.network import Network
from tests.cluster.pause import PAUSE_IMAGE

NODE_NAME = "node"
DISK_FREE_PERCENT = 1
"""Of the disk; below that the kubelet evicts pods. The tests' machine may be nearly full."""
CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
CNI_PROGRAMS = "/usr/lib/cni"
PROVISIONER = "cloudrecording.dev/local-directory"

# Inside the sandbox nobody else listens, so each program has its usual port.
CONTAINERD_HEALTH_PORT = 1338
KUBELET_HEALTH_PORT = 10248
LOGIND_PORT = 10249
KUBE_PROXY_HEALTH_PORT = 10256
COREDNS_READY_PORT = 8181
PROVISIONER_HEALTH_PORT = 8282


class Node:
    """Its components' commands and configuration files; whoever has them runs them."""

    def __init__(
        self, *, layout: Layout, binaries: Binaries, network: Network, control_plane: ControlPlane, cgroup: str
    ) -> None:
        self._layout = layout
        self._binaries = binaries
        self._network = network
        self._control_plane = control_plane
        self._cgroup = cgroup
        self._address = str(network.node_address)

    def containerd(self) -> Component:
        configuration = self._write("containerd.toml", self._containerd_configuration())
        self._write("cni/10-pods.conflist", json.dumps(self._pod_network(), indent=2))
        command = (self._binaries["containerd"], f"--config={configuration}")
        return Component(command, f"http://{self._address}:{CONTAINERD_HEALTH_PORT}/v1/metrics")

    def logind(self) -> Component:
        """Where the kubelet hears of a shutdown, which `/shutdown` beside its health begins."""
        command = (str(Path(__file__).with_name("logind")), self._address, str(LOGIND_PORT))
        return Component(command, f"http://{self._address}:{LOGIND_PORT}/healthz")

    def kubelet(self) -> Component:
        configuration = self._write("kubelet.yaml", yaml.safe_dump(self._kubelet_configuration()))
        kubeconfig = self._control_plane.kubeconfig(f"system:node:{NODE_NAME}", group="system:nodes")
        command = (
            *(self._binaries["kubelet"], f"--config={configuration}", f"--kubeconfig={kubeconfig}"),
            *(f"--hostname-override={NODE_NAME}", f"--node-ip={self._address}"),
        )
        return Component(command, f"http://{self._address}:{KUBELET_HEALTH_PORT}/healthz")

    def kube_proxy(self) -> Component:
        configuration = self._write("kube-proxy.yaml", yaml.safe_dump(self._kube_proxy_configuration()))
        command = (self._binaries["kube-proxy"], f"--config={configuration}")
        return Component(command, f"http://{self._address}:{KUBE_PROXY_HEALTH_PORT}/healthz")

    def coredns(self) -> Component:
        kubeconfig = self._control_plane.kubeconfig("coredns", group=ADMINISTRATORS)
        corefile = self._write(
            "Corefile",
            f""".:53 {{
    bind {self._address}
    ready {self._address}:{COREDNS_READY_PORT}
    errors
    loadbalance
    kubernetes {SERVICE_DOMAIN} in-addr.arpa ip6.arpa {{
        kubeconfig {kubeconfig}
    }}
    nxdomain
}}
""",
        )
        command = (self._binaries["coredns"], "-conf", str(corefile))
        return Component(command, f"http://{self._address}:{COREDNS_READY_PORT}/ready")

    def volume_provisioner(self) -> Component:
        kubeconfig = self._control_plane.kubeconfig("volume-provisioner", group=ADMINISTRATORS)
        health = f"{self._address}:{PROVISIONER_HEALTH_PORT}"
        volumes = self._layout.node / "volumes"
        volumes.mkdir(exist_ok=True)
        command = (
            *(self._binaries["volume-provisioner"], f"--kubeconfig={kubeconfig}", f"--provisioner={PROVISIONER}"),
            *(f"--node={NODE_NAME}", f"--directory={volumes}", f"--health-address={health}"),
        )
        return Component(command, f"http://{health}/healthz")

    def _containerd_configuration(self) -> str:
        return f"""version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.internal.v1.opt"]

[grpc]
address = "{CONTAINERD_SOCKET}"

[metrics]
address = "{self._address}:{CONTAINERD_HEALTH_PORT}"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE_IMAGE}"
# A machine may withhold CAP_SYS_RESOURCE, without which no process may be made less killable than its parent.
restrict_oom_score_adj = true
# With the containers' state, so that it ends with the cluster.
netns_mounts_under_state_dir = true
tolerate_missing_hugetlb_controller = true

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{CNI_PROGRAMS}"
conf_dir = "{self._layout.configuration / "cni"}"
"""

    def _pod_network(self) -> dict[str, Any]:
        # Each pod has a link of its own to the node, which routes: with a bridge between the pods, answers from one
        # pod to another through a Service would bypass kube-proxy unless the kernel has br_netfilter.
        return {
            "cniVersion": "1.0.0",
            "name": "pods",
            "plugins": [
                {
                    "type": "ptp",
                    "ipam": {
                        "type": "host-local",
                        "ranges": [[{"subnet": str(self._network.pods)}]],
                        "routes": [{"dst": "0.0.0.0/0"}],
                    },
                }
            ],
        }

    def _kubelet_configuration(self) -> dict[str, Any]:
        serving = self._control_plane.serving
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": self._address,
            "healthzBindAddress": self._address,
            "healthzPort": KUBELET_HEALTH_PORT,
            "tlsCertFile": str(serving.certificate),
            "tlsPrivateKeyFile": str(serving.key),
            "authentication": {
                "anonymous": {"enabled": False},
                "x509": {"clientCAFile": str(self._control_plane.authority.pair.certificate)},
            },
            "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": self._cgroup,
            "failCgroupV1": False,
            "failSwapOn": False,
            "clusterDNS": [self._address],
            "clusterDomain": SERVICE_DOMAIN,
            "resolvConf": str(self._write("resolv.conf", "")),
            "volumePluginDir": "/var/lib/kubelet/volume-plugins",
            "evictionHard": {
                "memory.available": "64Mi",
                **dict.fromkeys(("nodefs.available", "imagefs.available"), f"{DISK_FREE_PERCENT}%"),
            },
            # Nobody can pull an image that was collected.
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
            # Longer than a recorder needs to close a slice, shorter than it waits for a bucket.
            "shutdownGracePeriod": "14s",
            # For as long the operator outlives recorders, which it would not on a node of its own.
            "shutdownGracePeriodCriticalPods": "4s",
            # Heard of twice as often as usual, so that the node controller may miss it as soon.
            "nodeLeaseDurationSeconds": NODE_LEASE_SECONDS,
            # A pod that takes more of the node's disk than it may is evicted in seconds, not after a minute.
            "volumeStatsAggPeriod": "10s",
            # A Secret that changed is in its pods within seconds, not after a minute.
            "syncFrequency": "10s",
        }

    def _kube_proxy_configuration(self) -> dict[str, Any]:
        return {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "clientConnection": {"kubeconfig": str(self._control_plane.kubeconfig("system:kube-proxy"))},
            "mode": "nftables",
            "clusterCIDR": str(self._network.pods),
            "hostnameOverride": NODE_NAME,
            "healthzBindAddress": f"{self._address}:{KUBE_PROXY_HEALTH_PORT}",
            # These limits are the whole machine's, and not a sandbox's to set.
            "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        }

    def _write(self, name: str, content: str) -> Path:
        path = self._layout.configuration / name
        write_if_changed(path, content)
        return path
