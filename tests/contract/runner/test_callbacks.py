# SPDX-License-Identifier: Apache-2.0
"""G4: callbacks reach the operator in order, each once after de-duplication, whichever process dies."""

from __future__ import annotations

import asyncio
import signal

import pytest
from aiohttp import web

from cloud_recording.api.status import Outcome
from cloud_recording.runner.outbox import Outbox, Writer
from tests.contract.runner.callback_server import Authority
from tests.contract.runner.pod import POD_UID, Stage

WHOLE_STORY = [
    "RecordingConnecting",
    "RecordingStarted",
    "RecordingUploadingProgress",
    "RecorderFailure",
    "RecordingStopped",
    "RecordingUploaded",
    "Finished",
]
STORY_SCRIPT = "connecting,started,progress=10,sleep=200,failure=431"
INCIDENTAL = frozenset({"Snapshot", "RunnerStarted", "DesiredStateApplied", "RecorderExited", "SecretsComplete"})


async def test_an_operator_that_was_away_hears_everything_in_order(stage: Stage) -> None:
    stage.operator.answer_instead = lambda: web.Response(status=503)
    await stage.record(STORY_SCRIPT)
    await stage.operator.until(lambda: stage.operator.requests >= 3)
    stage.want(generation=2, state="Stopped")
    stage.operator.answer_instead = lambda: None
    assert await stage.pod.ended() == 0
    assert stage.operator.types(without=INCIDENTAL) == WHOLE_STORY


async def test_answers_that_get_lost_make_no_callback_count_twice(stage: Stage) -> None:
    stage.operator.lose_answers = True
    await stage.record(STORY_SCRIPT)
    await stage.operator.until_told("RecorderFailure")
    stage.want(generation=2, state="Stopped")
    await stage.operator.until_told("Finished")
    stage.operator.lose_answers = False
    assert await stage.pod.ended() == 0
    assert stage.operator.types(without=INCIDENTAL) == WHOLE_STORY


async def test_requests_carry_the_pod_and_the_token_of_the_moment(stage: Stage) -> None:
    stage.operator.token = "the-next-token"
    await stage.record("connecting,started")
    await stage.operator.until(lambda: stage.operator.requests >= 2)
    assert stage.operator.callbacks == []
    stage.pod.token.write_text("the-next-token")
    await stage.operator.until_told("RecordingStarted")
    assert all(f'"podUID": "{POD_UID}"' in body for body in stage.operator.bodies)


async def test_a_rotated_certificate_authority_heals_by_itself(stage: Stage) -> None:
    await stage.record("connecting,started")
    await stage.operator.until_told("RecordingStarted")
    await stage.operator.stop()
    following = Authority("the next one")
    await stage.operator.start(following.server_context(stage.pod.pod.parent))
    stage.want(generation=2, state="Stopped")
    await stage.pod.logged("callbacks could not be delivered")
    stage.pod.mount("callback-ca.pem", following.pem)
    assert await stage.pod.ended() == 0
    assert stage.operator.types(without=INCIDENTAL)[-1] == "Finished"


async def test_a_pod_that_owns_no_part_goes_on_recording_and_asks_rarely(stage: Stage) -> None:
    stage.operator.answer_instead = lambda: web.Response(status=410)
    await stage.record("connecting,started")
    await stage.operator.until(lambda: stage.operator.requests == 1)
    stage.want(generation=2, state="Stopped")
    assert await stage.pod.ended() == 0
    assert stage.pod.summary().outcome is Outcome.UPLOADED
    assert stage.operator.requests == 1


async def test_a_callback_that_decides_waits_for_an_operator_that_can_read_it(stage: Stage) -> None:
    answers = iter([web.json_response({"invalid": 2, "message": "no such thing"}, status=400)] * 3)
    stage.operator.answer_instead = lambda: next(answers, None)
    await stage.record(STORY_SCRIPT)
    await stage.operator.until_told("RecorderFailure")
    assert 2 in [told["sequence"] for told in stage.operator.callbacks]
    assert stage.operator.requests > 3


