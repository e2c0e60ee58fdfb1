# SPDX-License-Identifier: Apache-2.0
"""A control plane without nodes: an API server and its etcd on loopback, for tests of what the API server says.

It needs no root, and no other program than KUBEBUILDER_ASSETS offers.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from ipaddress import IPv4Network
from pathlib import Path

from tests.cluster.binaries import Binaries
from tests.cluster.component import Runner
from tests.cluster.control_plane import ADMINISTRATORS, ControlPlane, Ports
from tests.cluster.layout import Layout, alone, remove_tree
from tests.cluster.processes import end, processes_of
from tests.support.ports import free_port

# Nothing is ever reached at these, for want of nodes, but the API server must have some.
SERVICES = IPv4Network("10.0.0.0/24")
GRACE_SECONDS = 5


class Loopback:
    """The machine itself, where programs listen on loopback only."""

    address = "127.0.0.1"

    def enter(self, command: tuple[str, ...]) -> tuple[str, ...]:
        return command


class BareControlPlane:
    """The control plane in a directory, whether it runs or not."""

    def __init__(self, directory: Path) -> None:
        self.layout = Layout(directory.resolve())

    @property
    def kubeconfig(self) -> Path:
        return self.layout.kubeconfig

    def up(self, *, garbage_collector: bool = False) -> None:
        """Returns when the API server answers; starts only what does not run already."""
        with alone(self.layout):
            if not processes_of(self.layout.name):
                self._remove()
                self.layout.prepare()
                self.layout.settings.write_text(
                    json.dumps(asdict(Ports(**{port.name: free_port() for port in fields(Ports)})))
                )
            site = Loopback()
            control_plane = ControlPlane(
                layout=self.layout,
                binaries=Binaries(),
                address=site.address,
                services=SERVICES,
                node_name="none",
                ports=Ports(**json.loads(self.layout.settings.read_text())),
            )
            runner = Runner(layout=self.layout, site=site, authority=control_plane.authority.pair.certificate)
            runner.ensure((control_plane.etcd(), control_plane.api_server(with_nodes=False)))
            if garbage_collector:
                runner.ensure((control_plane.garbage_collector(),))
            control_plane.kubeconfig("administrator", group=ADMINISTRATORS, path=self.kubeconfig)

    def down(self) -> None:
        """Leaves nothing of it, in whatever state it is."""
        with alone(self.layout):
            self._remove()

    def _remove(self) -> None:
        # etcd goes without grace: the API server's own end would wait for it otherwise, and its data goes with it.
        end((process.pid for process in processes_of(self.layout.name)), grace_seconds=0)
        remove_tree(self.layout.root)
