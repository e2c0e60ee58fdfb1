# SPDX-License-Identifier: Apache-2.0
"""Waiting for what nobody announces."""

import time
from collections.abc import Callable


def await_true(condition: Callable[[], bool], *, seconds: float = 120) -> None:
    """Returns once the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
