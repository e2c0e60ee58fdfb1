# SPDX-License-Identifier: Apache-2.0
"""Makes one picture out of a recording: moments evenly spread over it, side by side."""

import subprocess
from pathlib import Path

NAME = "contact-sheet.png"
COLUMNS = 3
ROWS = 2


def make(mp4: Path, *, seconds: float, sheet: Path) -> None:
    """Writes a PNG of COLUMNS x ROWS moments of the MP4, which is so long."""
    step = seconds / (COLUMNS * ROWS)
    # The middle of each of the equal parts, so that neither the first nor the last frame is all there is to see.
    moments = f"select='gte(t,(selected_n+0.5)*{step})'"
    picture = f"{moments},scale=240:-2,tile={COLUMNS}x{ROWS}:padding=8:margin=8:color=gray"
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-y", "-i", str(mp4)]
    subprocess.run([*command, "-vf", picture, "-frames:v", "1", str(sheet)], check=True)
