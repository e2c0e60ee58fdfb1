# SPDX-License-Identifier: Apache-2.0
"""The bit rate of a composed picture whose manifest names none."""

from __future__ import annotations

from typing import Final

from cloud_recording.api.channel import ChannelType
from cloud_recording.api.media import MAX_BITRATE_KBPS, MIN_BITRATE_KBPS, Video

FORMULA: Final = "400 x (width x height / 230400)^0.75 x (framesPerSecond / 15)^0.585 kbit/s, twice that for Live"
"""Meets the SDK's table of recommended bit rates (400 kbit/s for 640x360 at 15 frames a second) within 10 %
from 160x120 to 1280x720."""

_LIVE_FACTOR: Final = 2
_STEP_KBPS: Final = 10


def bitrate_kbps(video: Video, channel_type: ChannelType) -> int:
    """The bit rate in 1000 bits per second: the manifest's, or what the formula says, rounded to tens."""
    if video.bitrate_kbps is not None:
        return video.bitrate_kbps
    size: float = (video.width * video.height / (640 * 360)) ** 0.75
    pace: float = (video.frames_per_second / 15) ** 0.585
    factor = _LIVE_FACTOR if channel_type is ChannelType.LIVE else 1
    rounded = round(400 * size * pace * factor / _STEP_KBPS) * _STEP_KBPS
    return min(max(rounded, MIN_BITRATE_KBPS), MAX_BITRATE_KBPS)
