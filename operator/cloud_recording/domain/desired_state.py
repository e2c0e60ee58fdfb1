# SPDX-License-Identifier: Apache-2.0
"""What a recording should be doing now, whoever asked for it: its spec, its deletion or its longest duration."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cloud_recording.api.reasons import Reason
from cloud_recording.api.recording import CloudRecording, DesiredRecordingState
from cloud_recording.api.status import CloudRecordingStatus, Part
from cloud_recording.domain import parts

COUNTED_WITHIN: Final = timedelta(seconds=2)
"""How much less than its longest duration a recorder may have counted that kept it."""


@dataclass(frozen=True, kw_only=True)
class StopCause:
    """Why a recording that is wanted no more ended."""

    reason: Reason
    message: str


def desired_state(recording: CloudRecording, status: CloudRecordingStatus, *, now: datetime) -> DesiredRecordingState:
    """The state to bring about; once it is Stopped it stays so."""
    if recording.metadata.deletion_timestamp is not None:
        return DesiredRecordingState.STOPPED
    limit = duration_limit(recording, status, now=now)
    if limit is not None and now >= limit:
        return DesiredRecordingState.STOPPED
    return recording.spec.desired_state


def stop_cause(recording: CloudRecording, status: CloudRecordingStatus, *, now: datetime) -> StopCause:
    """Who or what ended it, or is about to: its longest duration, where that was over, before anybody who asked."""
    seconds, part = recording.spec.max_duration_seconds, parts.newest(status)
    if seconds is not None and part is not None and not parts.captures(part):
        limit = duration_limit(recording, status, now=now)
        if limit is not None and limit <= parts.over_at(part, now=now) + COUNTED_WITHIN:
            return StopCause(reason=Reason.MAX_DURATION_REACHED, message=max_duration_message(seconds))
    if recording.spec.desired_state is DesiredRecordingState.STOPPED:
        return StopCause(reason=Reason.COMPLETED, message="`spec.desiredState` is 'Stopped'")
    if recording.metadata.deletion_timestamp is not None or seconds is None:
        return StopCause(reason=Reason.DELETED, message="the recording was deleted")
    return StopCause(reason=Reason.MAX_DURATION_REACHED, message=max_duration_message(seconds))


def max_duration_message(seconds: int) -> str:
    """The sentence that says that a recording has lasted as long as it may."""
    return f"`spec.maxDurationSeconds` ({seconds}) was over"


def duration_limit(recording: CloudRecording, status: CloudRecordingStatus, *, now: datetime) -> datetime | None:
    """When `maxDurationSeconds` is over, where no recorder is at work that keeps it by its own clock.

    It runs from the first media of the first part.
    """
    part, seconds = parts.newest(status), recording.spec.max_duration_seconds
    if part is None or seconds is None or (part.start_time is None and not part.offset_seconds):
        return None
    if not parts.captures(part):
        return parts.over_at(part, now=now) + timedelta(seconds=seconds) - parts.elapsed(part, now=now)
    if part.start_time is None and part.create_time is not None:
        return part.create_time + timedelta(seconds=seconds - part.offset_seconds)
    return None


def duration_left(recording: CloudRecording, part: Part) -> int | None:
    """For how many seconds from its own start the part may record; None for any time."""
    seconds = recording.spec.max_duration_seconds
    return None if seconds is None else max(0, seconds - part.offset_seconds)
