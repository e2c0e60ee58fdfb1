# SPDX-License-Identifier: Apache-2.0
"""One part from beginning to end, with an engine that has the published interface and nothing else."""

from __future__ import annotations

import signal

from cloud_recording.api.status import Outcome
from tests.contract.runner.pod import RECORDING_ID, Stage


async def test_a_recording_that_is_stopped_reports_each_step_and_ends_uploaded(stage: Stage) -> None:
    await stage.record("connecting,started")
    await stage.operator.until_told("DesiredStateApplied")
    stage.want(generation=2, state="Stopped")
    assert await stage.pod.ended() == 0
    assert [told["generation"] for told in stage.operator.of("DesiredStateApplied")] == [1, 2]
    assert stage.operator.types(without=frozenset({"DesiredStateApplied"})) == [
        "RunnerStarted",
        "RecordingConnecting",
        "RecordingStarted",
        "RecordingStopped",
        "RecordingUploaded",
        "Finished",
    ]
    summary = stage.pod.summary()
    assert summary.outcome is Outcome.UPLOADED
    assert summary.recording_id == RECORDING_ID
    assert summary.somebody_joined
    assert summary.last_sequence == stage.operator.callbacks[-1]["sequence"]


async def test_sigterm_stops_uploads_reports_and_exits_drained(stage: Stage) -> None:
    await stage.record("connecting,started|stopped,sleep=500,uploaded")
    await stage.operator.until_told("RecordingStarted")
    stage.pod.signal(signal.SIGTERM)
    assert await stage.pod.ended() == 0
    assert stage.operator.types()[-4:] == ["RunnerTerminating", "RecordingStopped", "RecordingUploaded", "Finished"]
    assert stage.pod.summary().outcome is Outcome.DRAINED
