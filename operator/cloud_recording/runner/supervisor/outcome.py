# SPDX-License-Identifier: Apache-2.0
"""What a part's end means: its outcome and its summary. Pure."""

from __future__ import annotations

from dataclasses import replace

from cloud_recording.api.phrases import counted
from cloud_recording.api.status import Amounts, Outcome
from cloud_recording.api.wire import RecordingDocument, Snapshot, Summary
from cloud_recording.common.error_codes import RecordingErrorCode
from cloud_recording.runner.supervisor.part_state import Ending, Facts, Moment


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
    nothing = not facts.captured and outcome is not Outcome.FATAL
    return Summary(
        recording_id=document.recording_id,
        part=document.part.number,
        outcome=outcome,
        code=RecordingErrorCode.NO_RECORDED_DATA if nothing else facts.code,
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


def resumed(facts: Facts, *, boot: str, now: Moment) -> Facts:
    """The facts in a supervisor that was started again: on a machine that was, too, only the wall clock went on."""
    since = facts.started_monotonic
    if facts.boot != boot and since is not None and facts.started_at is not None:
        since = now.monotonic - max(0.0, (now.wall_ms - facts.started_at) / 1000)
    return replace(facts, boot=boot, started_monotonic=since)


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


def _left_something(summary: Summary) -> bool:
    return summary.outcome is Outcome.INCOMPLETE or summary.slices.pending > 0


def _message(facts: Facts, snapshot: Snapshot | None, outcome: Outcome) -> str:
    if outcome is not Outcome.INCOMPLETE:
        return facts.message
    error = snapshot.last_error.message if snapshot and snapshot.last_error else facts.message
    known = "an unknown number of slices"
    if snapshot:
        known = f"{snapshot.slices.pending} of {counted(snapshot.slices.written, 'slice')}"
    return f"{known} could not be uploaded" + (f": {error}" if error else "")
