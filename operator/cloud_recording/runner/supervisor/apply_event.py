# SPDX-License-Identifier: Apache-2.0
"""What an event means for what is known of a part, before anything is decided from it. Pure.

How a recorder process that dies is treated: it is started again after at most the last of `RESTART_DELAYS`, so that it
runs again within two seconds. A process that lived for `HEALTHY_SECONDS` starts the count anew. After
`RESTARTS_IN_A_ROW` the part is concluded as fatal (RecorderExit), since another pod, perhaps on another node, is then
the better try; before that, what is closed on the volume is uploaded by a rescue.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, assert_never

from cloud_recording.api.recording import DesiredRecordingState
from cloud_recording.api.status import Outcome
from cloud_recording.api.wire import DesiredState, EngineState
from cloud_recording.common.backoff import Backoff
from cloud_recording.common.error_codes import RecordingErrorCode
from cloud_recording.runner.control_protocol import Answer, Command, Mode
from cloud_recording.runner.supervisor.part_state import (
    At,
    Awaited,
    DesiredSeen,
    Ending,
    Event,
    Facts,
    Process,
    ProcessAnswered,
    ProcessEnded,
    ProcessExited,
    ProcessLoaded,
    ProcessPulsed,
    ProcessTold,
    SecretsSeen,
    State,
    Step,
    Tell,
    Terminate,
    Tick,
)

RESTART_DELAYS: Final = (0.0, 0.1, 0.2, 0.4, 0.8, 1.5)
RESTARTS_IN_A_ROW: Final = 20
HEALTHY_SECONDS: Final = 60.0
RESCUE_RETRY_SECONDS: Final = 10.0
REFUSED_PAUSES: Final = Backoff(first_seconds=5.0, most_seconds=300.0)
"""A channel that refuses everybody may be mended where nobody sees it: a name resolves otherwise, a server lets in."""

_PAID_BY: Final[Mapping[str, Awaited]] = {
    Command.BEGIN: Awaited.BEGIN,
    Command.PAUSE: Awaited.PAUSE,
    Command.LAYOUT: Awaited.LAYOUT,
    Command.STORAGE: Awaited.STORAGE,
    Answer.RELEASE: Awaited.RELEASE,
}
"""What an answer pays. A stop is not among them: it is over when the engine has left, not when it has heard of it."""
_EDITS: Final[Mapping[Awaited, str]] = {
    Awaited.PAUSE: "spec.desiredState",
    Awaited.LAYOUT: "spec.recording.video.layout",
    Awaited.STORAGE: "spec.storage",
}
_HEALABLE: Final = frozenset(
    {
        RecordingErrorCode.CONNECT_ERROR,
        RecordingErrorCode.DISCONNECTED,
        RecordingErrorCode.UPLOADER_INIT,
        RecordingErrorCode.UPLOADER_FAILED,
        RecordingErrorCode.BACKUP_FAILED,
    }
)
"""Refusals of a rescue that a mended bucket, key or network ends: it is tried again, for as long as there is time."""
_LAST: Final = frozenset({"RecordingUploaded", "RecordingBackedUp", "RecordingFatalError", "RecordingRefused"})
_LEFT: Final = _LAST | {"RecordingStopped"}


def apply_event(state: State, event: Event, at: At) -> Step:  # noqa: C901, PLR0911 - one line for each event there is
    """What an event means, before anything is decided from it."""
    match event:
        case Tick():
            return state, ()
        case SecretsSeen():
            # One that was mended may be the very cause.
            spawn_at = min(state.spawn_at, at.monotonic) if state.refused else state.spawn_at
            return replace(state, missing=event.missing, spawn_at=spawn_at), ()
        case DesiredSeen():
            return _fold_desired(state, event.desired), ()
        case Terminate():
            return _fold_terminate(state, at), ()
        case ProcessLoaded():
            return replace(state, process=Process.LOADED, extended=event.extended), ()
        case ProcessPulsed():
            return _fold_pulse(state, event.snapshot, at), ()
        case ProcessTold():
            return _fold_callback(state, event, at), ()
        case ProcessAnswered():
            return _fold_answer(state, event)
        case ProcessEnded():
            return _fold_end(state, drained=event.drained), ()
        case ProcessExited():
            return _fold_exit(state, event.status, at)
        case _:
            assert_never(event)


def _fold_desired(state: State, desired: DesiredState) -> State:
    """A stop never goes back, whatever a later document says."""
    if state.desired.state is DesiredRecordingState.STOPPED:
        desired = desired.model_copy(update={"state": DesiredRecordingState.STOPPED})
    return replace(state, desired=desired)


def _fold_terminate(state: State, at: At) -> State:
    if state.terminated_at is not None:
        return state
    facts = state.facts
    if not state.stop_wanted:
        facts = replace(facts, ending=Ending.TERMINATED)
    return replace(state, facts=facts, terminated_at=at.monotonic)


def _fold_pulse(state: State, snapshot: Mapping[str, Any] | None, at: At) -> State:
    state = replace(state, pulse_at=at.monotonic)
    if snapshot is None:
        return state
    position = int(snapshot.get("positionMilliseconds", 0))
    if position != state.position or snapshot.get("state") != EngineState.RECORDING:
        state = replace(state, position=position, position_at=at.monotonic)
    return replace(state, facts=replace(state.facts, snapshot=snapshot))


def _fold_callback(state: State, told: ProcessTold, at: At) -> State:
    awaited = dict(state.awaited)
    if told.type in _LEFT:
        awaited.pop(Awaited.STOP, None)
    if told.type in _LAST:
        awaited[Awaited.RELEASE] = at.monotonic
    facts = _facts_after(state, told, at)
    # A process that died told its last account of itself here and nowhere else.
    facts = replace(facts, read_up_to=told.sequence, snapshot=told.snapshot or facts.snapshot)
    return replace(state, awaited=awaited, facts=facts)


def _facts_after(state: State, told: ProcessTold, at: At) -> Facts:  # noqa: C901, PLR0911 - one line for each callback that counts
    facts = state.facts
    match told.type:
        case "RecordingStarted":
            if facts.started_at is not None:
                return facts
            ago = max(0.0, (at.wall_ms - told.time_ms) / 1000)
            since = at.monotonic - ago
            return replace(facts, started_at=told.time_ms, started_monotonic=since, refusals=0, message="")
        case "RecordingStopped":
            return replace(facts, stopped_at=told.time_ms)
        case "RecordingUploaded":
            return replace(facts, upload=Outcome.UPLOADED)
        case "RecordingBackedUp":
            return replace(facts, upload=Outcome.BACKED_UP)
        case "RecorderFailure" if told.payload["code"] == RecordingErrorCode.NO_USERS and facts.ending is None:
            return _ended(facts, Ending.IDLE, told.payload)
        case "RecordingFatalError" if told.payload["code"] == RecordingErrorCode.NO_RECORDED_DATA and state.stop_wanted:
            # Nothing was recorded because it was ended before: no failure, and no reason for another part.
            return replace(facts, nothing_left=True, code=facts.code or RecordingErrorCode.NO_RECORDED_DATA)
        case "RecordingFatalError" if facts.stopped_at is not None and state.stop_wanted:
            # Capture had ended as it was to: what is left is brought home by a rescue, and no other part begins.
            return facts
        case "RecordingRefused" if state.patient and not state.stop_wanted:
            message = str(told.payload["message"])
            return replace(facts, captured=False, refusals=facts.refusals + 1, message=message)
        case "RecordingFatalError" | "RecordingRefused":
            return _ended(facts, Ending.FATAL, told.payload)
        case _:
            return facts


def _ended(facts: Facts, ending: Ending, payload: Mapping[str, Any]) -> Facts:
    return replace(facts, ending=ending, code=int(payload["code"]), message=str(payload["message"]))


def _fold_answer(state: State, event: ProcessAnswered) -> Step:
    if event.answer == Answer.RESCUE:
        return _fold_rescue(state, event)
    paid = _PAID_BY.get(event.answer)
    state = replace(state, awaited={debt: since for debt, since in state.awaited.items() if debt is not paid})
    if event.refusal and paid is not None and paid in _EDITS:
        return state, (Tell(type="EditRefused", payload={"field": _EDITS[paid], "message": event.refusal}),)
    if paid is Awaited.STORAGE and state.given is not None and state.given.place is not None:
        return moved(state, state.given.place)
    return state, ()


def moved(state: State, place: Mapping[str, Any]) -> Step:
    """The files go to this place from now on."""
    if place == state.facts.place:
        return state, ()
    state = replace(state, facts=replace(state.facts, place=place))
    return state, (Tell(type="StorageChanged", payload={"place": dict(place)}),)


def _fold_rescue(state: State, event: ProcessAnswered) -> Step:
    if event.refusal:
        hopeless = event.code not in _HEALABLE
        facts = replace(state.facts, message=state.facts.message or event.refusal)
        failure = Tell(type="UploaderFailure", payload={"code": event.code, "message": event.refusal})
        known = event.refusal == state.rescue_refusal
        state = replace(state, facts=facts, rescue_hopeless=hopeless, rescue_refusal=event.refusal)
        return state, () if known else (failure,)
    snapshot = _brought_home(state.facts.snapshot)
    facts = replace(state.facts, upload=Outcome.UPLOADED, snapshot=snapshot)
    playlist = (snapshot or {}).get("playlist")
    told = (Tell(type="RecordingUploaded", payload={"fileName": playlist}),) if playlist else ()
    return replace(state, facts=facts), told


def _brought_home(snapshot: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The last snapshot of a process that died, after a rescue verified all that it had left."""
    if snapshot is None:
        return None
    amounts = {
        name: {**snapshot[name], "uploaded": snapshot[name]["written"], "backedUp": 0, "pending": 0}
        for name in ("slices", "bytes")
        if name in snapshot
    }
    return {**snapshot, **amounts, "state": EngineState.UPLOADED, "progressPercent": 100}


