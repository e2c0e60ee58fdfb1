# SPDX-License-Identifier: Apache-2.0
"""The supervisor's decisions: what follows from which event, in which state, when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_recording.api.channel import Stream
from cloud_recording.api.media import Layout
from cloud_recording.api.recording import DesiredRecordingState
from cloud_recording.api.status import Outcome
from cloud_recording.api.storage import Storage
from cloud_recording.api.wire import DesiredState, MissingSecret, RecordingDocument, Summary
from cloud_recording.common.callback_names import CallbackName
from cloud_recording.common.error_codes import RecordingErrorCode
from cloud_recording.runner.control_protocol import Command, Mode
from cloud_recording.runner.supervisor import apply_event, state_machine
from cloud_recording.runner.supervisor.part_actions import Action, Begin, Conclude, EmitCallback, Kill, Send, Spawn
from cloud_recording.runner.supervisor.part_end import is_stopping, outcome_of, summarise
from cloud_recording.runner.supervisor.part_events import (
    CallbackStored,
    DesiredSeen,
    Event,
    ProcessAnswered,
    ProcessEnded,
    ProcessExited,
    ProcessHeartbeat,
    ProcessLoaded,
    SecretsSeen,
    Terminate,
    Tick,
)
from cloud_recording.runner.supervisor.part_state import Awaited, Facts, Moment, State
from cloud_recording.runner.supervisor.part_store import resumed
from tests.unit.runner.documents import RECORDING_ID, document

MISSING = (MissingSecret(secret_name="bucket", key="secretKey", field="spec.storage.credentials.secretRef"),)
SIGKILLED = ProcessExited(status=-9)
LEFT_IN_ORDER = ProcessExited(status=0)


def desired(state: str = "Recording", *, generation: int = 1, **more: Any) -> DesiredState:
    return DesiredState(
        generation=generation,
        state=DesiredRecordingState(state),
        layout=more.pop("layout", Layout.FLOAT),
        upload_grace_seconds=more.pop("grace", 300),
        **more,
    )


def told(kind: str, **payload: Any) -> CallbackStored:
    return CallbackStored(sequence=1, type=kind, time_ms=1_700_000_000_000, payload=payload)


def snapshot(
    state: str = "Recording", *, position: int = 0, written: int = 0, pending: int = 0, sends: bool = True
) -> ProcessHeartbeat:
    slices = {"written": written, "uploaded": written - pending, "backedUp": 0, "pending": pending}
    document: dict[str, Any] = {
        "state": state,
        "recordingId": RECORDING_ID,
        "playlist": "p.m3u8",
        "slices": slices,
        "positionMilliseconds": position,
    }
    document["participants"] = [{"uid": 1, "state": "Joined", "audio": sends, "video": sends}]
    return ProcessHeartbeat(snapshot=document)


class Story:
    """A part to which things happen, one after another."""

    def __init__(
        self, *, wanted: DesiredState | None = None, facts: Facts | None = None, extended: bool = True
    ) -> None:
        self.now = 100.0
        self.state = State(desired=wanted or desired(), facts=facts or Facts())
        self.extended = extended
        self.actions: list[Action] = []

    def then(self, *events: Event, after: float = 0.0) -> Story:
        """Events that follow `after` seconds later; only what they lead to counts from here on."""
        self.now += after
        self.actions = []
        for event in events:
            self.state, ordered = state_machine.react(
                self.state, event, Moment(monotonic=self.now, wall_ms=int(self.now * 1000))
            )
            self.actions += ordered
        return self

    def loaded(self, *, missing: tuple[MissingSecret, ...] = ()) -> Story:
        """The recorder process has its engine, and the secrets were looked at."""
        return self.then(Tick(), SecretsSeen(missing=missing), ProcessLoaded(extended=self.extended))

    def recording(self) -> Story:
        """Somebody is in the channel and media is written."""
        return self.loaded().then(
            ProcessAnswered(answer=Command.BEGIN),
            told("RecordingConnecting"),
            told("RecordingStarted"),
            snapshot(position=1000, written=1),
        )

    def orders(self) -> list[Action]:
        """What was ordered, without what was told."""
        return [action for action in self.actions if not isinstance(action, EmitCallback)]

    def tells(self) -> list[str]:
        """The types of what was told."""
        return [action.type for action in self.actions if isinstance(action, EmitCallback)]

    @property
    def outcome(self) -> Outcome:
        slices = (self.state.facts.snapshot or {}).get("slices", {})
        return outcome_of(self.state.facts, pending=slices.get("pending", 0))


def test_a_process_is_started_first_and_given_its_job_when_secrets_are_complete() -> None:
    story = Story()
    assert story.then(Tick()).orders() == [Spawn()]
    assert story.then(ProcessLoaded(extended=True)).tells() == ["RunnerStarted"]
    assert story.then(SecretsSeen(missing=MISSING)).tells() == ["WaitingForSecret"]
    assert story.then(Tick(), Tick()).actions == []
    story.then(SecretsSeen(missing=()))
    assert story.tells() == ["SecretsComplete"]
    assert story.orders() == [Begin(mode=Mode.RECORD, desired=story.state.desired)]


def test_the_generation_is_acknowledged_when_recording_has_begun_not_before() -> None:
    story = Story().loaded()
    assert story.then(Tick()).tells() == []
    assert story.then(ProcessAnswered(answer=Command.BEGIN)).tells() == ["DesiredStateApplied"]
    assert story.then(Tick()).tells() == []


def test_edits_become_commands_and_are_acknowledged_when_all_are_answered() -> None:
    story = Story().recording()
    edited = desired("Paused", generation=2, layout=Layout.VERTICAL, max_resolution_uid=7)
    assert story.then(DesiredSeen(desired=edited)).orders() == [
        Send(command=Command.LAYOUT, arguments={"layout": 2, "maxResolutionUid": 7}),
        Send(command=Command.PAUSE, arguments={"paused": True}),
    ]
    assert story.then(ProcessAnswered(answer=Command.LAYOUT)).tells() == []
    assert story.then(ProcessAnswered(answer=Command.PAUSE)).tells() == ["DesiredStateApplied"]


def test_somebody_large_is_told_by_identity_and_then_by_uid_again() -> None:
    story = Story().recording()
    by_identity = desired(generation=2, layout=Layout.VERTICAL, max_resolution_identity="alice")
    assert story.then(DesiredSeen(desired=by_identity)).orders() == [
        Send(command=Command.LAYOUT, arguments={"layout": 2, "maxResolutionIdentity": "alice"})
    ]
    story.then(ProcessAnswered(answer=Command.LAYOUT))
    assert story.then(DesiredSeen(desired=desired(generation=3, layout=Layout.VERTICAL))).orders() == [
        Send(command=Command.LAYOUT, arguments={"layout": 2, "maxResolutionUid": 0})
    ]


def test_a_refused_edit_names_the_field_and_is_not_asked_for_again() -> None:
    story = Story(extended=False).recording().then(DesiredSeen(desired=desired("Paused", generation=2)))
    story.then(ProcessAnswered(answer=Command.PAUSE, refusal="only the published interface"))
    assert story.actions[0] == EmitCallback(
        type=CallbackName.EDIT_REFUSED,
        payload={"field": "spec.desiredState", "message": "only the published interface"},
    )
    assert story.tells() == ["EditRefused", "DesiredStateApplied"]
    assert story.then(Tick()).actions == []


@pytest.mark.parametrize(
    ("edit", "fields"),
    [
        pytest.param({"max_resolution_uid": 9}, ["maxResolutionUid"], id="uid"),
        pytest.param({"max_resolution_identity": "bob"}, ["maxResolutionIdentity"], id="identity"),
        pytest.param({"layout": Layout.BEST_FIT}, ["layout"], id="layout"),
        pytest.param({"layout": Layout.VERTICAL, "max_resolution_uid": 9}, ["maxResolutionUid", "layout"], id="both"),
    ],
)
def test_a_refused_arrangement_names_what_was_edited_of_it(edit: dict[str, Any], fields: list[str]) -> None:
    """Three fields are one command, and each refusal named `layout`."""
    story = Story().recording().then(DesiredSeen(desired=desired(generation=2, **edit)))
    story.then(ProcessAnswered(answer=Command.LAYOUT, refusal="a stream is passed through"))
    told = [action for action in story.actions if isinstance(action, EmitCallback)]
    refused = [action.payload["field"] for action in told if action.type is CallbackName.EDIT_REFUSED]
    assert refused == [f"spec.recording.video.{field}" for field in fields]


def test_an_edit_in_a_field_that_only_a_newer_release_has_is_refused_when_it_is_made_and_not_again() -> None:
    """It was acknowledged, as if it were followed."""
    story = Story().recording()
    edited = desired(generation=2)
    assert story.then(DesiredSeen(desired=edited, unknown={"novelty": 1})).tells() == [
        "EditRefused",
        "DesiredStateApplied",
    ]
    (refused, _) = story.actions
    assert isinstance(refused, EmitCallback)
    assert refused.payload["field"] == "novelty"
    later = DesiredSeen(desired=desired(generation=3), unknown={"novelty": 1})
    assert story.then(later).tells() == ["DesiredStateApplied"]
    again = DesiredSeen(desired=desired(generation=4), unknown={"novelty": 2})
    assert story.then(again).tells() == ["EditRefused", "DesiredStateApplied"]


def test_an_operator_that_was_upgraded_has_edited_nothing() -> None:
    """Its documents have fields of its own for the same generation of the spec."""
    story = Story().recording()
    assert story.then(DesiredSeen(desired=desired(), unknown={"novelty": 1})).tells() == []


def test_a_desired_stop_stops_once_and_concludes_when_the_upload_is_over() -> None:
    story = Story().recording()
    assert story.then(DesiredSeen(desired=desired("Stopped", generation=2))).orders() == [Send(command=Command.STOP)]
    assert story.then(Tick(), DesiredSeen(desired=desired("Recording", generation=3))).actions == []
    assert story.then(told("RecordingStopped")).tells() == ["DesiredStateApplied"]
    story.then(
        told("RecordingUploaded", fileName="p.m3u8"), ProcessAnswered(answer="release"), ProcessEnded(drained=True)
    )
    assert story.then(LEFT_IN_ORDER).orders() == [Conclude()]
    assert story.outcome is Outcome.UPLOADED


def test_a_desired_stop_may_upload_for_as_long_as_the_bucket_needs() -> None:
    story = Story().recording().then(DesiredSeen(desired=desired("Stopped", generation=2)), told("RecordingStopped"))
    for _ in range(100):
        assert story.then(snapshot("Uploading", pending=1, written=1), after=100.0).orders() == []


def test_a_termination_limits_the_upload_by_the_grace_time() -> None:
    story = Story(wanted=desired(grace=30)).recording()
    assert story.then(Terminate()).orders() == [Send(command=Command.STOP)]
    story.then(told("RecordingStopped"), snapshot("Uploading", written=2, pending=1))
    assert story.then(snapshot("Uploading", written=2, pending=1), after=29.0).orders() == []
    assert story.then(snapshot("Uploading", written=2, pending=1), after=2.0).orders() == [
        Send(command=Command.GIVE_UP)
    ]
    assert isinstance(story.then(Tick(), after=state_machine.GIVE_UP_SECONDS + 1).orders()[0], Kill)
    assert story.then(SIGKILLED).orders() == [Conclude()]
    assert story.outcome is Outcome.INCOMPLETE


def test_a_termination_whose_upload_ends_in_time_is_drained() -> None:
    story = Story().recording().then(Terminate(), told("RecordingStopped"), told("RecordingUploaded", fileName="p"))
    assert story.then(ProcessEnded(drained=True), LEFT_IN_ORDER).orders() == [Conclude()]
    assert story.outcome is Outcome.DRAINED


def test_a_termination_is_told_before_capture_is_over_and_once() -> None:
    """Promise: the operator need not wait for the upload to know that another part is to begin."""
    story = Story().recording()
    assert story.then(Terminate()).tells() == ["RunnerTerminating"]
    assert story.then(Terminate(), told("RecordingStopped"), Tick()).tells() == []
    again = Story(facts=Facts.from_json(story.state.facts.as_json())).loaded().then(Terminate())
    assert again.tells() == []


@pytest.mark.parametrize(
    "ended",
    [
        DesiredSeen(desired=desired("Stopped", generation=2)),
        told("RecorderFailure", code=RecordingErrorCode.NO_USERS, message="nobody"),
        told("RecordingFatalError", code=437, message="broken"),
    ],
)
def test_a_termination_of_a_part_that_ends_anyway_is_no_reason_why(ended: Event) -> None:
    assert "RunnerTerminating" not in Story().recording().then(ended).then(Terminate()).tells()


def test_an_idle_end_is_no_failure_and_stops_nothing_that_ended_by_itself() -> None:
    story = Story().recording()
    assert story.then(told("RecorderFailure", code=RecordingErrorCode.NO_USERS, message="nobody")).orders() == []
    story.then(told("RecordingStopped"))
    story.then(told("RecordingUploaded", fileName="p"), ProcessEnded(drained=True), LEFT_IN_ORDER)
    assert story.orders() == [Conclude()]
    assert story.outcome is Outcome.IDLE


def test_an_engine_that_is_thrown_out_of_its_channel_has_ended_and_is_not_begun_again() -> None:
    story = Story().recording()
    account = {"state": "Uploading", "lastError": {"code": 431, "message": "the recording ends: removed"}}
    story.then(replace(told("RecordingStopped"), snapshot=account))
    assert (story.orders(), is_stopping(story.state)) == ([], True)
    story.then(told("RecordingUploaded", fileName="p"), ProcessEnded(drained=True), LEFT_IN_ORDER)
    assert story.orders() == [Conclude()]
    assert (story.outcome, story.state.facts.message) == (Outcome.UPLOADED, "the recording ends: removed")


def test_an_error_of_the_bucket_is_not_taken_for_who_had_the_recorder_leave() -> None:
    account = {"state": "Uploading", "lastError": {"code": RecordingErrorCode.UPLOADER_FAILED, "message": "denied"}}
    story = Story().recording().then(replace(told("RecordingStopped"), snapshot=account))
    assert (is_stopping(story.state), story.state.facts.message) == (True, "")


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        pytest.param(439, {"cause": "AccessDenied", "fact": "bucket denies access"}, id="the bucket"),
        pytest.param(440, {}, id="the backup store"),
        pytest.param(442, {}, id="the work directory"),
    ],
)
def test_a_rescue_that_is_refused_says_why(code: int, cause: dict[str, str]) -> None:
    """Promise: `status.lastError` names the very cause of each failure; without the word it had the code's remedy."""
    story = Story(wanted=desired("Stopped"), facts=Facts(captured=True, started_at=1, stopped_at=2)).loaded()
    account = {"state": "Failing", "since": 3, "cause": "AccessDenied", "message": "bucket denies access"}
    story.then(ProcessHeartbeat(snapshot={"state": "Uploading", "storage": account}))
    story.then(ProcessAnswered(answer="rescue", refusal="/work/id: bucket denies access; allow it", code=code))
    (told_of,) = [action for action in story.actions if isinstance(action, EmitCallback)]
    expected = {"code": code, "message": "/work/id: bucket denies access; allow it", **cause}
    assert (told_of.type, told_of.payload) == (CallbackName.UPLOADER_FAILURE, expected)


