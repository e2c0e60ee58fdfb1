# SPDX-License-Identifier: Apache-2.0
"""pytest's way to the cluster; a conftest loads it with `pytest_plugins = ["tests.cluster.fixtures"]`.

A cluster that runs already is used and left running, so a second run of a test starts at once; one that these
fixtures started is gone when the session ends, unless CLOUD_RECORDING_KEEP_CLUSTER is set.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator

import pytest

from tests.cluster.bare import BareControlPlane
from tests.cluster.cluster import Cluster
from tests.cluster.image.builder import Builder
from tests.cluster.image.recipes import OUTPUT, recipes
from tests.cluster.target import Target, uses_current_cluster

KEEP = "CLOUD_RECORDING_KEEP_CLUSTER"
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


@pytest.fixture(scope="session")
def cluster() -> Iterator[Target]:
    """The cluster that the tests share; CLUSTER=current makes it the user's."""
    if uses_current_cluster():
        yield Target.of(None)
        return
    own = Cluster()
    was_running = own.is_running
    own.up()
    try:
        yield Target.of(own)
    finally:
        if not was_running and not os.environ.get(KEEP):
            own.down()


@pytest.fixture(scope="session")
def images(cluster: Target) -> None:
    """The images of the product and of the testbed are in the cluster, as the sources are now."""
    if cluster.own is None:
        return
    builder = Builder()
    for recipe in recipes():
        archive = OUTPUT / f"{recipe.name}.tar"
        builder.build(recipe, output=archive)
        cluster.own.load_image(archive)


@pytest.fixture
def namespace(cluster: Target) -> Iterator[str]:
    """A namespace of the test's own, which holds pods to the restricted standard."""
    name = f"test-{secrets.token_hex(4)}"
    cluster.kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": RESTRICTED}})
    try:
        yield name
    finally:
        cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BareControlPlane]:
    """An API server and etcd, without nodes: ready in seconds, for tests of what the API server accepts."""
    bare = BareControlPlane(tmp_path_factory.mktemp("control-plane"))
    bare.up()
    try:
        yield bare
    finally:
        bare.down()
