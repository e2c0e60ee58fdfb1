# SPDX-License-Identifier: Apache-2.0
"""What time it is, and since which boot of the machine."""

from __future__ import annotations

import time
from pathlib import Path

from cloud_recording.runner.supervisor.part_state import Moment


def now() -> Moment:
    """This moment."""
    return Moment(monotonic=time.monotonic(), wall_ms=time.time_ns() // 1_000_000)


def boot_id() -> str:
    """Names the machine's boot, since which monotonic time is counted."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
