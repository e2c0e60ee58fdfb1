# SPDX-License-Identifier: Apache-2.0
"""A control plane without nodes: an API server and its etcd on loopback, for tests of what the API server says.

It needs no root, and no other program than KUBEBUILDER_ASSETS offers.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, fields
from ipaddress import IPv4Network
from pathlib import Path

from tests.cluster.binaries import Binaries
from tests.cluster.component import Runner
from tests.cluster.control_plane import ADMINISTRATORS, ControlPlane, Ports
from tests.cluster.etcd_revision import go_beyond, revision_of
from tests.cluster.layout import Layout, alone, remove_tree
from tests.cluster.processes import end, frozen, processes_of
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
            self._run(garbage_collector=garbage_collector)

    def kill(self, *programs: str) -> None:
        """Ends them without a word; `go_on` starts them again."""
        end(self._pids_of(programs), grace_seconds=0)

    def frozen(self, *programs: str) -> AbstractContextManager[None]:
        """Meanwhile they answer nothing, and keep every connection."""
        return frozen(self._pids_of(programs))

    def _pids_of(self, programs: Sequence[str]) -> list[int]:
        return [process.pid for process in processes_of(self.layout.name) if process.program in programs]

    def go_on(self) -> None:
        """Returns when etcd and the API server answer, with the state that there is."""
        with alone(self.layout):
            self._run(garbage_collector=False)

    def back_up(self, directory: Path) -> None:
        """Copies etcd's state, which must not run."""
        shutil.copytree(self.layout.etcd, directory)

    def restore(self, directory: Path) -> None:
        """Puts the copy in place of etcd's state: neither it nor the API server may run, which would know better."""
        remove_tree(self.layout.etcd)
        shutil.copytree(directory, self.layout.etcd)

    def revision(self) -> int:
        """The one that etcd is at."""
        return revision_of(self._control_plane().etcd_clients)

    def go_beyond(self, revision: int) -> None:
        """Starts etcd alone, has it go past that revision, and forget how it came there."""
        with alone(self.layout):
            control_plane = self._control_plane()
            self._runner(control_plane).ensure((control_plane.etcd(),))
            go_beyond(control_plane.etcd_clients, revision)

    def kubeconfig_of(self, user: str) -> Path:
        """The file with which somebody reaches the API server who has no rights by himself."""
        return self._control_plane().kubeconfig(user)

    def _run(self, *, garbage_collector: bool) -> None:
        control_plane = self._control_plane()
        runner = self._runner(control_plane)
        runner.ensure((control_plane.etcd(), control_plane.api_server(with_nodes=False)))
        if garbage_collector:
            runner.ensure((control_plane.garbage_collector(),))
        control_plane.kubeconfig("administrator", group=ADMINISTRATORS, path=self.kubeconfig)

    def _runner(self, control_plane: ControlPlane) -> Runner:
        return Runner(layout=self.layout, site=Loopback(), authority=control_plane.authority.pair.certificate)

    def _control_plane(self) -> ControlPlane:
        return ControlPlane(
            layout=self.layout,
            binaries=Binaries(),
            address=Loopback.address,
            services=SERVICES,
            node_name="none",
            ports=Ports(**json.loads(self.layout.settings.read_text())),
        )

    def down(self) -> None:
        """Leaves nothing of it, in whatever state it is."""
        with alone(self.layout):
            self._remove()

    def _remove(self) -> None:
        # etcd goes without grace: the API server's own end would wait for it otherwise, and its data goes with it.
        end((process.pid for process in processes_of(self.layout.name)), grace_seconds=0)
        remove_tree(self.layout.root)
