# SPDX-License-Identifier: Apache-2.0
"""`spec.ttlSecondsAfterFinished`: how long a finished recording's resource is kept."""

from __future__ import annotations

from datetime import timedelta

from cloud_recording.domain.observed_state import ObservedState


def time_to_live(state: ObservedState) -> timedelta | None:
    """For how long it is still kept: zero when that is over, None when nobody set an end or it is deleted already."""
    ttl, completed = state.recording.spec.ttl_seconds_after_finished, state.status.completion_time
    if ttl is None or completed is None or state.recording.metadata.deletion_timestamp is not None:
        return None
    return max(timedelta(), completed + timedelta(seconds=ttl) - state.now)
