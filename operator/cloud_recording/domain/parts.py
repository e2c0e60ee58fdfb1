# SPDX-License-Identifier: Apache-2.0
"""Parts of a recording: what their states mean, how one is found, begun, replaced and concluded in a status."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from pydantic import ValidationError

from cloud_recording.api.base import LIST_TAIL
from cloud_recording.api.error_facts import error_facts
from cloud_recording.api.reasons import Reason, reason_facts
from cloud_recording.api.recording import CloudRecording
from cloud_recording.api.status import (
    Amounts,
    CloudRecordingStatus,
    EarlierParts,
    Gap,
    Merge,
    MergeState,
    Outcome,
    Part,
    PartState,
    PartStorage,
)
from cloud_recording.api.storage import StoragePlace
from cloud_recording.api.storage_place import place_of
from cloud_recording.api.wire import MP4Record, MP4State, Summary
from cloud_recording.common.volume_room import lasting_seconds
from cloud_recording.domain import names
from cloud_recording.domain.wire_time import optional_time

OVER: Final = frozenset({PartState.CONCLUDED, PartState.LOST})
"""Nothing more will come of the part."""


RESCUED: Final = frozenset({PartState.AWAITING_RESCUE, PartState.RESCUING})
"""The pod that recorded the part is over, and what it left is still to be delivered."""

CAPTURING: Final = frozenset({PartState.CONNECTING, PartState.RECORDING, PartState.PAUSED, PartState.STOPPING})
"""An engine works on the part, and is heard of."""

TO_GO_ON: Final = CAPTURING - {PartState.STOPPING}
"""The next recorder process goes on with the part where one dies; of one that was stopping it delivers what is left."""

_UNLESS: Final = ", unless node '"

MOST_UNFINISHED: Final = 10
"""How many parts of a recording may be anything but over, uploading for example: each has a pod and a volume."""

KEPT_PODS: Final = 3
"""How many of the newest parts keep their pods when they are over, for people to look at."""


def unfinished(status: CloudRecordingStatus) -> tuple[Part, ...]:
    """The parts that are not over."""
    return tuple(part for part in status.parts if part.state not in OVER)


def keeps_pod(status: CloudRecordingStatus, part: Part) -> bool:
    """Whether the part is one of the newest."""
    return part.number > status.parts[-1].number - KEPT_PODS


def is_refused(part: Part) -> bool:
    """Whether nobody lets the recorder in, so that it asks again."""
    return part.state is PartState.STARTING and part.reason is not None and reason_facts(part.reason).refused


def captures(part: Part) -> bool:
    """Whether the part's pod captures, or may begin to at any time: no other part may.

    So does one in a state that only a newer operator knows: its pod will tell how it goes on.
    """
    return part.state is not PartState.UPLOADING and part.state not in OVER and part.state not in RESCUED


def is_backed_up(part: Part) -> bool:
    """Whether any file of the part is in the backup store and not in the bucket."""
    return bool(part.slices.backed_up) or part.backup_playlist is not None


def volume_lasts_seconds(part: Part) -> int | None:
    """How many seconds of media have room on the part's work volume; None where nobody said how much is free."""
    return lasting_seconds(
        free_bytes=part.volume_free_bytes,
        written_bytes=part.bytes.written,
        recorded_milliseconds=part.recorded_milliseconds,
    )


def was_lost(part: Part) -> bool:
    """Whether the pod that recorded the part ended without its final report, whatever was rescued since."""
    return part.state is PartState.LOST or part.lost


def newest(status: CloudRecordingStatus) -> Part | None:
    """The newest part."""
    return status.parts[-1] if status.parts else None


def find(status: CloudRecordingStatus, *, pod_name: str, pod_uid: str) -> Part | None:
    """The part that this very pod makes; a part whose pod was not seen yet is known by the pod's name."""
    matching = (part for part in status.parts if part.pod == pod_name and part.pod_uid in {None, pod_uid})
    return next(matching, None)


def merge_of(status: CloudRecordingStatus) -> Merge | None:
    """The one playlist over all parts; None where there is none of these parts."""
    merge, part = status.merge, newest(status)
    return merge if merge is not None and part is not None and merge.newest_part == part.number else None


def is_merging(status: CloudRecordingStatus) -> bool:
    """Whether it is being made."""
    merge = merge_of(status)
    return merge is not None and merge.state is MergeState.MERGING


def merging_message(status: CloudRecordingStatus) -> str:
    """What is done about it, or why not yet; nothing where it is not being made."""
    merge = merge_of(status)
    if merge is None or merge.state is not MergeState.MERGING:
        return ""
    return merge.message or f"pod '{merge.pod}' puts {what_it_makes(merge)} into the store"


