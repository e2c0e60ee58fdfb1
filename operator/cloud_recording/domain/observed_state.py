# SPDX-License-Identifier: Apache-2.0
"""What a pass decides from: the recording, what is known of it so far, its pods, the time, and the operator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cloud_recording.api.reasons import Reason
from cloud_recording.api.recording import CloudRecording, DesiredRecordingState
from cloud_recording.api.settings import OperatorSettings
from cloud_recording.api.status import CloudRecordingStatus, Part
from cloud_recording.domain.conditions import ReadyReason
from cloud_recording.domain.desired_state import desired_state
from cloud_recording.domain.pod_view import PodView


@dataclass(frozen=True, kw_only=True)
class OperatorContext:
    """What a decision takes from the operator itself."""

    settings: OperatorSettings
    callback_ca: str
    """The authorities that pods are to trust, in PEM."""
    listening_since: datetime | None = None
    """Since when this operator hears callbacks; None where it always has."""
    turned_away_at: datetime | None = None
    """When it, or another replica, last turned away somebody with callbacks, whoever that was; None for never."""
    store_wait: ReadyReason | None = None
    """What the recording at hand waits for before its next pod, of a RecordingStorage that it names."""

    @property
    def hears_all_since(self) -> datetime | None:
        """Since when whoever reports is heard: who was turned away is silent for the operator's sake."""
        return max(filter(None, (self.listening_since, self.turned_away_at)), default=None)


def refusal_reason(message: str) -> Reason:
    """Why the API server refused a pod: admission answers 403 for all it refuses, and tells a quota by words only."""
    return Reason.QUOTA_EXCEEDED if "exceeded quota" in message else Reason.POD_REJECTED


@dataclass(frozen=True, kw_only=True)
class PodRefusal:
    """The API server refused a pod."""

    part: int | None
    """Whose it was; None of one that makes one playlist over all parts."""
    reason: Reason
    message: str
    retry_after: timedelta
    """When the pod is asked for again; no event tells that a quota was raised."""


@dataclass(frozen=True, kw_only=True)
class ObservedState:
    """A recording as a pass finds it; each step hands it on with the status that it made."""

    recording: CloudRecording
    status: CloudRecordingStatus
    """The recording's status as far as the pass has brought it."""
    pods: Mapping[str, PodView]
    """Every pod of the recording that is there, by name."""
    now: datetime
    context: OperatorContext
    refusal: PodRefusal | None = None

    @property
    def settings(self) -> OperatorSettings:
        """What the administrator decided."""
        return self.context.settings

    @property
    def moment(self) -> datetime:
        """Now, in the precision of a status."""
        return self.now.replace(microsecond=0)

    @property
    def node_lost(self) -> timedelta:
        """After what time a node counts as lost of which nothing is heard, neither by its kubelet nor by a recorder."""
        return timedelta(seconds=self.settings.runner.node_lost_seconds)

    @property
    def stopping(self) -> bool:
        """Whether the recording is to stop, or has stopped."""
        return desired_state(self.recording, self.status, now=self.now) is DesiredRecordingState.STOPPED

    def pod_of(self, part: Part) -> PodView | None:
        """The part's pod, if it is there."""
        return self.pods.get(part.pod)

    def with_status(self, status: CloudRecordingStatus) -> ObservedState:
        """The same with this status."""
        return replace(self, status=status)
