# SPDX-License-Identifier: Apache-2.0
"""What is remembered of objects, and when it is not to be relied upon."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from cloud_recording.controller.recently_seen import REMEMBERED_SECONDS, RecentlySeen


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def recent(clock: Clock) -> RecentlySeen[str, str]:
    return RecentlySeen(clock=clock)


def test_the_newest_counts_whoever_told_of_it(recent: RecentlySeen[str, str]) -> None:
    recent.seen("a", "9", "read")
    recent.wrote("a", "10", "written")
    assert recent.of("a") == "written"
    recent.seen("a", "11", "edited")
    assert recent.of("a") == "edited"


def test_a_late_echo_of_our_own_writes_changes_nothing(recent: RecentlySeen[str, str]) -> None:
    recent.wrote("a", "2", "first")
    recent.wrote("a", "3", "second")
    recent.seen("a", "2", "first")
    assert recent.of("a") == "second"


def test_an_answer_that_the_watch_overtook_does_not_hide_what_it_told(recent: RecentlySeen[str, str]) -> None:
    recent.seen("a", "4", "edited")
    recent.wrote("a", "3", "written")
    assert recent.of("a") == "edited"


def test_versions_that_go_back_are_a_reason_to_read(recent: RecentlySeen[str, str]) -> None:
    """The API server's store was restored from a backup."""
    recent.wrote("a", "100", "lost with the store")
    recent.seen("a", "50", "as it is")
    assert recent.of("a") is None


@pytest.mark.parametrize("version", ["", "abc", "1.5"])
def test_versions_that_cannot_be_compared_are_a_reason_to_read(recent: RecentlySeen[str, str], version: str) -> None:
    recent.seen("a", "1", "known")
    recent.seen("a", version, "newer or older")
    assert recent.of("a") is None
    recent.seen("a", "1", "known")
    recent.wrote("a", version, "newer or older")
    assert recent.of("a") is None


def test_what_nothing_is_heard_of_is_read_anew(recent: RecentlySeen[str, str], clock: Clock) -> None:
    recent.seen("quiet", "1", "known")
    recent.seen("busy", "1", "known")
    clock.now = REMEMBERED_SECONDS - 1
    recent.seen("busy", "1", "known")
    clock.now = REMEMBERED_SECONDS
    assert (recent.of("quiet"), recent.of("busy")) == (None, "known")
