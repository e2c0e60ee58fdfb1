# SPDX-License-Identifier: Apache-2.0
"""`status.lastError`: what failed last, what to do about it, and since when its cause is gone.

That of a bucket that refuses is made in `storage_health`.
"""

from __future__ import annotations

from datetime import UTC, datetime

from cloud_recording.api.error_facts import error_facts
from cloud_recording.api.reasons import Reason, ResolvedBy, reason_facts
from cloud_recording.api.status import CloudRecordingStatus, LastError, Part, PartState
from cloud_recording.api.wire import Snapshot
from cloud_recording.common.error_codes import RecordingErrorCode


def error_of_code(code: int, message: str, *, time: datetime) -> LastError:
    """What `lastError` says of one of the engine's codes."""
    facts = error_facts(code)
    return LastError(
        code=code,
        reason=facts.reason,
        message=message or facts.meaning,
        remedy=facts.remedy.text,
        time=time.replace(microsecond=0),
    )


def error_of_reason(reason: Reason, message: str, *, time: datetime, code: int | None = None) -> LastError:
    """What it says where the reason is better known than by the engine's code."""
    facts = reason_facts(reason)
    return LastError(
        code=code,
        reason=reason,
        message=message or facts.meaning,
        remedy=facts.remedy.text,
        time=time.replace(microsecond=0),
    )


def error_while_recording(reason: Reason, message: str, *, time: datetime) -> LastError:
    """What it says where something is lost that the part had when it began."""
    error, facts = error_of_reason(reason, message, time=time), reason_facts(reason)
    return error.model_copy(update={"remedy": (facts.remedy_while_recording or facts.remedy).text})


def with_error(status: CloudRecordingStatus, error: LastError) -> CloudRecordingStatus:
    """The status with this as its newest error."""
    return status.model_copy(update={"last_error": error})


def with_error_resolved(
    status: CloudRecordingStatus, part: Part, *, snapshot: Snapshot | None = None, time: datetime
) -> CloudRecordingStatus:
    """Says of the last error that its cause is gone, as soon as the part's facts or the engine's account say so."""
    error = status.last_error
    if error is None or error.resolved_time is not None:
        return status
    if not _is_resolved(error, status, part, snapshot):
        return status
    moment = time.astimezone(UTC).replace(microsecond=0)
    return status.model_copy(update={"last_error": error.model_copy(update={"resolved_time": moment})})


def _is_resolved(error: LastError, status: CloudRecordingStatus, part: Part, snapshot: Snapshot | None) -> bool:  # noqa: PLR0911 - one way out for each news
    records = part.state is PartState.RECORDING
    match reason_facts(error.reason).resolved_by:
        case ResolvedBy.NOTHING:
            return False
        case ResolvedBy.UPLOADS:
            return part.storage is not None and part.storage.ready is True
        case ResolvedBy.BACKUP:
            # It forgets it as soon as the backup store takes something.
            known = snapshot.last_error if snapshot is not None else None
            return snapshot is not None and (known is None or known.code != RecordingErrorCode.BACKUP_FAILED)
        case ResolvedBy.SECRETS:
            return part.missing_secrets is None
        case ResolvedBy.WORK_VOLUME:
            return part.pause is None or part.pause.reason != Reason.WORK_VOLUME_FULL
        case ResolvedBy.CAPTURE:
            return records
        case ResolvedBy.PARTICIPANTS:
            somebody = bool(status.participant_count) or part.engine_extended is not True
            return (records and somebody) or part.in_channel is True
        case ResolvedBy.ENGINE:
            # It forgets a track's error as soon as the track has healed.
            return records and snapshot is not None and snapshot.last_error is None
