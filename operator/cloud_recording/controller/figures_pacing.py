# SPDX-License-Identifier: Apache-2.0
"""How long recorders are asked to keep figures to themselves: all of them longer while there is too much to serve."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

WINDOW_SECONDS: Final = 1.0
FIRST_SECONDS: Final = 2.0
MOST_SECONDS: Final = 40.0
"""A recorder of which nothing is heard for 90 s counts as not heard."""

BUSY_SHARE: Final = 0.5
QUIET_SHARE: Final = 0.125
RELIEF: Final = 0.95
"""What is left of the pause after each second with little to do, which there also is while recorders hold figures."""


class FiguresPacing:
    """Doubles the pause while the server is busy, and shortens it slowly when it is not."""

    def __init__(self, *, most_under_way: int, clock: Callable[[], float]) -> None:
        self._most_under_way = most_under_way
        self._clock = clock
        self._window_ends = clock() + WINDOW_SECONDS
        self._peak = 0
        self.seconds = 0.0

    def note(self, under_way: int) -> None:
        """So many requests are under way; at the most that may be, others are turned away."""
        self._peak = max(self._peak, under_way)
        if self._clock() < self._window_ends:
            return
        share, self._peak = self._peak / self._most_under_way, 0
        self._window_ends = self._clock() + WINDOW_SECONDS
        if share >= BUSY_SHARE:
            self.seconds = min(MOST_SECONDS, max(FIRST_SECONDS, self.seconds * 2))
        elif share <= QUIET_SHARE:
            self.seconds = self.seconds * RELIEF if self.seconds * RELIEF >= 1 else 0.0

    def pause(self, *, spread: float) -> float:
        """What one recorder is asked; `spread` from 0 to 1 takes off up to half.

        The pause grows shorter while recorders wait: all that were asked for the whole of it would come back together.
        """
        return self.seconds * (1.0 - spread / 2.0)
