# SPDX-License-Identifier: Apache-2.0
"""The callbacks of a part by name, as the wire spells them, and how each is treated on its way to the operator.

`api.wire` says what each carries. Standard library only, for the recorder process, which counts its memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self


class Retention(StrEnum):
    """How long a callback waits in the outbox when the operator does not take it."""

    ALWAYS = "always"
    """It decides a status: it is never dropped."""
    WHILE_THERE_IS_ROOM = "while there is room"
    """It only informs: of too many, the oldest go."""
    UNTIL_THE_NEXT = "until the next"
    """A figure, of which only the newest means anything: an outage must not fill the volume with old ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackFacts:
    """How a callback is treated, whatever it means."""

    retention: Retention = Retention.ALWAYS
    ends_capture: bool = False
    """Nothing is recorded after it."""
    is_final: bool = False
    """The engine has nothing more to tell after it: its instance is given back."""
    comes_home: bool = False
    """An engine that counts its slices goes on after it: its snapshot tells when everything is in the bucket."""
    carries_last_snapshot: bool = False
    """Of the supervisor, about a process that says nothing more itself: the last snapshot of it goes along."""
    state_by_snapshot: bool = False
    """It says nothing of the part's state: what the snapshot beside it says of that counts."""


_PLAIN: Final = CallbackFacts()


class CallbackName(StrEnum):
    """Every callback, with its facts. Those of the engine have the names that the shim gives them."""

    facts: CallbackFacts

    def __new__(cls, name: str, facts: CallbackFacts = _PLAIN) -> Self:
        """A member is its name on the wire; the facts are beside it."""
        member = str.__new__(cls, name)
        member._value_ = name
        member.facts = facts
        return member

    RUNNER_STARTED = "RunnerStarted"
    RUNNER_TERMINATING = "RunnerTerminating"
    WAITING_FOR_SECRET = "WaitingForSecret"  # noqa: S105 - the name of a callback, no secret
    SECRETS_COMPLETE = "SecretsComplete"
    SECRETS_GONE = "SecretsGone", CallbackFacts(state_by_snapshot=True)
    CONNECTING = "RecordingConnecting"
    REFUSED = "RecordingRefused", CallbackFacts(ends_capture=True, is_final=True)
    STARTED = "RecordingStarted"
    STOPPED = "RecordingStopped", CallbackFacts(ends_capture=True, carries_last_snapshot=True)
    UPLOADED = (
        "RecordingUploaded",
        CallbackFacts(ends_capture=True, is_final=True, carries_last_snapshot=True, state_by_snapshot=True),
    )
    BACKED_UP = (
        "RecordingBackedUp",
        CallbackFacts(ends_capture=True, is_final=True, comes_home=True, state_by_snapshot=True),
    )
    UPLOADING_PROGRESS = (
        "RecordingUploadingProgress",
        CallbackFacts(retention=Retention.UNTIL_THE_NEXT, state_by_snapshot=True),
    )
    RECORDER_FAILURE = "RecorderFailure", CallbackFacts(retention=Retention.WHILE_THERE_IS_ROOM)
    UPLOADER_FAILURE = (
        "UploaderFailure",
        CallbackFacts(retention=Retention.WHILE_THERE_IS_ROOM, state_by_snapshot=True),
    )
    FATAL_ERROR = "RecordingFatalError", CallbackFacts(ends_capture=True, is_final=True, carries_last_snapshot=True)
    RECORDER_EXITED = "RecorderExited", CallbackFacts(carries_last_snapshot=True)
    SNAPSHOT = "Snapshot", CallbackFacts(retention=Retention.UNTIL_THE_NEXT, state_by_snapshot=True)
    DESIRED_STATE_APPLIED = "DesiredStateApplied"
    STORAGE_CHANGED = "StorageChanged"
    EDIT_REFUSED = "EditRefused", CallbackFacts(retention=Retention.WHILE_THERE_IS_ROOM)
    FINISHED = "Finished", CallbackFacts(carries_last_snapshot=True)


_UNKNOWN: Final = CallbackFacts(state_by_snapshot=True)


def callback_facts(name: str) -> CallbackFacts:
    """The facts of a callback by its name; of one that another release has, only its snapshot counts."""
    try:
        return CallbackName(name).facts
    except ValueError:
        return _UNKNOWN
