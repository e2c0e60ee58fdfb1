# SPDX-License-Identifier: Apache-2.0
"""The cluster's addresses, and the link over which the machine reaches them.

The range has a route on this machine only while the cluster lives, and the cluster has no way out.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from tests.cluster.component import ClusterError

UPLINK = "uplink"


@dataclass(frozen=True)
class Network:
    """One range of addresses, and its parts."""

    range: IPv4Network

    @property
    def machine_address(self) -> IPv4Address:
        return self.range[1]

    @property
    def node_address(self) -> IPv4Address:
        return self.range[2]

    @property
    def pods(self) -> IPv4Network:
        return IPv4Network((self.range[1 << 14], 18))

    @property
    def services(self) -> IPv4Network:
        return IPv4Network((self.range[2 << 14], 18))

    def link(self, *, interface: str, namespace_of: int) -> None:
        """Connects the machine with the network namespace of that process; the link ends with the namespace.

        A namespace ends some time after its processes: a link of one that is gone is taken away.
        """
        subprocess.run(["ip", "link", "delete", interface], capture_output=True, check=False)
        _ip(f"link add {interface} type veth peer name {UPLINK} netns {namespace_of}")
        _ip(f"address add {self.machine_address}/30 dev {interface}")
        _ip(f"link set {interface} up")
        inside = ("nsenter", "--target", str(namespace_of), "--net", "--")
        _ip(f"address add {self.node_address}/30 dev {UPLINK}", inside)
        _ip(f"link set {UPLINK} up", inside)
        # A program of the node itself reaches a Service only if a route leads somewhere before kube-proxy rewrites it.
        _ip(f"route add {self.services} dev {UPLINK}", inside)
        _ip(f"route add {self.range} via {self.node_address}")


def free_network(seed: str) -> Network:
    """A range that no route of this machine knows; the same one for the same seed, as long as it is free."""
    taken = _routes()
    first = hashlib.sha256(seed.encode()).digest()[0]
    for offset in range(256):
        candidate = IPv4Network(f"10.{(first + offset) % 256}.0.0/16")
        if not any(candidate.overlaps(route) for route in taken):
            return Network(candidate)
    raise ClusterError("no range of addresses 10.*.0.0/16 is free for the cluster: routes to all of them exist")


def _routes() -> list[IPv4Network]:
    routes = json.loads(_ip("-json -4 route show table all"))
    return [IPv4Network(route["dst"]) for route in routes if route["dst"] != "default"]


def _ip(arguments: str, inside: tuple[str, ...] = ()) -> str:
    result = subprocess.run([*inside, "ip", *arguments.split()], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise ClusterError(f"ip {arguments}: {result.stderr.strip()}")
    return result.stdout
