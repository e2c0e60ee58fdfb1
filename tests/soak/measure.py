# SPDX-License-Identifier: Apache-2.0
"""What a recording's slices say of time: whether packets follow each other, and how far flash and beep are apart."""

import itertools
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tests.soak.participants import FLASH_SECONDS, Person
from tests.support.media import SAMPLE_RATE, sound

FRAMES_PER_SECOND = 30
TICKS_PER_SECOND = 90_000
FRAME_TICKS = TICKS_PER_SECOND // FRAMES_PER_SECOND
BLOCK_TICKS = 1024 * TICKS_PER_SECOND // SAMPLE_RATE

COLOUR_CHANNEL = {"red": 0, "green": 1, "blue": 2}

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Skew:
    """Flash minus beep of one person within one slice, in milliseconds."""

    uid: int
    pairs: int
    mean_ms: float
    worst_ms: float


def breaks(slices: Sequence[Path]) -> list[str]:
    """Says where a picture or a block of sound does not begin exactly where the one before ended, over all slices."""
    found = []
    for kind, step in (("v", FRAME_TICKS), ("a", BLOCK_TICKS)):
        stamps = [(stamp, file) for file in slices for stamp in _stamps(file, kind)]
        for (before, _), (after, file) in itertools.pairwise(stamps):
            if after - before != step:
                found.append(f"{kind}: {after - before} instead of {step} ticks at {after} in {file.name}")
    return found


def skews(file: Path, people: Sequence[Person]) -> Iterator[Skew]:
    """Yields the skew of each person who flashes and beeps in this slice."""
    quarters = _quarters(file)
    heard = sound(file)[:, 0]
    picture_start, sound_start = (_stamps(file, kind)[0] / TICKS_PER_SECOND for kind in ("v", "a"))
    for person in people:
        flashes = [picture_start + at / FRAMES_PER_SECOND for at in _beginnings(_white(quarters, person))]
        beeps = [sound_start + at / SAMPLE_RATE for at in _beginnings(_loud(heard, person.tone_hz))]
        pairs = [min((flash - beep for beep in beeps), key=abs) for flash in flashes if beeps]
        # A flash at an edge has its beep in the neighbouring slice.
        pairs = [pair for pair in pairs if abs(pair) < 0.5]
        if pairs:
            worst = max(pairs, key=abs)
            yield Skew(person.uid, len(pairs), round(float(np.mean(pairs)) * 1000, 1), round(worst * 1000, 1))


def _stamps(file: Path, kind: str) -> list[int]:
    command = [
        "ffprobe",
        "-v",
        "error",
        "-select_streams",
        f"{kind}:0",
        "-show_entries",
        "packet=pts",
        "-of",
        "csv=p=0",
    ]
    answer = subprocess.run([*command, str(file)], capture_output=True, text=True, check=True).stdout
    return [int(line.rstrip(",")) for line in answer.split()]


def _quarters(file: Path) -> npt.NDArray[np.uint8]:
    """The mean colour of each quarter of each picture: frames x 4 x RGB. In YUV the quarters would share one colour."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(file), "-vf", "format=gbrp,scale=2:2:flags=area"]
    output = ["-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run([*command, *output], capture_output=True, check=True).stdout
    return np.frombuffer(raw, dtype=np.uint8).reshape(-1, 4, 3)


def _white(quarters: npt.NDArray[np.uint8], person: Person) -> Flags:
    """When the person's quarter, told by its colour, is white."""
    own = COLOUR_CHANNEL[person.colour]
    others = [channel for channel in range(3) if channel != own]
    typical = np.median(quarters, axis=0)
    quarter = int(np.argmax(typical[:, own] - typical[:, others].max(axis=1)))
    white: Flags = quarters[:, quarter, others].min(axis=1) > 128
    return white


def _loud(samples: npt.NDArray[np.float64], tone_hz: int) -> Flags:
    """When the tone is at least half as strong as it gets; tones that are multiples of 250 Hz away do not count."""
    turned = samples * np.exp(-2j * np.pi * tone_hz * np.arange(len(samples)) / SAMPLE_RATE)
    window = SAMPLE_RATE // 250
    strength = np.abs(np.convolve(turned, np.ones(window) / window, mode="same"))
    loud: Flags = strength > max(0.5 * float(np.percentile(strength, 100 * (1 - FLASH_SECONDS / 2))), 0.01)
    return loud


def _beginnings(on: Flags) -> npt.NDArray[np.intp]:
    """The indices where something begins."""
    return np.flatnonzero(on[1:] & ~on[:-1]) + 1
