# SPDX-License-Identifier: Apache-2.0
"""Participants whose clocks run fast, slow and true: each flashes white and beeps on every full second."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.ports import free_udp_port
from tests.support.processes import running
from tests.support.rtmp import RtmpServer

FLASH_SECONDS = 0.2


@dataclass(frozen=True)
class Person:
    """One who is in the channel for the whole time; `drift_ppm` is how much faster than ours the clock runs."""

    uid: int
    protocol: str
    colour: str
    tone_hz: int
    drift_ppm: int


PEOPLE = (
    Person(1, "srt", "red", 1000, drift_ppm=100),
    Person(2, "rtmp", "green", 2000, drift_ppm=-100),
    Person(3, "udp", "blue", 3000, drift_ppm=0),
)


@contextlib.contextmanager
def present(person: Person, rtmp: RtmpServer, log: Path) -> Iterator[str]:
    """The person sends for the time of the block; the URL to record."""
    port = free_udp_port()
    if person.protocol == "srt":
        url, target = f"srt://127.0.0.1:{port}", ["-f", "mpegts", f"srt://127.0.0.1:{port}?mode=listener"]
    elif person.protocol == "udp":
        url, target = f"udp://127.0.0.1:{port}", ["-f", "mpegts", f"udp://127.0.0.1:{port}?pkt_size=1316"]
    else:
        url = rtmp.url(f"soak-{person.uid}")
        target = ["-f", "flv", url]
    with running(_command(person, target), log=log):
        yield url


def _command(person: Person, target: list[str]) -> list[str]:
    # Pictures and sound come from one input, so that one pace holds for both: the source's clock.
    lit = f"lt(mod(t,1),{FLASH_SECONDS})"
    picture = f"color=c={person.colour}:size=160x90:rate=25,drawbox=t=fill:c=white:enable='{lit}'"
    sound = f"aevalsrc='0.4*sin(2*PI*{person.tone_hz}*t)*{lit}':sample_rate=48000"
    return [
        *("ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "warning"),
        *("-readrate", f"{1 + person.drift_ppm / 1e6:.6f}", "-f", "lavfi", "-i", f"{picture}[out0];{sound}[out1]"),
        *("-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p", "-g", "25"),
        *("-c:a", "aac", "-b:a", "64k", *target),
    ]
