# SPDX-License-Identifier: Apache-2.0
"""The status of a recording whose spec this operator cannot read, for example because a newer one wrote its schema."""

from __future__ import annotations

from datetime import datetime

from pydantic import ValidationError

from cloud_recording.api.reasons import ConditionType, Reason
from cloud_recording.api.recording import CloudRecording
from cloud_recording.api.status import CloudRecordingStatus, ConditionStatus
from cloud_recording.domain.conditions import Conditions


def unreadable(
    recording: CloudRecording, status: CloudRecordingStatus, error: ValidationError, *, now: datetime
) -> CloudRecordingStatus:
    """The status with the first of the errors told, and everything else as it was: a running pod is left to run."""
    first = error.errors(include_url=False, include_input=False)[0]
    message = f"`{'.'.join(map(str, first['loc']))}`: {first['msg']}"
    generation = recording.metadata.generation
    conditions = Conditions(status.conditions, generation=generation, now=now)
    conditions.set(ConditionType.READY, ConditionStatus.FALSE, Reason.INVALID_SPEC, message)
    conditions.set(ConditionType.STALLED, ConditionStatus.TRUE, Reason.INVALID_SPEC, message)
    conditions.remove(ConditionType.RECONCILING)
    return status.model_copy(
        update={
            "conditions": conditions.as_tuple(),
            "display": Reason.INVALID_SPEC.value,
            "observed_generation": generation,
        }
    )
