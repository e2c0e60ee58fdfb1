# SPDX-License-Identifier: Apache-2.0
"""How long a deleted recording waits for its upload: until its deadline, or until somebody asks to discard the rest."""

from __future__ import annotations

from datetime import datetime, timedelta

from cloud_recording.api.phrases import counted
from cloud_recording.api.reasons import Reason
from cloud_recording.api.recording import DISCARD_ANNOTATION, CloudRecording
from cloud_recording.api.status import Amounts, Outcome, PartState
from cloud_recording.domain import parts
from cloud_recording.domain.completion import Completion
from cloud_recording.domain.decision import Complete
from cloud_recording.domain.observed_state import ObservedState


def deletion_deadline(recording: CloudRecording) -> datetime | None:
    """Until when a deleted recording waits for its upload."""
    deleted_at = recording.metadata.deletion_timestamp
    if deleted_at is None:
        return None
    return deleted_at + timedelta(seconds=recording.spec.deletion_deadline_seconds)


def discard_asked(recording: CloudRecording) -> bool:
    """Whether somebody deleted the recording and said that what is not uploaded may be thrown away.

    The annotation alone does nothing: it must not be possible to lose a running recording by a label tool's mistake.
    """
    deleted = recording.metadata.deletion_timestamp is not None
    return deleted and recording.metadata.annotations.get(DISCARD_ANNOTATION) == "true"


def give_up(state: ObservedState) -> Complete | None:
    """The end of a deleted recording whose parts are waited for no longer; None while they are, or are over."""
    completion = _reason_to_give_up(state)
    if completion is None:
        return None
    status = state.status
    outcome = Outcome.DISCARDED if completion.reason is Reason.DISCARDED else None
    for part in parts.unfinished(status):
        lost = parts.changed(
            part,
            state=PartState.LOST,
            outcome=outcome,
            reason=completion.reason,
            end_time=state.moment,
            pod_ready=False,
            missing_secrets=None,
            rescue_message=None,
        )
        status = parts.replaced(status, parts.left_channel(lost))
    return Complete(status=status, completion=completion)


def _reason_to_give_up(state: ObservedState) -> Completion | None:
    waited_for = parts.unfinished(state.status)
    if not waited_for:
        return None
    pending = counted((state.status.slices or Amounts()).pending, "slice")
    if discard_asked(state.recording):
        return Completion(reason=Reason.DISCARDED, message=f"thrown away: {pending}", succeeded=False)
    deadline = deletion_deadline(state.recording)
    if deadline is not None and state.now >= deadline:
        pods = ", ".join(f"'{part.pod}'" for part in waited_for)
        message = f"`spec.deletionDeadlineSeconds` ran out: given up in pod {pods}: {pending}"
        return Completion(reason=Reason.DEADLINE_EXCEEDED, message=message, succeeded=False)
    return None
