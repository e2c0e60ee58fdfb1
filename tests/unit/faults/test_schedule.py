# SPDX-License-Identifier: Apache-2.0
"""A run's schedule follows from its seed and number alone, and a few hundred runs meet everything there is."""

from tests.faults.schedule import KILLS, Kind, schedule


def test_a_seed_and_a_run_are_always_the_same_schedule() -> None:
    assert schedule(7, 3) == schedule(7, 3)
    assert schedule(7, 3) != schedule(7, 4)
    assert schedule(7, 3) != schedule(8, 3)


def test_hundreds_of_runs_meet_every_kind_of_fault_and_recorder() -> None:
    runs = [schedule(1, run) for run in range(300)]
    assert {fault.kind for run in runs for fault in run.faults} == set(Kind)
    for way in ("supervised", "tls", "backup", "mp4"):
        assert {getattr(run, way) for run in runs} == {True, False}
    assert 150 < sum(run.has(*KILLS) for run in runs) < 220


def test_a_run_ends_and_is_quiet_at_last() -> None:
    for run in range(300):
        planned = schedule(2, run)
        assert 7 <= planned.seconds <= planned.quiet < 25
        assert not planned.has(Kind.KILL_SUPERVISOR) or planned.supervised
        assert not planned.has(Kind.TLS_BROKEN) or planned.tls
