# SPDX-License-Identifier: Apache-2.0
"""The figures by which a Lease is kept contradict neither each other nor those of client-go."""

from __future__ import annotations

import pytest

from cloud_recording.kube.lease import LeaseTiming


def test_a_request_may_take_half_of_the_renewal_deadline_as_client_go_has_it() -> None:
    assert LeaseTiming().request_seconds == 5.0
    assert LeaseTiming(duration_seconds=3, renew_deadline_seconds=1.5).request_seconds == 1.0


def test_a_holder_must_give_up_before_others_take_over() -> None:
    with pytest.raises(ValueError, match="renewSeconds"):
        LeaseTiming(duration_seconds=10, renew_deadline_seconds=10)
