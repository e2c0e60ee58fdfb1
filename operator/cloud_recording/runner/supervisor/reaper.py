# SPDX-License-Identifier: Apache-2.0
"""The duty of a container's first process: to collect children it inherited, and never those it started itself."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

_INIT = 1


def adopt_orphans(own_child: Callable[[], int | None]) -> None:
    """Collects inherited children as they end, when this is process 1; elsewhere another process has that duty.

    Looking (WNOWAIT) comes before collecting, because asyncio waits for the recorder process itself.
    """
    if os.getpid() == _INIT:
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, _collect, own_child)


def _collect(own_child: Callable[[], int | None]) -> None:
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if ended is None or ended.si_pid == own_child():
            return
        os.waitpid(ended.si_pid, os.WNOHANG)
