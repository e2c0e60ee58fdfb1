# SPDX-License-Identifier: Apache-2.0
"""A part's end: what brings it about, what is left to do then, when it is over, and with what outcome. Pure.

A pod that is deleted, or ended by its node, goes from top to bottom. The kubelet's signal is `terminated`, which says
`RunnerTerminating`, and from then on the part `is_stopping`: `state_machine` calls `stop`, once, and the engine leaves
the channel and says `RecordingStopped`, which changes nothing more, as the part was to stop. It uploads until it has
told that everything is stored. Its process ends, and another one uploads what may be left, until the part `is_over` or
`is_out_of_time`. Then `outcome_of` is what came of it, and `summarise` the pod's last word: the callback `Finished`,
and the container's termination message.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from cloud_recording.api.phrases import counted
from cloud_recording.api.recording import DesiredRecordingState
from cloud_recording.api.status import Amounts, Outcome
from cloud_recording.api.wire import RecordingDocument, Snapshot, Summary
from cloud_recording.common.callback_names import CallbackName
from cloud_recording.common.error_codes import RecordingErrorCode
from cloud_recording.runner.control_protocol import Command
from cloud_recording.runner.supervisor.part_actions import EmitCallback, Send, Step
from cloud_recording.runner.supervisor.part_state import Awaited, Ending, Facts, Moment, State

RESCUE_CRASHES: Final = 3
"""After so many processes in a row that died without an answer, another pod is the better try."""


def terminated(state: State, now: Moment) -> Step:
    """The kubelet, or a person at the terminal, wants the pod to end; only the first time counts.

    Where that is why the part ends, it is told at once: the next one begins when capture is over, and not when the
    upload is.
    """
    if state.terminated_at is not None:
        return state, ()
    terminating = replace(state, terminated_at=now.monotonic)
    if is_stopping(state):
        return terminating, ()
    terminating = replace(terminating, facts=replace(state.facts, ending=Ending.TERMINATED))
    return terminating, (EmitCallback(type=CallbackName.RUNNER_TERMINATING, payload={}),)


def is_stopping(state: State) -> bool:
    """Whether capture should be over: desired, or brought about."""
    return (
        state.desired.state is DesiredRecordingState.STOPPED
        or state.terminated_at is not None
        or state.facts.ending is not None
    )


def stop(state: State, now: Moment) -> Step:
    """Stops capture; asked for once.

    An engine that leaves by itself, as the channel is idle, need not be told, but has to stop all the same.
    """
    over = state.facts.stopped_at is not None or Awaited.RELEASE in state.awaited
    awaited = state.awaited if over else {**state.awaited, Awaited.STOP: now.monotonic}
    by_itself = over or state.facts.ending is Ending.IDLE
    actions = () if by_itself else (Send(command=Command.STOP),)
    return replace(state, stop_sent=True, awaited=awaited), actions


def is_over(state: State) -> bool:
    """Whether no process of this pod has anything left to record or to upload."""
    facts = state.facts
    if facts.upload is not None:
        return True
    if not is_stopping(state):
        return False
    if not facts.captured or facts.nothing_left or state.rescue_hopeless:
        return True
    no_rescue = state.announced and not state.extended
    return no_rescue or state.rescue_crashes >= RESCUE_CRASHES


def is_out_of_time(state: State, now: Moment) -> bool:
    """What limits the upload: a termination, or that a store has everything. After a stop that was desired it may take
    as long as the bucket needs where nothing else does."""
    grace = state.desired.upload_grace_seconds
    begun = (since for since in (state.terminated_at, state.backed_up_at) if since is not None)
    return any(now.monotonic - since >= grace for since in begun)


def final_facts(state: State) -> Facts:
    """The facts of a part that is concluded: one that was stopped while everybody refused it failed by that."""
    facts = state.facts
    if not state.refused or facts.ending is not None:
        return facts
    return replace(facts, ending=Ending.FATAL, code=RecordingErrorCode.CONNECT_ERROR)


def outcome_of(facts: Facts, *, pending: int) -> Outcome:
    """How the part ended. What is not in a store outweighs how capture ended, but for a fatal error."""
    if facts.ending is Ending.FATAL:
        return Outcome.FATAL
    if pending or not _delivered(facts):
        return Outcome.INCOMPLETE
    if facts.ending is Ending.IDLE:
        return Outcome.IDLE
    if facts.ending is Ending.TERMINATED:
        return Outcome.DRAINED
    return facts.upload or Outcome.UPLOADED


def _delivered(facts: Facts) -> bool:
    return facts.upload is not None or facts.nothing_left or not facts.captured


def summarise(facts: Facts, document: RecordingDocument, *, last_sequence: int) -> Summary:
    """The part's summary, from what is known for good and the engine's last snapshot."""
    snapshot = Snapshot.model_validate(facts.snapshot) if facts.snapshot else None
    slices = snapshot.slices if snapshot else Amounts()
    outcome = outcome_of(facts, pending=slices.pending)
    return Summary(
        recording_id=document.recording_id,
        part=document.part.number,
        outcome=outcome,
        code=_code_of(facts, outcome),
        message=_message(facts, snapshot, outcome) or None,
        slices=slices,
        bytes=snapshot.bytes if snapshot else Amounts(),
        recorded_milliseconds=snapshot.recorded_milliseconds if snapshot else 0,
        gap_milliseconds=snapshot.gap_milliseconds if snapshot else 0,
        start_time=snapshot.start_time if snapshot and snapshot.start_time is not None else facts.started_at,
        stop_time=snapshot.stop_time if snapshot and snapshot.stop_time is not None else facts.stopped_at,
        last_sequence=last_sequence,
        somebody_joined=snapshot.somebody_joined if snapshot else facts.started_at is not None,
        backup_playlist=snapshot.playlist if snapshot and facts.upload is Outcome.BACKED_UP else None,
        mp4=snapshot.mp4 if snapshot else None,
        nothing_left=_delivered(facts) and not slices.pending and not facts.unwritable,
    )


def _code_of(facts: Facts, outcome: Outcome) -> int | None:
    if outcome is Outcome.DRAINED:
        # Its pod was to end, whatever the channel was like: no failure, and nothing that another part would repeat.
        return None
    if not facts.captured and outcome is not Outcome.FATAL:
        return RecordingErrorCode.NO_RECORDED_DATA
    return facts.code


def reopened(facts: Facts) -> Facts:
    """The facts from which another try of a part begins that has no operator to remember for it.

    Where capture was over, it stays over: what is on the volume is rescued and nothing is added. An end before all of
    it was stored is taken back; any other stands.
    """
    if facts.summary is not None:
        if not _left_something(Summary.model_validate(facts.summary)):
            return facts
        facts = replace(facts, summary=None, upload=None, nothing_left=False, message="")
    elif facts.stopped_at is None:
        return facts
    return replace(facts, ending=facts.ending or Ending.TERMINATED)


def handed_over(facts: Facts, *, is_left: bool) -> Facts:
    """The facts from which another pod begins that is to deliver what the part's own left.

    Capture is over, however it ended. `is_left` says that there is something, whatever these facts know of it.
    """
    cut_off = facts.started_at is not None and facts.stopped_at is None
    return replace(
        facts,
        # An engine that was told to record and never did has left what can be seen, or nothing.
        captured=is_left or (facts.captured and facts.started_at is not None),
        ending=facts.ending or (Ending.TERMINATED if cut_off else None),
        stopped_at=facts.stopped_at or facts.started_at,
        summary=None,
        upload=None,
        nothing_left=False,
        unwritable=False,
        message="",
        applied_generation=None,
    )


def _left_something(summary: Summary) -> bool:
    return summary.outcome is Outcome.INCOMPLETE or summary.slices.pending > 0


def _message(facts: Facts, snapshot: Snapshot | None, outcome: Outcome) -> str:
    if outcome is not Outcome.INCOMPLETE:
        return facts.message
    error = facts.rescue_failure or (snapshot.last_error.message if snapshot and snapshot.last_error else "")
    known = "an unknown number of slices"
    if snapshot:
        known = f"{snapshot.slices.pending} of {counted(snapshot.slices.written, 'slice')}"
    return f"{known} could not be uploaded" + (f": {error}" if error else "")
