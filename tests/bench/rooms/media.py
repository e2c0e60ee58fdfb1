# SPDX-License-Identifier: Apache-2.0
"""What people in the measured rooms show and say, made once: a camera's picture in H.264, and a voice-like tone.

The first of them flashes white and beeps at the same moment, for the skew between picture and sound.
"""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.bench.native.forms import X264

RATE = 14.955
"""Pictures per second: nearly 15, so that they do not keep in step with the recorder's own, and a flash is caught early
as well as late."""

PICTURES = 300
KEY_PICTURES = 30
"""From one key picture to the next."""

FLASH_AT = 15
"""So many pictures after each key picture; it lasts for two of them."""

BEEP_HZ = 3000
SAMPLE_RATE = 48_000
DIFFERENT = 4


@dataclass(frozen=True)
class Person:
    """Files of coded pictures (H.264, Annex B, with delimiters) and of samples (16 bits, mono), equally long."""

    pictures: Path
    samples: Path


def make(directory: Path, *, width: int, height: int, kbps: int) -> list[Person]:
    """Writes what is not there yet; returns who flashes, and others."""
    directory.mkdir(parents=True, exist_ok=True)
    people = []
    for index in range(DIFFERENT + 1):
        name = f"person-{index}-{width}x{height}-{kbps}"
        person = Person(directory / f"{name}.h264", directory / f"{name}.s16")
        if not person.samples.exists():
            _make(person, index, width, height, kbps)
        people.append(person)
    return people


def _make(person: Person, index: int, width: int, height: int, kbps: int) -> None:
    camera = f"testsrc2=size={width}x{height}:rate={RATE},hue=h={index * 80},noise=alls=6:allf=t:all_seed={index + 1}"
    voice = f"0.2*sin(2*PI*{150 + 60 * index}*t)*(0.6+0.4*sin(2*PI*3*t))+0.02*(random({index})-0.5)"
    if index == 0:
        flash = "+".join(f"eq(mod(n,{KEY_PICTURES}),{FLASH_AT + late})" for late in range(2))
        camera += f",drawbox=color=white:thickness=fill:enable='{flash}'"
        beep = f"between(mod(t,{KEY_PICTURES / RATE}),{FLASH_AT / RATE},{(FLASH_AT + 2) / RATE})"
        voice += f"+0.5*{beep}*sin(2*PI*{BEEP_HZ}*t)"
    rate = [*X264[:-4], "-b:v", f"{kbps}k", "-g", str(KEY_PICTURES), "-keyint_min", str(KEY_PICTURES)]
    coded = [*rate, "-sc_threshold", "0", "-profile:v", "baseline", "-x264opts", "aud=1:sliced-threads=0:slices=1"]
    _ffmpeg("-i", camera, "-frames:v", str(PICTURES), "-pix_fmt", "yuv420p", *coded, "-f", "h264", person.pictures)
    sound = f"aevalsrc='{voice}':s={SAMPLE_RATE}"
    _ffmpeg("-i", sound, "-t", str(PICTURES / RATE), "-f", "s16le", "-ac", "1", person.samples)


def _ffmpeg(*arguments: str | Path) -> None:
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-f", "lavfi", *map(str, arguments)]
    subprocess.run(command, check=True)
