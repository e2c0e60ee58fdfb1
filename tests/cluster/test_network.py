# SPDX-License-Identifier: Apache-2.0
"""The cluster's addresses are nobody else's."""

from ipaddress import IPv4Network

import pytest

from tests.cluster import network
from tests.cluster.component import ClusterError
from tests.cluster.network import Network, free_network


def test_a_range_that_a_route_overlaps_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "_routes", list)
    first = free_network("seed")
    assert free_network("seed") == first
    monkeypatch.setattr(network, "_routes", lambda: [IPv4Network((first.services[1], 32))])
    assert not free_network("seed").range.overlaps(first.range)


def test_no_free_range_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "_routes", lambda: [IPv4Network("10.0.0.0/8")])
    with pytest.raises(ClusterError, match=r"no range of addresses 10\.\*\.0\.0/16 is free"):
        free_network("seed")


def test_the_parts_of_a_range_do_not_overlap() -> None:
    parts = Network(IPv4Network("10.7.0.0/16"))
    link = IPv4Network((parts.range.network_address, 30))
    assert parts.machine_address in link
    assert parts.node_address in link
    assert not link.overlaps(parts.pods)
    assert not link.overlaps(parts.services)
    assert not parts.pods.overlaps(parts.services)
