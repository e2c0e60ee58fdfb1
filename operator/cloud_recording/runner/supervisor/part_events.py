# SPDX-License-Identifier: Apache-2.0
"""What can happen to the part that this pod records: types alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cloud_recording.api.wire import DesiredState, MissingSecret


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """Time went on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretsSeen:
    """The mounted secrets were looked at."""

    missing: tuple[MissingSecret, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredSeen:
    """The desired state was read, but for the fields of these names."""

    desired: DesiredState
    unread: tuple[str, ...] = ()
    unknown: Mapping[str, Any] = field(default_factory=dict)
    """What it says in fields that this release does not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminate:
    """The kubelet, or a person at the terminal, wants the process to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessLoaded:
    """The recorder process has its engine."""

    extended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessHeartbeat:
    """The recorder process lives."""

    snapshot: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallbackStored:
    """The recorder process put a callback into the outbox."""

    sequence: int
    type: str
    time_ms: int
    payload: Mapping[str, Any]
    snapshot: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessAnswered:
    """The recorder process did what it was told, or the engine refused it: then `refusal` says why."""

    answer: str
    refusal: str = ""
    code: int = 0
    told: str = ""
    """What the engine said beside that, where it says more: JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessEnded:
    """The recorder process is about to exit in order; `drained` tells whether the engine had nothing left to upload."""

    drained: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessExited:
    """The recorder process is gone; a negative status is a signal, as in `subprocess`."""

    status: int


Event = (
    Tick
    | SecretsSeen
    | DesiredSeen
    | Terminate
    | ProcessLoaded
    | ProcessHeartbeat
    | CallbackStored
    | ProcessAnswered
    | ProcessEnded
    | ProcessExited
)
