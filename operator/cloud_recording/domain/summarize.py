# SPDX-License-Identifier: Apache-2.0
"""The conditions, as a pure function of the spec and the facts in the status.

Those of a spec that cannot be read are set by `invalid_spec`, as nothing can be derived from it.
"""

from __future__ import annotations

from datetime import datetime

from cloud_recording.api.phrases import slices_are
from cloud_recording.api.reasons import ConditionType, Reason, reason_facts
from cloud_recording.api.recording import CloudRecording
from cloud_recording.api.status import (
    Amounts,
    CloudRecordingStatus,
    ConditionStatus,
    MergeState,
    Outcome,
    PartState,
)
from cloud_recording.domain import parts, totals
from cloud_recording.domain.completion import Completion
from cloud_recording.domain.conditions import Conditions, ReadyReason, is_true
from cloud_recording.domain.people import with_nobody_there
from cloud_recording.domain.playlist_url import backup_playlists_of, playlists_of
from cloud_recording.domain.ready_reason import (
    backed_up_message,
    find_ready_reason,
    pending_message,
    recording_condition,
)
from cloud_recording.domain.storage_health import storage_condition

_TRUE, _FALSE, _UNKNOWN = ConditionStatus.TRUE, ConditionStatus.FALSE, ConditionStatus.UNKNOWN


def finished(status: CloudRecordingStatus) -> bool:
    """Whether the recording is over for good."""
    return is_true(status, ConditionType.FINISHED)


def with_generation_observed(recording: CloudRecording) -> CloudRecordingStatus:
    """The status of a recording that is over, of the newest generation: an edit changes nothing, and was seen.

    Who goes by `observedGeneration`, as GitOps tools do, would wait for ever otherwise.
    """
    status, generation = recording.status, recording.metadata.generation
    if (status.observed_generation or 0) >= generation:
        return status
    conditions = tuple(one.model_copy(update={"observed_generation": generation}) for one in status.conditions)
    return status.model_copy(update={"observed_generation": generation, "conditions": conditions})


def summarized(
    recording: CloudRecording,
    status: CloudRecordingStatus,
    *,
    now: datetime,
    blocked_by: ReadyReason | None = None,
    listening_since: datetime | None = None,
) -> CloudRecordingStatus:
    """The status with totals and conditions renewed from its facts.

    `blocked_by` is what keeps the next part from being made, as far as the status does not know it by itself.
    `listening_since` is since when somebody hears what recorders report, and turns nobody away.
    """
    status = totals.with_totals(status)
    if finished(status):
        return status
    newest = parts.newest(status)
    if newest is not None and not parts.captures(newest):
        status = with_nobody_there(status)
    ready_reason = blocked_by or find_ready_reason(recording, status, now=now, listening_since=listening_since)
    conditions = Conditions(status.conditions, generation=recording.metadata.generation, now=now)
    ready = reason_facts(ready_reason.reason).as_asked
    conditions.set(ConditionType.READY, _TRUE if ready else _FALSE, ready_reason.reason, ready_reason.message)
    _set_progressing(conditions, recording, status, ready_reason)
    conditions.set(ConditionType.RECORDING, *recording_condition(status, ready_reason, now=now))
    _set_storage(conditions, status)
    if parts.is_merging(status):
        _set_uploaded_at_last(conditions, status, Reason.MERGING)
    else:
        conditions.set(ConditionType.UPLOADED, _FALSE, ready_reason.reason, pending_message(status))
    _set_backed_up(conditions, recording, status, ready_reason.reason)
    _set_merged(conditions, status)
    conditions.set(ConditionType.SUCCEEDED, _UNKNOWN, ready_reason.reason, "")
    conditions.set(ConditionType.FINISHED, _FALSE, ready_reason.reason, "")
    return _with_conditions(recording, status, conditions)


def completed(
    recording: CloudRecording, status: CloudRecordingStatus, completion: Completion, *, now: datetime
) -> CloudRecordingStatus:
    """The status of a recording that is over, with the end that it came to. Nothing changes it afterwards."""
    status = totals.with_totals(status)
    ends = [part.end_time for part in status.parts if part.end_time is not None]
    status = status.model_copy(
        update={
            "completion_time": max(ends, default=now.replace(microsecond=0)),
        }
    )
    status = with_nobody_there(status)
    conditions = Conditions(status.conditions, generation=recording.metadata.generation, now=now)
    good = _TRUE if completion.succeeded else _FALSE
    conditions.set(ConditionType.READY, good, completion.reason, completion.message)
    conditions.remove(ConditionType.RECONCILING)
    if not completion.succeeded:
        conditions.set(ConditionType.STALLED, _TRUE, completion.reason, completion.message)
    else:
        conditions.remove(ConditionType.STALLED)
    conditions.set(ConditionType.RECORDING, _FALSE, completion.reason, "")
    _set_storage(conditions, status)
    _set_uploaded_at_last(conditions, status, completion.reason)
    uploaded = conditions.get(ConditionType.UPLOADED)
    everything = uploaded is not None and uploaded.status is _TRUE
    _set_backed_up(conditions, recording, status, Reason.UPLOADED if everything else completion.reason)
    _set_merged(conditions, status)
    conditions.set(ConditionType.SUCCEEDED, good, completion.reason, completion.message)
    conditions.set(ConditionType.FINISHED, _TRUE, completion.reason, "")
    return _with_conditions(recording, status, conditions)


