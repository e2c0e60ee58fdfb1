# SPDX-License-Identifier: Apache-2.0
"""What can be done about the part that this pod records: types alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from cloud_recording.api.channel import Stream
from cloud_recording.api.wire import DesiredState
from cloud_recording.common.callback_names import CallbackName
from cloud_recording.runner.control_protocol import Command, Mode
from cloud_recording.runner.supervisor.part_state import Awaited, EngineSettings, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Spawn:
    """Start a recorder process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """Give the recorder process its job."""

    mode: Mode
    desired: DesiredState
    place: Mapping[str, Any] | None = None
    streams: tuple[Stream, ...] = ()
    """The channel's participants; none while those are the document's."""
    anew: bool = False
    """Whether an earlier try recorded nothing and ended: in its books an engine would read that the part is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """Send the recorder process a command."""

    command: Command
    arguments: Mapping[str, Any] = field(default_factory=dict)


SPEC_FIELDS: Final = {
    "state": "spec.desiredState",
    "layout": "spec.recording.video.layout",
    "maxResolutionUid": "spec.recording.video.maxResolutionUid",
    "maxResolutionIdentity": "spec.recording.video.maxResolutionIdentity",
    "maxDurationSeconds": "spec.maxDurationSeconds",
    "uploadGraceSeconds": "spec.uploadGraceSeconds",
    "credentialsGeneration": "spec.storage.credentials",
    "streams": "spec.channel.streams",
    "storage": "spec.storage",
}
"""What people call the fields of the desired state."""


class Edit(NamedTuple):
    """An edit of the spec that a command passes on to a running recorder process."""

    fields: Mapping[str, str]
    """What people call each of the settings that it changes, the one that says most at last."""
    awaited: Awaited
    """What the process owes until it answered: one that owes it for too long is taken for stuck."""

    def changed(self, before: EngineSettings, desired: EngineSettings) -> tuple[str, ...]:
        """Which of the fields are others than before."""
        return tuple(name for one, name in self.fields.items() if getattr(before, one) != getattr(desired, one))


EDITS: Final[Mapping[Command, Edit]] = {
    Command.PAUSE: Edit({"paused": SPEC_FIELDS["state"]}, Awaited.PAUSE),
    Command.LAYOUT: Edit(
        {
            "max_resolution_identity": SPEC_FIELDS["maxResolutionIdentity"],
            "max_resolution_uid": SPEC_FIELDS["maxResolutionUid"],
            "layout": SPEC_FIELDS["layout"],
        },
        Awaited.LAYOUT,
    ),
    Command.STORAGE: Edit({"place": SPEC_FIELDS["storage"]}, Awaited.STORAGE),
    Command.STREAMS: Edit({"streams": SPEC_FIELDS["streams"]}, Awaited.STREAMS),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """End the recorder process with SIGKILL: it does not hear anything any more."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EmitCallback:
    """Put a callback into the outbox."""

    type: CallbackName
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclude:
    """Write the part's summary, deliver what waits, and exit."""


Action = Spawn | Begin | Send | Kill | EmitCallback | Conclude
Step = tuple[State, tuple[Action, ...]]