def test_a_rescue_that_was_refused_first_is_no_reason_why_the_part_ended() -> None:
    story = Story(wanted=desired(max_duration_seconds=5)).recording().then(Tick(), after=5.0)
    assert Send(command=Command.STOP) in story.actions
    story.then(SIGKILLED).then(ProcessLoaded(extended=True))
    refusal = ProcessAnswered(answer="rescue", refusal="denied", code=RecordingErrorCode.UPLOADER_FAILED)
    story.then(refusal, ProcessEnded(drained=False), LEFT_IN_ORDER)
    assert "denied" in (summary_of(story).message or "")
    story.then(Tick(), after=apply_event.RESCUE_RETRY_SECONDS).then(ProcessLoaded(extended=True))
    story.then(ProcessAnswered(answer="rescue"), ProcessEnded(drained=False), LEFT_IN_ORDER)
    assert story.orders() == [Conclude()]
    assert (summary_of(story).outcome, summary_of(story).message) == (Outcome.UPLOADED, None)


def summary_of(story: Story) -> Summary:
    return summarise(story.state.facts, RecordingDocument.model_validate(document()), last_sequence=9)


def test_other_recorder_failures_only_inform() -> None:
    story = Story().recording().then(told("RecorderFailure", code=RecordingErrorCode.DISCONNECTED, message=""))
    assert story.actions == []
    assert not is_stopping(story.state)


