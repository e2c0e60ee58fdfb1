# SPDX-License-Identifier: Apache-2.0
"""A control plane without nodes answers as an API server does, beside others of its kind, and leaves nothing."""

from pathlib import Path

import pytest

from tests.cluster.bare import BareControlPlane
from tests.cluster.client import CommandFailedError, Kubectl
from tests.cluster.processes import processes_of


def test_two_control_planes_know_nothing_of_each_other(control_plane: BareControlPlane, tmp_path: Path) -> None:
    another = BareControlPlane(tmp_path / "another")
    another.up()
    try:
        Kubectl(another.kubeconfig)("create", "namespace", "here")
        with pytest.raises(CommandFailedError, match='namespaces "here" not found'):
            Kubectl(control_plane.kubeconfig).get("namespace", "here")
    finally:
        another.down()
    assert not processes_of(another.layout.name)
    assert not another.layout.root.exists()
