# SPDX-License-Identifier: Apache-2.0
"""Which decisions may rest on what was seen before, and which only on what is read now."""

from __future__ import annotations

from cloud_recording.api.status import CloudRecordingStatus
from cloud_recording.domain import parts
from cloud_recording.domain.decision import Decision
from cloud_recording.domain.summarize import finished


def cannot_be_undone(before: CloudRecordingStatus, decision: Decision) -> bool:
    """Whether the decision is more than a newer account of the same parts, which the next look would correct."""
    return bool(decision.actions) or _ends(before) != _ends(decision.status)


def _ends(status: CloudRecordingStatus) -> tuple[bool, list[tuple[int, bool]], object]:
    """What never becomes otherwise again: which parts there are, what is over, and what became of one playlist."""
    merge = status.merge
    merged = merge and (merge.state, merge.newest_part, merge.pods, merge.tries)
    return finished(status), [(part.number, part.state in parts.OVER) for part in status.parts], merged
