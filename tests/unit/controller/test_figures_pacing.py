# SPDX-License-Identifier: Apache-2.0
"""Recorders are asked to slow down while there is too much, and to hurry again when there is not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from cloud_recording.controller.figures_pacing import MOST_SECONDS, FiguresPacing
from tests.bench.operator.simulation import Machines, Simulation


@pytest.mark.parametrize(
    ("under_way_each_second", "pauses"),
    [
        pytest.param([1, 3, 8], [0, 0, 0], id="little-to-do"),
        pytest.param([64, 64, 32], [2, 4, 8], id="more-than-can-be-served"),
        pytest.param([64, 20, 20], [2, 2, 2], id="as-much-as-can-be-served"),
        pytest.param([64, 64, 1, 1], [2, 4, 3.8, 3.61], id="less-again"),
        pytest.param([64, *[1] * 14], [2 * 0.95**n for n in range(14)] + [0], id="little-again"),
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


def test_recorders_that_were_asked_together_do_not_come_back_together() -> None:
    now = 0.0
    pacing = FiguresPacing(most_under_way=64, clock=lambda: now)
    for _ in range(9):
        pacing.note(64)
        now += 1
        pacing.note(0)
    assert pacing.pause(spread=0) == MOST_SECONDS
    assert pacing.pause(spread=1) == MOST_SECONDS / 2


def test_one_replica_serves_five_thousand_recorders_and_two_serve_ten() -> None:
    """Simulated with measured costs: what is too much at first settles, and nobody is waited for in vain."""
    for recordings, replicas in ((5000, 1), (10_000, 2)):
        row = Simulation(recordings, Machines(replicas=replicas, shards=replicas, api_processors=8)).run()
        assert (row["not_heard_share"], row["shed_rate"]) == (0, 0), row
        assert row["wait_p95_s"] < 0.25, row
