# SPDX-License-Identifier: Apache-2.0
"""Ports of the loopback address for servers that tests start."""

import socket
import time


def free_port() -> int:
    """Returns a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def free_udp_port() -> int:
    """Returns a port that no datagrams go to."""
    with socket.socket(type=socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


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
