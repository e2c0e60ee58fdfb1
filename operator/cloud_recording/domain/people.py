# SPDX-License-Identifier: Apache-2.0
"""Who is in the channel, as far as the status can say so."""

from __future__ import annotations

from cloud_recording.api.status import CloudRecordingStatus, Participant, ParticipantState


def with_nobody_there(status: CloudRecordingStatus) -> CloudRecordingStatus:
    """The status of a recording whose channel nobody looks at any more: nobody is in it, and nothing arrives."""
    return status.model_copy(
        update={
            "participant_count": None if status.participant_count is None else 0,
            "participants": tuple(map(_left, status.participants)),
        }
    )


def _left(participant: Participant) -> Participant:
    joined = participant.state is ParticipantState.JOINED
    state = ParticipantState.LEFT if joined else participant.state
    return participant.model_copy(update={"state": state, "audio": False, "video": False})