def what_it_makes(merge: Merge) -> str:
    """What the pod that merges the parts is for."""
    return f"one playlist{'' if merge.mp4_seconds is None else ' and one MP4'} over all parts"


def count(status: CloudRecordingStatus) -> int:
    """How many parts the recording has had."""
    return len(status.parts) + (status.earlier_parts.count if status.earlier_parts else 0)


def changed(part: Part, **changes: object) -> Part:
    """The part with these fields changed; raises TypeError for what is no field, which a copy would keep in silence."""
    unknown = changes.keys() - Part.model_fields.keys()
    if unknown:
        message = f"a part has no {', '.join(sorted(unknown))}"
        raise TypeError(message)
    return part.model_copy(update=changes)


def left_channel(part: Part) -> Part:
    """A part that captures no more: its recorder is in no room, and there is nothing that it could pause."""
    return changed(part, pause=None, in_channel=None if part.in_channel is None else False)


def replaced(status: CloudRecordingStatus, part: Part) -> CloudRecordingStatus:
    """The status with the part of the same number replaced by this one."""
    parts = tuple(part if known.number == part.number else known for known in status.parts)
    return status.model_copy(update={"parts": parts})


def withdrawn(status: CloudRecordingStatus, part: Part, *, now: datetime) -> CloudRecordingStatus:
    """The status with the part over before its recorder ever ran."""
    moment = now.replace(microsecond=0)
    over = changed(part, state=PartState.CONCLUDED, reason=Reason.NOTHING_RECORDED, message=None, end_time=moment)
    return replaced(status, over)


def read_summary(message: str, *, uid: str, part: int) -> Summary | None:
    """The summary in a termination message, or None when the message is anything else."""
    try:
        summary = Summary.model_validate_json(message)
    except ValidationError:
        return None
    return summary if (summary.recording_id, summary.part) == (names.recording_id(uid), part) else None


def mp4_of(part: Part, reported: MP4Record | None) -> dict[str, object]:
    """What is known of the part's MP4: one that is in the bucket stays there."""
    if reported is None or part.mp4 is not None:
        return {}
    delivered, given_up = reported.state is MP4State.DELIVERED, reported.state is MP4State.GIVEN_UP
    return {
        "mp4": reported.file if delivered else None,
        "mp4_missing": (reported.reason or reported.state.value) if given_up else None,
    }


def concluded(status: CloudRecordingStatus, part: Part, summary: Summary, *, now: datetime) -> CloudRecordingStatus:
    """The status with the part concluded by its own account, which comes as a callback and as termination message."""
    if part.state in RESCUED and summary.slices.written < part.slices.written:
        return replaced(status, _as_it_stands(part, summary))
    over = changed(
        part,
        state=PartState.CONCLUDED,
        **_end_of(part, summary),
        rescue_message=None,
        sequence=max(part.sequence, summary.last_sequence),
        slices=summary.slices,
        bytes=summary.bytes,
        recorded_milliseconds=summary.recorded_milliseconds,
        gap_milliseconds=summary.gap_milliseconds,
        pending_milliseconds=part.pending_milliseconds if summary.slices.pending else 0,
        start_time=optional_time(summary.start_time) or part.start_time,
        stop_time=optional_time(summary.stop_time) or part.stop_time,
        end_time=part.end_time or now.replace(microsecond=0),
        somebody_joined=part.somebody_joined or summary.somebody_joined,
        missing_secrets=None,
        backup_playlist=summary.backup_playlist,
        **mp4_of(part, summary.mp4),
        nothing_left=summary.nothing_left and not summary.slices.pending,
        pod_ready=False,
    )
    return replaced(with_gap_from(status, part, over), left_channel(over))


def _as_it_stands(part: Part, summary: Summary) -> Part:
    """A part of whose slices its rescue knows less than was known: it did not come to the journal, or there is none."""
    return changed(
        part,
        state=PartState.CONCLUDED,
        outcome=part.outcome or summary.outcome,
        stays_in_backup=part.stays_in_backup or summary.outcome is Outcome.BACKED_UP,
        message=summary.message or part.message,
        rescue_message=None,
        sequence=max(part.sequence, summary.last_sequence),
        pod_ready=False,
    )