def test_a_fatal_error_concludes_when_the_process_has_ended_in_order() -> None:
    story = Story().recording().then(told("RecordingFatalError", code=437, message="broken"))
    assert story.orders() == []
    story.then(ProcessAnswered(answer="release"), ProcessEnded(drained=True))
    assert story.then(LEFT_IN_ORDER).orders() == [Conclude()]
    assert (story.outcome, story.state.facts.code) == (Outcome.FATAL, 437)


def test_an_error_after_the_stop_is_followed_by_a_rescue_and_is_no_end_of_capture() -> None:
    stop = DesiredSeen(desired=desired("Stopped", generation=2))
    story = Story().recording().then(stop, told("RecordingStopped"), snapshot("Failed", written=2, pending=1))
    story.then(told("RecordingFatalError", code=439, message="the bucket takes nothing"))
    story.then(ProcessAnswered(answer="release"), ProcessEnded(drained=True))
    assert story.then(LEFT_IN_ORDER).orders() == [Spawn()]
    story.then(ProcessLoaded(extended=True))
    assert story.orders() == [Begin(mode=Mode.RESCUE, desired=story.state.desired)]
    story.then(ProcessAnswered(answer="rescue"))
    assert story.outcome is Outcome.UPLOADED


REFUSED = told("RecordingRefused", code=RecordingErrorCode.CONNECT_ERROR, message="participant 1: forbidden")


