# SPDX-License-Identifier: Apache-2.0
"""What is worth telling people of the difference between two statuses: the Events of a written transition.

Steps tell nothing themselves. An Event that follows from the written difference is never told of a write that
failed, nor again when a pass is repeated.
"""

from __future__ import annotations

from dataclasses import dataclass

from cloud_recording.api.reasons import SEE_ERROR, ConditionType, Reason, reason_facts
from cloud_recording.api.status import CloudRecordingStatus, ConditionStatus, LastError, MergeState
from cloud_recording.domain import conditions, parts


@dataclass(frozen=True, kw_only=True)
class Transition:
    """Something that changed for people: the reason is the condition's, the action says who did what."""

    warning: bool
    reason: Reason
    action: str
    message: str


def transitions(before: CloudRecordingStatus, after: CloudRecordingStatus) -> tuple[Transition, ...]:
    """What happened between two written statuses, in the order in which it is to be told, each thing once."""
    by_reason: dict[Reason, Transition] = {}
    for what in (_error, _storage, _part, _merge, _ready_reason):
        one = what(before, after)
        if one is not None:
            by_reason.setdefault(one.reason, one)
    return tuple(by_reason.values())


def _ready_reason(before: CloudRecordingStatus, after: CloudRecordingStatus) -> Transition | None:
    old, new = (conditions.get(status, ConditionType.READY) for status in (before, after))
    # That a recording which was just applied is pending is no news, and would cost an Event for each one.
    known = old.reason if old is not None else Reason.PENDING
    if new is None or known is new.reason:
        return None
    over = conditions.is_true(after, ConditionType.FINISHED)
    failed = over and new.status is ConditionStatus.FALSE
    message = new.message or reason_facts(new.reason).meaning
    return Transition(
        warning=failed or (not over and reason_facts(new.reason).warns),
        reason=new.reason,
        action="Finish" if over else "Reconcile",
        message=_with_remedy(message, _remedy(after, new.reason)) if failed else message,
    )


def _error(before: CloudRecordingStatus, after: CloudRecordingStatus) -> Transition | None:
    error = after.last_error
    if error is None or _as_it_happened(error) == _as_it_happened(before.last_error):
        return None
    if reason_facts(error.reason).told_by_ready:
        return None
    message = _with_remedy(error.message, error.remedy)
    return Transition(warning=True, reason=error.reason, action="Record", message=message)


def _remedy(status: CloudRecordingStatus, reason: Reason) -> str:
    """What an error of the recorder's says itself, else what is written of the reason."""
    error, known = status.last_error, reason_facts(reason).remedy
    if error is not None and error.reason is reason:
        return error.remedy
    return "" if known is SEE_ERROR else known.text


def _with_remedy(message: str, remedy: str) -> str:
    return f"{message.rstrip('.')}. {remedy}".strip()


def _as_it_happened(error: LastError | None) -> LastError | None:
    """The error without what became of it."""
    return error.model_copy(update={"resolved_time": None}) if error else None


def _storage(before: CloudRecordingStatus, after: CloudRecordingStatus) -> Transition | None:
    """The Event that the store fails, or takes files again; that a store is as it should be is no news."""
    old, new = (conditions.get(status, ConditionType.STORAGE_READY) for status in (before, after))
    if new is None or new.status is ConditionStatus.FALSE:
        if new is None or (old is not None and old.reason is new.reason):
            return None
        return Transition(warning=True, reason=new.reason, action="Upload", message=new.message)
    if old is None or old.status is not ConditionStatus.FALSE:
        return None
    message = f"the store takes files again; {old.reason} is over"
    return Transition(warning=False, reason=new.reason, action="Upload", message=message)


def _merge(before: CloudRecordingStatus, after: CloudRecordingStatus) -> Transition | None:
    """The Event that there will be no playlist over all parts, or no MP4; that there is one is told by the end."""
    merge = parts.merge_of(after)
    if merge is None or merge.state is MergeState.MERGING or merge == before.merge:
        return None
    if merge.state is MergeState.MERGED:
        if merge.mp4_missing is None:
            return None
        reason, message = Reason.MP4_NOT_MADE, f"no MP4 was made over all parts: {merge.mp4_missing}"
    else:
        nothing = "no playlist" if merge.mp4_seconds is None else "no playlist and no MP4"
        reason = merge.reason or Reason.MERGE_FAILED
        message = f"there is {nothing} over all parts: {merge.message or ''}"
    return Transition(
        warning=True, reason=reason, action="Merge", message=_with_remedy(message, _remedy(after, reason))
    )


def _part(before: CloudRecordingStatus, after: CloudRecordingStatus) -> Transition | None:
    part = parts.newest(after)
    if part is None or part.number == 0 or parts.count(after) == parts.count(before):
        return None
    message = f"part {part.number} begins in pod '{part.pod}'; its files begin with '{part.file_prefix}'"
    return Transition(warning=False, reason=Reason.PENDING, action="BeginPart", message=message)