@pytest.mark.parametrize("milliseconds", [0, 150, 400, 800, 1300])
async def test_the_supervisors_death_loses_no_callback_and_repeats_none(stage: Stage, milliseconds: int) -> None:
    await stage.record("connecting,started,progress=10,failure=431")
    await asyncio.sleep(milliseconds / 1000)
    stage.pod.signal(signal.SIGKILL)
    await stage.pod.ended()
    before = stage.operator.types(without=INCIDENTAL)
    await stage.pod.start()
    await stage.operator.until_told("RecorderFailure", times=before.count("RecorderFailure") + 1)
    stage.want(generation=2, state="Stopped")
    assert await stage.pod.ended() == 0
    told = stage.operator.types(without=INCIDENTAL)
    assert told[-3:] == ["RecordingStopped", "RecordingUploaded", "Finished"]
    # Two lives of the engine at most, each in its own order.
    life = WHOLE_STORY[:4]
    lives = [name for name in told if name in life]
    assert lives[-4:] == life
    assert lives[:-4] == [name for name in life if name in lives[:-4]]


@pytest.mark.parametrize("ending", ["stopped", "uploaded"])
async def test_a_death_right_after_an_ending_was_stored_tells_it_once(stage: Stage, ending: str) -> None:
    """The operator is away, so that the endings are in the outbox alone when the supervisor dies."""
    await stage.record("connecting,started|stopped,sleep=300,uploaded,hang-release")
    await stage.operator.until_told("DesiredStateApplied")
    stage.operator.answer_instead = lambda: web.Response(status=503)
    stage.want(generation=2, state="Stopped")
    stored = "RecordingStopped" if ending == "stopped" else "RecordingUploaded"
    await _until_stored(stage, stored)
    stage.pod.signal(signal.SIGKILL)
    await stage.pod.ended()
    await stage.pod.start()
    stage.operator.answer_instead = lambda: None
    assert await stage.pod.ended() == 0
    assert len(stage.operator.of("RecordingStopped")) == 1
    assert len(stage.operator.of("RecordingUploaded")) == (ending == "uploaded")
    expected = Outcome.UPLOADED if ending == "uploaded" else Outcome.INCOMPLETE
    assert stage.pod.summary().outcome is expected


async def _until_stored(stage: Stage, kind: str) -> None:
    outbox = Outbox(stage.pod.work / "outbox.sqlite3", writer=Writer.SUPERVISOR)
    try:
        async with asyncio.timeout(60):
            while not any(stored.type == kind for stored in outbox.pending(limit=1000)):  # noqa: ASYNC110 - a file
                await asyncio.sleep(0.01)
    finally:
        outbox.close()


async def test_a_concluded_part_that_is_started_again_only_delivers(stage: Stage) -> None:
    await stage.record("connecting,started")
    await stage.operator.until_told("DesiredStateApplied")
    stage.operator.answer_instead = lambda: web.Response(status=503)
    stage.want(generation=2, state="Stopped")
    await _until_stored(stage, "Finished")
    stage.pod.signal(signal.SIGKILL)
    await stage.pod.ended()
    stage.operator.answer_instead = lambda: None
    stage.pod.termination_message.unlink(missing_ok=True)
    await stage.pod.start()
    assert await stage.pod.ended() == 0
    assert stage.operator.types(without=INCIDENTAL).count("Finished") == 1
    assert stage.operator.types(without=INCIDENTAL).count("RecordingConnecting") == 1
    assert stage.pod.summary().outcome is Outcome.UPLOADED


async def test_a_storm_from_many_threads_drops_no_ending_and_does_not_stop_the_engine(stage: Stage) -> None:
    await stage.record("connecting,started,storm=16x5000|stopped,storm=8x2000,uploaded")
    await stage.operator.until_told("RecordingUploadingProgress")
    stage.want(generation=2, state="Stopped")
    assert await stage.pod.ended() == 0
    told = stage.operator.types(without=INCIDENTAL | {"RecorderFailure", "RecordingUploadingProgress"})
    assert told == ["RecordingConnecting", "RecordingStarted", "RecordingStopped", "RecordingUploaded", "Finished"]
    lines = [record["message"] for record in stage.pod.records()]
    assert lines.count("callback: RecorderFailure") <= 60 * 2, "bounded per minute, and this is at most two"
    assert lines.count("callback: RecordingUploaded") == 1
