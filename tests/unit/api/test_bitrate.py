# SPDX-License-Identifier: Apache-2.0
"""A manifest that names no bit rate gets what the SDK's table recommends for its picture."""

import pytest

from cloud_recording.api.bitrate import FORMULA, bitrate_kbps
from cloud_recording.api.channel import ChannelType
from cloud_recording.api.media import Video

RECOMMENDED = [
    (160, 120, 15, 65),
    (320, 180, 15, 140),
    (180, 180, 15, 100),
    (240, 180, 15, 120),
    (320, 240, 15, 200),
    (424, 240, 15, 220),
    (640, 360, 15, 400),
    (640, 360, 30, 600),
    (360, 360, 15, 260),
    (360, 360, 30, 400),
    (480, 360, 15, 320),
    (480, 360, 30, 490),
    (640, 480, 10, 400),
    (640, 480, 15, 500),
    (640, 480, 30, 750),
    (480, 480, 15, 400),
    (480, 480, 30, 600),
    (848, 480, 15, 610),
    (848, 480, 30, 930),
    (960, 720, 15, 910),
    (960, 720, 30, 1380),
    (1280, 720, 15, 1130),
    (1280, 720, 30, 1710),
]


@pytest.mark.parametrize(("width", "height", "pace", "recommended"), RECOMMENDED)
def test_a_bit_rate_left_out_is_the_tables(width: int, height: int, pace: int, recommended: int) -> None:
    """Promise: within 10 % of the SDK's recommendation for Communication, twice that for Live."""
    video = Video(width=width, height=height, frames_per_second=pace)
    kbps = bitrate_kbps(video, ChannelType.COMMUNICATION)
    assert kbps == pytest.approx(recommended, rel=0.1)
    assert bitrate_kbps(video, ChannelType.LIVE) == pytest.approx(2 * kbps, abs=10)


def test_a_bit_rate_that_is_named_is_kept() -> None:
    assert bitrate_kbps(Video(bitrate_kbps=777), ChannelType.LIVE) == 777


def test_every_picture_gets_a_bit_rate_that_could_have_been_named() -> None:
    for width, height, pace in ((16, 16, 1), (1920, 1080, 60)):
        kbps = bitrate_kbps(Video(width=width, height=height, frames_per_second=pace), ChannelType.LIVE)
        assert Video(bitrate_kbps=kbps).bitrate_kbps == kbps


def test_the_reference_states_the_formula() -> None:
    described = Video.model_fields["bitrate_kbps"].description or ""
    assert FORMULA.split(" kbit/s")[0] in described
