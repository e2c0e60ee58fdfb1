# SPDX-License-Identifier: Apache-2.0
"""What the tests of the cluster itself share."""

import pytest

from tests.cluster.image.builder import Builder
from tests.cluster.image.recipes import OUTPUT, outside_world
from tests.cluster.target import Target


@pytest.fixture(scope="session")
def testbed_image(cluster: Target) -> str:
    """The name of an image with a shell and Python in it."""
    recipe = outside_world()
    if cluster.own is not None:
        archive = OUTPUT / f"{recipe.name}.tar"
        Builder().build(recipe, output=archive)
        cluster.own.load_image(archive)
    return recipe.tag
