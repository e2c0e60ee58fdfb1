# SPDX-License-Identifier: Apache-2.0
"""What an event means for what is known of a part, before anything is decided from it. Pure.

How a recorder process that dies is treated: it is started again after at most the last of `RESTART_DELAYS`, so that it
runs again within two seconds. A process that lived for `HEALTHY_SECONDS` starts the count anew. After
`RESTARTS_IN_A_ROW` the part is concluded as fatal (RecorderExit), since another pod, perhaps on another node, is then
the better try; before that, what is closed on the volume is uploaded by a rescue.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final, assert_never

from cloud_recording.api.channel import Stream
from cloud_recording.api.error_facts import error_facts
from cloud_recording.api.recording import DesiredRecordingState
from cloud_recording.api.status import Outcome
from cloud_recording.api.wire import DesiredState, EngineState, FileFigures
from cloud_recording.common.backoff import Backoff
from cloud_recording.common.callback_names import CallbackName, callback_facts
from cloud_recording.common.error_codes import RecordingErrorCode
from cloud_recording.runner.control_protocol import Answer, Command, Mode
from cloud_recording.runner.supervisor.part_actions import EDITS, SPEC_FIELDS, EmitCallback, Step
from cloud_recording.runner.supervisor.part_end import is_stopping, terminated
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
from cloud_recording.runner.supervisor.part_state import Awaited, Ending, Facts, Moment, Process, State

RESTART_DELAYS: Final = (0.0, 0.1, 0.2, 0.4, 0.8, 1.5)
RESTARTS_IN_A_ROW: Final = 20
HEALTHY_SECONDS: Final = 60.0
RESCUE_RETRY_SECONDS: Final = 10.0
REFUSED_BACKOFF: Final = Backoff(first_seconds=5.0, most_seconds=300.0)
"""A channel that refuses everybody may be mended where nobody sees it: a name resolves otherwise, a server lets in."""

_AWAITED_UNTIL_ANSWER: Final[Mapping[str, Awaited]] = {
    Command.BEGIN: Awaited.BEGIN,
    Answer.RELEASE: Awaited.RELEASE,
    **{command: edit.awaited for command, edit in EDITS.items()},
}
"""What is awaited no longer once it is answered. A stop is not among them: it is over when the engine has left."""


def apply_event(state: State, event: Event, now: Moment) -> Step:  # noqa: C901, PLR0911 - one line for each event there is
    """What an event means, before anything is decided from it."""
    match event:
        case Tick():
            return state, ()
        case SecretsSeen():
            # One that was mended may be the very cause.
            spawn_at = min(state.spawn_at, now.monotonic) if state.refused else state.spawn_at
            return replace(state, missing=event.missing, spawn_at=spawn_at), ()
        case DesiredSeen():
            seen = replace(_after_desired(state, event.desired), unknown=event.unknown)
            return seen, tuple(_unread(state, event))
        case Terminate():
            return terminated(state, now)
        case ProcessLoaded():
            return replace(state, process=Process.LOADED, extended=event.extended), ()
        case ProcessHeartbeat():
            return _come_home(_after_heartbeat(state, event.snapshot, now), now)
        case CallbackStored():
            return _after_callback(state, event, now), ()
        case ProcessAnswered():
            return _after_answer(state, event)
        case ProcessEnded():
            return _after_end(state, drained=event.drained), ()
        case ProcessExited():
            return _after_exit(state, event.status, now)
        case _:
            assert_never(event)


def _after_desired(state: State, desired: DesiredState) -> State:
    """A stop never goes back, whatever a later document says."""
    if state.desired.state is DesiredRecordingState.STOPPED:
        desired = desired.model_copy(update={"state": DesiredRecordingState.STOPPED})
    state = replace(state, desired=desired)
    # Before anything was recorded there is nobody to refuse them.
    return with_streams(state, desired.streams) if desired.streams and not state.facts.captured else state


def _unread(state: State, event: DesiredSeen) -> Iterator[EmitCallback]:
    """What this release has no words for is told once for each edit; nobody would know that it is not followed."""
    if event.desired.generation <= state.desired.generation:
        return
    new = (name for name, value in event.unknown.items() if state.unknown.get(name) != value)
    for name in (*event.unread, *new):
        message = "this part's recorder is of another release than the operator, and cannot read it"
        payload = {"field": SPEC_FIELDS.get(name, name), "message": message}
        yield EmitCallback(type=CallbackName.EDIT_REFUSED, payload=payload)


def with_streams(state: State, streams: tuple[Stream, ...]) -> State:
    """The channel has these participants from now on."""
    if streams == state.streams:
        return state
    as_json = [stream.model_dump(mode="json", by_alias=True, exclude_none=True) for stream in streams]
    return replace(state, streams=streams, facts=replace(state.facts, streams=as_json))


def _after_heartbeat(state: State, snapshot: Mapping[str, Any] | None, now: Moment) -> State:
    state = replace(state, heartbeat_at=now.monotonic)
    if snapshot is None:
        return state
    if state.mode is Mode.RESCUE:
        return replace(state, facts=replace(state.facts, snapshot=_with_files_of(state.facts.snapshot, snapshot)))
    position = int(snapshot.get("positionMilliseconds", 0))
    must_write = snapshot.get("state") == EngineState.RECORDING and not (
        state.passes_through and _nobody_sends(snapshot)
    )
    if position != state.position or not must_write:
        state = replace(state, position=position, position_at=now.monotonic)
    facts = _with_first_media(state.facts, snapshot, time_ms=now.wall_ms, now=now)
    return replace(state, facts=replace(facts, snapshot=snapshot))


_OF_FILES: Final = tuple(field.alias or name for name, field in FileFigures.model_fields.items())


def _with_files_of(last: Mapping[str, Any] | None, rescued: Mapping[str, Any]) -> Mapping[str, Any]:
    """The last snapshot of a process that died, with what a rescue has found of its files and their bucket since."""
    if last is None:
        return rescued
    return {**last, **{name: rescued[name] for name in _OF_FILES if name in rescued}}


def _come_home(state: State, now: Moment) -> Step:
    """The engine tells once that everything is stored; that the bucket has it all since is told for it."""
    snapshot = state.facts.snapshot or {}
    if state.backed_up_at is None or snapshot.get("state") != EngineState.UPLOADED:
        return state, ()
    facts = replace(state.facts, upload=Outcome.UPLOADED)
    uploaded = EmitCallback(type=CallbackName.UPLOADED, payload={"fileName": snapshot["playlist"]})
    awaited = {**state.awaited, Awaited.RELEASE: now.monotonic}
    return replace(state, facts=facts, backed_up_at=None, awaited=awaited), (uploaded,)


def _nobody_sends(snapshot: Mapping[str, Any]) -> bool:
    return not any(one.get("audio") or one.get("video") for one in snapshot.get("participants", ()))


def _after_callback(state: State, callback: CallbackStored, now: Moment) -> State:
    awaited = dict(state.awaited)
    kind = callback_facts(callback.type)
    if kind.ends_capture:
        awaited.pop(Awaited.STOP, None)
    comes_home = kind.comes_home and state.extended
    if kind.is_final and not comes_home:
        awaited[Awaited.RELEASE] = now.monotonic
    facts = _facts_after(state, callback, now)
    # A process that died told its last account of itself here and nowhere else.
    snapshot = callback.snapshot or facts.snapshot
    if callback.snapshot is not None and state.mode is Mode.RESCUE:
        snapshot = _with_files_of(facts.snapshot, callback.snapshot)
    else:
        facts = _with_first_media(facts, callback.snapshot, time_ms=callback.time_ms, now=now)
    facts = replace(facts, read_up_to=callback.sequence, snapshot=snapshot)
    backed_up_at = now.monotonic if comes_home else state.backed_up_at
    return replace(state, awaited=awaited, facts=facts, backed_up_at=backed_up_at)


def _facts_after(state: State, callback: CallbackStored, now: Moment) -> Facts:  # noqa: C901, PLR0911 - one line for each callback that counts
    facts, code = state.facts, callback.payload.get("code")
    match callback.type:
        case CallbackName.STARTED:
            if facts.started_at is not None:
                return facts
            joined = replace(facts, joined=True, refusals=0, message="")
            paused = (callback.snapshot or {}).get("state") == EngineState.PAUSED
            return joined if paused else _with_media(joined, time_ms=callback.time_ms, now=now)
        case CallbackName.STOPPED if not is_stopping(state):
            left = replace(facts, ending=Ending.LEFT, message=_why_left(callback.snapshot))
            return replace(left, stopped_at=callback.time_ms)
        case CallbackName.STOPPED:
            return replace(facts, stopped_at=callback.time_ms)
        case CallbackName.UPLOADED:
            return replace(facts, upload=Outcome.UPLOADED)
        case CallbackName.BACKED_UP:
            return replace(facts, upload=Outcome.BACKED_UP)
        case CallbackName.RECORDER_FAILURE if code == RecordingErrorCode.NO_USERS and facts.ending is None:
            return _ended(facts, Ending.IDLE, callback.payload)
        case CallbackName.FATAL_ERROR if callback.payload[
            "code"
        ] == RecordingErrorCode.NO_RECORDED_DATA and is_stopping(state):
            # Nothing was recorded because it was ended before: no failure, and no reason for another part.
            return replace(facts, nothing_left=True, code=facts.code or RecordingErrorCode.NO_RECORDED_DATA)
        case CallbackName.FATAL_ERROR if facts.stopped_at is not None and is_stopping(state):
            # Capture had ended as it was to: what is left is uploaded by a rescue, and no other part begins.
            return facts
        case CallbackName.REFUSED if state.patient and not is_stopping(state):
            message = str(callback.payload["message"])
            return replace(facts, captured=False, refusals=facts.refusals + 1, message=message)
        case CallbackName.FATAL_ERROR | CallbackName.REFUSED:
            return _ended(facts, Ending.FATAL, callback.payload)
        case _:
            return facts


def _with_first_media(facts: Facts, snapshot: Mapping[str, Any] | None, *, time_ms: int, now: Moment) -> Facts:
    """The facts once media comes: who joined a part that was paused was not recorded yet."""
    comes = facts.joined and facts.started_at is None and (snapshot or {}).get("state") == EngineState.RECORDING
    return _with_media(facts, time_ms=time_ms, now=now) if comes else facts


def _with_media(facts: Facts, *, time_ms: int, now: Moment) -> Facts:
    ago = max(0.0, (now.wall_ms - time_ms) / 1000)
    return replace(facts, started_at=time_ms, started_monotonic=now.monotonic - ago)


def _why_left(snapshot: Mapping[str, Any] | None) -> str:
    """Who had the recorder leave; the engine's newest error may be another one, such as the bucket's."""
    error = (snapshot or {}).get("lastError") or {}
    return str(error.get("message", "")) if error.get("code") == RecordingErrorCode.DISCONNECTED else ""


def _ended(facts: Facts, ending: Ending, payload: Mapping[str, Any]) -> Facts:
    return replace(facts, ending=ending, code=int(payload["code"]), message=str(payload["message"]))


def _after_answer(state: State, event: ProcessAnswered) -> Step:
    if event.answer == Answer.RESCUE:
        return _after_rescue(state, event)
    answered = _AWAITED_UNTIL_ANSWER.get(event.answer)
    state = replace(
        state,
        awaited={item: since for item, since in state.awaited.items() if item is not answered},
    )
    if event.refusal and event.answer in EDITS:
        return state, tuple(
            EmitCallback(type=CallbackName.EDIT_REFUSED, payload={"field": field, "message": event.refusal})
            for field in state.edited.get(Command(event.answer), ())
        )
    if answered is Awaited.STREAMS and state.last_sent is not None and state.last_sent.streams is not None:
        return with_streams(state, state.last_sent.streams), ()
    if answered is Awaited.STORAGE and state.last_sent is not None and state.last_sent.place is not None:
        return storage_changed(state, state.last_sent.place)
    return state, ()


def storage_changed(state: State, place: Mapping[str, Any]) -> Step:
    """The files go to this place from now on."""
    if place == state.facts.place:
        return state, ()
    state = replace(state, facts=replace(state.facts, place=place))
    return state, (EmitCallback(type=CallbackName.STORAGE_CHANGED, payload={"place": dict(place)}),)


def _after_rescue(state: State, event: ProcessAnswered) -> Step:
    if event.refusal and event.code == RecordingErrorCode.NO_RECORDED_DATA:
        # Only the backup store has anything of it, and no journal by which it could come home.
        return replace(state, facts=replace(state.facts, upload=Outcome.BACKED_UP, message=event.refusal)), ()
    if event.refusal:
        hopeless = not error_facts(event.code).heals
        facts = replace(state.facts, rescue_failure=event.refusal)
        payload = {"code": event.code, "message": event.refusal, **_cause_of_rescue(state, event.code)}
        failure = EmitCallback(type=CallbackName.UPLOADER_FAILURE, payload=payload)
        known = event.refusal == state.facts.rescue_failure
        # Whatever becomes of a process that has answered, rescues do not die of what is left.
        state = replace(state, facts=facts, rescue_hopeless=hopeless, rescue_crashes=0)
        return state, () if known else (failure,)
    snapshot = _all_uploaded(state.facts.snapshot)
    facts = replace(state.facts, upload=Outcome.UPLOADED, snapshot=snapshot)
    playlist = (snapshot or {}).get("playlist")
    uploaded = (EmitCallback(type=CallbackName.UPLOADED, payload={"fileName": playlist}),) if playlist else ()
    return replace(state, facts=facts), uploaded


_OF_THE_STORE: Final = frozenset({RecordingErrorCode.UPLOADER_FAILED, RecordingErrorCode.UPLOADER_INIT})


def _cause_of_rescue(state: State, code: int) -> dict[str, str]:
    """Why the store refused what a rescue put, as the engine's account says, which comes before its answer."""
    storage = (state.facts.snapshot or {}).get("storage") or {}
    if code not in _OF_THE_STORE or storage.get("state") != "Failing" or not storage.get("cause"):
        return {}
    return {"cause": storage["cause"], "fact": storage.get("message", "")}


