# SPDX-License-Identifier: Apache-2.0
"""What is worth telling people of the difference between two statuses: the Events of a written transition.

Steps tell nothing themselves. An Event that follows from the written difference is never told of a write that
failed, nor again when a pass is repeated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cloud_recording.api.reasons import ConditionType, Reason, reason_facts
from cloud_recording.api.status import CloudRecordingStatus, ConditionStatus
from cloud_recording.domain import conditions, parts

_TROUBLE: Final = frozenset(
    {
        Reason.WAITING_FOR_SECRET,
        Reason.UNSCHEDULABLE,
        Reason.QUOTA_EXCEEDED,
        Reason.POD_REJECTED,
        Reason.IMAGE_PULL_FAILED,
        Reason.NOT_ALLOWED,
        Reason.INVALID_SPEC,
        Reason.RECORDER_NOT_READY,
        Reason.RESTARTING,
    }
)
"""Reasons of a recording that goes on and of which somebody may want to hear."""


@dataclass(frozen=True, kw_only=True)
class Transition:
    """Something that changed for people: the reason is the condition's, the action says who did what."""

    warning: bool
    reason: Reason
    action: str
    message: str


def transitions(before: CloudRecordingStatus, after: CloudRecordingStatus) -> tuple[Transition, ...]:
    """What happened between two written statuses, in the order in which it is to be told."""
    return tuple(one for one in (_error(before, after), _part(before, after), _headline(before, after)) if one)


def _headline(before: CloudRecordingStatus, after: CloudRecordingStatus) -> Transition | None:
    old, new = (conditions.get(status, ConditionType.READY) for status in (before, after))
    # That a recording which was just applied is pending is no news, and would cost an Event for each one.
    known = old.reason if old is not None else Reason.PENDING
    if new is None or known is new.reason:
        return None
    over = conditions.is_true(after, ConditionType.FINISHED)
    failed = over and new.status is ConditionStatus.FALSE
    return Transition(
        warning=failed or (not over and new.reason in _TROUBLE),
        reason=new.reason,
        action="Finish" if over else "Reconcile",
        message=new.message or reason_facts(new.reason).meaning,
    )


def _error(before: CloudRecordingStatus, after: CloudRecordingStatus) -> Transition | None:
    error = after.last_error
    if error is None or error == before.last_error:
        return None
    message = f"{error.message} {error.remedy}".strip()
    return Transition(warning=True, reason=error.reason, action="Record", message=message)


def _part(before: CloudRecordingStatus, after: CloudRecordingStatus) -> Transition | None:
    part = parts.current(after)
    if part is None or part.number == 0 or parts.count(after) == parts.count(before):
        return None
    message = f"part {part.number} begins in pod '{part.pod}'; its files begin with '{part.file_prefix}'"
    return Transition(warning=False, reason=Reason.RESTARTING, action="BeginPart", message=message)
