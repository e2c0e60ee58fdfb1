# SPDX-License-Identifier: Apache-2.0
"""How often snapshots and retries go out."""

from __future__ import annotations

import pytest

from cloud_recording.api.wire import Snapshot
from cloud_recording.runner.recorder.snapshot_pacing import ALWAYS_MOVING, SnapshotPacing
from cloud_recording.runner.supervisor.callback_delivery import BACKOFF
from cloud_recording.runner.supervisor.held_figures import FIGURES

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


NEWS = {
    *("state", "recordingId", "playlist", "startTime", "stopTime", "gapMilliseconds", "gapCount", "gaps"),
    *("participants", "participantCount", "somebodyJoined", "inChannel", "storage", "pause", "workVolumeFull"),
    *("lastError", "mp4", "playlistPending"),
}
"""What is told at once, as it changes only when something has happened."""


def test_each_field_of_a_snapshot_is_a_figure_that_may_wait_or_news() -> None:
    fields = {field.alias or name for name, field in Snapshot.model_fields.items()}
    assert fields - FIGURES == NEWS, "say of a new field which it is: by news each recording calls whenever it changes"
    assert ALWAYS_MOVING < FIGURES < fields


def test_retries_wait_longer_each_time_up_to_half_a_minute_and_never_nothing() -> None:
    longest = [BACKOFF.after(failures, spread=0.0) for failures in range(1, 21)]
    assert longest == sorted(longest)
    assert longest[-1] == 30.0
    assert all(BACKOFF.after(failures, spread=1.0) >= 0.1 for failures in range(1, 21))