def refused(story: Story) -> Story:
    """The engine came to the channel, was refused by everybody, and its process has ended."""
    story.then(ProcessAnswered(answer=Command.BEGIN), told("RecordingConnecting"), REFUSED, snapshot("Failed"))
    return story.then(ProcessAnswered(answer="release"), ProcessEnded(drained=True), LEFT_IN_ORDER)


def test_a_channel_that_refuses_everybody_is_asked_again_by_the_same_part_after_growing_pauses() -> None:
    story = Story().loaded()
    began: list[float] = []
    while len(began) < 8:
        refused(story)
        assert story.orders() == []
        since = story.now
        while not story.orders():
            story.then(Tick(), after=1.0)
        began.append(story.now - since)
        assert story.orders() == [Spawn()]
        again = story.then(ProcessLoaded(extended=True)).orders()
        assert again == [Begin(mode=Mode.RECORD, desired=story.state.desired, anew=True)]
    assert began == [5, 10, 20, 40, 80, 160, 300, 300]
    story.then(ProcessAnswered(answer=Command.BEGIN), told("RecordingStarted"))
    assert (story.state.refused, story.state.facts.refusals, story.state.facts.message) == (False, 0, "")


def test_a_refused_channel_is_asked_again_at_once_when_a_secret_was_mounted_anew() -> None:
    story = refused(Story().loaded())
    assert story.then(SecretsSeen(missing=()), after=1.0).orders() == [Spawn()]


def test_a_stop_while_everybody_refuses_ends_with_that_error() -> None:
    story = refused(Story().loaded())
    assert story.then(DesiredSeen(desired=desired("Stopped", generation=2))).orders() == [Conclude()]
    facts = story.state.facts
    assert (story.outcome, facts.code, facts.message) == (Outcome.FATAL, 430, "participant 1: forbidden")


def test_a_pod_that_is_drained_while_everybody_refuses_leaves_the_recording_to_another() -> None:
    story = refused(Story().loaded())
    assert story.then(Terminate()).orders() == [Conclude()]
    assert story.outcome is Outcome.DRAINED
    assert summary_of(story).code is None


def test_a_pod_that_is_drained_while_it_waits_for_a_secret_leaves_the_recording_to_another() -> None:
    story = Story().loaded(missing=MISSING).then(Terminate())
    story.then(ProcessEnded(drained=False), LEFT_IN_ORDER)
    assert (summary_of(story).outcome, summary_of(story).code) == (Outcome.DRAINED, None)


def test_a_refusal_is_an_end_where_a_person_looks_on() -> None:
    story = Story()
    story.state = replace(story.state, patient=False)
    assert refused(story.loaded()).orders() == [Conclude()]
    assert (story.outcome, story.state.facts.code) == (Outcome.FATAL, 430)


def test_nothing_recorded_because_it_was_stopped_before_is_no_failure() -> None:
    story = Story().loaded().then(DesiredSeen(desired=desired("Stopped", generation=2)))
    story.then(told("RecordingFatalError", code=RecordingErrorCode.NO_RECORDED_DATA, message=""))
    assert story.then(ProcessEnded(drained=True), LEFT_IN_ORDER).orders() == [Conclude()]
    assert story.outcome is Outcome.UPLOADED


def test_a_stop_before_anything_began_ends_the_idle_process_and_concludes() -> None:
    story = Story().loaded(missing=MISSING)
    assert story.then(DesiredSeen(desired=desired("Stopped", generation=2))).orders() == [Send(command=Command.GIVE_UP)]
    assert story.then(ProcessEnded(drained=False), LEFT_IN_ORDER).orders() == [Conclude()]


def test_a_crash_is_told_and_followed_by_a_new_process_at_once() -> None:
    story = Story().recording().then(SIGKILLED)
    exited = story.actions[0]
    assert isinstance(exited, EmitCallback)
    assert (exited.type, exited.payload["signal"], exited.payload["restarts"]) == ("RecorderExited", 9, 1)
    assert story.orders() == [Spawn()]
    assert story.then(ProcessLoaded(extended=True)).orders() == [Begin(mode=Mode.RECORD, desired=story.state.desired)]


