# SPDX-License-Identifier: Apache-2.0
"""A film whose pictures can be told apart after they were copied: each one's number is found by what it holds."""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

PICTURES_PER_SECOND = 10
SECONDS = 120
PICTURE_TICKS = 90_000 // PICTURES_PER_SECOND

_PACKET = 188
_PAT = 0
_VIDEO_START = re.compile(rb"\x00\x00\x01[\xe0-\xef]")
_NAL_START = re.compile(rb"\x00\x00\x01")
_SLICE, _KEY_SLICE = 1, 5


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as a transport stream has it; `pts` counts ticks of 90 kHz."""

    digest: str
    pts: int


@dataclass(frozen=True)
class Film:
    """A transport stream that is sent picture by picture."""

    content: bytes

    @cached_property
    def pieces(self) -> list[bytes]:
        """One for each picture, with the sound beside it; PAT and PMT come before each."""
        starts = [at for at in range(0, len(self.content), _PACKET) if _pid(self.content, at) == _PAT]
        return [self.content[start:stop] for start, stop in zip(starts, [*starts[1:], len(self.content)], strict=True)]

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The number of each picture, by its digest."""
        found = {picture.digest: number for number, picture in enumerate(pictures(self.content))}
        if len(found) != len(self.pieces):
            raise ValueError(f"{len(found)} pictures of {len(self.pieces)} can be told apart")
        return found


def make_film(file: Path) -> Film:
    """The film, made where the file does not exist."""
    if not file.exists():
        partial = file.with_suffix(".partial")
        picture = f"testsrc2=size=160x120:rate={PICTURES_PER_SECOND}"
        sound = "anoisesrc=r=44100:amplitude=0.3:seed=1"
        video = [
            "-pix_fmt",
            "yuv420p",
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-tune",
            "zerolatency",
            "-threads",
            "1",
        ]
        groups = ["-g", str(PICTURES_PER_SECOND), "-sc_threshold", "0", "-b:v", "60k"]
        audio = ["-c:a", "aac", "-ac", "1", "-b:a", "32k"]
        container = ["-mpegts_flags", "+pat_pmt_at_frames", "-muxdelay", "0", "-f", "mpegts"]
        command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound]
        command += ["-t", str(SECONDS), *video, *groups, *audio, *container, str(partial)]
        subprocess.run(command, check=True)
        partial.rename(file)
    return Film(file.read_bytes())


def pictures(content: bytes) -> Iterator[Picture]:
    """The pictures of a transport stream, in the order in which they come."""
    for packet in _video_packets(content):
        coded = b"".join(unit for unit in _units(packet) if unit[0] & 0x1F in {_SLICE, _KEY_SLICE})
        yield Picture(digest=hashlib.sha256(coded).hexdigest(), pts=_pts(packet))


def _video_packets(content: bytes) -> Iterator[bytes]:
    """What is between one beginning of a PES packet of video and the next, from the PES header on."""
    video, parts = None, list[bytes]()
    for at in range(0, len(content) - _PACKET + 1, _PACKET):
        payload = _payload(content, at)
        begins = bool(content[at + 1] & 0x40)
        if begins and video is None and _VIDEO_START.match(payload):
            video = _pid(content, at)
        if _pid(content, at) != video:
            continue
        if begins and parts:
            yield b"".join(parts)
            parts = []
        parts.append(payload)
    if parts:
        yield b"".join(parts)


def _pid(content: bytes, at: int) -> int:
    return (content[at + 1] & 0x1F) << 8 | content[at + 2]


def _payload(content: bytes, at: int) -> bytes:
    adapted, has_payload = content[at + 3] & 0x20, content[at + 3] & 0x10
    begin = at + 4 + (1 + content[at + 4] if adapted else 0)
    return content[begin : at + _PACKET] if has_payload else b""


def _pts(packet: bytes) -> int:
    a, b, c, d, e = packet[9:14]
    return (a >> 1 & 0x07) << 30 | b << 22 | c >> 1 << 15 | d << 7 | e >> 1


def _units(packet: bytes) -> list[bytes]:
    """The NAL units, without what pads them."""
    stream = packet[9 + packet[8] :]
    starts = [found.end() for found in _NAL_START.finditer(stream)]
    stops = [start - 3 for start in starts[1:]] + [len(stream)]
    units = (stream[start:stop].rstrip(b"\x00") for start, stop in zip(starts, stops, strict=True))
    return [unit for unit in units if unit]
