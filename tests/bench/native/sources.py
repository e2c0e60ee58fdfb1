# SPDX-License-Identifier: Apache-2.0
"""The participants' media: moving pictures with noise in them, as a camera's have, and a voice-like tone."""

import subprocess
from pathlib import Path

from tests.bench.native.cases import FRAMES_PER_SECOND

DIFFERENT = 4


def make(directory: Path, seconds: int) -> list[str]:
    """Writes as many different sources as there are, 640x360 H.264 baseline and AAC in MPEG-TS; returns their paths."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = [directory / f"source-{index}-{seconds}s.ts" for index in range(DIFFERENT)]
    for index, path in enumerate(paths):
        if not path.exists():
            _make(path, index, seconds)
    return [str(path) for path in paths]


def _make(path: Path, index: int, seconds: int) -> None:
    pictures = (
        f"testsrc2=size=640x360:rate={FRAMES_PER_SECOND},hue=h={index * 80},noise=alls=6:allf=t:all_seed={index + 1}"
    )
    sound = f"aevalsrc='0.2*sin(2*PI*{150 + 60 * index}*t)*(0.6+0.4*sin(2*PI*3*t))+0.02*(random({index})-0.5)':s=48000"
    partial = path.with_suffix(".partial")
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", pictures, "-f", "lavfi", "-i", sound]
    command += ["-t", str(seconds), "-c:v", "libx264", "-profile:v", "baseline", "-preset", "medium", "-b:v", "600k"]
    command += ["-g", "30", "-c:a", "aac", "-b:a", "64k", "-f", "mpegts", str(partial)]
    subprocess.run(command, check=True)
    partial.rename(path)
