# SPDX-License-Identifier: Apache-2.0
"""What a process holds of the machine, read from /proc."""

import os
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Sample:
    """At `seconds` since the start of the recording."""

    seconds: float
    rss_kb: int
    threads: int
    descriptors: int
    cpu_seconds: float


def sample(pid: int, seconds: float) -> Sample:
    """Returns what the process holds now."""
    directory = Path(f"/proc/{pid}")
    status = dict(line.split(":", 1) for line in (directory / "status").read_text().splitlines())
    # Behind the program's name, which may hold spaces, the fields are fixed.
    times = (directory / "stat").read_text().rpartition(")")[2].split()
    return Sample(
        seconds=round(seconds, 1),
        rss_kb=int(status["VmRSS"].split()[0]),
        threads=int(status["Threads"]),
        descriptors=len(list((directory / "fd").iterdir())),
        cpu_seconds=(int(times[11]) + int(times[12])) / TICKS,
    )