def _with_conditions(
    recording: CloudRecording, status: CloudRecordingStatus, conditions: Conditions
) -> CloudRecordingStatus:
    playlists = playlists_of(recording, status)
    merge = parts.merge_of(status)
    is_merged = merge is not None and merge.playlist == status.playlist
    newest = next((one for one in reversed(playlists) if is_merged or one.name == status.playlist), None)
    mp4, mp4_url = (newest.mp4, newest.mp4_url) if newest else (None, None)
    if merge and is_merged and merge.mp4 is not None:
        mp4, mp4_url = merge.mp4, merge.mp4_url
    return status.model_copy(
        update={
            "display": _display(conditions),
            "conditions": conditions.as_tuple(),
            "observed_generation": recording.metadata.generation,
            "playlist_url": merge.playlist_url if merge and is_merged else newest.url if newest else None,
            "backup_playlists": backup_playlists_of(recording, status),
            "mp4": mp4,
            "mp4_url": mp4_url,
            "playlists": playlists,
        }
    )


def _display(conditions: Conditions) -> str:
    ready, storage = conditions.get(ConditionType.READY), conditions.get(ConditionType.STORAGE_READY)
    words = [ready.reason if ready else Reason.PENDING]
    # What is over has nothing more to put: its reason says what became of it.
    over = conditions.get(ConditionType.FINISHED)
    if storage is not None and storage.status is _FALSE and (over is None or over.status is not _TRUE):
        words.append(storage.reason)
    return ",".join(words)


def _set_progressing(
    conditions: Conditions, recording: CloudRecording, status: CloudRecordingStatus, ready_reason: ReadyReason
) -> None:
    facts = reason_facts(ready_reason.reason)
    if facts.stalls:
        conditions.remove(ConditionType.RECONCILING)
        conditions.set(ConditionType.STALLED, _TRUE, ready_reason.reason, ready_reason.message)
        return
    conditions.remove(ConditionType.STALLED)
    generation = recording.metadata.generation
    if not facts.as_asked:
        conditions.set(ConditionType.RECONCILING, _TRUE, ready_reason.reason, ready_reason.message)
    elif (status.acknowledged_generation or 0) < generation:
        message = f"the recorder has not yet taken over generation {generation} of the spec"
        conditions.set(ConditionType.RECONCILING, _TRUE, ready_reason.reason, message)
    else:
        conditions.remove(ConditionType.RECONCILING)


def _set_storage(conditions: Conditions, status: CloudRecordingStatus) -> None:
    known = storage_condition(status)
    if known is not None:
        good, reason, message, since = known
        conditions.set(ConditionType.STORAGE_READY, good, reason, message, since=since)


def _set_uploaded_at_last(conditions: Conditions, status: CloudRecordingStatus, reason: Reason) -> None:
    """Said once every part is over; `reason` is why something is in no store, where that is so."""
    amounts = status.slices or Amounts()
    clean = all(
        part.outcome is not Outcome.INCOMPLETE
        # A part that was lost before it began has nothing to upload.
        and (part.state is PartState.CONCLUDED or part.start_time is None)
        for part in status.parts
    )
    uploaded = any(part.outcome is Outcome.UPLOADED for part in status.parts)
    backed_up = totals.is_backed_up(status)
    everything = amounts.uploaded == amounts.written and not amounts.pending and not backed_up
    if clean and everything and (amounts.written or uploaded):
        conditions.set(ConditionType.UPLOADED, _TRUE, Reason.UPLOADED, "")
    else:
        # Nobody is left to upload what is pending.
        missing = f"{slices_are(amounts.pending)} in no store" if amounts.pending else ""
        message = "; ".join(filter(None, (missing, backed_up_message(amounts))))
        conditions.set(ConditionType.UPLOADED, _FALSE, Reason.BACKED_UP if backed_up else reason, message)


def _set_merged(conditions: Conditions, status: CloudRecordingStatus) -> None:
    """Of one part there is nothing to say."""
    merge = parts.merge_of(status)
    if merge is None:
        conditions.remove(ConditionType.PLAYLIST_MERGED)
    elif merge.state is MergeState.MERGED:
        message = f"no MP4 was made over all parts: {merge.mp4_missing}" if merge.mp4_missing else ""
        conditions.set(ConditionType.PLAYLIST_MERGED, _TRUE, Reason.MERGED, message)
    else:
        reason = merge.reason or (Reason.MERGING if merge.state is MergeState.MERGING else Reason.MERGE_FAILED)
        conditions.set(ConditionType.PLAYLIST_MERGED, _FALSE, reason, merge.message or parts.merging_message(status))


def _set_backed_up(
    conditions: Conditions, recording: CloudRecording, status: CloudRecordingStatus, reason: Reason
) -> None:
    """Where no backup was asked for there is nothing to say; otherwise `reason` is why no file had to go there."""
    if totals.is_backed_up(status):
        conditions.set(ConditionType.BACKED_UP, _TRUE, Reason.BACKED_UP, backed_up_message(status.slices))
    elif recording.spec.backup is None:
        conditions.remove(ConditionType.BACKED_UP)
    else:
        conditions.set(ConditionType.BACKED_UP, _FALSE, reason, "")
