# SPDX-License-Identifier: Apache-2.0
"""Why a participant's URL can never be fetched, as far as its text alone shows. Pure; no part of it is repeated."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit


def objection(url: str, *, protocols: Collection[str], allow_link_local: bool) -> str:
    """What is wrong with it, to follow the name of the Secret that holds it; nothing where nothing is."""
    if not url:
        return "is empty"
    if any(letter.isspace() or not letter.isprintable() for letter in url):
        return "holds no URL: there is white space or a control character in it"
    scheme, separator, _ = url.partition("://")
    if not separator or scheme.lower() not in protocols:
        return f"holds no URL that may be used: it must begin with one of {', '.join(protocols)}, and ://"
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return "holds no URL: its host cannot be read"
    if not allow_link_local and _is_link_local(host):
        return "holds a URL with a link-local address, which is not allowed"
    return ""


def _is_link_local(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_link_local
