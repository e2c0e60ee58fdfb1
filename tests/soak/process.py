# SPDX-License-Identifier: Apache-2.0
"""What a process holds of the machine, read from /proc."""

import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
# What the allocator may keep from busy moments; a leak of a kilobyte a second is 3.6 MB in an hour.
MOST_GROWTH_KB = 4096


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


def growth(samples: Sequence[Sample]) -> dict[str, int]:
    """The median of the last sixth against that of the second sixth: the first one is for warming up."""
    sixth = max(1, len(samples) // 6)
    early, late = samples[sixth : 2 * sixth] or samples[:1], samples[-sixth:]
    names = ("rss_kb", "threads", "descriptors")
    return {
        name: round(statistics.median(getattr(one, name) for one in late))
        - round(statistics.median(getattr(one, name) for one in early))
        for name in names
    }


def cpu_seconds_per_minute(samples: Sequence[Sample]) -> float:
    """From the first sample to the last."""
    first, last = samples[0], samples[-1]
    return round((last.cpu_seconds - first.cpu_seconds) * 60 / (last.seconds - first.seconds), 2)


def growth_lines(last: Sample, grown: dict[str, int]) -> list[str]:
    """A line for each thing that the process holds."""
    return [
        f"memory: {last.rss_kb / 1024:.1f} MB ({grown['rss_kb'] / 1024:+.1f})",
        f"threads: {last.threads} ({grown['threads']:+d})",
        f"descriptors: {last.descriptors} ({grown['descriptors']:+d})",
    ]
