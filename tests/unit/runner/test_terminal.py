# SPDX-License-Identifier: Apache-2.0
"""What `cloud-recording run` says of the participants."""

from __future__ import annotations

import io
from typing import Any

import pytest

from cloud_recording.api.error_facts import error_facts
from cloud_recording.api.status import Amounts, Outcome
from cloud_recording.api.wire import Summary
from cloud_recording.common.error_codes import RecordingErrorCode
from cloud_recording.runner.local.exit_statuses import EXIT_NOTHING, EXIT_RECORDED, exit_status_of
from cloud_recording.runner.local.terminal import Terminal, comings_and_goings, sentence


def seen(*people: dict[str, Any]) -> dict[str, Any]:
    """A snapshot with these participants."""
    return {"state": "Recording", "participants": people}


ALICE = {"uid": 2, "name": "alice", "state": "Joined", "message": ""}
BOB = {"uid": 3, "name": None, "state": "Connecting", "message": ""}


@pytest.mark.parametrize(
    ("before", "after", "lines"),
    [
        ({}, seen(ALICE, BOB), ["alice (2) has joined"]),
        (seen(ALICE), seen(ALICE), []),
        (seen(ALICE), seen({**ALICE, "state": "Left", "message": "it ended"}), ["alice (2) has left: it ended"]),
        (seen(ALICE), seen({**ALICE, "message": "no picture"}), ["alice (2): no picture"]),
        (
            seen(BOB),
            seen({**BOB, "state": "Refused", "message": "the server forbids it (403)"}),
            ["participant 3 is refused, and asked for again: the server forbids it (403)"],
        ),
        (
            seen(BOB),
            seen({**BOB, "state": "Failed", "message": "no route"}),
            ["participant 3 cannot be recorded, and is asked for again: no route"],
        ),
    ],
)
def test_who_comes_and_goes_is_told_with_the_cause(
    before: dict[str, Any], after: dict[str, Any], lines: list[str]
) -> None:
    assert list(comings_and_goings(before, after)) == lines


def test_each_change_is_told_once_where_nothing_moves() -> None:
    output = io.StringIO()
    terminal = Terminal(on_callback=lambda _: None, output=output)
    for snapshot in (None, seen(ALICE), seen(ALICE), seen({**ALICE, "state": "Left"})):
        terminal.show(snapshot)
    assert [line[10:] for line in output.getvalue().splitlines()] == ["alice (2) has joined", "alice (2) has left"]


@pytest.mark.parametrize(
    ("cause", "is_tried_again"),
    [(None, True), ("AccessDenied", True), ("MP4NotMade", False), ("FileLost", False), ("FileDamaged", False)],
)
def test_what_is_not_tried_again_is_not_said_to_be(cause: str | None, *, is_tried_again: bool) -> None:
    told = {"type": "UploaderFailure", "code": 439, "message": "words", "cause": cause}
    assert str(sentence(told)).endswith("it is tried again") is is_tried_again


@pytest.mark.parametrize(
    ("state", "words"), [("Recording", "recording"), ("Paused", "recording is paused"), (None, "recording")]
)
def test_who_joins_a_recording_that_is_paused_is_not_said_to_be_recorded(state: str | None, words: str) -> None:
    told = {"type": "RecordingStarted", **({"snapshot": {"state": state}} if state else {})}
    assert sentence(told) == f"somebody is in the channel: {words}"


@pytest.mark.parametrize("code", sorted(set(RecordingErrorCode) - {RecordingErrorCode.OK}))
def test_a_rescue_that_nothing_heals_is_not_said_to_be_tried_again(code: RecordingErrorCode) -> None:
    """What the supervisor gives up is what the terminal says is given up."""
    told = {"type": "UploaderFailure", "code": int(code), "message": "words"}
    assert str(sentence(told)).endswith("it is tried again") is error_facts(code).heals


@pytest.mark.parametrize(
    ("written", "joined", "code", "words"),
    [
        (3, True, EXIT_RECORDED, "recorded: "),
        (0, False, EXIT_NOTHING, "nothing was recorded: nobody had joined"),
        (0, True, EXIT_NOTHING, "nothing was recorded: it was paused"),
    ],
)
def test_the_exit_status_tells_that_nothing_was_recorded(written: int, *, joined: bool, code: int, words: str) -> None:
    summary = Summary(
        recording_id="0" * 32,
        part=0,
        outcome=Outcome.UPLOADED,
        slices=Amounts(written=written, uploaded=written),
        somebody_joined=joined,
    )
    status, said = exit_status_of(summary)
    assert status == code
    assert said.startswith(words)