def test_restarts_are_never_later_than_two_seconds_and_end_after_the_budget() -> None:
    story = Story().loaded()
    for _ in range(apply_event.RESTARTS_IN_A_ROW):
        story.then(ProcessExited(status=-11))
        assert "RecorderExited" in story.tells()
        waited = 0.0
        while not any(isinstance(action, Spawn) for action in story.actions):
            story.then(Tick(), after=0.25)
            waited += 0.25
        assert waited < 2.0
        story.then(ProcessLoaded(extended=True))
    story.then(ProcessExited(status=-11))
    assert (story.state.facts.ending, story.state.facts.code) == ("Fatal", RecordingErrorCode.RECORDER_EXIT)


def test_a_process_that_lived_long_enough_starts_the_budget_anew() -> None:
    story = Story()
    for _ in range(3 * apply_event.RESTARTS_IN_A_ROW):
        story.loaded().then(Tick(), ProcessHeartbeat(snapshot=None), after=apply_event.HEALTHY_SECONDS)
        story.then(SIGKILLED)
    assert story.state.facts.ending is None


def test_what_a_process_left_that_died_after_the_stop_is_rescued_and_told() -> None:
    story = Story().recording().then(DesiredSeen(desired=desired("Stopped", generation=2)))
    story.then(snapshot("Stopping", written=3, pending=2), SIGKILLED).then(ProcessLoaded(extended=True))
    assert story.tells() == ["RecordingStopped"]
    assert story.orders() == [Begin(mode=Mode.RESCUE, desired=story.state.desired)]
    assert story.then(ProcessAnswered(answer="rescue")).tells() == ["RecordingUploaded"]
    assert "Conclude" in str(story.then(ProcessEnded(drained=False), LEFT_IN_ORDER).actions)
    assert story.state.facts.snapshot is not None
    assert story.state.facts.snapshot["slices"] == {"written": 3, "uploaded": 3, "backedUp": 0, "pending": 0}
    assert story.outcome is Outcome.UPLOADED


def test_a_rescue_counts_what_it_finds_whatever_the_process_that_died_had_told() -> None:
    """A supervisor that died with its recorder remembers the figures of the last callback, which may be none."""
    story = Story().recording().then(DesiredSeen(desired=desired("Stopped", generation=2)))
    story.then(snapshot("Stopping", written=0), SIGKILLED).then(ProcessLoaded(extended=True))
    found = {
        "state": "Uploaded",
        "slices": {"written": 2, "uploaded": 2, "backedUp": 0, "pending": 0},
        "recordedMilliseconds": 3900,
        "volumeFreeBytes": None,
        "participants": [],
    }
    story.then(ProcessHeartbeat(snapshot=found), ProcessAnswered(answer="rescue"))
    known = story.state.facts.snapshot
    assert known is not None
    assert (known["slices"], known["recordedMilliseconds"]) == (found["slices"], 3900)
    assert known["volumeFreeBytes"] is None, "nothing is recorded that would need room"
    assert [person["uid"] for person in known["participants"]] == [1], "who was there, the process that died knew"


@pytest.mark.parametrize(
    ("code", "again"),
    [
        pytest.param(RecordingErrorCode.UPLOADER_FAILED, True, id="a bucket that refuses may be mended"),
        pytest.param(RecordingErrorCode.INVALID_PARAMETER, False, id="a wrong document stays wrong"),
        pytest.param(RecordingErrorCode.RECORDER_INIT, False, id="a volume that cannot be read stays so"),
    ],
)
def test_a_refused_rescue_is_repeated_only_where_that_can_help(code: int, *, again: bool) -> None:
    story = Story().recording().then(DesiredSeen(desired=desired("Stopped", generation=2)), SIGKILLED)
    story.then(ProcessLoaded(extended=True), ProcessAnswered(answer="rescue", refusal="no", code=code))
    assert "UploaderFailure" in story.tells()
    story.then(ProcessEnded(drained=False), LEFT_IN_ORDER)
    assert story.orders() == ([] if again else [Conclude()])
    story.then(Tick(), after=apply_event.RESCUE_RETRY_SECONDS)
    assert story.orders() == ([Spawn()] if again else [])


def test_what_has_no_journal_in_the_backup_is_left_there_and_not_tried_again() -> None:
    """Recorders of before put none there: that is no failure of a store, and nothing that heals."""
    why = "the backup store: has no journal 'p_journal.jsonl'"
    story = Story(wanted=desired("Stopped"), facts=Facts(captured=True)).loaded()
    refusal = ProcessAnswered(answer="rescue", refusal=why, code=RecordingErrorCode.NO_RECORDED_DATA)
    story.then(refusal, ProcessEnded(drained=False), LEFT_IN_ORDER)
    assert "UploaderFailure" not in story.tells()
    assert Conclude() in story.orders()
    summary = summarise(story.state.facts, RecordingDocument.model_validate(document()), last_sequence=9)
    assert (summary.outcome, summary.message, summary.slices.written) == (Outcome.BACKED_UP, why, 0)


def test_an_engine_without_the_extension_cannot_rescue_and_says_so() -> None:
    story = Story(extended=False).recording().then(DesiredSeen(desired=desired("Stopped", generation=2)))
    assert story.then(SIGKILLED).orders() == [Conclude()]
    assert story.outcome is Outcome.INCOMPLETE


STOP = DesiredSeen(desired=desired("Stopped", generation=2))
BROKEN = told("RecordingFatalError", code=437, message="")


