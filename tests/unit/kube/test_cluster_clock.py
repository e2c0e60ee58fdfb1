# SPDX-License-Identifier: Apache-2.0
"""The API server's time, from dates that are cut off to seconds."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from cloud_recording.kube.cluster_clock import ClusterClock

BEGIN = datetime(2030, 1, 1, 12, 0, 0, 700_000, tzinfo=UTC)


class Machine:
    """Its clocks, and the API server's, which are the only ones that go right."""

    def __init__(self, *, off: timedelta) -> None:
        self.passed = timedelta()
        self.off = off
        self.server_set_by = timedelta()
        self.clock = ClusterClock(monotonic=lambda: self.seconds, own=lambda: self.truth + off)

    @property
    def seconds(self) -> float:
        return self.passed.total_seconds()

    @property
    def truth(self) -> datetime:
        return BEGIN + self.passed + self.server_set_by

    def ask(self, *, seconds: float = 0.02) -> None:
        """A request that takes so long, answered at half of that time."""
        asked_at = self.seconds
        self.passed += timedelta(seconds=seconds / 2)
        date = format_datetime(self.truth, usegmt=True)
        self.passed += timedelta(seconds=seconds / 2)
        self.clock.answered(date, asked_at=asked_at)

    @property
    def late(self) -> float:
        """By how many seconds the clock is behind the API server."""
        return (self.truth - self.clock.now()).total_seconds()


@pytest.mark.parametrize("off", [-600, 0, 600])
def test_it_is_the_api_servers_time_whatever_the_machine_believes(off: int) -> None:
    machine = Machine(off=timedelta(seconds=off))
    assert machine.late == -off
    machine.ask()
    assert 0 <= machine.late <= 1.1
    for _ in range(200):
        machine.passed += timedelta(seconds=0.037)
        machine.ask()
    assert 0 <= machine.late < 0.1
    machine.passed += timedelta(hours=1)
    assert 0 <= machine.late < 0.1


@pytest.mark.parametrize("by", [-3600, 3600])
def test_it_follows_an_api_server_whose_clock_is_set(by: int) -> None:
    machine = Machine(off=timedelta())
    for _ in range(3):
        machine.ask()
    machine.server_set_by = timedelta(seconds=by)
    machine.ask()
    assert 0 <= machine.late <= 1.1


def test_a_slow_answer_makes_nothing_worse() -> None:
    machine = Machine(off=timedelta())
    for _ in range(100):
        machine.passed += timedelta(seconds=0.037)
        machine.ask()
    machine.ask(seconds=25)
    assert 0 <= machine.late < 0.1


@pytest.mark.parametrize("date", ["", "yesterday"])
def test_an_answer_without_a_date_tells_nothing(date: str) -> None:
    machine = Machine(off=timedelta(seconds=5))
    machine.clock.answered(date, asked_at=0.0)
    assert machine.late == -5
