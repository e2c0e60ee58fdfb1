# SPDX-License-Identifier: Apache-2.0
"""A short piece of `make faults`: the same faults each time, held to every promise by its oracle."""

from pathlib import Path

import pytest

from tests.faults.campaign import campaign

SEED = 40
RUNS = 8


@pytest.mark.usefixtures("built")
def test_short_recordings_under_faults_and_kills_keep_every_promise(tmp_path: Path) -> None:
    """Promise: what was sent is in the store or in a stated gap, each once, whatever fails or dies meanwhile."""
    broken = campaign(SEED, range(RUNS), directory=tmp_path / "faults", at_once=RUNS, say=print)
    assert broken == {}
