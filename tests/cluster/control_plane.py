# SPDX-License-Identifier: Apache-2.0
"""The programs that hold and drive the cluster's state: etcd, the API server, the controllers and the scheduler."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

from tests.cluster.binaries import Binaries
from tests.cluster.certificates import Authority, KeyPair, write_kubeconfig
from tests.cluster.component import Component
from tests.cluster.layout import Layout

SERVICE_DOMAIN = "cluster.local"
ISSUER = f"https://kubernetes.default.svc.{SERVICE_DOMAIN}"
ADMINISTRATORS = "system:masters"
NODE_LEASE_SECONDS = 20
NODE_MONITOR_SECONDS = 25


@dataclass(frozen=True)
class Ports:
    """Those that the control plane listens on."""

    etcd: int = 2379
    etcd_peer: int = 2380
    etcd_health: int = 2381
    api: int = 6443
    controller_manager: int = 10257
    scheduler: int = 10259


class ControlPlane:
    """Its components' commands and credentials; whoever has them runs them."""

    def __init__(
        self, *, layout: Layout, binaries: Binaries, address: str, services: IPv4Network, node_name: str, ports: Ports
    ) -> None:
        self._layout = layout
        self._binaries = binaries
        self._address = address
        self._services = services
        self._ports = ports
        self.authority = Authority(layout.certificates)
        self.serving = self.authority.server(
            name="serving",
            hosts=("localhost", node_name, "kubernetes", "kubernetes.default", "kubernetes.default.svc", ISSUER[8:]),
            addresses={address, "127.0.0.1", str(services[1])},
        )
        self._account_key = self.authority.signing_key("service-accounts")

    @property
    def server(self) -> str:
        """The API server's URL."""
        return f"https://{self._address}:{self._ports.api}"

    @property
    def etcd_clients(self) -> str:
        """The URL at which etcd answers, where it runs."""
        return f"http://127.0.0.1:{self._ports.etcd}"

    def kubeconfig(self, user: str, *, group: str | None = None, path: Path | None = None) -> Path:
        """The file with which a user of that name, signed for by the authority, reaches the API server."""
        target = path or self._layout.configuration / f"{user.replace(':', '-')}.kubeconfig"
        client = self.authority.client(user=user, group=group)
        write_kubeconfig(target, server=self.server, authority=self.authority, client=client)
        return target

    def etcd(self) -> Component:
        clients = self.etcd_clients
        peers = f"http://127.0.0.1:{self._ports.etcd_peer}"
        health = f"http://{self._address}:{self._ports.etcd_health}"
        command = (
            *(self._binaries["etcd"], "--name=test", f"--data-dir={self._layout.etcd}"),
            *(f"--listen-client-urls={clients}", f"--advertise-client-urls={clients}"),
            *(
                f"--listen-peer-urls={peers}",
                f"--initial-advertise-peer-urls={peers}",
                f"--initial-cluster=test={peers}",
            ),
            f"--listen-metrics-urls={health}",
            # The cluster's state is not worth a disk's wait: a machine that died starts over with an empty cluster.
            "--unsafe-no-fsync",
        )
        return Component(command, f"{health}/readyz")

    def api_server(self, *, with_nodes: bool) -> Component:
        """Without nodes there are no service accounts either: no controller is there to make them."""
        kubelet_client = self.authority.client(user="kube-apiserver-kubelet-client", group=ADMINISTRATORS)
        command = (
            *(self._binaries["kube-apiserver"], f"--etcd-servers=http://127.0.0.1:{self._ports.etcd}"),
            *(f"--bind-address={self._address}", f"--advertise-address={self._address}"),
            *(f"--secure-port={self._ports.api}", f"--service-cluster-ip-range={self._services}"),
            *self._serving_flags(),
            *(f"--client-ca-file={self.authority.pair.certificate}", "--authorization-mode=Node,RBAC"),
            *(f"--service-account-issuer={ISSUER}", f"--service-account-key-file={self._account_key.certificate}"),
            f"--service-account-signing-key-file={self._account_key.key}",
            *(self._flags_for_nodes(kubelet_client) if with_nodes else self._flags_without_nodes()),
        )
        return Component(command, f"{self.server}/readyz")

    def controller_manager(self) -> Component:
        kubeconfig = self.kubeconfig("system:kube-controller-manager")
        command = (
            *(self._binaries["kube-controller-manager"], f"--kubeconfig={kubeconfig}", "--leader-elect=false"),
            *(f"--bind-address={self._address}", f"--secure-port={self._ports.controller_manager}"),
            *self._serving_flags(),
            *(f"--root-ca-file={self.authority.pair.certificate}", "--use-service-account-credentials=true"),
            f"--service-account-private-key-file={self._account_key.key}",
            # Half of the default, as the kubelet is heard of twice as often: tests wait for it.
            f"--node-monitor-grace-period={NODE_MONITOR_SECONDS}s",
        )
        return Component(command, f"https://{self._address}:{self._ports.controller_manager}/healthz")

    def garbage_collector(self) -> Component:
        """Of all controllers those that take away what nobody needs any more."""
        kubeconfig = self.kubeconfig("garbage-collector", group=ADMINISTRATORS)
        controllers = "garbage-collector-controller,persistentvolumeclaim-protection-controller"
        command = (
            *(self._binaries["kube-controller-manager"], f"--kubeconfig={kubeconfig}", "--leader-elect=false"),
            *(f"--bind-address={self._address}", f"--secure-port={self._ports.controller_manager}"),
            *(*self._serving_flags(), f"--controllers={controllers}"),
        )
        return Component(command, f"https://{self._address}:{self._ports.controller_manager}/healthz")

    def scheduler(self) -> Component:
        kubeconfig = self.kubeconfig("system:kube-scheduler")
        command = (
            *(self._binaries["kube-scheduler"], f"--kubeconfig={kubeconfig}", "--leader-elect=false"),
            *(f"--bind-address={self._address}", f"--secure-port={self._ports.scheduler}"),
            *self._serving_flags(),
        )
        return Component(command, f"https://{self._address}:{self._ports.scheduler}/healthz")

    def _serving_flags(self) -> tuple[str, ...]:
        return (f"--tls-cert-file={self.serving.certificate}", f"--tls-private-key-file={self.serving.key}")

    def _flags_for_nodes(self, kubelet_client: KeyPair) -> tuple[str, ...]:
        return (
            *("--enable-admission-plugins=NodeRestriction", "--allow-privileged=true"),
            *(
                "--kubelet-preferred-address-types=InternalIP",
                f"--kubelet-client-certificate={kubelet_client.certificate}",
            ),
            f"--kubelet-client-key={kubelet_client.key}",
            f"--kubelet-certificate-authority={self.authority.pair.certificate}",
        )

    def _flags_without_nodes(self) -> tuple[str, ...]:
        return ("--disable-admission-plugins=ServiceAccount", "--endpoint-reconciler-type=none")
