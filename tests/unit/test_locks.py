# SPDX-License-Identifier: Apache-2.0
"""What is installed in several places is the same in all of them."""

import re
from pathlib import Path

import pytest

REQUIREMENTS = Path(__file__).parents[2] / "requirements"
LOCKED = re.compile(r"^(\S+==\S+.*?) \\\n((?:    --hash=\S+(?: \\)?\n?)+)", re.MULTILINE)


def locked(name: str) -> set[tuple[str, str]]:
    """The requirements of a lock file, each with its hashes."""
    return set(LOCKED.findall((REQUIREMENTS / f"{name}.lock").read_text()))


@pytest.mark.parametrize("name", ["livekit", "runtime", "testbed"])
def test_the_images_have_what_is_tested(name: str) -> None:
    """Promise: version and hash of what an image installs are those of the environment that tests run in."""
    assert locked(name)
    assert locked(name) <= locked("dev")
