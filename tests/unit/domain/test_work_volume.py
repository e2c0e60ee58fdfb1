# SPDX-License-Identifier: Apache-2.0
"""What waits on a work volume, what is free there, and for how long that lasts: told before anything has to pause."""

from __future__ import annotations

from typing import Any

import pytest

from cloud_recording.api.phrases import roughly
from cloud_recording.api.reasons import ConditionType, Reason
from cloud_recording.api.status import CloudRecordingStatus
from cloud_recording.common.volume_room import lasting_seconds
from cloud_recording.domain import conditions
from cloud_recording.domain.apply_callbacks import apply_callbacks
from cloud_recording.domain.decide import decide
from cloud_recording.domain.progress import only_progressed
from cloud_recording.domain.status_events import transitions
from cloud_recording.domain.summarize import summarized
from tests.unit.domain.builders import NOW, a_callback, a_recording, a_snapshot, context, milliseconds

RECORDING = a_recording().build()
FAILING = {"state": "Failing", "since": milliseconds(NOW), "cause": "NoSuchBucket", "message": "no such bucket"}
MEBIBYTE = 1 << 20
WAITS: dict[str, Any] = {
    "slices": {"written": 4, "pending": 4},
    "bytes": {"written": 60 * MEBIBYTE, "pending": 60 * MEBIBYTE},
    "recordedMilliseconds": 60_000,
    "pendingMilliseconds": 60_000,
}
"""A minute of media, a mebibyte each second, of which no store has anything."""


def told(*snapshots: dict[str, Any], status: CloudRecordingStatus | None = None) -> CloudRecordingStatus:
    """The status after the engine's accounts of itself."""
    begun = status or decide(RECORDING, {}, now=NOW, context=context()).status
    first = begun.parts[0].sequence + 1
    callbacks = [
        a_callback("RunnerStarted", first, runnerVersion="1", engineName="default", engineExtended=True),
        a_callback("RecordingStarted", first + 1),
        *(a_callback("Snapshot", first + 2 + n, snapshot=a_snapshot(**one)) for n, one in enumerate(snapshots)),
    ]
    return summarized(RECORDING, apply_callbacks(begun, number=0, callbacks=callbacks, received_at=NOW), now=NOW)


def storage_message(status: CloudRecordingStatus) -> str:
    found = conditions.get(status, ConditionType.STORAGE_READY)
    assert found is not None
    return found.message


@pytest.mark.parametrize(
    ("free", "written", "recorded", "lasts"),
    [
        pytest.param(600, 10, 1000, 60, id="ten bytes a second"),
        pytest.param(0, 10, 1000, 0, id="full"),
        pytest.param(None, 10, 1000, None, id="nobody said what is free"),
        pytest.param(600, 0, 0, None, id="nothing is closed yet, so the bit rate is not known"),
    ],
)
def test_how_long_what_is_free_lasts(free: int | None, written: int, recorded: int, lasts: int | None) -> None:
    assert lasting_seconds(free_bytes=free, written_bytes=written, recorded_milliseconds=recorded) == lasts


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "less than a minute"),
        (59, "less than a minute"),
        (60, "1 minute"),
        (7199, "119 minutes"),
        (7200, "2 hours"),
        (172_799, "47 hours"),
        (172_800, "2 days"),
    ],
)
def test_time_is_told_in_a_unit_that_people_count_in_and_never_as_more_than_it_is(seconds: int, words: str) -> None:
    assert roughly(seconds) == words


def test_the_status_says_what_waits_what_is_free_and_for_how_long_that_lasts() -> None:
    status = told({**WAITS, "storage": FAILING, "volumeFreeBytes": 7300 * MEBIBYTE})
    assert (status.pending_seconds, status.volume_free_bytes) == (60, 7300 * MEBIBYTE)
    assert status.volume_lasts_seconds == 7300
    assert storage_message(status).endswith(" The work volume has room for 2 hours of recording.")


def test_while_nothing_is_recorded_no_room_for_it_is_promised() -> None:
    """A recording that has stopped, or has paused as the volume is full, says nothing of how long it could go on."""
    figures = {**WAITS, "storage": FAILING}
    pause = {"reason": "WorkVolumeFull", "since": milliseconds(NOW)}
    full = told({**figures, "volumeFreeBytes": 0, "state": "Paused", "pause": pause})
    assert (full.volume_free_bytes, full.volume_lasts_seconds) == (0, 0)
    assert "room" not in storage_message(full)
    stopped = told({**figures, "state": "Uploading"})
    assert (stopped.pending_seconds, stopped.volume_free_bytes, stopped.volume_lasts_seconds) == (60, None, None)
    assert "room" not in storage_message(stopped)


def test_figures_of_the_volume_are_progress_and_no_event_follows_from_their_words() -> None:
    before = told({**WAITS, "storage": FAILING, "volumeFreeBytes": 7300 * MEBIBYTE})
    fuller = told({**WAITS, "storage": FAILING, "volumeFreeBytes": 7250 * MEBIBYTE})
    assert only_progressed(before, fuller)
    soon = told({**WAITS, "storage": FAILING, "volumeFreeBytes": 3000 * MEBIBYTE})
    assert storage_message(soon).endswith(" The work volume has room for 50 minutes of recording.")
    assert only_progressed(before, soon), "in an outage no recorder costs a pass a minute"
    other = told({**WAITS, "storage": {**FAILING, "message": "another"}, "volumeFreeBytes": 3000 * MEBIBYTE})
    assert not only_progressed(soon, other)
    scarce = told({**WAITS, "storage": FAILING, "volumeFreeBytes": 50 * MEBIBYTE})
    assert storage_message(scarce).endswith(" The work volume has room for less than a minute of recording.")
    assert transitions(before, scarce) == ()


def test_what_an_older_recorder_does_not_tell_is_not_said() -> None:
    status = told({"slices": {"written": 2, "pending": 2}, "storage": FAILING})
    assert (status.volume_free_bytes, status.volume_lasts_seconds) == (None, None)
    assert conditions.get(status, ConditionType.STORAGE_READY).reason is Reason.NO_SUCH_BUCKET  # type: ignore[union-attr]
    assert "room" not in storage_message(status)
