# SPDX-License-Identifier: Apache-2.0
"""A recording read from the API server though this release may not understand its spec, as a newer one's may be.

Such a recording cannot be begun, but it can be ended: deletion, `discard`, callbacks and what it has recorded so far do
not depend on what cannot be read.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError

from cloud_recording.api.reasons import ConditionType, Reason
from cloud_recording.api.recording import CloudRecording, CloudRecordingSpec
from cloud_recording.api.status import CloudRecordingStatus, ConditionStatus
from cloud_recording.common.json_types import Json
from cloud_recording.domain.conditions import Conditions

_STAND_INS: Final[Json] = {
    "channel": {"name": "unreadable", "uid": 1, "streams": [{"uid": 1, "url": "rtmp://unreadable.invalid/live"}]},
    # Of a region of this vendor's no URL is known, so that none is told that would be wrong.
    "storage": {
        "vendor": "Qiniu",
        "region": 0,
        "bucket": "unreadable",
        "credentials": {"secretRef": {"name": "unreadable"}},
    },
}
"""What stands for fields that a spec cannot do without."""


@dataclass(frozen=True, kw_only=True)
class ParsedRecording:
    """A recording, and what of its spec could not be read: that is as if it had been left out."""

    recording: CloudRecording
    spec_error: ValidationError | None


def parse(body: Json) -> ParsedRecording:
    """The recording of an API object; raises ValidationError only where something else than the spec is unreadable."""
    try:
        return ParsedRecording(recording=CloudRecording.model_validate(body), spec_error=None)
    except ValidationError as error:
        if any(_path(one)[:1] != ["spec"] for one in error.errors(include_url=False, include_input=False)):
            raise
        spec = _readable(body.get("spec"))
        return ParsedRecording(recording=CloudRecording.model_validate({**body, "spec": spec}), spec_error=error)


def with_invalid_spec(
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


def _readable(spec: object) -> Json:
    """The spec without what cannot be read of it: first the very fields, then, where that is not enough, all of one."""
    left: Json = copy.deepcopy(spec) if isinstance(spec, dict) else {}
    for whole in (False, True):
        try:
            CloudRecordingSpec.model_validate(left)
        except ValidationError as error:
            for one in error.errors(include_url=False, include_input=False):
                path = _path(one)
                _leave_out(left, path[:1] if whole else path)
        else:
            return left
    return {**_STAND_INS, **left}


def _leave_out(spec: Json, path: Sequence[str | int]) -> None:
    *parents, last = path or [""]
    parent: Any = spec
    for step in parents:
        try:
            parent = parent[step]
        except (KeyError, IndexError, TypeError):
            return
    if isinstance(parent, dict):
        parent.pop(last, None)


def _path(error: Any) -> list[str | int]:  # noqa: ANN401 - as pydantic has it
    return list(error["loc"])
