# SPDX-License-Identifier: Apache-2.0
"""What a store that refuses makes of a status: a part's `storage`, the condition StorageReady, and `lastError`.

The engine tells a refusal twice, each time with the cause in one word, which is the reason's name here: for as long as
it lasts in each snapshot (`StorageRecord`), and once by the callback `UploaderFailure`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from cloud_recording.api.phrases import roughly
from cloud_recording.api.reasons import FINAL_FAILURES, STORAGE_REASONS, Reason, reason_facts
from cloud_recording.api.status import CloudRecordingStatus, ConditionStatus, LastError, Part, PartStorage
from cloud_recording.api.wire import StorageRecord, UploaderFailure
from cloud_recording.common.error_codes import RecordingErrorCode
from cloud_recording.domain import parts
from cloud_recording.domain.last_error import error_of_code, error_of_reason
from cloud_recording.domain.wire_time import optional_time

_ROOM: Final = "The work volume has room for "
_TRIED_STATES: Final = frozenset({"Ready", "Failing"})
"""What the engine says of a store that was asked for something."""


def observed_storage(part: Part, record: StorageRecord | None) -> PartStorage | None:
    """The part's store by the engine's newest account of it."""
    if record is None or part.storage is None or record.state not in _TRIED_STATES:
        return part.storage
    failing = record.state == "Failing"
    return part.storage.model_copy(
        update={
            "ready": not failing,
            "reason": _reason(record.cause) if failing else None,
            "message": part.storage.said(record.message) if failing else None,
            "time": optional_time(record.since),
        }
    )


def uploader_error(status: CloudRecordingStatus, part: Part, callback: UploaderFailure, *, time: datetime) -> LastError:
    """The error that the callback tells: of the store with its cause's remedy, where the engine tells the cause."""
    if callback.cause in FINAL_FAILURES:
        return error_of_reason(Reason(callback.cause), callback.message, time=time, code=callback.code)
    # An older recorder's, which tells no cause.
    if part.mp4_missing is not None and part.mp4_missing in callback.message:
        return error_of_reason(Reason.MP4_NOT_MADE, callback.message, time=time, code=callback.code)
    reason, message = _refusal(part, callback)
    if reason is None or callback.code == RecordingErrorCode.BACKUP_FAILED:
        return error_of_code(callback.code, callback.message, time=time)
    error = error_of_reason(reason, message, time=time, code=callback.code)
    return error.model_copy(update={"remedy": _way_out(status, part.storage, reason)})


def _refusal(part: Part, callback: UploaderFailure) -> tuple[Reason | None, str]:
    """Why the store failed: by the callback's own word, else, of an older recorder, by the snapshot beside it."""
    if callback.cause is not None:
        fact = callback.fact or callback.message
        return _reason(callback.cause), part.storage.said(fact) if part.storage is not None else fact
    told = callback.snapshot is not None and callback.snapshot.storage is not None
    if not told or part.storage is None or part.storage.ready is not False:
        return None, ""
    return part.storage.reason, part.storage.message or ""


def _reason(cause: str | None) -> Reason:
    """The reason for a cause in the engine's words; a word of another release is a failure all the same."""
    return Reason(cause) if cause in STORAGE_REASONS else Reason.STORAGE_FAILED


def storage_condition(
    status: CloudRecordingStatus,
) -> tuple[ConditionStatus, Reason, str, datetime | None] | None:
    """What the condition StorageReady says, and since when; None while no part has tried its store."""
    tried = [part for part in status.parts if part.storage is not None and part.storage.ready is not None]
    failing = [part for part in tried if _needs_store(part) and part.storage is not None and not part.storage.ready]
    part = next(reversed(failing or tried), None)
    health = part.storage if part is not None else None
    if part is None or health is None:
        return None
    if health.ready:
        return ConditionStatus.TRUE, Reason.WRITABLE, "", health.time
    reason = health.reason or Reason.STORAGE_FAILED
    message = " ".join(filter(None, (_with_way_out(status, health), _room(part))))
    return ConditionStatus.FALSE, reason, message, health.time


def _needs_store(part: Part) -> bool:
    """Whether the part has anything to do with its store any more; what one that is over left is in none for good."""
    return part.state not in parts.OVER


def _with_way_out(status: CloudRecordingStatus, health: PartStorage) -> str:
    """What fails, and the way out."""
    if health.reason is None:
        return ""
    return f"{health.message or ''}. {_way_out(status, health, health.reason)}".strip(". ") + "."


def _room(part: Part) -> str:
    """How long there is to mend it before recording pauses; nothing where nothing is recorded, or it has paused."""
    lasts = parts.volume_lasts_seconds(part)
    if lasts is None or part.pause is not None or not parts.captures(part):
        return ""
    return f"{_ROOM}{roughly(lasts)} of recording."


def without_room(message: str) -> str:
    """What the condition says but for how long there is to mend it, which is less with every minute."""
    return message.partition(_ROOM)[0].rstrip()


def _way_out(status: CloudRecordingStatus, storage: PartStorage | None, reason: Reason) -> str:
    """What to do about the reason, as it stands with these files and this kind of store."""
    directory = storage is not None and storage.claim_name is not None
    named = storage.storage_name if storage is not None else None
    return reason_facts(reason).remedy_text(stored=parts.is_stored(status), directory=directory, named=named)
