# SPDX-License-Identifier: Apache-2.0
"""Live participants on this machine: a coloured picture with a block that moves, and a tone of their own."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.support.processes import running

PROGRAM = Path(__file__).parents[1] / "testbed" / "participant"


@contextlib.contextmanager
def participant(
    url: str, *, log: Path, colour: str = "red", tone: int = 440, leave_after: int | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A participant who sends to `url` for the time of the block, or for `leave_after` seconds."""
    leaving = [] if leave_after is None else [str(leave_after)]
    with running([str(PROGRAM), url, colour, str(tone), *leaving], log=log) as process:
        yield process
