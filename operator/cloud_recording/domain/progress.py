# SPDX-License-Identifier: Apache-2.0
"""Which changes of a status are progress alone: more of the same, on which no decision depends."""

from __future__ import annotations

from typing import Final

from cloud_recording.api.reasons import ConditionType
from cloud_recording.api.status import CloudRecordingStatus, Condition, Part
from cloud_recording.common.json_types import Json
from cloud_recording.domain.storage_health import without_room

_OF_A_STATUS: Final = (
    *("progress_percent", "slices", "bytes", "last_durable_slice_time", "recorded_seconds"),
    *("pending_seconds", "volume_free_bytes", "volume_lasts_seconds"),
)
_OF_A_PART: Final = (
    *("sequence", "heard_time", "slices", "bytes", "recorded_milliseconds"),
    *("pending_milliseconds", "volume_free_bytes"),
)


def only_progressed(before: CloudRecordingStatus, after: CloudRecordingStatus) -> bool:
    """Whether `decide` would do after the change what it did before it; timers that depend on it are set already."""
    return _without_progress(before) == _without_progress(after)


def is_progress(before: Json, after: Json) -> bool:
    """Whether two versions of a recording, as the API server has them, differ in progress alone."""
    return _beside_status(before) == _beside_status(after) and only_progressed(_status(before), _status(after))


def _beside_status(body: Json) -> Json:
    written = {"resourceVersion", "managedFields"}
    metadata = {name: value for name, value in body["metadata"].items() if name not in written}
    return {**body, "metadata": metadata, "status": None}


def _status(body: Json) -> CloudRecordingStatus:
    return CloudRecordingStatus.model_validate(body.get("status") or {})


def _without_progress(status: CloudRecordingStatus) -> CloudRecordingStatus:
    parts = tuple(_without_figures(part) for part in status.parts)
    conditions = tuple(map(_without_figures_in_words, status.conditions))
    return status.model_copy(update={**dict.fromkeys(_OF_A_STATUS), "parts": parts, "conditions": conditions})


def _without_figures_in_words(condition: Condition) -> Condition:
    if condition.type is not ConditionType.STORAGE_READY:
        return condition
    return condition.model_copy(update={"message": without_room(condition.message)})


def _without_figures(part: Part) -> tuple[Part, bool]:
    """The part's state, and whether the bucket has any slice of it: until then it may move elsewhere."""
    return part.model_copy(update=dict.fromkeys(_OF_A_PART)), bool(part.slices.uploaded)
