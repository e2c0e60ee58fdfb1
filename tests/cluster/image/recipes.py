# SPDX-License-Identifier: Apache-2.0
"""The images of this repository."""

from __future__ import annotations

from pathlib import Path

from tests.cluster.binaries import Binaries
from tests.cluster.image.recipe import Recipe
from tests.cluster.layout import REPOSITORY

OUTPUT = REPOSITORY / "build" / "images"


def product() -> Recipe:
    """The image that the chart installs."""
    return Recipe(tag="docker.io/library/cloud-recording:dev", dockerfile=REPOSITORY / "Dockerfile")


def outside_world() -> Recipe:
    """The image that plays the outside world."""
    return Recipe(
        tag="docker.io/library/cloud-recording-testbed:dev",
        dockerfile=REPOSITORY / "tests" / "testbed" / "Dockerfile",
        programs={name: Path(Binaries()[name]) for name in ("versitygw", "livekit-server")},
    )


def recipes() -> tuple[Recipe, ...]:
    return (product(), outside_world())
