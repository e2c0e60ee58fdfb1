# SPDX-License-Identifier: Apache-2.0
"""What a recording should be doing now, whoever asked for it: its spec, its deletion or its longest duration."""

from __future__ import annotations

from datetime import datetime, timedelta

from cloud_recording.api.recording import DISCARD_ANNOTATION, CloudRecording, DesiredRecordingState
from cloud_recording.api.status import CloudRecordingStatus


def wanted(recording: CloudRecording, status: CloudRecordingStatus, *, now: datetime) -> DesiredRecordingState:
    """The state to bring about; once it is Stopped it stays so."""
    if recording.metadata.deletion_timestamp is not None:
        return DesiredRecordingState.STOPPED
    limit = duration_limit(recording, status)
    if limit is not None and now >= limit:
        return DesiredRecordingState.STOPPED
    return recording.spec.desired_state


def duration_limit(recording: CloudRecording, status: CloudRecordingStatus) -> datetime | None:
    """When `maxDurationSeconds` is over; it runs from the first media of the first part."""
    if recording.spec.max_duration_seconds is None or status.start_time is None:
        return None
    return status.start_time + timedelta(seconds=recording.spec.max_duration_seconds)


def deletion_deadline(recording: CloudRecording) -> datetime | None:
    """Until when a deleted recording waits for its upload."""
    deleted_at = recording.metadata.deletion_timestamp
    if deleted_at is None:
        return None
    return deleted_at + timedelta(seconds=recording.spec.deletion_deadline_seconds)


def discard_asked(recording: CloudRecording) -> bool:
    """Whether somebody deleted the recording and said that what is not uploaded may be thrown away.

    The annotation alone does nothing: it must not be possible to lose a running recording by a label tool's mistake.
    """
    deleted = recording.metadata.deletion_timestamp is not None
    return deleted and recording.metadata.annotations.get(DISCARD_ANNOTATION) == "true"
