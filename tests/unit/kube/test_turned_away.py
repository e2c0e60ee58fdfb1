# SPDX-License-Identifier: Apache-2.0
"""That a recorder was turned away by one replica is known to the one that decides about it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from cloud_recording.kube.turned_away import TELL_SECONDS, TURNED_AWAY_ANNOTATION, TurnedAway
from tests.unit.kube.test_shared_lease import Place, place, until

__all__ = ["place"]

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


def lease(text: str) -> dict[str, Any]:
    return {"metadata": {"annotations": {TURNED_AWAY_ANNOTATION: text}}}


async def test_whoever_shares_a_lease_hears_of_it(place: Place) -> None:
    """Promise: by whichever replica it was, none says of a recorder that it is silent for having been turned away."""
    first, second = place.replica("a"), place.replica("b")
    await first.lease.acquire()
    await second.lease.acquire()
    second.turned_away.note(NOW)
    await until(lambda: first.turned_away.last == NOW)
    later = NOW + timedelta(seconds=60)
    first.turned_away.note(later)
    await until(lambda: second.turned_away.last == later)
    assert set(place.server.claims()) == {"a", "b"}


async def test_one_that_stands_by_tells_the_one_that_acts(place: Place) -> None:
    """It answers callbacks as well, and writes nothing else into the Lease."""
    known, its_own = TurnedAway(), TurnedAway()
    acts, stands_by = place.single("a", turned_away=known), place.single("b", turned_away=its_own)
    await acts.acquire()
    standing_by = asyncio.create_task(stands_by.acquire())
    its_own.note(NOW)
    await until(lambda: known.last == NOW)
    assert (place.server.holder, acts.held, stands_by.held) == ("a", True, False)
    standing_by.cancel()
    await asyncio.gather(standing_by, return_exceptions=True)


def test_a_replica_that_turns_thousands_away_writes_now_and_then_and_then_the_last() -> None:
    elapsed = [0.0]
    known = TurnedAway(elapsed=lambda: elapsed[0])
    assert known.to_tell() is None
    known.note(NOW)
    change = known.to_tell()
    assert change == {"metadata": {"annotations": {TURNED_AWAY_ANNOTATION: "2026-05-04T12:00:00.000000Z"}}}
    known.hear(change)
    assert known.to_tell() is None
    known.note(NOW + timedelta(seconds=1))
    assert known.to_tell() is None
    elapsed[0] = TELL_SECONDS
    assert known.to_tell() == lease("2026-05-04T12:00:01.000000Z")


def test_what_others_write_counts_where_it_is_later_and_a_moment() -> None:
    known = TurnedAway()
    known.note(NOW)
    for text in ("2026-05-04T11:00:00Z", "yesterday", "2026-05-04T13:00:00", ""):
        known.hear(lease(text))
        assert known.last == NOW
    known.hear({"metadata": {}})
    known.hear(lease("2026-05-04T13:00:00Z"))
    assert known.last == NOW + timedelta(hours=1)
