# SPDX-License-Identifier: Apache-2.0
"""When a recorder's pod may end without a probe that finds nobody."""

import pytest

from cloud_recording.common.probe_periods import LIVENESS_PERIOD_SECONDS, READINESS_PERIOD_SECONDS
from cloud_recording.runner.supervisor.quiet_end import NOTICED_SECONDS, seconds_until_quiet

NOW = 1000.0


@pytest.mark.parametrize("readiness", [0.0, 0.3, 1.0, 1.9])
@pytest.mark.parametrize("liveness", [0.0, 4.0, 8.4, 9.9])
def test_no_probe_comes_before_the_kubelet_knows_of_the_end(readiness: float, liveness: float) -> None:
    """Promise: a healthy recording has no Warning, also not at its end; and it ends within two more probes."""
    asked = [(READINESS_PERIOD_SECONDS, NOW - readiness), (LIVENESS_PERIOD_SECONDS, NOW - liveness)]
    wait = seconds_until_quiet(asked, NOW)
    assert 0 <= wait <= 2 * READINESS_PERIOD_SECONDS + 1
    for period, last in asked:
        assert period - (NOW + wait - last) % period > NOTICED_SECONDS


@pytest.mark.parametrize("asked", [[], [(READINESS_PERIOD_SECONDS, NOW - 5)], [(LIVENESS_PERIOD_SECONDS, NOW - 21)]])
def test_whom_nobody_asks_waits_for_nobody(asked: list[tuple[float, float]]) -> None:
    assert seconds_until_quiet(asked, NOW) == 0
