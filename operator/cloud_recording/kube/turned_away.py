# SPDX-License-Identifier: Apache-2.0
"""When recorders were turned away last, by whichever replica: the Lease says it to all of them.

A recorder that is turned away by one replica is silent for that replica's sake, and another one may be who decides
about it. Whose recorder it was nobody asks, as that would take what serves others.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from cloud_recording.api.base import GROUP
from cloud_recording.common.json_types import Json

TURNED_AWAY_ANNOTATION: Final = f"{GROUP}/turned-away"
"""Of the Lease: the moment, by the API server's clock."""

TELL_SECONDS: Final = 5.0
"""How often it is written at most; a recorder may be silent for much longer before anything is said of it."""


class TurnedAway:
    """What this replica did itself, and what it read of the others; used from the threads of the loop and the Lease."""

    def __init__(self, *, elapsed: Callable[[], float] = time.monotonic) -> None:
        self._elapsed = elapsed
        self._ours: datetime | None = None
        self._told: datetime | None = None
        self._told_at = float("-inf")

    @property
    def last(self) -> datetime | None:
        """When anybody was turned away last; None where nobody is known to have been."""
        return max(filter(None, (self._ours, self._told)), default=None)

    def note(self, now: datetime) -> None:
        """This replica turns somebody away."""
        self._ours = now

    def hear(self, lease: Json) -> None:
        """Takes in what the Lease says."""
        text = (lease["metadata"].get("annotations") or {}).get(TURNED_AWAY_ANNOTATION)
        try:
            told = datetime.fromisoformat(text) if text else None
        except ValueError:
            return
        if told is not None and told.tzinfo is not None and (self._told is None or told > self._told):
            self._told, self._told_at = told, self._elapsed()

    def to_tell(self) -> Json | None:
        """What is to be changed in the Lease; None where it says enough."""
        ours, told = self._ours, self._told
        if ours is None or (told is not None and ours <= told) or self._elapsed() - self._told_at < TELL_SECONDS:
            return None
        moment = ours.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        return {"metadata": {"annotations": {TURNED_AWAY_ANNOTATION: moment}}}
