# SPDX-License-Identifier: Apache-2.0
"""Conditions as a set: changed one at a time, each keeping the moment its status last changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from cloud_recording.api.reasons import ConditionType, Reason
from cloud_recording.api.recording_storage import RecordingStorageStatus
from cloud_recording.api.status import CloudRecordingStatus, Condition, ConditionStatus

_ORDER = {kind: position for position, kind in enumerate(ConditionType)}


@dataclass(frozen=True, kw_only=True)
class ReadyReason:
    """Where the recording is: the reason and message of Ready, and so of the STATUS column."""

    reason: Reason
    message: str = ""


def get(status: CloudRecordingStatus | RecordingStorageStatus, kind: ConditionType) -> Condition | None:
    """The condition of this type, if there is one."""
    return next((condition for condition in status.conditions if condition.type is kind), None)


def is_true(status: CloudRecordingStatus, kind: ConditionType) -> bool:
    """Whether the condition is there and True."""
    condition = get(status, kind)
    return condition is not None and condition.status is ConditionStatus.TRUE


class Conditions:
    """Conditions being renewed at one moment, of one generation of the spec."""

    def __init__(self, conditions: tuple[Condition, ...], *, generation: int, now: datetime) -> None:
        self._conditions = {condition.type: condition for condition in conditions}
        self._generation = generation
        self.now = now.replace(microsecond=0)

    def get(self, kind: ConditionType) -> Condition | None:
        """What is said of the aspect."""
        return self._conditions.get(kind)

    def set(
        self,
        kind: ConditionType,
        status: ConditionStatus,
        reason: Reason,
        message: str = "",
        *,
        since: datetime | None = None,
    ) -> None:
        """Says this of the aspect; `lastTransitionTime` stays as it was unless `status` changes: now, or at `since`."""
        known = self._conditions.get(kind)
        changed_at = min(since, self.now) if since is not None else self.now
        moment = known.last_transition_time if known is not None and known.status is status else changed_at
        self._conditions[kind] = Condition(
            type=kind,
            status=status,
            observed_generation=self._generation,
            last_transition_time=moment,
            reason=reason,
            message=message,
        )

    def remove(self, kind: ConditionType) -> None:
        """Says nothing of the aspect any more."""
        self._conditions.pop(kind, None)

    def as_tuple(self) -> tuple[Condition, ...]:
        """The conditions, always in the same order, so that equal ones compare equal."""
        return tuple(sorted(self._conditions.values(), key=lambda condition: _ORDER.get(condition.type, len(_ORDER))))
