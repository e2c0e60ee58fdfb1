# SPDX-License-Identifier: Apache-2.0
"""Decides what happens to one part of a recording: `react` is a pure function from state, event and time to actions.

It knows no process, file, socket or clock; the supervisor feeds it what happened and carries out what it answers.

How a recorder process that dies is treated: it is started again after at most the last of `RESTART_DELAYS`, so that it
runs again within two seconds. A process that lived for `HEALTHY_SECONDS` starts the count anew. After
`RESTARTS_IN_A_ROW` the part is concluded as fatal (RecorderExit), since another pod, perhaps on another node, is then
the better try; before that, what is closed on the volume is uploaded by a rescue.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, assert_never

from cloud_recording.api.errors import RecordingErrorCode
from cloud_recording.api.media import Layout
from cloud_recording.api.recording import DesiredRecordingState
from cloud_recording.api.status import Outcome
from cloud_recording.api.wire import DesiredState, EngineState
from cloud_recording.runner.job import Answer, Command, Mode
from cloud_recording.runner.part import (
    Action,
    At,
    Awaited,
    Begin,
    Conclude,
    DesiredSeen,
    Ending,
    Event,
    Facts,
    Given,
    Kill,
    Process,
    ProcessAnswered,
    ProcessEnded,
    ProcessExited,
    ProcessLoaded,
    ProcessPulsed,
    ProcessTold,
    SecretsSeen,
    Send,
    Spawn,
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
RESCUE_CRASHES: Final = 3

LOAD_SECONDS: Final = 30.0
"""A recorder process that has not loaded its engine by then is stuck."""
SILENCE_SECONDS: Final = 20.0
"""A recorder process pulses every second; one that is silent for so long hangs, or is stopped."""
STALL_SECONDS: Final = 30.0
"""Media is written even in a silent channel; an engine that records and writes none for so long hangs."""
DEBT_SECONDS: Final = 60.0
"""An engine that owes something for so long hangs."""
GIVE_UP_SECONDS: Final = 10.0

_PAID_BY: Final[Mapping[str, Awaited]] = {
    Command.BEGIN: Awaited.BEGIN,
    Command.PAUSE: Awaited.PAUSE,
    Command.LAYOUT: Awaited.LAYOUT,
    Answer.RELEASE: Awaited.RELEASE,
}
"""What an answer pays. A stop is not among them: it is over when the engine has left, not when it has heard of it."""
_EDITS: Final[Mapping[Awaited, str]] = {
    Awaited.PAUSE: "spec.desiredState",
    Awaited.LAYOUT: "spec.recording.video.layout",
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
_LEFT: Final = frozenset({"RecordingStopped", "RecordingUploaded", "RecordingBackedUp", "RecordingFatalError"})
_LAST: Final = frozenset({"RecordingUploaded", "RecordingBackedUp", "RecordingFatalError"})


def react(state: State, event: Event, at: At) -> Step:
    """The state after an event, and what has to be done. Once concluded, nothing changes any more."""
    if state.concluded:
        return state, ()
    state, told = _fold(state, event, at)
    state, ordered = _advance(state, at)
    return state, told + ordered


def _fold(state: State, event: Event, at: At) -> Step:  # noqa: C901, PLR0911 - one line for each event there is
    """What an event means, before anything is decided from it."""
    match event:
        case Tick():
            return state, ()
        case SecretsSeen():
            return replace(state, missing=event.missing), ()
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
    facts = _facts_after(state, told)
    # A process that died told its last account of itself here and nowhere else.
    facts = replace(facts, read_up_to=told.sequence, snapshot=told.snapshot or facts.snapshot)
    return replace(state, awaited=awaited, facts=facts)


def _facts_after(state: State, told: ProcessTold) -> Facts:  # noqa: PLR0911 - one line for each callback that counts
    facts = state.facts
    match told.type:
        case "RecordingStarted":
            return replace(facts, started_at=told.time_ms if facts.started_at is None else facts.started_at)
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
        case "RecordingFatalError":
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
    return state, ()


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
        name: {**snapshot[name], "uploaded": snapshot[name]["uploaded"] + snapshot[name]["pending"], "pending": 0}
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
    delay = RESCUE_RETRY_SECONDS if state.mode is Mode.RESCUE else 0.0
    return replace(gone, crashes=0, spawn_at=at.monotonic + delay), ()


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


def _advance(state: State, at: At) -> Step:
    """What has to be done now, from the state alone."""
    state, told = _announce(state)
    match state.process:
        case Process.ABSENT:
            state, ordered = _without_process(state, at)
        case Process.LOADING:
            state, ordered = _while_loading(state, at)
        case Process.LOADED:
            state, ordered = _with_idle_process(state, at)
        case Process.BUSY:
            state, ordered = _with_busy_process(state, at)
        case _:
            assert_never(state.process)
    return state, told + ordered


def _announce(state: State) -> Step:
    """Says who runs, once the engine is known, and which secrets are awaited, whenever that changes."""
    if state.process is not Process.LOADED:
        return state, ()
    told: tuple[Tell, ...] = ()
    if not state.announced:
        told = (Tell(type="RunnerStarted", payload={"engineExtended": state.extended}),)
    if state.missing and state.missing != state.told_missing:
        missing = [secret.model_dump(by_alias=True) for secret in state.missing]
        told += (Tell(type="WaitingForSecret", payload={"missing": missing}),)
    elif state.missing == () and state.told_missing:
        told += (Tell(type="SecretsComplete", payload={}),)
    return replace(state, announced=True, told_missing=state.missing), told


def _without_process(state: State, at: At) -> Step:
    if _is_over(state) or _deadline_passed(state, at):
        state, told = _acknowledge(replace(state, concluded=True))
        return state, (*told, Conclude())
    if at.monotonic < state.spawn_at:
        return state, ()
    return replace(state, process=Process.LOADING, process_since=at.monotonic), (Spawn(),)


def _while_loading(state: State, at: At) -> Step:
    if at.monotonic - state.process_since < LOAD_SECONDS:
        return state, ()
    return _kill(state, f"its engine was not loaded within {LOAD_SECONDS:.0f} s")


def _with_idle_process(state: State, at: At) -> Step:
    if _is_over(state) or _deadline_passed(state, at):
        return _give_up(state, at)
    if state.missing is None or state.missing:
        return state, ()
    return _begin_rescue(state, at) if state.stop_wanted else _begin_recording(state, at)


def _begin_recording(state: State, at: At) -> Step:
    begun = replace(
        _busy(state, Mode.RECORD, at),
        facts=replace(state.facts, captured=True),
        # Whoever wants it paused is obeyed by a command, which an engine without pauses can refuse.
        given=replace(_look(state.desired), paused=False),
    )
    return begun, (Begin(mode=Mode.RECORD, desired=state.desired),)


def _begin_rescue(state: State, at: At) -> Step:
    """Uploads what a recorder process left that died when capture was over, or beyond help."""
    told: tuple[Action, ...] = ()
    if state.facts.started_at is not None and state.facts.stopped_at is None:
        state = replace(state, facts=replace(state.facts, stopped_at=at.wall_ms))
        told = (Tell(type="RecordingStopped", payload={}),)
    return _busy(state, Mode.RESCUE, at), (*told, Begin(mode=Mode.RESCUE, desired=state.desired))


def _busy(state: State, mode: Mode, at: At) -> State:
    awaited = {Awaited.BEGIN: at.monotonic} if mode is Mode.RECORD else {}
    now = at.monotonic
    return replace(state, process=Process.BUSY, mode=mode, awaited=awaited, pulse_at=now, position_at=now)


def _with_busy_process(state: State, at: At) -> Step:
    hang = _hang(state, at)
    if hang:
        return _kill(state, hang)
    if _deadline_passed(state, at):
        return _give_up(state, at)
    if state.mode is Mode.RESCUE or state.ended or state.killed_for:
        return state, ()
    if state.stop_wanted:
        return _stop(state, at)
    return _apply_desired(state, at)


def _hang(state: State, at: At) -> str:
    """Why the process must be taken for hanging, or nothing."""
    if at.monotonic - state.pulse_at > SILENCE_SECONDS:
        return f"it gave no sign of life for {SILENCE_SECONDS:.0f} s"
    if state.ended:
        return ""
    if state.engine_state == EngineState.RECORDING and at.monotonic - state.position_at > STALL_SECONDS:
        return f"it wrote no media for {STALL_SECONDS:.0f} s"
    overdue = [debt for debt, since in state.awaited.items() if at.monotonic - since > DEBT_SECONDS]
    return f"it did not {overdue[0]} within {DEBT_SECONDS:.0f} s" if overdue else ""


def _stop(state: State, at: At) -> Step:
    """Stops capture once; the desired generation counts as applied when that has come about.

    An engine that leaves by itself, as the channel is idle, need not be told, but it owes its stop as well.
    """
    if not state.stop_sent:
        over = state.facts.stopped_at is not None or Awaited.RELEASE in state.awaited
        awaited = state.awaited if over else {**state.awaited, Awaited.STOP: at.monotonic}
        by_itself = over or state.facts.ending is Ending.IDLE
        orders = () if by_itself else (Send(command=Command.STOP),)
        return replace(state, stop_sent=True, awaited=awaited), orders
    return _acknowledge(state)


def _apply_desired(state: State, at: At) -> Step:
    """Passes changes of the desired state on, and acknowledges its generation when all are answered."""
    wanted, given = _look(state.desired), state.given
    if given is None or given == wanted:
        return _acknowledge(state)
    orders: tuple[Action, ...] = ()
    awaited = dict(state.awaited)
    if (given.layout, given.max_resolution_uid) != (wanted.layout, wanted.max_resolution_uid):
        look = {"layout": list(Layout).index(wanted.layout), "maxResolutionUid": wanted.max_resolution_uid}
        orders += (Send(command=Command.LAYOUT, arguments=look),)
        awaited[Awaited.LAYOUT] = at.monotonic
    if given.paused != wanted.paused:
        orders += (Send(command=Command.PAUSE, arguments={"paused": wanted.paused}),)
        awaited[Awaited.PAUSE] = at.monotonic
    if given.credentials_generation != wanted.credentials_generation and not state.extended:
        refusal = "this engine takes credentials only when it starts; they count from its next start on"
        orders += (Tell(type="EditRefused", payload={"field": "spec.storage.credentials", "message": refusal}),)
    return replace(state, given=wanted, awaited=awaited), orders


def _acknowledge(state: State) -> Step:
    generation = state.desired.generation
    if state.facts.applied_generation == generation or set(state.awaited) - {Awaited.RELEASE}:
        return state, ()
    facts = replace(state.facts, applied_generation=generation)
    return replace(state, facts=facts), (Tell(type="DesiredStateApplied", payload={"generation": generation}),)


def _look(desired: DesiredState) -> Given:
    return Given(
        layout=desired.layout,
        max_resolution_uid=desired.max_resolution_uid or 0,
        paused=desired.state is DesiredRecordingState.PAUSED,
        credentials_generation=desired.credentials_generation,
    )


def _give_up(state: State, at: At) -> Step:
    """Ends a process that is not needed, or has no time left: politely, then for good."""
    if state.give_up_at is None:
        return replace(state, give_up_at=at.monotonic), (Send(command=Command.GIVE_UP),)
    if at.monotonic - state.give_up_at > GIVE_UP_SECONDS:
        return _kill(state, "it did not end when told to")
    return state, ()


def _kill(state: State, reason: str) -> Step:
    if state.killed_for:
        return state, ()
    return replace(state, killed_for=reason), (Kill(reason=reason),)


def _deadline_passed(state: State, at: At) -> bool:
    """Only a termination limits the upload: after a stop that was desired it may take as long as the bucket needs."""
    since = state.terminated_at
    return since is not None and at.monotonic - since >= state.desired.upload_grace_seconds


def _is_over(state: State) -> bool:
    """Whether no process of this pod has anything left to record or to upload."""
    facts = state.facts
    if facts.upload is not None:
        return True
    if not state.stop_wanted:
        return False
    if not facts.captured or facts.nothing_left or state.rescue_hopeless:
        return True
    no_rescue = state.announced and not state.extended
    return no_rescue or state.rescue_crashes >= RESCUE_CRASHES
