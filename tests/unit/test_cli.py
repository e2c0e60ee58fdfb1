# SPDX-License-Identifier: Apache-2.0
"""The image blocks the signals that end a process until somebody takes them."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_recording.cli import SUB_COMMANDS, main
from cloud_recording.common.ending_signals import ENDING_SIGNALS

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def _blocked() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, before)


@pytest.mark.usefixtures("_blocked")
@pytest.mark.parametrize("command", SUB_COMMANDS)
def test_only_the_runner_has_the_signals_wait_that_the_image_blocks(command: str) -> None:
    """Promise: a pod that is told to end as it begins hears it, and every other command can be ended as ever."""
    with pytest.raises(SystemExit):
        main([command, "--no-such-option"])
    waiting = signal.pthread_sigmask(signal.SIG_BLOCK, ()) & ENDING_SIGNALS
    assert waiting == (ENDING_SIGNALS if command == "runner" else set())


def test_the_image_blocks_these_signals() -> None:
    (entry,) = re.findall(r"^ENTRYPOINT (.*)$", (REPOSITORY / "Dockerfile").read_text(), re.MULTILINE)
    blocked = re.findall(r"--block-signal=(\w+)", entry)
    assert {signal.Signals[f"SIG{name}"] for name in blocked} == ENDING_SIGNALS
