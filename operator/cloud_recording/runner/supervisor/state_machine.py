# SPDX-License-Identifier: Apache-2.0
"""Decides what happens to one part of a recording: `react` is a pure function from state, event and time to actions.

It knows no process, file, socket or clock; the supervisor feeds it what happened and carries out what it answers.
`apply_event` says what an event means; here is what has to be done then, from the state alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final, assert_never

from cloud_recording.api.media import Layout
from cloud_recording.api.recording import DesiredRecordingState
from cloud_recording.api.storage_place import is_same_but_for_proxy, place_record
from cloud_recording.api.wire import DesiredState, EngineState, MissingSecret
from cloud_recording.common.callback_names import CallbackName
from cloud_recording.runner.control_protocol import Command, Mode
from cloud_recording.runner.supervisor.apply_event import apply_event, storage_changed
from cloud_recording.runner.supervisor.part_actions import (
    EDITS,
    SPEC_FIELDS,
    Action,
    Begin,
    Conclude,
    EmitCallback,
    Kill,
    Send,
    Spawn,
    Step,
)
from cloud_recording.runner.supervisor.part_end import final_facts, is_out_of_time, is_over, is_stopping, stop
from cloud_recording.runner.supervisor.part_events import Event
from cloud_recording.runner.supervisor.part_state import Awaited, Ending, EngineSettings, Moment, Process, State
from cloud_recording.runner.supervisor.published_numbers import number_of

LOAD_SECONDS: Final = 30.0
"""A recorder process that has not loaded its engine by then is stuck."""
SILENCE_SECONDS: Final = 20.0
"""A recorder process sends a heartbeat every second; one that is silent for so long hangs, or is stopped."""
STALL_SECONDS: Final = 30.0
"""Media is written even in a silent channel, unless its stream is passed through and sends none; an engine that
records and writes none for so long hangs."""
ANSWER_SECONDS: Final = 60.0
"""An engine that has left something undone for so long hangs."""
GIVE_UP_SECONDS: Final = 10.0


def react(state: State, event: Event, now: Moment) -> Step:
    """The state after an event, and what has to be done. Once concluded, nothing changes any more."""
    if state.concluded:
        return state, ()
    state, callbacks = apply_event(state, event, now)
    state, actions = _advance(state, now)
    return state, callbacks + actions


def _advance(state: State, now: Moment) -> Step:
    """What has to be done now, from the state alone."""
    state, callbacks = _announce(_with_max_duration(state, now))
    match state.process:
        case Process.ABSENT:
            state, actions = _without_process(state, now)
        case Process.LOADING:
            state, actions = _while_loading(state, now)
        case Process.LOADED:
            state, actions = _with_idle_process(state, now)
        case Process.BUSY:
            state, actions = _with_busy_process(state, now)
        case _:
            assert_never(state.process)
    return state, callbacks + actions


def _with_max_duration(state: State, now: Moment) -> State:
    """Keeps `maxDurationSeconds`: with the operator away, too, and whatever happens to the wall clock."""
    limit, since = state.desired.max_duration_seconds, state.facts.started_monotonic
    if limit is None or since is None or is_stopping(state) or now.monotonic - since < limit:
        return state
    return replace(state, facts=replace(state.facts, ending=Ending.LIMIT))


def _announce(state: State) -> Step:
    """Says who runs, once the engine is known, and which secrets are awaited, whenever that changes."""
    if state.process not in {Process.LOADED, Process.BUSY}:
        return state, ()
    callbacks: tuple[EmitCallback, ...] = ()
    if not state.announced:
        callbacks = (EmitCallback(type=CallbackName.RUNNER_STARTED, payload={"engineExtended": state.extended}),)
    if state.missing is not None and state.missing != (state.announced_missing or ()):
        callbacks += (_missing(state, state.missing),)
    return replace(state, announced=True, announced_missing=state.missing), callbacks


def _missing(state: State, missing: Sequence[MissingSecret]) -> EmitCallback:
    """Tells a Secret that a part waits for before it records from one that was deleted while it does."""
    named = [secret.model_dump(by_alias=True) for secret in missing]
    if state.facts.captured:
        return EmitCallback(type=CallbackName.SECRETS_GONE, payload={"missing": named})
    return (
        EmitCallback(type=CallbackName.WAITING_FOR_SECRET, payload={"missing": named})
        if named
        else EmitCallback(type=CallbackName.SECRETS_COMPLETE, payload={})
    )


def _without_process(state: State, now: Moment) -> Step:
    if is_over(state) or is_out_of_time(state, now):
        state, callbacks = _acknowledge(replace(state, facts=final_facts(state), concluded=True))
        return state, (*callbacks, Conclude())
    if now.monotonic < state.spawn_at:
        return state, ()
    return replace(state, process=Process.LOADING, process_since=now.monotonic), (Spawn(),)


def _while_loading(state: State, now: Moment) -> Step:
    if now.monotonic - state.process_since < LOAD_SECONDS:
        return state, ()
    return _kill(state, f"its engine was not loaded within {LOAD_SECONDS:.0f} s")


def _with_idle_process(state: State, now: Moment) -> Step:
    if is_over(state) or is_out_of_time(state, now):
        return _give_up(state, now)
    if state.missing is None or state.missing:
        return state, ()
    return _begin_rescue(state, now) if is_stopping(state) else _begin_recording(state, now)


def _begin_recording(state: State, now: Moment) -> Step:
    # Once there may be slices, an engine that has stored one has the last word on where they go: it is asked.
    place = _place(state.desired)
    state, callbacks = storage_changed(state, place) if place is not None and not state.facts.captured else (state, ())
    anew = state.refused
    begun = replace(
        _busy(state, Mode.RECORD, now),
        facts=replace(state.facts, captured=True),
        # Whoever wants it paused is obeyed by a command, which an engine without pauses can refuse.
        last_sent=replace(_settings_of(state.desired), paused=False, place=state.facts.place, streams=state.streams),
    )
    begin = Begin(mode=Mode.RECORD, desired=state.desired, streams=state.streams, place=state.facts.place, anew=anew)
    return begun, (*callbacks, begin)


def _begin_rescue(state: State, now: Moment) -> Step:
    """Uploads what a recorder process left behind that died after capture was over, or too often."""
    callbacks: tuple[Action, ...] = ()
    if state.facts.started_at is not None and state.facts.stopped_at is None:
        state = replace(state, facts=replace(state.facts, stopped_at=now.wall_ms))
        callbacks = (EmitCallback(type=CallbackName.STOPPED, payload={}),)
    place = _place(state.desired)
    if place is not None and (not _is_stored(state) or is_same_but_for_proxy(place, state.facts.place)):
        state, changed = storage_changed(state, place)
        callbacks = (*callbacks, *changed)
    begin = Begin(mode=Mode.RESCUE, desired=state.desired, streams=state.streams, place=state.facts.place)
    return _busy(state, Mode.RESCUE, now), (*callbacks, begin)


def _is_stored(state: State) -> bool:
    slices = (state.facts.snapshot or {}).get("slices") or {}
    return bool(slices.get("uploaded"))


def _busy(state: State, mode: Mode, now: Moment) -> State:
    awaited = {Awaited.BEGIN: now.monotonic} if mode is Mode.RECORD else {}
    return replace(
        state, process=Process.BUSY, mode=mode, awaited=awaited, heartbeat_at=now.monotonic, position_at=now.monotonic
    )


def _with_busy_process(state: State, now: Moment) -> Step:
    hang = _hang(state, now)
    if hang:
        return _kill(state, hang)
    if is_out_of_time(state, now):
        return _give_up(state, now)
    if state.mode is Mode.RESCUE or state.ended or state.kill_reason:
        return state, ()
    if is_stopping(state):
        # The desired generation counts as applied when the stop has come about.
        return _acknowledge(state) if state.stop_sent else stop(state, now)
    return _apply_desired(state, now)


def _hang(state: State, now: Moment) -> str:
    """Why the process must be taken for hanging, or nothing."""
    if now.monotonic - state.heartbeat_at > SILENCE_SECONDS:
        return f"it gave no sign of life for {SILENCE_SECONDS:.0f} s"
    if state.ended:
        return ""
    # What a rescue shows of a process that died while it recorded is no promise of media.
    records = state.mode is Mode.RECORD and state.engine_state == EngineState.RECORDING
    if records and now.monotonic - state.position_at > STALL_SECONDS:
        return f"it wrote no media for {STALL_SECONDS:.0f} s"
    overdue = [item for item, since in state.awaited.items() if now.monotonic - since > ANSWER_SECONDS]
    return f"it did not {overdue[0]} within {ANSWER_SECONDS:.0f} s" if overdue else ""


def _apply_desired(state: State, now: Moment) -> Step:
    """Passes changes of the desired state on, and acknowledges its generation when all are answered."""
    desired, last_sent = _settings_of(state.desired), state.last_sent
    if last_sent is not None and desired.place is None:
        desired = replace(desired, place=last_sent.place)
    if last_sent is not None and desired.streams is None:
        desired = replace(desired, streams=last_sent.streams)
    if last_sent is None or last_sent == desired:
        return _acknowledge(state)
    edits = tuple(_edits(last_sent, desired))
    actions: tuple[Action, ...] = edits
    if last_sent.credentials_generation != desired.credentials_generation and not state.extended:
        refusal = "this engine takes credentials only when it starts; they count from its next start on"
        payload = {"field": SPEC_FIELDS["credentialsGeneration"], "message": refusal}
        actions += (EmitCallback(type=CallbackName.EDIT_REFUSED, payload=payload),)
    awaited = {**state.awaited, **{EDITS[edit.command].awaited: now.monotonic for edit in edits}}
    edited = {edit.command: EDITS[edit.command].changed(last_sent, desired) for edit in edits}
    return replace(state, last_sent=desired, awaited=awaited, edited={**state.edited, **edited}), actions


def _edits(before: EngineSettings, desired: EngineSettings) -> Iterator[Send]:
    """The commands that make the one of the other."""
    if _arrangement(before) != _arrangement(desired):
        identity = desired.max_resolution_identity
        by_uid = {"maxResolutionUid": desired.max_resolution_uid}
        large = by_uid if identity is None else {"maxResolutionIdentity": identity}
        yield Send(command=Command.LAYOUT, arguments={"layout": number_of(desired.layout), **large})
    if before.paused != desired.paused:
        yield Send(command=Command.PAUSE, arguments={"paused": desired.paused})
    if desired.place is not None and before.place != desired.place:
        yield Send(command=Command.STORAGE, arguments={"place": dict(desired.place)})
    if desired.streams is not None and before.streams != desired.streams:
        yield Send(command=Command.STREAMS, arguments={"streams": desired.streams})


def _arrangement(settings: EngineSettings) -> tuple[Layout, int, str | None]:
    return settings.layout, settings.max_resolution_uid, settings.max_resolution_identity


def _acknowledge(state: State) -> Step:
    generation = state.desired.generation
    if state.facts.applied_generation == generation or set(state.awaited) - {Awaited.RELEASE}:
        return state, ()
    facts = replace(state.facts, applied_generation=generation)
    return replace(state, facts=facts), (
        EmitCallback(type=CallbackName.DESIRED_STATE_APPLIED, payload={"generation": generation}),
    )


def _settings_of(desired: DesiredState) -> EngineSettings:
    return EngineSettings(
        layout=desired.layout,
        max_resolution_uid=desired.max_resolution_uid or 0,
        max_resolution_identity=desired.max_resolution_identity,
        paused=desired.state is DesiredRecordingState.PAUSED,
        credentials_generation=desired.credentials_generation,
        place=_place(desired),
        streams=desired.streams,
    )


def _place(desired: DesiredState) -> dict[str, Any] | None:
    """Where files are to go; None where nobody says so, or they go to a directory."""
    return None if desired.storage is None else place_record(desired.storage)


def _give_up(state: State, now: Moment) -> Step:
    """Ends a process that is not needed, or has no time left: politely, then for good."""
    if state.give_up_at is None:
        return replace(state, give_up_at=now.monotonic), (Send(command=Command.GIVE_UP),)
    if now.monotonic - state.give_up_at > GIVE_UP_SECONDS:
        return _kill(state, "it did not end when told to")
    return state, ()


def _kill(state: State, reason: str) -> Step:
    if state.kill_reason:
        return state, ()
    return replace(state, kill_reason=reason), (Kill(reason=reason),)
