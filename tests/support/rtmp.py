# SPDX-License-Identifier: Apache-2.0
"""A real RTMP server on this machine: nginx with its RTMP module."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.ports import await_listener, free_port
from tests.support.processes import running

CONFIGURATION = """
daemon off;
master_process off;
error_log {directory}/error.log;
pid {directory}/nginx.pid;
load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
events {{}}
rtmp {{
    server {{
        listen 127.0.0.1:{port};
        application live {{ live on; }}
        application locked {{ live on; deny play all; }}
    }}
}}
"""


@dataclass(frozen=True)
class RtmpServer:
    port: int

    def url(self, name: str, *, application: str = "live") -> str:
        """Returns where the stream is published and played; `locked` refuses whoever plays."""
        return f"rtmp://127.0.0.1:{self.port}/{application}/{name}"


@contextlib.contextmanager
def rtmp_server(directory: Path, *, port: int | None = None) -> Iterator[RtmpServer]:
    """A running server for the time of the block, on a free port or on that of one that has ended."""
    directory.mkdir(parents=True, exist_ok=True)
    server = RtmpServer(port or free_port())
    configuration = directory / "nginx.conf"
    configuration.write_text(CONFIGURATION.format(directory=directory, port=server.port))
    with running(["nginx", "-p", str(directory), "-c", str(configuration)], log=directory / "nginx.log"):
        await_listener(server.port)
        yield server
