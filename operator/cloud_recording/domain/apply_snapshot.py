# SPDX-License-Identifier: Apache-2.0
"""An engine's snapshot applied to a status: what it counted, gaps, participants, whether the bucket takes files."""

from __future__ import annotations

from datetime import datetime

from cloud_recording.api.base import LIST_TAIL
from cloud_recording.api.status import CloudRecordingStatus, Gap, Part, Participant, Pause
from cloud_recording.api.wire import GapRecord, ParticipantRecord, Snapshot
from cloud_recording.domain import parts, storage_health
from cloud_recording.domain.wire_time import optional_time, time_of


def with_snapshot(
    status: CloudRecordingStatus, part: Part, snapshot: Snapshot, *, time: datetime
) -> CloudRecordingStatus:
    """The status with the engine's account of the part in place of the one before."""
    pause = _pause(snapshot) if part.state not in parts.OVER else None
    running = max(0, round((time - pause.start_time).total_seconds() * 1000)) if pause else 0
    counted = parts.changed(
        part,
        playlist=snapshot.playlist or part.playlist,
        slices=snapshot.slices,
        bytes=snapshot.bytes,
        recorded_milliseconds=snapshot.recorded_milliseconds,
        gap_milliseconds=snapshot.gap_milliseconds + running,
        gap_count=snapshot.gap_count + (1 if pause else 0),
        somebody_joined=part.somebody_joined or snapshot.somebody_joined,
        pause=pause,
        storage=storage_health.reported(part, snapshot.storage),
        **parts.mp4_of(part, snapshot.mp4),
        engine_extended=True,
    )
    status = parts.replaced(status, counted)
    durable = optional_time(snapshot.last_durable_slice_time)
    newest = max(filter(None, (status.last_durable_slice_time, durable)), default=None)
    # An old part that still uploads has no participants; who is there is told by the part that captures.
    people = {}
    if part.number == status.parts[-1].number:
        people = {
            "participants": tuple({one.uid: _participant(one) for one in snapshot.participants}.values()),
            "participant_count": snapshot.participant_count,
        }
    lasting = (Gap(start_time=pause.start_time, reason=pause.reason),) if pause else ()
    gaps = merged_gaps(status.gaps, (*map(_gap, snapshot.gaps), *lasting))
    return status.model_copy(update={"last_durable_slice_time": newest, "gaps": gaps, **people})


def _pause(snapshot: Snapshot) -> Pause | None:
    reported = snapshot.pause
    return Pause(reason=reported.reason, start_time=time_of(reported.since)) if reported else None


def merged_gaps(known: tuple[Gap, ...], reported: tuple[Gap, ...]) -> tuple[Gap, ...]:
    """The gaps in order; one that lasted is known no more once another account is reported."""
    by_start = {gap.start_time: gap for gap in (*(one for one in known if one.stop_time is not None), *reported)}
    return tuple(sorted(by_start.values(), key=lambda gap: gap.start_time))[-LIST_TAIL:]


def _gap(record: GapRecord) -> Gap:
    return Gap(start_time=time_of(record.start), stop_time=time_of(record.stop), reason=record.reason)


def _participant(record: ParticipantRecord) -> Participant:
    return Participant(
        uid=record.uid,
        name=record.name,
        state=record.state,
        audio=record.audio,
        video=record.video,
        join_time=optional_time(record.join_time),
        leave_time=optional_time(record.leave_time),
        message=record.message or None,
    )