def _all_uploaded(snapshot: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The last snapshot of a process that died, after a rescue verified all that it had left.

    An engine that tells nothing of a rescue has delivered at least what was known before.
    """
    if snapshot is None:
        return None
    amounts = {
        name: {**snapshot[name], "uploaded": snapshot[name]["written"], "backedUp": 0, "pending": 0}
        for name in ("slices", "bytes")
        if name in snapshot
    }
    done = {"state": EngineState.UPLOADED, "progressPercent": 100, "playlistPending": False}
    return {**snapshot, **amounts, **done}


def _after_end(state: State, *, drained: bool) -> State:
    pending = ((state.facts.snapshot or {}).get("slices") or {}).get("pending", 0)
    over = drained and not pending and state.mode is not Mode.RESCUE and is_stopping(state)
    facts = replace(state.facts, nothing_left=state.facts.nothing_left or over)
    return replace(state, ended=True, awaited={}, facts=facts)


def _after_exit(state: State, status: int, now: Moment) -> Step:
    gone = replace(
        state,
        process=Process.ABSENT,
        mode=None,
        ended=False,
        last_sent=None,
        awaited={},
        stop_sent=False,
        position=-1,
        kill_reason="",
        spawn_at=now.monotonic,
    )
    if not state.ended or status != 0:
        return _after_crash(gone, state, status, now)
    return replace(gone, crashes=0, spawn_at=now.monotonic + _respawn_delay(state)), ()


def _respawn_delay(state: State) -> float:
    """How long after a process that ended in order another one has to wait."""
    if state.refused:
        return REFUSED_BACKOFF.after(state.facts.refusals, spread=0.0)
    return RESCUE_RETRY_SECONDS if state.mode is Mode.RESCUE else 0.0


def _signal(status: int) -> str:
    """The signal's name, where it has one."""
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"


def _after_crash(gone: State, before: State, status: int, now: Moment) -> Step:
    lived = now.monotonic - before.process_since
    crashes = 1 if lived >= HEALTHY_SECONDS else before.crashes + 1
    delay = RESTART_DELAYS[min(crashes, len(RESTART_DELAYS)) - 1]
    cause = before.kill_reason or (f"ended by {_signal(status)}" if status < 0 else f"ended with exit code {status}")
    facts = replace(gone.facts, restarts=gone.facts.restarts + 1)
    message = f"the recorder process failed: {cause}"
    if crashes > RESTARTS_IN_A_ROW and not is_stopping(gone):
        message += f"; given up after {crashes} failures in a row"
        facts = _ended(facts, Ending.FATAL, {"code": RecordingErrorCode.RECORDER_EXIT, "message": message})
    elif not is_stopping(gone):
        message += "; it is started again"
    state = replace(
        gone,
        facts=facts,
        crashes=crashes,
        rescue_crashes=gone.rescue_crashes + (before.mode is Mode.RESCUE),
        spawn_at=now.monotonic + delay,
    )
    how = {"signal": -status} if status < 0 else {"exitCode": status}
    return state, (
        EmitCallback(
            type=CallbackName.RECORDER_EXITED, payload={**how, "restarts": facts.restarts, "message": message}
        ),
    )
