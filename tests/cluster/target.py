# SPDX-License-Identifier: Apache-2.0
"""Which cluster the tests and the demo use: one of their own, or, with CLUSTER=current, the one kubectl talks to."""

from __future__ import annotations

import os

from tests.cluster.component import ClusterError

VARIABLE = "CLUSTER"


def uses_current_cluster() -> bool:
    chosen = os.environ.get(VARIABLE, "own")
    if chosen not in ("own", "current"):
        raise ClusterError(f"{VARIABLE}={chosen}: it is own (the default) or current")
    return chosen == "current"
