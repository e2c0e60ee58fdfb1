# SPDX-License-Identifier: Apache-2.0
"""Whether the bucket takes files: of a part, as its engine reports it, and of the recording, as its parts have it.

`docs/architecture.md` follows a bucket's refusal from the core to here, and on to the status.
"""

from __future__ import annotations

from typing import Final

from cloud_recording.api.reasons import STORAGE_REASONS, Reason, reason_facts
from cloud_recording.api.status import CloudRecordingStatus, Part, PartStorage
from cloud_recording.api.wire import StorageRecord
from cloud_recording.domain import parts
from cloud_recording.domain.wire_time import optional_time

_TRIED_STATES: Final = frozenset({"Ready", "Failing"})
"""What the engine says of a bucket that was asked for something."""


def is_stored(status: CloudRecordingStatus) -> bool:
    """Whether a slice is in the bucket, so that its place can change no more."""
    earlier = status.earlier_parts.slices.uploaded if status.earlier_parts else 0
    return bool(earlier) or any(part.slices.uploaded for part in status.parts)


def reported(part: Part, record: StorageRecord | None) -> PartStorage | None:
    """The part's bucket by the engine's newest account of it."""
    if record is None or part.storage is None or record.state not in _TRIED_STATES:
        return part.storage
    failing = record.state == "Failing"
    return part.storage.model_copy(
        update={
            "ready": not failing,
            "reason": _reason_of(record.cause) if failing else None,
            "message": record.message if failing else None,
            "time": optional_time(record.since),
        }
    )


def of(status: CloudRecordingStatus) -> PartStorage | None:
    """What is known of the bucket; None while no part has tried it."""
    tried = [part for part in status.parts if part.storage is not None and part.storage.ready is not None]
    failing = [part for part in tried if _counts(part) and part.storage is not None and not part.storage.ready]
    newest = failing or tried
    return newest[-1].storage if newest else None


def sentence(status: CloudRecordingStatus, health: PartStorage) -> str:
    """What fails, and the way out."""
    if health.ready or health.reason is None:
        return ""
    way_out = reason_facts(health.reason).remedy_text(stored=is_stored(status))
    return f"{health.message or ''}. {way_out}".strip(". ") + "."


def _counts(part: Part) -> bool:
    """Whether the part has anything to do with its bucket any more."""
    return part.state not in parts.OVER or bool(part.slices.pending)


def _reason_of(cause: str | None) -> Reason:
    """The reason for a cause in the engine's words; a word of another release is a failure all the same."""
    return Reason(cause) if cause in STORAGE_REASONS else Reason.STORAGE_FAILED
