# SPDX-License-Identifier: Apache-2.0
"""The product, installed by its chart in a real cluster, and a scene to record for each module of tests."""

import secrets
from collections.abc import Iterator

import pytest

from tests.cluster.target import Target
from tests.testbed import cluster_target
from tests.testbed.scene import Scene


@pytest.fixture(scope="session")
def installed(cluster: Target, images: None) -> Target:  # noqa: ARG001 # the images must be there first
    """The cluster with the chart installed."""
    cluster_target.install(cluster)
    return cluster


@pytest.fixture(scope="module")
def scene(installed: Target) -> Iterator[Scene]:
    """A namespace with a bucket and an empty channel; nothing of it is left afterwards."""
    opened = Scene(target=installed, namespace=f"e2e-{secrets.token_hex(3)}")
    opened.open()
    try:
        yield opened
    finally:
        opened.close()
