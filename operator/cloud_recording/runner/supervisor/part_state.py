# SPDX-License-Identifier: Apache-2.0
"""What is known of the part that this pod records: types alone.

`part_events` are what can happen to it, `part_actions` what can be done about it; `state_machine` turns the one into
the other, and `part_end` the end into a summary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any

from cloud_recording.api.channel import Stream
from cloud_recording.api.media import Layout
from cloud_recording.api.status import Outcome
from cloud_recording.api.wire import DesiredState, MissingSecret
from cloud_recording.runner.control_protocol import Command, Mode


class Ending(StrEnum):
    """Why capture ends, or ended, other than because that was desired."""

    TERMINATED = "Terminated"
    IDLE = "Idle"
    FATAL = "Fatal"
    LIMIT = "Limit"
    LEFT = "Left"
    """The engine was thrown out of the channel, and is not to come back."""


class Process(StrEnum):
    """How far the recorder process is: BUSY is one that has its job."""

    ABSENT = "Absent"
    LOADING = "Loading"
    LOADED = "Loaded"
    BUSY = "Busy"


class Awaited(StrEnum):
    """What the recorder process still has to do; each value completes the sentence 'it did not …'."""

    BEGIN = "begin"
    PAUSE = "answer to a pause"
    LAYOUT = "answer to a layout"
    STORAGE = "answer to a change of storage"
    STREAMS = "answer to a change of streams"
    STOP = "stop"
    RELEASE = "give its instance back"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """A moment: monotonic seconds for deadlines, wall milliseconds for people."""

    monotonic: float
    wall_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of the part for good: stored with the callbacks that told it, and read again after a restart."""

    read_up_to: int = 0
    """Sequence of the last callback of a recorder process that is contained in these facts."""
    captured: bool = False
    """An engine was told to record: there may be slices on the volume."""
    place: Mapping[str, Any] | None = None
    """Where the files go, as the engine was last told and took it."""
    streams: Sequence[Mapping[str, Any]] | None = None
    """The channel's participants as the engine last took them; None while those are the document's."""
    unwritable: bool = False
    """The work volume cannot be written, and what it holds is not known."""
    joined: bool = False
    """Somebody was in the channel: media is written from then on, unless the part is paused."""
    started_at: int | None = None
    """When the first media came, in milliseconds of the wall clock."""
    started_monotonic: float | None = None
    """The same by the clock of `boot`, which nobody sets."""
    stopped_at: int | None = None
    boot: str = ""
    """The boot of the machine that monotonic moments are of."""
    ending: Ending | None = None
    code: int | None = None
    message: str = ""
    """Why, in words, where the ending itself does not say it, or why nobody lets the recorder in."""
    upload: Outcome | None = None
    nothing_left: bool = False
    """A recorder process ended in order and left nothing on the volume that a rescue could upload."""
    rescue_failure: str = ""
    """Why what is left on the volume was not uploaded when that was tried last."""
    restarts: int = 0
    refusals: int = 0
    """How often in a row every participant was refused, with nothing recorded before; `message` says why."""
    applied_generation: int | None = None
    snapshot: Mapping[str, Any] | None = None
    summary: Mapping[str, Any] | None = None
    """The part's summary: once it is here nothing is done any more but to deliver it."""

    def as_json(self) -> dict[str, Any]:
        """The facts as `from_json` reads them."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Facts:
        """Facts that this or an earlier release wrote."""
        known = {item.name: value[item.name] for item in fields(cls) if item.name in value}
        known["ending"] = Ending(known["ending"]) if known.get("ending") else None
        known["upload"] = Outcome(known["upload"]) if known.get("upload") else None
        return cls(**known)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """What a running recorder process is told of the desired state."""

    layout: Layout
    max_resolution_uid: int
    paused: bool
    credentials_generation: int
    max_resolution_identity: str | None = None
    place: Mapping[str, Any] | None = None
    """None where nobody said so."""
    streams: tuple[Stream, ...] | None = None
    """Likewise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything that is decided from."""

    desired: DesiredState
    unknown: Mapping[str, Any] = field(default_factory=dict)
    """What the document of it says in fields that this release does not have."""
    streams: tuple[Stream, ...] = ()
    """The channel's participants: as the engine last took them, or is to begin with."""
    patient: bool = True
    """Whether a channel that refuses everybody is asked again; a person who looks on is told at once."""
    passes_through: bool = False
    """Whether the only stream is recorded as it is: then nothing is written while nothing is sent."""
    facts: Facts = Facts()
    missing: tuple[MissingSecret, ...] | None = None
    """None until the secrets were looked at."""
    announced_missing: tuple[MissingSecret, ...] | None = None
    announced: bool = False
    terminated_at: float | None = None
    process: Process = Process.ABSENT
    process_since: float = 0.0
    mode: Mode | None = None
    extended: bool = False
    ended: bool = False
    heartbeat_at: float = 0.0
    position: int = -1
    position_at: float = 0.0
    last_sent: EngineSettings | None = None
    """What the running process was told last."""
    awaited: Mapping[Awaited, float] = field(default_factory=dict)
    """What the process still has to do, and since when."""
    edited: Mapping[Command, tuple[str, ...]] = field(default_factory=dict)
    """Which fields of the spec each command is about that it was sent last."""
    stop_sent: bool = False
    backed_up_at: float | None = None
    """When the backup store had everything, while it is yet to come to the bucket."""
    give_up_at: float | None = None
    kill_reason: str = ""
    crashes: int = 0
    rescue_crashes: int = 0
    rescue_hopeless: bool = False
    spawn_at: float = 0.0
    concluded: bool = False

    @property
    def refused(self) -> bool:
        """Whether the last try ended as every participant was refused."""
        return self.facts.refusals > 0 and not self.facts.captured

    @property
    def engine_state(self) -> str | None:
        """The state that the engine's newest snapshot tells, if it tells any."""
        return (self.facts.snapshot or {}).get("state")
