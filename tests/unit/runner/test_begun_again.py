# SPDX-License-Identifier: Apache-2.0
"""A recorder process that is begun, first or again, has what is desired then, and not what the pod was made with."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest

from cloud_recording.api.channel import Stream
from cloud_recording.api.media import Layout
from cloud_recording.api.recording import DesiredRecordingState
from cloud_recording.api.storage import Storage, StoragePlace
from cloud_recording.api.wire import DesiredState, RecordingDocument
from cloud_recording.common.json_types import Json
from cloud_recording.runner.control_protocol import Command
from cloud_recording.runner.supervisor.mounted_secrets import MountedSecrets
from cloud_recording.runner.supervisor.part_actions import Begin, Send, Spawn
from cloud_recording.runner.supervisor.part_events import (
    DesiredSeen,
    Event,
    ProcessAnswered,
    ProcessExited,
    ProcessLoaded,
    SecretsSeen,
    Tick,
)
from cloud_recording.runner.supervisor.part_state import Moment, State
from cloud_recording.runner.supervisor.recorder_job import JobBuilder
from cloud_recording.runner.supervisor.state_machine import react
from tests.unit.runner.documents import document, storage

TOLD: Final = RecordingDocument.model_validate(document())
ROOM: Final = {"url": "wss://livekit.example.com", "apiKeySecretRef": {"name": "livekit"}}
TOLD_OF_A_ROOM: Final = RecordingDocument.model_validate(
    {
        **document(),
        "spec": {**document()["spec"], "channel": {"name": "room 1", "uid": 7, "livekit": ROOM}},
    }
)
UNCHANGED: Final = DesiredState.of_spec(TOLD.spec, generation=1, state=DesiredRecordingState.RECORDING)

EDITED: Final[dict[str, Any]] = {
    "state": DesiredRecordingState.PAUSED,
    "layout": Layout.VERTICAL,
    "max_resolution_uid": 11,
    "max_resolution_identity": "alice",
    "storage": Storage.model_validate(storage(bucket="elsewhere")),
    "streams": (Stream.model_validate({"uid": 13, "url": "rtmp://media.example.com/carol"}),),
}
"""Another value of each field that the recorder process is to know."""

NOT_ITS_OWN: Final[dict[str, Any]] = {
    "generation": 2,  # acknowledged by the supervisor
    "max_duration_seconds": 60,  # kept by the supervisor
    "upload_grace_seconds": 1,  # likewise
    "credentials_generation": 2,  # the keys are read from their files whenever a process begins
}


def test_every_field_of_the_desired_state_is_here() -> None:
    assert sorted(EDITED.keys() | NOT_ITS_OWN.keys()) == sorted(DesiredState.model_fields)


class Process:
    """What the recorder processes of a part are told."""

    def __init__(self, document: RecordingDocument) -> None:
        self.now = 100.0
        self.document = document
        self.state = State(desired=UNCHANGED, streams=document.spec.channel.listed_streams)
        self.told: list[tuple[str, Any]] = []

    def then(self, *events: Event) -> None:
        for event in events:
            self.now += 5.0
            moment = Moment(monotonic=self.now, wall_ms=int(self.now * 1000))
            self.state, actions = react(self.state, event, moment)
            for action in actions:
                if isinstance(action, Spawn):
                    self.told = []
                if isinstance(action, Begin):
                    self.told.append((Command.BEGIN, job_of(self.document, action)))
                if isinstance(action, Send):
                    self.told.append((action.command, action.arguments))

    def begins(self) -> None:
        self.then(Tick(), SecretsSeen(missing=()), ProcessLoaded(extended=True))
        self.then(ProcessAnswered(answer=Command.BEGIN), Tick())


def job_of(document: RecordingDocument, begin: Begin) -> Json:
    jobs = JobBuilder(document, MountedSecrets(document, Path("/secrets")), work=Path("/work"))
    place = None if begin.place is None else StoragePlace.model_validate(begin.place)
    return jobs.job(begin.mode, begin.desired, place, streams=begin.streams).as_json()


def told_at_first(desired: DesiredState, document: RecordingDocument = TOLD) -> list[tuple[str, Any]]:
    process = Process(document)
    process.then(DesiredSeen(desired=desired))
    process.begins()
    return process.told


def told_again(desired: DesiredState, document: RecordingDocument = TOLD) -> list[tuple[str, Any]]:
    """Of a process in the place of one that died, after the spec was edited."""
    process = Process(document)
    process.begins()
    process.then(ProcessExited(status=-9), DesiredSeen(desired=desired))
    process.begins()
    return process.told


@pytest.mark.parametrize("told", [told_at_first, told_again])
@pytest.mark.parametrize("field", EDITED)
def test_an_edit_reaches_a_process_that_begins_after_it(field: str, told: Any) -> None:
    """Promise: in its job, or by a command that follows; a process that merely goes on is told of edits elsewhere."""
    edited = UNCHANGED.model_copy(update={field: EDITED[field], "generation": 2})
    document = TOLD_OF_A_ROOM if field == "max_resolution_identity" else TOLD
    assert told(edited, document) != told(UNCHANGED, document)


@pytest.mark.parametrize("told", [told_at_first, told_again])
def test_what_is_not_its_own_makes_no_difference_to_it(told: Any) -> None:
    assert told(UNCHANGED.model_copy(update=NOT_ITS_OWN)) == told(UNCHANGED)
