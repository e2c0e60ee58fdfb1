# SPDX-License-Identifier: Apache-2.0
"""Makes one picture out of a recording: moments evenly spread over it, side by side."""

import subprocess
from pathlib import Path

COLUMNS = 3
ROWS = 2


def make(playlist: Path, *, seconds: float, sheet: Path) -> None:
    """Writes a PNG of COLUMNS x ROWS moments of the recording that the local playlist names."""
    moments = COLUMNS * ROWS
    # The middle of each of the equal parts, so that neither the first nor the last frame is all there is to see.
    tile = f"tile={COLUMNS}x{ROWS}:padding=8:margin=8:color=gray"
    picture = f"fps={moments / seconds}:start_time=0:round=down,scale=240:-2,{tile}"
    command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-y", "-allowed_extensions", "ALL", "-i", str(playlist)]
    subprocess.run([*command, "-vf", picture, "-frames:v", "1", str(sheet)], check=True)
