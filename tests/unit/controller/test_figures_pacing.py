# SPDX-License-Identifier: Apache-2.0
"""Recorders are asked to slow down while there is too much, and to hurry again when there is not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from cloud_recording.controller.figures_pacing import MOST_SECONDS, FiguresPacing


@pytest.mark.parametrize(
    ("under_way_each_second", "pauses"),
    [
        pytest.param([1, 3, 8], [0, 0, 0], id="little-to-do"),
        pytest.param([64, 64, 32], [2, 4, 8], id="more-than-can-be-served"),
        pytest.param([64, 20, 20], [2, 2, 2], id="as-much-as-can-be-served"),
        pytest.param([64, 64, 1, 1], [2, 4, 3.2, 2.56], id="less-again"),
        pytest.param([64, 1, 1, 1, 1], [2, 1.6, 1.28, 1.024, 0], id="little-again"),
        pytest.param([64] * 9, [2, 4, 8, 16, 32, *[MOST_SECONDS] * 4], id="never-longer-than-that"),
    ],
)
def test_the_pause_follows_the_load(under_way_each_second: Sequence[int], pauses: Sequence[float]) -> None:
    now = 0.0
    pacing = FiguresPacing(most_under_way=64, clock=lambda: now)
    asked = []
    for under_way in under_way_each_second:
        pacing.note(under_way)
        now += 1
        pacing.note(0)
        asked.append(pacing.seconds)
    assert asked == pytest.approx(pauses)
