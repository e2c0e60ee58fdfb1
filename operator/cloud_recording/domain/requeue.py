# SPDX-License-Identifier: Apache-2.0
"""When a recording is to be looked at again by the clock alone, as no change will announce that something is due."""

from __future__ import annotations

from datetime import datetime, timedelta

from cloud_recording.domain import merging, parts, rescue
from cloud_recording.domain.deletion import deletion_deadline
from cloud_recording.domain.desired_state import duration_limit
from cloud_recording.domain.observe_pods import node_deadline
from cloud_recording.domain.observed_state import ObservedState
from cloud_recording.domain.ready_reason import report_deadlines


def requeue_after(state: ObservedState, *, next_part_at: datetime | None) -> timedelta | None:
    """After what time the next thing is due; what is overdue was dealt with by this very decision."""
    deadlines = [
        next_part_at,
        duration_limit(state.recording, state.status, now=state.now),
        deletion_deadline(state.recording),
        *(node_deadline(state, part, state.pod_of(part)) for part in parts.unfinished(state.status)),
        *map(rescue.due_at, state.status.parts),
        rescue.overdue_at(state.status),
        merging.due_at(state.status),
        *report_deadlines(state.status, listening_since=state.context.hears_all_since),
    ]
    left = [deadline - state.now for deadline in deadlines if deadline is not None and deadline > state.now]
    if state.refusal is not None:
        left.append(state.refusal.retry_after)
    return min(left, default=None)
