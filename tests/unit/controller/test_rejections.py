# SPDX-License-Identifier: Apache-2.0
"""By which reason an Event says that the API server refuses what is to be done."""

import pytest

from cloud_recording.controller.execute_actions import reason_of_refusal, rejection_of
from cloud_recording.controller.reconcile_storage import refusal_of
from cloud_recording.domain.decision import DeleteClaim, DeleteRecording, ReleaseRecording
from cloud_recording.kube.errors import NAMESPACE_TERMINATING, Refused
from tests.unit.domain.builders import a_part


def test_what_is_refused_of_the_recording_is_not_said_of_its_pod() -> None:
    assert rejection_of(DeleteClaim(part=a_part())) == "PodRejected"
    assert {rejection_of(action) for action in (ReleaseRecording(), DeleteRecording())} == {"ChangeRejected"}


@pytest.mark.parametrize(
    ("message", "causes", "reason"),
    [
        ('pods "x" is forbidden: exceeded quota: few-pods', [], "QuotaExceeded"),
        ('admission webhook "policy" denied the request', [], "PodRejected"),
        ("unable to create new content", [{"reason": NAMESPACE_TERMINATING}], "NamespaceTerminating"),
    ],
)
def test_a_recordings_pod_and_a_storages_are_refused_for_the_same_reasons(
    message: str, causes: list[dict[str, str]], reason: str
) -> None:
    error = Refused(message, status=403, details={"details": {"causes": causes}})
    assert (reason_of_refusal(error), refusal_of(error).reason) == (reason, reason)
