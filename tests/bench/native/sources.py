# SPDX-License-Identifier: Apache-2.0
"""The participants' media: moving pictures with noise in them, as a camera's have, and a voice-like tone."""

import subprocess
from pathlib import Path

from tests.bench.native.forms import FORMS, Form

DIFFERENT = 4


def make(directory: Path, seconds: int, form: str = "") -> list[str]:
    """Writes as many different sources as there are, 640x360 H.264 and AAC, in a form of FORMS; returns their paths.

    Unless another is named, the form is baseline H.264 in MPEG-TS that needs no conversion.
    """
    directory.mkdir(parents=True, exist_ok=True)
    wanted = FORMS[form]
    name = f"source-{form}" if form else "source"
    paths = [directory / f"{name}-{index}-{seconds}s{wanted.suffix}" for index in range(DIFFERENT)]
    for index, path in enumerate(paths):
        if not path.exists():
            _make(path, index, seconds, wanted)
    return [str(path) for path in paths]


def _make(path: Path, index: int, seconds: int, form: Form) -> None:
    camera = f"testsrc2=size=640x360:rate={form.made_at},hue=h={index * 80},noise=alls=6:allf=t:all_seed={index + 1}"
    sound = f"aevalsrc='0.2*sin(2*PI*{150 + 60 * index}*t)*(0.6+0.4*sin(2*PI*3*t))+0.02*(random({index})-0.5)':s=48000"
    coded, partial = path.with_suffix(".coded.mkv"), path.with_suffix(f".partial{form.suffix}")
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", f"{camera},{form.made_by}"]
    command += ["-f", "lavfi", "-i", sound, "-t", str(seconds), *form.encoder, "-c:a", "aac", "-b:a", "64k"]
    subprocess.run([*command, str(coded)], check=True)
    copy = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", str(coded), "-c", "copy", *form.stated, str(partial)]
    subprocess.run(copy, check=True)
    coded.unlink()
    partial.rename(path)
