# SPDX-License-Identifier: Apache-2.0
"""Whether the part is well, as the pod's readiness probe answers. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cloud_recording.api.wire import EngineState
from cloud_recording.runner.control_protocol import Mode
from cloud_recording.runner.supervisor.part_state import Moment, Process, State

READY_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Readiness:
    """What the readiness probe answers, and why."""

    ready: bool
    reason: str


def readiness(state: State, now: Moment) -> Readiness:  # noqa: PLR0911 - one way out for each state
    """Ready means: the recorder does what it should; media is written, or it truly connects, pauses or uploads."""
    if state.concluded:
        return Readiness(ready=True, reason="finished")
    if state.process is Process.LOADED and state.missing:
        return Readiness(ready=False, reason="waiting for secrets")
    if state.refused:
        return Readiness(ready=False, reason="the channel refuses the recorder")
    if state.process is not Process.BUSY:
        return Readiness(ready=False, reason="the recorder process is starting")
    if now.monotonic - state.heartbeat_at > READY_SECONDS:
        return Readiness(ready=False, reason="the recorder process is silent")
    if state.mode is Mode.RESCUE:
        # The engine's state is the last word of the process that died.
        return Readiness(ready=True, reason="what is left is being delivered")
    if state.engine_state == EngineState.RECORDING and now.monotonic - state.position_at > READY_SECONDS:
        return Readiness(ready=False, reason="no media is written")
    known = state.engine_state or "the engine tells no state"
    return Readiness(ready=state.engine_state != EngineState.FAILED, reason=known)
