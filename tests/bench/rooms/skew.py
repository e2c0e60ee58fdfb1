# SPDX-License-Identifier: Apache-2.0
"""How far flash and beep, which were sent at the same moment, are apart in what was recorded."""

import subprocess
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tests.bench.rooms.media import BEEP_HZ
from tests.support import media

WIDTH, HEIGHT = 160, 90
WHITE = 225
SOUND_STEP = media.SAMPLE_RATE // 500
"""Samples: 2 ms."""

BELONGS_SECONDS = 0.5
"""A beep within this time of a flash is that flash's."""


def milliseconds(file: Path) -> list[float]:
    """For each flash, in milliseconds, how much later it is seen than its beep is heard.

    A recording's pictures are 67 ms apart, so what is shown at the nearest of them is seen up to 33 ms early or late.
    """
    beeps = _beeps(file)
    gaps = [[flash - beep for beep in beeps if abs(flash - beep) < BELONGS_SECONDS] for flash in _flashes(file)]
    return [1000 * min(gap, key=abs) for gap in gaps if gap]


def _flashes(file: Path) -> list[float]:
    packets = sorted(packet.pts for packet in media.packets(file, "video"))
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(file), "-vf", f"scale={WIDTH}:{HEIGHT}"]
    command += ["-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "gray", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    white = (np.frombuffer(raw, dtype=np.uint8).reshape(-1, WIDTH * HEIGHT) >= WHITE).mean(axis=1)
    return [packets[at] for at in _onsets(white)]


def _beeps(file: Path) -> list[float]:
    begin = media.packets(file, "audio")[0].pts
    heard = media.sound(file)[:, 0]
    tone = heard * np.exp(-2j * np.pi * BEEP_HZ / media.SAMPLE_RATE * np.arange(len(heard)))
    steps = tone[: len(tone) // SOUND_STEP * SOUND_STEP].reshape(-1, SOUND_STEP)
    return [begin + at * SOUND_STEP / media.SAMPLE_RATE for at in _onsets(np.abs(steps.mean(axis=1)))]


def _onsets(level: npt.NDArray[np.float64]) -> list[int]:
    """Where it rises above half of its range."""
    low, high = np.percentile(level, 50), np.percentile(level, 99)
    above = level > (low + high) / 2
    return [int(at) + 1 for at in np.flatnonzero(above[1:] & ~above[:-1])]