@pytest.mark.parametrize(
    ("event", "heartbeat", "limit", "reason"),
    [
        pytest.param(Tick(), Tick(), state_machine.SILENCE_SECONDS, "it gave no sign of life", id="no heartbeat"),
        pytest.param(Tick(), snapshot(position=1000), state_machine.STALL_SECONDS, "it wrote no media", id="no media"),
        pytest.param(
            STOP, snapshot("Stopping"), state_machine.ANSWER_SECONDS, "it did not stop", id="no end of a stop"
        ),
        pytest.param(
            BROKEN, snapshot("Failed"), state_machine.ANSWER_SECONDS, "it did not give its", id="no end of a release"
        ),
    ],
)
def test_what_hangs_is_ended_with_the_reason_named(event: Event, heartbeat: Event, limit: float, reason: str) -> None:
    story = Story().recording().then(event)
    began = story.now
    while not any(isinstance(action, Kill) for action in story.then(heartbeat, after=1.0).actions):
        assert story.now - began < limit + 2
    assert story.now - began >= limit
    assert story.then(heartbeat).actions == []
    exited = story.then(SIGKILLED).actions[0]
    assert isinstance(exited, EmitCallback)
    assert reason in exited.payload["message"]


def test_a_silent_channel_is_no_hang_while_media_is_written() -> None:
    story = Story().recording()
    for second in range(200):
        assert story.then(snapshot(position=second * 1000), after=1.0).actions == []


def test_a_rescue_that_takes_long_is_no_hang_whatever_the_process_that_died_had_told() -> None:
    """What it shows is the account of a process that was recording; nothing is recorded any more."""
    left = snapshot("Recording", position=5000, written=3, pending=2).snapshot
    story = Story(wanted=desired("Stopped"), facts=Facts(captured=True, started_at=1, stopped_at=2, snapshot=left))
    story.loaded()
    for _ in range(200):
        assert story.then(snapshot("Uploading", written=3, pending=2), after=1.0).actions == []


def test_a_refused_rescue_is_tried_again_for_as_long_as_it_takes_and_one_that_dies_is_not() -> None:
    """A refusal is an answer, and comes as long as the bucket is away; only who dies without one is counted."""
    story = Story(wanted=desired("Stopped"), facts=Facts(captured=True, started_at=1, stopped_at=2)).loaded()
    refusal = ProcessAnswered(answer="rescue", refusal="no", code=RecordingErrorCode.UPLOADER_FAILED)
    for _ in range(10):
        story.then(refusal, ProcessEnded(drained=False), LEFT_IN_ORDER)
        assert story.orders() == []
        assert story.then(Tick(), after=apply_event.RESCUE_RETRY_SECONDS).orders() == [Spawn()]
        story.then(ProcessLoaded(extended=True))
    for events in ((refusal, SIGKILLED), (refusal, SIGKILLED), (refusal, SIGKILLED), (SIGKILLED,)):
        story.then(*events).then(Tick(), after=2.0).then(ProcessLoaded(extended=True))
        assert not story.state.concluded
    assert story.then(SIGKILLED, after=1.0).orders() == [Conclude()]


@pytest.mark.parametrize("sends", [False, True])
def test_a_stream_that_is_passed_through_and_sends_nothing_is_no_hang(*, sends: bool) -> None:
    """What is recorded as it is stands still while nobody sends; an engine that writes nothing of what comes hangs."""
    story = Story().recording()
    story.state = replace(story.state, passes_through=True)
    done = [action for _ in range(60) for action in story.then(snapshot(position=1000, sends=sends), after=1.0).actions]
    assert any(isinstance(action, Kill) for action in done) is sends


def backed_up(grace: int = 300) -> Story:
    """A part that was to stop, and all of whose files are stored, some of them in the backup alone."""
    stop = DesiredSeen(desired=desired("Stopped", generation=2, grace=grace))
    story = Story().recording().then(stop, told("RecordingStopped"), told("RecordingBackedUp", fileName="p.m3u8"))
    return story.then(snapshot("BackedUp", written=2), after=1.0)


def test_what_came_home_from_the_backup_is_told_once_and_is_an_upload_like_any_other() -> None:
    story = backed_up()
    assert story.actions == []
    assert story.then(snapshot("Uploaded", written=2), after=100.0).tells() == ["RecordingUploaded"]
    assert story.then(snapshot("Uploaded", written=2), after=1.0).actions == []
    assert story.then(ProcessEnded(drained=True), LEFT_IN_ORDER).orders() == [Conclude()]
    assert story.outcome is Outcome.UPLOADED


def test_a_part_in_the_backup_waits_for_the_bucket_as_long_as_the_spec_says() -> None:
    story = backed_up(grace=20)
    assert story.then(snapshot("BackedUp", written=2), after=18.0).actions == []
    assert story.then(snapshot("BackedUp", written=2), after=2.0).orders() == [Send(command=Command.GIVE_UP)]
    assert story.then(ProcessEnded(drained=False), LEFT_IN_ORDER).orders() == [Conclude()]
    assert story.outcome is Outcome.BACKED_UP


def test_an_engine_that_tells_no_more_is_given_back_when_it_has_backed_up() -> None:
    story = (
        Story(extended=False).recording().then(STOP, told("RecordingStopped"), told("RecordingBackedUp", fileName="p"))
    )
    assert Awaited.RELEASE in story.state.awaited
    assert story.state.backed_up_at is None