def _end_of(part: Part, summary: Summary) -> dict[str, object]:
    """Why the part ended: that another pod delivered what its own had left changes nothing about it."""
    if part.state in RESCUED and summary.outcome in {Outcome.UPLOADED, Outcome.DRAINED}:
        stands = part.outcome is not None and part.outcome not in {Outcome.INCOMPLETE, Outcome.BACKED_UP}
        return {"outcome": part.outcome if stands else Outcome.UPLOADED}
    reason = part.reason if part.lost else _concluding_reason(part, summary)
    return {
        "outcome": summary.outcome,
        "error_code": _concluding_code(part, summary),
        "reason": reason,
        # Words of before belong to the reason that they were told with.
        "message": summary.message or (part.message if reason is not None else None),
    }


def with_gap_from(status: CloudRecordingStatus, before: Part, after: Part) -> CloudRecordingStatus:
    """The gap behind a lost part begins where what was rescued of it ends."""
    if not before.lost or before.stop_time is None or after.stop_time is None:
        return status
    moved = (
        gap.model_copy(update={"start_time": after.stop_time}) if gap.start_time == before.stop_time else gap
        for gap in status.gaps
    )
    kept = tuple(gap for gap in moved if gap.stop_time is None or gap.start_time < gap.stop_time)
    return status.model_copy(update={"gaps": kept})


def _concluding_code(part: Part, summary: Summary) -> int | None:
    if summary.outcome is Outcome.DRAINED:
        # Recorders of earlier releases tell one of a part that had not begun to capture.
        return None
    return summary.code or part.error_code


def _concluding_reason(part: Part, summary: Summary) -> Reason | None:
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


def over_at(part: Part, *, now: datetime) -> datetime:
    """When a part that captures no more stopped, by the cluster's clock: never before its pod was made, nor after now.

    The clock of the pod's node may be wrong by hours.
    """
    # What a lost part recorded may have ended long before it was known to be lost.
    reported = part.end_time if was_lost(part) else part.stop_time or part.end_time
    return min(max(reported or now, part.create_time or reported or now), now)


def elapsed(part: Part, *, now: datetime) -> timedelta:
    """How long after the recording's start the part stopped: its own count, which no clock that is set can change."""
    counted = timedelta(milliseconds=part.recorded_milliseconds + not_recorded(part).milliseconds)
    if was_lost(part) and part.start_time is not None:
        # The last count that was heard is older than the loss.
        counted = max(counted, over_at(part, now=now) - max(part.start_time, part.create_time or part.start_time))
    return timedelta(seconds=part.offset_seconds) + counted


def begun(recording: CloudRecording, status: CloudRecordingStatus, *, now: datetime) -> CloudRecordingStatus:
    """The status with one more part, planned; of too many parts the oldest are kept as totals only."""
    number = count(status)
    part = Part(
        number=number,
        pod=names.pod_name(recording=recording.metadata.name, uid=recording.metadata.uid, part=number),
        file_prefix=names.file_prefix(number),
        offset_seconds=_offset(newest(status), now=now),
        storage=_untried_storage(recording, status),
    )
    parts = (*status.parts, part)
    earlier = status.earlier_parts
    # The status must never forget a pod that still works, or nobody would count its summary: such a part stays and an
    # older one of the others goes. No more than `MOST_UNFINISHED` can be anything but over, so there always is one.
    while len(parts) > LIST_TAIL:
        oldest = next((known for known in parts if known.state in OVER), None)
        if oldest is None:
            break
        left = tuple(known for known in parts if known.number != oldest.number)
        # The time after the part goes with it: neither total may change by what is listed.
        after = between(oldest, next(known for known in left if known.number > oldest.number))
        earlier = _absorbed(earlier or EarlierParts(), oldest, after=after)
        parts = left
    # Who was in the channel is told anew by the part that is to capture.
    nobody: dict[str, object] = {"participants": (), "participant_count": 0} if number else {}
    return status.model_copy(update={"parts": parts, "earlier_parts": earlier, **nobody})


def _untried_storage(recording: CloudRecording, status: CloudRecordingStatus) -> PartStorage:
    storage = recording.spec.storage
    claim = storage.directory.claim_name if storage.directory is not None else None
    name = storage.ref.name if storage.ref is not None else None
    return PartStorage(place=stored_place(status) or place_of(storage), claim_name=claim, storage_name=name)


def untried_at(place: StoragePlace, known: PartStorage | None) -> PartStorage:
    """A part's storage whose files go to another place from now on: it is nobody else's, and what was told is over."""
    return PartStorage(place=place, storage_name=known.storage_name if known is not None else None)


def _offset(former: Part | None, *, now: datetime) -> int:
    """How much of the recording's time is over when a part begins after this one, in seconds."""
    if former is None or (former.start_time is None and not former.offset_seconds):
        return 0
    return int((elapsed(former, now=now) + (now - over_at(former, now=now))).total_seconds())


