# SPDX-License-Identifier: Apache-2.0
"""By which reason an Event says that the API server refuses what is to be done."""

from cloud_recording.controller.execute_actions import rejection_of
from cloud_recording.domain.decision import DeleteClaim, DeleteRecording, ReleaseRecording
from tests.unit.domain.builders import a_part


def test_what_is_refused_of_the_recording_is_not_said_of_its_pod() -> None:
    assert rejection_of(DeleteClaim(part=a_part())) == "PodRejected"
    assert {rejection_of(action) for action in (ReleaseRecording(), DeleteRecording())} == {"ChangeRejected"}