def _fold_end(state: State, *, drained: bool) -> State:
    pending = ((state.facts.snapshot or {}).get("slices") or {}).get("pending", 0)
    over = drained and not pending and state.mode is not Mode.RESCUE and state.stop_wanted
    facts = replace(state.facts, nothing_left=state.facts.nothing_left or over)
    return replace(state, ended=True, awaited={}, facts=facts)


def _fold_exit(state: State, status: int, at: At) -> Step:
    gone = replace(
        state,
        process=Process.ABSENT,
        mode=None,
        ended=False,
        given=None,
        awaited={},
        stop_sent=False,
        position=-1,
        killed_for="",
        spawn_at=at.monotonic,
    )
    if not state.ended or status != 0:
        return _fold_crash(gone, state, status, at)
    return replace(gone, crashes=0, spawn_at=at.monotonic + _pause(state)), ()


def _pause(state: State) -> float:
    """How long after a process that ended in order another one has to wait."""
    if state.refused:
        return REFUSED_PAUSES.after(state.facts.refusals, spread=0.0)
    return RESCUE_RETRY_SECONDS if state.mode is Mode.RESCUE else 0.0


def _fold_crash(gone: State, before: State, status: int, at: At) -> Step:
    lived = at.monotonic - before.process_since
    crashes = 1 if lived >= HEALTHY_SECONDS else before.crashes + 1
    delay = RESTART_DELAYS[min(crashes, len(RESTART_DELAYS)) - 1]
    cause = before.killed_for or ("ended by a signal" if status < 0 else "ended unexpectedly")
    facts = replace(gone.facts, restarts=gone.facts.restarts + 1)
    message = f"the recorder process failed: {cause}"
    if crashes > RESTARTS_IN_A_ROW and not gone.stop_wanted:
        message += f"; given up after {crashes} failures in a row"
        facts = _ended(facts, Ending.FATAL, {"code": RecordingErrorCode.RECORDER_EXIT, "message": message})
    state = replace(
        gone,
        facts=facts,
        crashes=crashes,
        rescue_crashes=gone.rescue_crashes + (before.mode is Mode.RESCUE),
        spawn_at=at.monotonic + delay,
    )
    how = {"signal": -status} if status < 0 else {"exitCode": status}
    return state, (Tell(type="RecorderExited", payload={**how, "restarts": facts.restarts, "message": message}),)