def is_stored(status: CloudRecordingStatus) -> bool:
    """Whether a slice is in the bucket, so that its place can change no more."""
    earlier = status.earlier_parts.slices.uploaded if status.earlier_parts else 0
    return bool(earlier) or any(part.slices.uploaded for part in status.parts)


def stored_place(status: CloudRecordingStatus) -> StoragePlace | None:
    """Where the recording's files are; None while the bucket has none, and they may still go elsewhere."""
    stored = (part.storage for part in reversed(status.parts) if part.storage and part.slices.uploaded)
    return next((storage.place for storage in stored), None)


def why_over(part: Part) -> str:
    """Why the part records no more, as the reason of the gap after it."""
    word = f"part {part.number} ended" + (f" with {part.reason}" if part.reason else "")
    return f"{word}: {without_hope(part.message)}" if part.message else word


def hope(node: str) -> str:
    """What follows what is said to be gone, while it may not be."""
    return f"{_UNLESS}{node}' comes back"


def may_come_back(part: Part) -> bool:
    """Whether what is said to be gone with the part's node is said for as long as that is away."""
    return part.state is PartState.LOST and part.message is not None and _UNLESS in part.message


def without_hope(message: str) -> str:
    """The message, without what is true for a while alone."""
    return message.partition(_UNLESS)[0]


def with_more(said: str | None, more: str) -> str:
    """Both as one sentence; what others say may end with a full stop."""
    return f"{said.rstrip('. ')}; {more}" if said else more


@dataclass(frozen=True, kw_only=True)
class Span:
    """Time between two parts in which nothing was recorded."""

    start: datetime
    stop: datetime

    @property
    def milliseconds(self) -> int:
        return int((self.stop - self.start).total_seconds() * 1000)


@dataclass(frozen=True, kw_only=True)
class Gaps:
    """How much a part has not recorded since it began to."""

    milliseconds: int
    count: int


def not_recorded(part: Part) -> Gaps:
    """The part's gaps, and the pause that lasts: one that its part's end cut off is time after the part."""
    # An operator of an earlier release says nothing of how long it lasts, as it is among the part's gaps there.
    running = part.pause.milliseconds if part.pause is not None else None
    return Gaps(milliseconds=part.gap_milliseconds + (running or 0), count=part.gap_count + (running is not None))


def cut_off(part: Part, gaps: Iterable[Gap]) -> Part:
    """A lost part without those of its gaps that lie behind what is certain of it: they are time after the part.

    Its figures count all of them; `gaps` are those that are known one by one.
    """
    if not part.lost or part.stop_time is None:
        return part
    behind = [gap for gap in gaps if gap.stop_time is not None and gap.start_time >= part.stop_time]
    count = max(0, part.gap_count - len(behind))
    lasted = sum(int((gap.stop_time - gap.start_time).total_seconds() * 1000) for gap in behind if gap.stop_time)
    return changed(part, gap_count=count, gap_milliseconds=max(0, part.gap_milliseconds - lasted) if count else 0)


def until_cut(part: Part, gaps: Iterable[Gap]) -> tuple[Gap, ...]:
    """Those of the gaps that begin within what is certain of a lost part."""
    return tuple(gap for gap in gaps if part.stop_time is None or gap.start_time < part.stop_time)


def between(former: Part, later: Part) -> Span | None:
    """The time between two parts' media; None while it is not known, or when there is none."""
    stop = former.stop_time or former.end_time
    if former.start_time is None or stop is None or later.start_time is None or stop >= later.start_time:
        return None
    return Span(start=stop, stop=later.start_time)


def gaps_between(listed: tuple[Part, ...]) -> tuple[Span, ...]:
    """The times between each two of these parts, one after the other."""
    return tuple(span for former, later in pairwise(listed) if (span := between(former, later)) is not None)


def added(one: Amounts, other: Amounts) -> Amounts:
    """The sum of two amounts."""
    return Amounts(
        written=one.written + other.written,
        uploaded=one.uploaded + other.uploaded,
        backed_up=one.backed_up + other.backed_up,
        pending=one.pending + other.pending,
    )


def _absorbed(earlier: EarlierParts, part: Part, *, after: Span | None) -> EarlierParts:
    return EarlierParts(
        count=earlier.count + 1,
        slices=added(earlier.slices, part.slices),
        bytes=added(earlier.bytes, part.bytes),
        recorded_milliseconds=earlier.recorded_milliseconds + part.recorded_milliseconds,
        gap_milliseconds=earlier.gap_milliseconds + part.gap_milliseconds + (after.milliseconds if after else 0),
        gap_count=earlier.gap_count + part.gap_count + (1 if after else 0),
        somebody_joined=earlier.somebody_joined or part.somebody_joined,
    )