def test_a_supervisor_that_comes_back_after_a_stop_rescues_instead_of_recording() -> None:
    remembered = Facts.from_json(Facts(captured=True, started_at=1, stopped_at=2).as_json())
    story = Story(wanted=desired("Stopped"), facts=remembered).loaded()
    assert story.orders() == [Spawn(), Begin(mode=Mode.RESCUE, desired=story.state.desired)]
    assert "RecordingStopped" not in story.tells()


EVENTS: list[Event] = [
    Tick(),
    SecretsSeen(missing=()),
    SecretsSeen(missing=MISSING),
    DesiredSeen(desired=desired("Paused", generation=2)),
    DesiredSeen(desired=desired("Stopped", generation=3)),
    Terminate(),
    ProcessLoaded(extended=True),
    snapshot(position=5),
    told("RecordingStarted"),
    told("RecordingStopped"),
    told("RecordingUploaded", fileName="p"),
    told("RecordingFatalError", code=437, message=""),
    told("RecordingRefused", code=430, message="refused"),
    ProcessAnswered(answer=Command.BEGIN),
    ProcessAnswered(answer="release"),
    ProcessAnswered(answer="rescue", refusal="no", code=439),
    ProcessEnded(drained=True),
    LEFT_IN_ORDER,
    SIGKILLED,
]


@given(st.lists(st.tuples(st.sampled_from(EVENTS), st.floats(min_value=0, max_value=90)), max_size=60))
def test_whatever_happens_a_conclusion_is_final_and_told_once(steps: Iterable[tuple[Event, float]]) -> None:
    story = Story()
    concluded = 0
    for event, seconds in steps:
        actions = story.then(event, after=seconds).actions
        assert concluded == 0 or actions == []
        concluded += sum(isinstance(action, Conclude) for action in actions)
        assert sum(isinstance(action, Spawn) for action in actions) <= 1
    assert concluded <= 1


@given(st.lists(st.sampled_from(EVENTS), max_size=40))
def test_nothing_is_recorded_any_more_once_a_stop_was_wanted(events: list[Event]) -> None:
    story = Story()
    for event in events:
        stopped = is_stopping(story.state)
        actions = story.then(event).actions
        assert not stopped or not any(isinstance(action, Begin) and action.mode is Mode.RECORD for action in actions)


def test_the_longest_duration_is_kept_though_nobody_says_stop() -> None:
    story = Story(wanted=desired(max_duration_seconds=3600)).recording()
    assert Send(command=Command.STOP) not in story.then(snapshot(position=2000), after=3599).orders()
    story.then(Tick(), after=1)
    assert Send(command=Command.STOP) in story.orders()
    story.then(told("RecordingStopped"), told("RecordingUploaded"))
    assert story.outcome is Outcome.UPLOADED


@pytest.mark.parametrize("account", ["heartbeat", "callback"])
def test_the_longest_duration_runs_from_the_first_media_on_and_not_while_it_was_made_paused(account: str) -> None:
    story = Story(wanted=desired("Paused", max_duration_seconds=5)).loaded()
    joined = replace(told("RecordingStarted"), snapshot={"state": "Paused"})
    story.then(ProcessAnswered(answer=Command.BEGIN), joined).then(snapshot("Paused"), after=15)
    assert (is_stopping(story.state), story.state.facts.started_at) == (False, None)
    records = snapshot(position=1)
    first = replace(told("Snapshot"), time_ms=115_000, snapshot=records.snapshot)
    story.then(
        DesiredSeen(desired=desired(generation=2, max_duration_seconds=5)), ProcessAnswered(answer=Command.PAUSE)
    )
    story.then(records if account == "heartbeat" else first)
    assert story.state.facts.started_at == 115_000
    assert Send(command=Command.STOP) not in story.then(snapshot(position=2), after=4).orders()
    assert Send(command=Command.STOP) in story.then(Tick(), after=1).orders()


def test_who_joins_a_part_that_is_paused_ends_what_is_refused() -> None:
    story = Story(facts=Facts(captured=True, refusals=2, message="refused")).loaded()
    story.then(replace(told("RecordingStarted"), snapshot={"state": "Paused"}))
    assert (story.state.facts.refusals, story.state.facts.message) == (0, "")


def test_the_longest_duration_runs_on_while_a_supervisor_is_started_again() -> None:
    first = Story(wanted=desired(max_duration_seconds=3600)).recording()
    facts = Facts.from_json(replace(first.state.facts, boot="b", started_at=100_000).as_json())
    same = resumed(facts, boot="b", now=Moment(monotonic=5000.0, wall_ms=0))
    rebooted = resumed(facts, boot="c", now=Moment(monotonic=7.0, wall_ms=160_000))
    assert (same.started_monotonic, rebooted.started_monotonic) == (facts.started_monotonic, -53.0)


def storage(bucket: str) -> Storage:
    return Storage.model_validate(
        {"bucket": bucket, "endpoint": "https://s3", "credentials": {"secretRef": {"name": "b"}}}
    )


FIRST = {"bucket": "first", "endpoint": "https://s3"}
SECOND = {"bucket": "second", "endpoint": "https://s3"}


def streams(*uids: int) -> tuple[Stream, ...]:
    return tuple(Stream(uid=uid, url=f"rtmp://media/{uid}") for uid in uids)


def with_streams(*uids: int, generation: int = 2, **more: Any) -> DesiredSeen:
    return DesiredSeen(desired=desired(generation=generation, streams=streams(*uids), **more))


def recording_of(*uids: int) -> Story:
    story = Story()
    story.state = replace(story.state, streams=streams(*uids))
    return story.recording()


def asked_for(*uids: int) -> Send:
    return Send(command=Command.STREAMS, arguments={"streams": streams(*uids)})


