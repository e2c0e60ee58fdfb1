# SPDX-License-Identifier: Apache-2.0
"""What a process costs, as the kernel accounts for it when the process has ended."""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from tests.cluster.layout import REPOSITORY

WORK = REPOSITORY / "build" / "bench"
"""Where measurements keep their files and leave their results."""


@dataclass(frozen=True)
class Cost:
    """Processor time in seconds (user and system), the most memory that was resident in MB, and what it printed."""

    cpu_seconds: float
    rss_mb: float
    output: str


def run(command: Sequence[str], *, text: str = "") -> Cost:
    """Runs a command with `text` as its standard input; raises where it fails."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(text)
    process.stdin.close()
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise subprocess.CalledProcessError(process.returncode, command)
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, output)
