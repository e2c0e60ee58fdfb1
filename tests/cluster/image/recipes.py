# SPDX-License-Identifier: Apache-2.0
"""The images of this repository."""

from __future__ import annotations

from pathlib import Path

from tests.cluster.binaries import Binaries
from tests.cluster.image.recipe import Recipe
from tests.cluster.layout import REPOSITORY

OUTPUT = REPOSITORY / "build" / "images"


def recipes() -> tuple[Recipe, ...]:
    """The product's image and the one that plays the outside world."""
    return (
        Recipe(tag="docker.io/library/cloud-recording:dev", dockerfile=REPOSITORY / "Dockerfile"),
        Recipe(
            tag="docker.io/library/cloud-recording-testbed:dev",
            dockerfile=REPOSITORY / "tests" / "testbed" / "Dockerfile",
            programs={"versitygw": Path(Binaries()["versitygw"])},
        ),
    )
