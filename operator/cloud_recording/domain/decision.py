# SPDX-License-Identifier: Apache-2.0
"""What `decide` answers: the status as it should be, the actions on pods, claims and the recording, and when to look
again; and the steps that it chooses from.

The order is part of the promise. First the status is written; only if that succeeded are the actions done, in their
order. So a pod's name is in the status before the pod is, and a recording is let go only after its end is written.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from cloud_recording.api.status import CloudRecordingStatus, Merge, Part
from cloud_recording.domain.completion import Completion
from cloud_recording.domain.conditions import ReadyReason
from cloud_recording.domain.pod_view import PodView


@dataclass(frozen=True, kw_only=True)
class Complete:
    """Every part is over, and so is the recording."""

    status: CloudRecordingStatus
    completion: Completion


@dataclass(frozen=True, kw_only=True)
class Proceed:
    """The recording goes on, or is on its way to its end."""

    status: CloudRecordingStatus
    blocked_by: ReadyReason | None = None
    """What keeps the next part from being begun."""
    next_part_at: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class CreatePod:
    """The part's pod is to be there."""

    part: Part


@dataclass(frozen=True, kw_only=True)
class CreateMergePod:
    """The pod that makes one playlist over all parts is to be there."""

    merge: Merge


@dataclass(frozen=True, kw_only=True)
class DeleteEndedPod:
    """The part's pod, which ended long ago, is kept no longer."""

    part: Part


@dataclass(frozen=True, kw_only=True)
class DeleteClaim:
    """Nothing is left on the part's claim."""

    part: Part


@dataclass(frozen=True, kw_only=True)
class AnnotatePod:
    """The pod is to be told this."""

    pod: PodView
    annotations: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class DeletePod:
    """The pod is to end; without a figure it has its own grace period to upload in."""

    pod: PodView
    grace_seconds: int | None = None


@dataclass(frozen=True, kw_only=True)
class ReleasePod:
    """Nothing more is to be learnt from the pod: its finalizer goes."""

    pod: PodView


@dataclass(frozen=True)
class ReleaseRecording:
    """Nothing more is to be waited for: what was made for the recording becomes its own, and its finalizer goes.

    From then on everything goes with the recording, whether an operator is there or not.
    """


@dataclass(frozen=True)
class DeleteRecording:
    """The finished recording has been kept for as long as it asked."""


Action = (
    CreatePod
    | CreateMergePod
    | AnnotatePod
    | DeletePod
    | DeleteEndedPod
    | DeleteClaim
    | ReleasePod
    | ReleaseRecording
    | DeleteRecording
)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What is to become of a recording."""

    status: CloudRecordingStatus
    add_finalizer: bool = False
    """Whether our finalizer is to be put on before anything else."""
    actions: tuple[Action, ...] = ()
    requeue_after: timedelta | None = None
    """After what time something is due that no change announces."""
