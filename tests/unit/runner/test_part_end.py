# SPDX-License-Identifier: Apache-2.0
"""What a part's end is called, and what the readiness probe answers on the way there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cloud_recording.api.media import Layout
from cloud_recording.api.recording import DesiredRecordingState
from cloud_recording.api.status import Outcome
from cloud_recording.api.wire import DesiredState, MissingSecret, RecordingDocument
from cloud_recording.common.error_codes import RecordingErrorCode
from cloud_recording.runner.control_protocol import Mode
from cloud_recording.runner.supervisor.part_end import outcome_of, reopened, summarise
from cloud_recording.runner.supervisor.part_state import Ending, Facts, Moment, Process, State
from cloud_recording.runner.supervisor.readiness import readiness
from tests.unit.runner.documents import RECORDING_ID, document

CAPTURED = Facts(captured=True)


@pytest.mark.parametrize(
    ("facts", "pending", "outcome"),
    [
        pytest.param(Facts(), 0, Outcome.UPLOADED, id="stopped before it began"),
        pytest.param(replace(CAPTURED, upload=Outcome.UPLOADED), 0, Outcome.UPLOADED, id="all in the bucket"),
        pytest.param(replace(CAPTURED, upload=Outcome.BACKED_UP), 0, Outcome.BACKED_UP, id="some in the backup"),
        pytest.param(CAPTURED, 0, Outcome.INCOMPLETE, id="nothing heard of an upload"),
        pytest.param(CAPTURED, 3, Outcome.INCOMPLETE, id="slices left"),
        pytest.param(replace(CAPTURED, ending=Ending.IDLE), 3, Outcome.INCOMPLETE, id="idle with slices left"),
        pytest.param(
            replace(CAPTURED, ending=Ending.IDLE, upload=Outcome.UPLOADED), 0, Outcome.IDLE, id="idle and uploaded"
        ),
        pytest.param(
            replace(CAPTURED, ending=Ending.TERMINATED, upload=Outcome.UPLOADED), 0, Outcome.DRAINED, id="drained"
        ),
        pytest.param(replace(CAPTURED, ending=Ending.FATAL), 3, Outcome.FATAL, id="fatal outweighs slices left"),
        pytest.param(replace(CAPTURED, nothing_left=True), 0, Outcome.UPLOADED, id="ended in order without a slice"),
    ],
)
def test_the_outcome_follows_from_the_facts(facts: Facts, pending: int, outcome: Outcome) -> None:
    assert outcome_of(facts, pending=pending) is outcome


def ended(facts: Facts) -> Facts:
    """The facts with the summary that they lead to."""
    summary = summarise(facts, RecordingDocument.model_validate(document()), last_sequence=9)
    return replace(facts, summary=summary.model_dump(mode="json", by_alias=True, exclude_none=True))


def engine_account(**more: Any) -> dict[str, Any]:
    amounts = {"written": 4, "uploaded": 3, "backedUp": 0, "pending": 1}
    return {
        "state": "Uploading",
        "recordingId": RECORDING_ID,
        "slices": amounts,
        "bytes": {name: 1000 * value for name, value in amounts.items()},
        "recordedMilliseconds": 60_000,
        "gapMilliseconds": 500,
        "startTime": 10,
        "stopTime": 20,
        "somebodyJoined": True,
        **more,
    }


def test_a_summary_says_what_is_missing_and_why() -> None:
    error = {"code": RecordingErrorCode.UPLOADER_FAILED, "message": "403 from the bucket"}
    facts = replace(CAPTURED, snapshot=engine_account(lastError=error))
    summary = summarise(facts, RecordingDocument.model_validate(document()), last_sequence=9)
    assert summary.outcome is Outcome.INCOMPLETE
    assert summary.message == "1 of 4 slices could not be uploaded: 403 from the bucket"
    assert (summary.slices.pending, summary.bytes.uploaded, summary.last_sequence) == (1, 3000, 9)
    assert (summary.start_time, summary.stop_time, summary.somebody_joined) == (10, 20, True)


def test_a_summary_without_the_engines_account_tells_what_callbacks_told() -> None:
    facts = replace(CAPTURED, started_at=1, stopped_at=2, upload=Outcome.UPLOADED)
    summary = summarise(facts, RecordingDocument.model_validate(document()), last_sequence=1)
    assert (summary.start_time, summary.stop_time, summary.somebody_joined, summary.code) == (1, 2, True, None)


DESIRED = DesiredState(
    generation=1, state=DesiredRecordingState.RECORDING, layout=Layout.FLOAT, upload_grace_seconds=300
)
BUSY = State(desired=DESIRED, process=Process.BUSY, heartbeat_at=100.0, position_at=100.0)
AWAITED = (MissingSecret(secret_name="a", key="b", field="c"),)


def recording(state: str) -> State:
    return replace(BUSY, facts=replace(CAPTURED, snapshot={"state": state}))


@pytest.mark.parametrize(
    ("state", "seconds", "ready"),
    [
        pytest.param(State(desired=DESIRED), 0, False, id="no process yet"),
        pytest.param(State(desired=DESIRED, process=Process.LOADED, missing=AWAITED), 0, False, id="no secret"),
        pytest.param(BUSY, 1, True, id="an engine that tells no state, and a living process"),
        pytest.param(BUSY, 6, False, id="a silent process"),
        pytest.param(recording("Recording"), 1, True, id="media advances"),
        pytest.param(replace(recording("Recording"), heartbeat_at=106.0), 6, False, id="media stands still"),
        pytest.param(replace(recording("Connecting"), heartbeat_at=106.0), 6, True, id="connecting"),
        pytest.param(replace(recording("Paused"), heartbeat_at=106.0), 6, True, id="paused"),
        pytest.param(replace(recording("Uploading"), heartbeat_at=106.0), 6, True, id="uploading"),
        pytest.param(recording("Failed"), 1, False, id="failed"),
        pytest.param(
            replace(recording("Recording"), mode=Mode.RESCUE, heartbeat_at=106.0),
            6,
            True,
            id="a rescue records nothing",
        ),
        pytest.param(replace(recording("Failed"), mode=Mode.RESCUE), 1, True, id="it was another one that failed"),
        pytest.param(State(desired=DESIRED, concluded=True), 0, True, id="concluded"),
    ],
)
def test_ready_means_that_the_recorder_does_what_it_should(state: State, seconds: float, *, ready: bool) -> None:
    assert readiness(state, Moment(monotonic=100.0 + seconds, wall_ms=0)).ready is ready


@pytest.mark.parametrize(
    ("facts", "ending"),
    [
        pytest.param(CAPTURED, None, id="killed while it recorded: goes on"),
        pytest.param(
            replace(CAPTURED, stopped_at=20), Ending.TERMINATED, id="killed while it uploaded: goes on uploading"
        ),
        pytest.param(ended(replace(CAPTURED, stopped_at=20)), Ending.TERMINATED, id="ended with something left"),
        pytest.param(
            ended(replace(CAPTURED, ending=Ending.IDLE)), Ending.IDLE, id="left by everybody, with something left"
        ),
        pytest.param(
            ended(replace(CAPTURED, ending=Ending.FATAL, snapshot=engine_account())),
            Ending.FATAL,
            id="fatal, with slices left",
        ),
    ],
)
def test_another_try_goes_on_where_the_last_one_was(facts: Facts, ending: Ending | None) -> None:
    again = reopened(facts)
    assert (again.summary, again.ending, again.captured) == (None, ending, True)


@pytest.mark.parametrize("facts", [Facts(), ended(replace(CAPTURED, upload=Outcome.UPLOADED)), ended(Facts())])
def test_there_is_no_other_try_where_nothing_is_left(facts: Facts) -> None:
    assert reopened(facts) == facts
