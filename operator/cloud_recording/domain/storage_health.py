# SPDX-License-Identifier: Apache-2.0
"""What the parts say of their bucket, as the recording's own answer: the trouble of any part that still has files.

The way of a bucket's refusal: the core's `storage/failure.rs` names its cause, `recorder/upload/uploader.rs` tells it,
`recorder/shared.rs` has it in the snapshot; `apply_snapshot` writes it into the part, this module makes it the
recording's, and `summarize` sets `StorageReady` by it.
"""

from __future__ import annotations

from cloud_recording.api.reasons import STORAGE_REASONS, Reason, reason_facts
from cloud_recording.api.status import CloudRecordingStatus, Part, PartStorage
from cloud_recording.domain import parts


def is_stored(status: CloudRecordingStatus) -> bool:
    """Whether a slice is in the bucket, so that its place can change no more."""
    earlier = status.earlier_parts.slices.uploaded if status.earlier_parts else 0
    return bool(earlier) or any(part.slices.uploaded for part in status.parts)


def reason_of(cause: str | None) -> Reason:
    """The reason for a cause in the engine's words; a word of another release is a failure all the same."""
    return Reason(cause) if cause in STORAGE_REASONS else Reason.STORAGE_FAILED


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