def begin_of(story: Story) -> Begin:
    (begin,) = [action for action in story.orders() if isinstance(action, Begin)]
    return begin


def test_other_participants_are_asked_of_the_engine_which_keeps_them_after_a_crash() -> None:
    story = recording_of(1)
    assert story.then(with_streams(1)).orders() == [], "a list that is the same is no edit"
    assert story.then(with_streams(1, 2, generation=3)).orders() == [asked_for(1, 2)]
    assert story.then(ProcessAnswered(answer=Command.STREAMS)).tells() == ["DesiredStateApplied"]
    assert [stream["uid"] for stream in story.state.facts.streams or ()] == [1, 2]
    assert begin_of(story.then(SIGKILLED, Tick(), ProcessLoaded(extended=True))).streams == streams(1, 2)
    assert story.then(ProcessAnswered(answer=Command.BEGIN), Tick()).orders() == []


def test_participants_that_are_refused_are_told_once_and_those_before_them_stay() -> None:
    story = recording_of(1)
    story.then(with_streams(9))
    refused = ProcessAnswered(answer=Command.STREAMS, refusal="no such Secret", code=432)
    assert story.then(refused).tells() == ["EditRefused", "DesiredStateApplied"]
    assert story.then(Tick()).orders() == []
    assert begin_of(story.then(SIGKILLED, Tick(), ProcessLoaded(extended=True))).streams == streams(1)
    assert story.then(ProcessAnswered(answer=Command.BEGIN)).orders() == [asked_for(9)], "the cause may be gone"


def test_participants_that_changed_before_the_first_start_are_begun_with() -> None:
    story = Story()
    story.state = replace(story.state, streams=streams(1))
    story.then(with_streams(2)).loaded()
    assert begin_of(story).streams == streams(2)


def test_an_operator_that_says_nothing_of_participants_changes_none() -> None:
    story = recording_of(1)
    story.then(with_streams(1, 2), ProcessAnswered(answer=Command.STREAMS))
    assert story.then(DesiredSeen(desired=desired(generation=3))).orders() == []


def test_a_place_that_changed_before_the_first_start_is_begun_with() -> None:
    story = Story(wanted=desired(storage=storage("second")), facts=Facts(place=FIRST)).loaded()
    begin = story.orders()[-1]
    assert isinstance(begin, Begin)
    assert begin.place == SECOND
    assert "StorageChanged" in story.tells()


def test_a_change_of_place_is_asked_of_the_engine_and_told_when_it_took_it() -> None:
    story = Story(wanted=desired(storage=storage("first")), facts=Facts(place=FIRST)).recording()
    assert "StorageChanged" not in story.tells()
    story.then(DesiredSeen(desired=desired(generation=2, storage=storage("second"))))
    assert story.orders() == [Send(command=Command.STORAGE, arguments={"place": SECOND})]
    assert story.then(ProcessAnswered(answer=Command.STORAGE)).tells() == ["StorageChanged", "DesiredStateApplied"]
    assert story.state.facts.place == SECOND


def test_an_engine_that_has_stored_a_slice_has_the_last_word() -> None:
    story = Story(wanted=desired(storage=storage("first")), facts=Facts(place=FIRST)).recording()
    story.then(DesiredSeen(desired=desired(generation=2, storage=storage("second"))))
    story.then(ProcessAnswered(answer=Command.STORAGE, refusal="files are there already", code=433))
    assert story.tells() == ["EditRefused", "DesiredStateApplied"]
    assert story.state.facts.place == FIRST
    assert story.then(Tick()).orders() == []


def test_a_process_that_is_started_again_begins_where_the_last_one_was() -> None:
    """A slice may be stored there of which nobody has heard: the engine is asked, and not told."""
    story = Story(wanted=desired(storage=storage("first")), facts=Facts(place=FIRST)).recording()
    story.then(DesiredSeen(desired=desired(generation=2, storage=storage("second"))), SIGKILLED)
    (begin,) = [action for action in story.then(Tick(), ProcessLoaded(extended=True)).orders() if action != Spawn()]
    assert isinstance(begin, Begin)
    assert begin.place == FIRST
    assert story.then(Tick()).orders() == [Send(command=Command.STORAGE, arguments={"place": SECOND})]


def test_what_was_left_is_rescued_to_where_it_is_wanted_while_nothing_is_stored() -> None:
    story = Story(wanted=desired(storage=storage("first")), facts=Facts(place=FIRST)).recording()
    story.then(snapshot(position=2000, written=2, pending=2))
    story.then(DesiredSeen(desired=desired("Stopped", generation=2, storage=storage("second"))), SIGKILLED)
    orders = story.then(Tick(), ProcessLoaded(extended=True)).orders()
    (begin,) = [action for action in orders if isinstance(action, Begin)]
    assert (begin.mode, begin.place) == (Mode.RESCUE, SECOND)


def test_a_secret_that_goes_while_the_part_is_at_work_is_told_once_and_when_it_is_back() -> None:
    story = Story().recording()
    assert story.then(SecretsSeen(missing=MISSING)).tells() == ["SecretsGone"]
    assert story.then(SecretsSeen(missing=MISSING), Tick()).tells() == []
    story.then(SecretsSeen(missing=()))
    assert story.actions == [EmitCallback(type=CallbackName.SECRETS_GONE, payload={"missing": []})]


def test_a_rescue_that_needs_a_secret_that_is_gone_says_so() -> None:
    story = Story(wanted=desired("Stopped"), facts=Facts(captured=True, stopped_at=1))
    assert story.loaded(missing=MISSING).tells() == ["RunnerStarted", "SecretsGone"]
    assert Begin not in map(type, story.orders())
