# SPDX-License-Identifier: Apache-2.0
"""Whether a host is one of those that an administrator lists: names, suffixes, addresses and ranges of addresses."""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Annotated, Final

from pydantic import AfterValidator, Field

ANY_HOST: Final = "*"


def _checked(pattern: str) -> str:
    if "/" in pattern:
        ip_network(pattern)
    elif pattern != ANY_HOST and "*" in pattern.removeprefix("*."):
        raise ValueError(
            "must be '*', a host, '*.' and a domain, an address, or a range of addresses such as 10.0.0.0/8"
        )
    return pattern


HostPattern = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9.:/*_-]+$", min_length=1, max_length=253), AfterValidator(_checked)
]
"""`*` is any host, `*.example.com` every host below that domain, `10.0.0.0/8` every address in it.

A host that is a name is matched by names alone and an address by addresses alone, whatever the name leads to.
"""


def is_listed(host: str, patterns: Collection[str]) -> bool:
    """Whether a URL's host, without port and brackets, is one of the listed."""
    if ANY_HOST in patterns:
        return True
    address = _address(host)
    return any(_matches(host, address, pattern) for pattern in patterns)


def _matches(host: str, address: IPv4Address | IPv6Address | None, pattern: str) -> bool:
    if address is not None:
        network = _network(pattern)
        return network is not None and address in network
    name, pattern = host.rstrip(".").lower(), pattern.lower()
    return name.endswith(pattern[1:]) if pattern.startswith("*.") else name == pattern


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _network(pattern: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(pattern.strip("[]"))
    except ValueError:
        return None
