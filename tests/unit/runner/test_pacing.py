# SPDX-License-Identifier: Apache-2.0
"""How often snapshots and retries go out."""

from __future__ import annotations

import pytest

from cloud_recording.runner.recorder.snapshot_pacing import SnapshotPacing
from cloud_recording.runner.supervisor.callback_delivery import BACKOFF

FIRST = {"state": "Recording", "slices": {"written": 1}, "positionMilliseconds": 1}


@pytest.mark.parametrize(
    ("snapshot", "seconds", "due"),
    [
        pytest.param(FIRST, 5.0, False, id="nothing changed"),
        pytest.param({**FIRST, "positionMilliseconds": 2, "recordedMilliseconds": 9}, 5.0, False, id="time went on"),
        pytest.param({**FIRST, "slices": {"written": 2}}, 5.0, True, id="a slice more"),
        pytest.param({**FIRST, "slices": {"written": 2}}, 0.9, False, id="a slice more, but within the second"),
        pytest.param(FIRST, 30.0, True, id="nothing for half a minute"),
    ],
)
def test_a_snapshot_goes_out_when_it_is_news(snapshot: dict[str, object], seconds: float, *, due: bool) -> None:
    pacing = SnapshotPacing()
    assert pacing.is_due(FIRST, now=100.0)
    pacing.sent(FIRST, now=100.0)
    assert pacing.is_due(snapshot, now=100.0 + seconds) is due


def test_retries_wait_longer_each_time_up_to_half_a_minute_and_never_nothing() -> None:
    longest = [BACKOFF.after(failures, spread=0.0) for failures in range(1, 21)]
    assert longest == sorted(longest)
    assert longest[-1] == 30.0
    assert all(BACKOFF.after(failures, spread=1.0) >= 0.1 for failures in range(1, 21))
