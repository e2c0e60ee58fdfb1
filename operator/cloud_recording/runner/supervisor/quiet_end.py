# SPDX-License-Identifier: Apache-2.0
"""When the supervisor may end so that no probe finds nobody. Pure.

The kubelet asks at fixed intervals, and for up to a second it asks on, as it has not seen yet that the container has
ended: that would be a Warning on the pod of every other healthy recording.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

NOTICED_SECONDS: Final = 1.5
"""How long the kubelet takes to see that a container has ended, the end of the process included."""

_ANSWERED_SECONDS: Final = 0.1
"""How long after it was asked the answer to a probe is there."""

_MOST_PROBES: Final = 8


def seconds_until_quiet(asked: Iterable[tuple[float, float]], now: float) -> float:
    """How long to wait with the end; `asked` has the period of each probe and when it came last, in seconds.

    A probe that has not come for two periods comes no more.
    """
    probes = [(period, last) for period, last in asked if now - last < 2 * period]
    at = now
    for _ in range(_MOST_PROBES):
        due = min((period - (at - last) % period for period, last in probes), default=math.inf)
        if due > NOTICED_SECONDS:
            break
        at += due + _ANSWERED_SECONDS
    return at - now
