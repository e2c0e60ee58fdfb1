# SPDX-License-Identifier: Apache-2.0
"""The watch's echo of our own writes is no work, and what somebody else wrote is never taken for one."""

from collections.abc import Callable

from cloud_recording.controller.recording_key import RecordingKey
from cloud_recording.controller.status_writer import ReconciledVersions

KEY = RecordingKey("meetings", "stand-up")


def passes(known: ReconciledVersions, *versions: str) -> list[str]:
    """The versions that were seen and asked for a pass."""
    asked: list[str] = []

    def ask(version: str) -> Callable[[], None]:
        return lambda: asked.append(version)

    for version in versions:
        known.unless_reconciled(KEY, version, ask(version))
    return asked


def test_what_a_pass_left_asks_for_no_other() -> None:
    known = ReconciledVersions()
    known.mark(KEY, "5")
    assert passes(known, "4", "5", "6") == ["4", "6"]


def test_progress_carries_a_reconciled_version_on() -> None:
    known = ReconciledVersions()
    known.mark(KEY, "5")
    known.carry(KEY, read="5", written="6")
    known.carry(KEY, read="6", written="7")
    assert passes(known, "7") == []


def test_progress_on_top_of_an_edit_that_nobody_looked_at_is_no_reason_to_miss_it() -> None:
    known = ReconciledVersions()
    known.mark(KEY, "5")
    known.carry(KEY, read="6", written="7")
    assert passes(known, "7") == ["7"]


def test_an_echo_that_overtakes_the_answer_waits_for_it() -> None:
    known = ReconciledVersions()
    known.mark(KEY, "5")
    asked: list[str] = []
    with known.writing(KEY):
        known.unless_reconciled(KEY, "6", lambda: asked.append("6"))
        known.carry(KEY, read="5", written="6")
    with known.writing(KEY):
        known.unless_reconciled(KEY, "8", lambda: asked.append("8"))
        known.carry(KEY, read="6", written="7")
    assert asked == ["8"]


def test_what_is_forgotten_is_looked_at_again() -> None:
    known = ReconciledVersions()
    known.mark(KEY, "5")
    known.forget(KEY)
    assert passes(known, "5") == ["5"]


def test_late_news_of_what_a_pass_wrote_on_its_way_asks_for_no_other() -> None:
    known = ReconciledVersions()
    known.mark(KEY, "5", "6", "7")
    known.carry(KEY, read="7", written="8")
    assert passes(known, "5", "6", "7", "8", "9") == ["9"]


def test_a_write_on_top_of_a_version_before_the_last_carries_nothing_on() -> None:
    known = ReconciledVersions()
    known.mark(KEY, "5", "6", "7")
    known.carry(KEY, read="6", written="8")
    assert passes(known, "8") == ["8"]
