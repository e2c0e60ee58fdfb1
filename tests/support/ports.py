# SPDX-License-Identifier: Apache-2.0
"""Ports of the loopback address for servers that tests start."""

import random
import socket
import time
from typing import Final

_PORTS: Final = range(10_000, 30_000)
"""Below those that the kernel gives to outgoing connections, which would take one before its server listens, and below
the node ports of Kubernetes."""
_handed_out: Final[set[int]] = set()


def free_port() -> int:
    """Returns a port that nobody listens on, and that this process was not given before."""
    return _free(socket.SOCK_STREAM)


def free_udp_port() -> int:
    """Returns a port that no datagrams go to, and that this process was not given before."""
    return _free(socket.SOCK_DGRAM)


def _free(kind: socket.SocketKind) -> int:
    for port in random.sample(_PORTS, len(_PORTS)):
        if port in _handed_out:
            continue
        with socket.socket(type=kind) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _handed_out.add(port)
        return port
    raise OSError(f"no port of {_PORTS} is free")


def await_listener(port: int, *, seconds: float = 60) -> None:
    """Returns once somebody listens on the port; raises `TimeoutError` where nobody does."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise TimeoutError(f"nobody listens on 127.0.0.1:{port}") from None
            time.sleep(0.05)
        else:
            return
