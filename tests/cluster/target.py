# SPDX-License-Identifier: Apache-2.0
"""Which cluster the tests and the demo use: one of their own, or, with CLUSTER=current, the one kubectl talks to."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.client import Helm, Kubectl
from tests.cluster.cluster import Cluster
from tests.cluster.component import ClusterError

VARIABLE = "CLUSTER"


def uses_current_cluster() -> bool:
    chosen = os.environ.get(VARIABLE, "own")
    if chosen not in ("own", "current"):
        raise ClusterError(f"{VARIABLE}={chosen}: it is own (the default) or current")
    return chosen == "current"


@dataclass(frozen=True)
class Target:
    """A cluster under test and the tools that act on it."""

    kubectl: Kubectl
    helm: Helm
    kubeconfig: Path | None
    """None: the one that kubectl finds by itself."""
    own: Cluster | None
    """The cluster itself, for images and faults; None where it is the user's."""

    @classmethod
    def of(cls, own: Cluster | None) -> Target:
        """The cluster of the tests' own, or without one the user's."""
        kubeconfig = own.kubeconfig if own else None
        return cls(Kubectl(kubeconfig), Helm(kubeconfig), kubeconfig, own)
