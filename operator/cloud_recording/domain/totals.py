# SPDX-License-Identifier: Apache-2.0
"""What the status says of the whole recording, made of what it says of the parts; nothing is counted twice or lost."""

from __future__ import annotations

from collections.abc import Iterable

from cloud_recording.api.base import LIST_TAIL
from cloud_recording.api.status import Amounts, CloudRecordingStatus, EarlierParts, Gap, Part
from cloud_recording.domain import parts


def with_totals(status: CloudRecordingStatus) -> CloudRecordingStatus:
    """The status with its totals renewed from its parts."""
    if not status.parts:
        return status
    earlier = status.earlier_parts or EarlierParts()
    slices, size = earlier.slices, earlier.bytes
    for part in status.parts:
        slices, size = parts.added(slices, part.slices), parts.added(size, part.bytes)
    recorded = earlier.recorded_milliseconds + sum(part.recorded_milliseconds for part in status.parts)
    between = parts.gaps_between(status.parts)
    own = [parts.not_recorded(part) for part in status.parts]
    gap = sum(gaps.milliseconds for gaps in own) + sum(span.milliseconds for span in between)
    starts = [part.start_time for part in status.parts if part.start_time is not None]
    return status.model_copy(
        update={
            "slices": slices,
            "bytes": size,
            "recorded_seconds": recorded // 1000,
            **_waiting(status),
            "gaps": _gaps(status),
            "gap_seconds": (earlier.gap_milliseconds + gap) // 1000,
            "gap_count": earlier.gap_count + sum(gaps.count for gaps in own) + len(between),
            "start_time": status.start_time or min(starts, default=None),
            "playlist": _playlist(status),
            "progress_percent": _percent(status, slices),
        }
    )


def _gaps(status: CloudRecordingStatus) -> tuple[Gap, ...]:
    """The newest gaps in order; without an end are those that a part is in now, and no others."""
    ended = (gap for gap in status.gaps if gap.stop_time is not None)
    lasting = (Gap(start_time=one.pause.start_time, reason=one.pause.reason) for one in status.parts if one.pause)
    return merged_gaps(ended, lasting)


def _waiting(status: CloudRecordingStatus) -> dict[str, int | None]:
    """What waits on work volumes, and for how long the newest has room, while something is recorded there."""
    pending = sum(part.pending_milliseconds for part in status.parts)
    part = status.parts[-1]
    records = parts.captures(part)
    return {
        "pending_seconds": pending // 1000 if any(one.engine_extended for one in status.parts) else None,
        "volume_free_bytes": part.volume_free_bytes if records else None,
        "volume_lasts_seconds": parts.volume_lasts_seconds(part) if records else None,
    }


def merged_gaps(known: Iterable[Gap], reported: Iterable[Gap]) -> tuple[Gap, ...]:
    """The newest of the gaps, in order; of one that is told anew the newer account counts."""
    by_start = {gap.start_time: gap for gap in (*known, *reported)}
    return tuple(sorted(by_start.values(), key=lambda gap: gap.start_time))[-LIST_TAIL:]


def _playlist(status: CloudRecordingStatus) -> str | None:
    """The one to play: over all parts where that is there, else the newest part's."""
    merge = parts.merge_of(status)
    if merge is not None and merge.playlist is not None:
        return merge.playlist
    return next((part.playlist for part in reversed(status.parts) if in_bucket(part)), status.playlist)


def somebody_joined(status: CloudRecordingStatus) -> bool:
    """Whether anybody was ever in the channel."""
    earlier = status.earlier_parts is not None and status.earlier_parts.somebody_joined
    return earlier or any(part.somebody_joined for part in status.parts)


def is_backed_up(status: CloudRecordingStatus) -> bool:
    """Whether any file is in the backup store and not in the bucket."""
    amounts = status.slices or Amounts()
    return bool(amounts.backed_up) or any(map(parts.is_backed_up, status.parts))


def in_bucket(part: Part) -> bool:
    """Whether the part's playlist is in the bucket and lists something."""
    if part.playlist is None:
        return False
    # Whoever counts no slices tells the playlist's name only once it is uploaded.
    return bool(part.slices.uploaded) or (not part.engine_extended and not part.slices.written)


def _percent(status: CloudRecordingStatus, slices: Amounts) -> int | None:
    # An engine that does not count its slices tells a percentage all the same, and that is what there is then.
    if slices.written:
        return slices.uploaded * 100 // slices.written
    return None if any(part.engine_extended for part in status.parts) else status.progress_percent
