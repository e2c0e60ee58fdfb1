# SPDX-License-Identifier: Apache-2.0
"""The recordings that are measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FRAMES_PER_SECOND = 15
AUDIO_KBPS = 48
SLICE_SECONDS = 15
KEY_SECONDS = 5

MANY = 10
"""Beside so many users, starting the process weighs nothing."""


@dataclass(frozen=True)
class Case:
    """One recording of `users` participants on a canvas of width x height pixels."""

    name: str
    users: int
    width: int = 640
    height: int = 360
    bitrate_kbps: int = 500
    layout: str = "BestFit"
    max_resolution_uid: int = 0
    video: bool = True
    passthrough: bool = False
    form: str = ""
    """How the participants' pictures come (tests/bench/native/forms.py); unless named, as they are shown."""

    @property
    def lengths(self) -> int:
        """How many times as long as others it is measured: what starting the process takes is no part of a minute."""
        if not self.video:
            return 5
        return 3 if self.users < MANY else 1

    @property
    def is_composite(self) -> bool:
        return self.users > 1

    @property
    def goal(self) -> float | None:
        """The most it may cost as a share of what the ffmpeg command costs; none where pictures are converted."""
        if self.form:
            return None
        return 0.9 if self.is_composite else 1.0

    def request(self, urls: Sequence[str], directory: Path) -> dict[str, Any]:
        """What the measuring recorder (native/core/examples/record.rs) is asked for, but for how long it records."""
        return {
            "urls": urls,
            "directory": str(directory),
            "kinds": "AudioVideo" if self.video else "AudioOnly",
            "layout": self.layout,
            "maxResolutionUid": self.max_resolution_uid,
            "width": self.width,
            "height": self.height,
            "framesPerSecond": FRAMES_PER_SECOND,
            "bitrateKbps": self.bitrate_kbps,
            "passthroughSeconds": 2 * SLICE_SECONDS if self.passthrough else None,
        }


CASES = (
    Case("passthrough", 1, passthrough=True),
    Case("audio-4", 4, video=False),
    Case("audio-17", 17, video=False),
    Case("one-640x360", 1),
    Case("one-640x360-bt709", 1, form="bt709"),
    Case("one-640x360-rotated", 1, form="rotated"),
    Case("one-640x360-interlaced", 1, form="interlaced"),
    Case("one-640x360-hdr10", 1, form="hdr10"),
    Case("bestfit-4-640x360", 4),
    Case("bestfit-4-1280x720", 4, width=1280, height=720, bitrate_kbps=1500),
    Case("vertical-17-640x360", 17, layout="Vertical", max_resolution_uid=1),
    Case(
        "vertical-17-1280x720", 17, width=1280, height=720, bitrate_kbps=1500, layout="Vertical", max_resolution_uid=1
    ),
)
