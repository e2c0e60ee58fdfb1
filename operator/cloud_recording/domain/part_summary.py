# SPDX-License-Identifier: Apache-2.0
"""A part's summary: it comes as the last callback and as the termination message, and is counted once."""

from __future__ import annotations

from datetime import datetime

from pydantic import ValidationError

from cloud_recording.api.error_facts import error_facts
from cloud_recording.api.reasons import Reason
from cloud_recording.api.status import CloudRecordingStatus, Outcome, Part, PartState
from cloud_recording.api.wire import Summary
from cloud_recording.domain import names, parts
from cloud_recording.domain.wire_time import optional_time


def read_summary(message: str, *, uid: str, part: int) -> Summary | None:
    """The summary in a termination message, or None when the message is anything else."""
    try:
        summary = Summary.model_validate_json(message)
    except ValidationError:
        return None
    return summary if (summary.recording_id, summary.part) == (names.recording_id(uid), part) else None


def with_summary(status: CloudRecordingStatus, part: Part, summary: Summary, *, now: datetime) -> CloudRecordingStatus:
    """The status with the part concluded by its own account."""
    concluded = parts.changed(
        part,
        state=PartState.CONCLUDED,
        outcome=summary.outcome,
        error_code=summary.code or part.error_code,
        reason=_reason(part, summary),
        message=summary.message or part.message,
        sequence=max(part.sequence, summary.last_sequence),
        slices=summary.slices,
        bytes=summary.bytes,
        recorded_milliseconds=summary.recorded_milliseconds,
        gap_milliseconds=summary.gap_milliseconds,
        start_time=optional_time(summary.start_time) or part.start_time,
        stop_time=optional_time(summary.stop_time) or part.stop_time,
        end_time=part.end_time or now.replace(microsecond=0),
        somebody_joined=part.somebody_joined or summary.somebody_joined,
        missing_secrets=None,
        nothing_left=summary.nothing_left and not summary.slices.pending,
        pod_ready=False,
        pause=None,
    )
    return parts.replaced(status, concluded)


def _reason(part: Part, summary: Summary) -> Reason | None:
    match summary.outcome:
        case Outcome.INCOMPLETE:
            return Reason.UPLOAD_INCOMPLETE
        case Outcome.IDLE:
            joined = part.somebody_joined or summary.somebody_joined
            return Reason.CHANNEL_IDLE if joined else Reason.NO_USERS
        case Outcome.DRAINED:
            return Reason.POD_ENDED
        case _:
            return error_facts(summary.code).reason if summary.code else part.reason
