# SPDX-License-Identifier: Apache-2.0
"""How like the composed pictures a recording is (SSIM), whichever picture of theirs it begins with."""

import re
import subprocess
from pathlib import Path

from tests.bench.native.cases import FRAMES_PER_SECOND, Case

LOOKED_AT_SECONDS = 20
MOST_OFFSET = 3
"""Two recorders may begin some pictures apart."""


def ssim(case: Case, recorded: Path, composed: Path) -> float:
    """Returns the structural similarity (1 is the same) of a recording to raw I420 pictures, at the best offset."""
    offsets = [(skip, 0) for skip in range(MOST_OFFSET + 1)] + [(0, skip) for skip in range(1, MOST_OFFSET + 1)]
    best = max(offsets, key=lambda offset: _ssim(case, recorded, composed, offset, 2))
    return _ssim(case, recorded, composed, best, LOOKED_AT_SECONDS)


def _ssim(case: Case, recorded: Path, composed: Path, offset: tuple[int, int], seconds: int) -> float:
    count = seconds * FRAMES_PER_SECOND
    trimmed = [
        f"[{index}:v]trim=start_frame={skip}:end_frame={skip + count},setpts=N/{FRAMES_PER_SECOND}/TB[{name}]"
        for index, (skip, name) in enumerate(zip(offset, "rc", strict=True))
    ]
    graph = ";".join([*trimmed, "[r][c]ssim"])
    command = ["ffmpeg", "-nostdin", "-hide_banner", "-i", str(recorded), "-f", "rawvideo", "-pix_fmt", "yuv420p"]
    command += ["-s", f"{case.width}x{case.height}", "-r", str(FRAMES_PER_SECOND), "-i", str(composed)]
    output = subprocess.run([*command, "-lavfi", graph, "-f", "null", "-"], check=True, capture_output=True, text=True)
    found = re.search(r"All:([\d.]+)", output.stderr)
    assert found is not None
    return float(found[1])
