# SPDX-License-Identifier: Apache-2.0
"""How a recording ended, once every part of it is over: one reason, a sentence, and whether it succeeded."""

from __future__ import annotations

from dataclasses import dataclass

from cloud_recording.api.phrases import counted
from cloud_recording.api.reasons import Reason
from cloud_recording.api.status import Amounts, CloudRecordingStatus, Outcome, PartState
from cloud_recording.common.error_codes import RecordingErrorCode
from cloud_recording.domain import parts, totals
from cloud_recording.domain.ready_reason import backed_up_message
from cloud_recording.domain.restart_policy import EndRecording


@dataclass(frozen=True, kw_only=True)
class Completion:
    """The end of a recording."""

    reason: Reason
    message: str
    succeeded: bool


def completion(status: CloudRecordingStatus, end: EndRecording) -> Completion:
    """The end that it comes to: what could not be stored outweighs why it ended, unless that was a failure itself."""
    amounts = status.slices or Amounts()
    if not end.succeeded:
        return Completion(reason=end.reason, message=end.message, succeeded=False)
    if amounts.pending or any(part.outcome is Outcome.INCOMPLETE for part in status.parts):
        missing = f"{amounts.pending} of {counted(amounts.written, 'slice')} in no store"
        return Completion(reason=Reason.UPLOAD_INCOMPLETE, message=missing, succeeded=False)
    failed = _never_began(status)
    if failed is not None:
        return failed
    if not amounts.written and not any(part.start_time for part in status.parts):
        return Completion(reason=Reason.NOTHING_RECORDED, message=end.message, succeeded=True)
    message = _with_losses(status, end.message)
    if totals.is_backed_up(status):
        message = "; ".join(filter(None, (message, backed_up_message(status.slices))))
        return Completion(reason=Reason.BACKED_UP, message=message, succeeded=True)
    return Completion(reason=end.reason, message=message, succeeded=True)


def _never_began(status: CloudRecordingStatus) -> Completion | None:
    """The error for which nothing was ever recorded, when the recording was stopped while it was still being tried."""
    part = status.parts[-1] if status.parts else None
    if part is None or any(known.start_time for known in status.parts):
        return None
    if part.outcome is not Outcome.FATAL or part.error_code == RecordingErrorCode.NO_RECORDED_DATA:
        return None
    return Completion(reason=part.reason or Reason.GENERAL_ERROR, message=part.message or "", succeeded=False)


def _with_losses(status: CloudRecordingStatus, message: str) -> str:
    without = [f"no MP4 was made of part {part.number}" for part in status.parts if part.mp4_missing]
    merge = parts.merge_of(status)
    if merge is not None and merge.mp4_missing:
        without.append("no MP4 was made over all parts")
    message = "; ".join(filter(None, (message, *without)))
    lost = [str(part.number) for part in status.parts if part.state is PartState.LOST and part.start_time is not None]
    if not lost:
        return message
    losses = f"what part {', '.join(lost)} had not yet closed when its pod was lost is missing"
    return f"{message}; {losses}" if message else losses
