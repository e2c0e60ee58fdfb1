# SPDX-License-Identifier: Apache-2.0
"""What follows when a part no longer captures: it goes on in a new part, now or later, or the recording ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cloud_recording.api.error_facts import error_facts
from cloud_recording.api.reasons import Reason
from cloud_recording.api.recording import CloudRecording, RestartPolicy
from cloud_recording.api.status import CloudRecordingStatus, Outcome, Part, PartState
from cloud_recording.common.backoff import Backoff
from cloud_recording.common.error_codes import RecordingErrorCode
from cloud_recording.domain import parts, totals
from cloud_recording.domain.desired_state import max_duration_message

RESTART_BACKOFF: Final = Backoff(first_seconds=2.0, most_seconds=300.0)
"""A channel that refuses is asked once in five minutes at most, for as long as it refuses."""

GOOD_RUN: Final = timedelta(minutes=1)
"""A part that recorded this much was no failure to start: the delay begins anew after it."""


@dataclass(frozen=True)
class NextPart:
    """A new part is to begin at this time."""

    at: datetime


@dataclass(frozen=True)
class AwaitSummary:
    """The part has not said yet why it stopped."""


@dataclass(frozen=True)
class EndRecording:
    """The recording is to end, for this reason."""

    reason: Reason
    message: str
    succeeded: bool


def follow_up(
    recording: CloudRecording, status: CloudRecordingStatus, part: Part, *, now: datetime
) -> NextPart | AwaitSummary | EndRecording:
    """What follows a part that no longer captures while the recording is still wanted."""
    if part.error_code == RecordingErrorCode.NO_USERS or part.outcome is Outcome.IDLE:
        return _idle_end(status, part)
    if part.error_code is not None and not error_facts(part.error_code).worth_repeating:
        return EndRecording(part.reason or Reason.GENERAL_ERROR, part.message or "", succeeded=False)
    if not _broke_off(part):
        # Neither failed nor ended from outside: the recorder stopped as it should, for example because it kept
        # `maxDurationSeconds` by its own clock. Its summary says so for certain.
        return AwaitSummary() if part.state is PartState.UPLOADING else _stopped_by_itself(recording, part)
    exhausted = _exhausted(recording, status, part)
    if exhausted is not None:
        return exhausted
    return NextPart(parts.over_at(part, now=now) + delay(status.parts))


def _stopped_by_itself(recording: CloudRecording, part: Part) -> EndRecording:
    """Words without a reason are the summary's own: who had the recorder leave. Its longest duration needs none."""
    if part.message and part.reason is None:
        return EndRecording(Reason.COMPLETED, part.message, succeeded=True)
    limit = recording.spec.max_duration_seconds
    if limit is not None:
        return EndRecording(Reason.MAX_DURATION_REACHED, max_duration_message(limit), succeeded=True)
    return EndRecording(Reason.COMPLETED, "the recorder stopped by itself", succeeded=True)


def delay(listed: Sequence[Part]) -> timedelta:
    """How long to wait after the newest part: nothing if it was only moved, longer with each failure in a row."""
    failures = 0
    for part in reversed(listed):
        if not _failed(part):
            break
        failures += 1
        if timedelta(milliseconds=part.recorded_milliseconds) >= GOOD_RUN:
            break
    if failures == 0:
        return timedelta()
    return timedelta(seconds=RESTART_BACKOFF.after(failures, spread=0.0))


def _idle_end(status: CloudRecordingStatus, part: Part) -> EndRecording:
    if totals.somebody_joined(status):
        return EndRecording(Reason.CHANNEL_IDLE, "everybody had left the channel", succeeded=True)
    return EndRecording(Reason.NO_USERS, part.message or "nobody ever joined the channel", succeeded=False)


def _broke_off(part: Part) -> bool:
    """Whether the part ended although it was to go on: another part follows, if the policy allows."""
    return (
        parts.was_lost(part)
        or part.error_code is not None
        or part.reason is Reason.POD_ENDED
        or part.outcome in {Outcome.FATAL, Outcome.DRAINED, Outcome.INCOMPLETE}
    )


def _failed(part: Part) -> bool:
    return parts.was_lost(part) or part.error_code is not None or part.outcome is Outcome.FATAL


def _exhausted(recording: CloudRecording, status: CloudRecordingStatus, part: Part) -> EndRecording | None:
    policy, most = recording.spec.restart.policy, recording.spec.restart.max_parts
    cause = f"part {part.number} ended with {part.reason}" + (f": {part.message}" if part.message else "")
    if policy is RestartPolicy.NEVER:
        return EndRecording(Reason.PARTS_EXHAUSTED, f"`spec.restart.policy` is 'Never' and {cause}", succeeded=False)
    if most is not None and parts.count(status) >= most:
        return EndRecording(Reason.PARTS_EXHAUSTED, f"`spec.restart.maxParts` is {most} and {cause}", succeeded=False)
    return None
