# SPDX-License-Identifier: Apache-2.0
"""What a running process has used, as the kernel accounts for it."""

from __future__ import annotations

import os
from pathlib import Path

_MEGABYTE = 1024  # /proc counts in kB


def cpu_seconds(pid: int) -> float:
    """Processor time since its start, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mb(pid: int) -> float:
    """What is in memory now."""
    return _status(pid, "VmRSS") / _MEGABYTE


def peak_mb(pid: int) -> float:
    """The most that was in memory since its start."""
    return _status(pid, "VmHWM") / _MEGABYTE


def _status(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise ProcessLookupError(pid)
