# SPDX-License-Identifier: Apache-2.0
"""What time it is for the cluster: by the dates of the API server's answers, carried on by a clock that nobody sets.

Moments that others wrote (a deletion, the silence of a node, the creation of a pod) are compared with this one, and
certificates begin by it: by a clock of the operator's own that is ten minutes ahead, nodes would be lost that have just
fallen silent, and no recorder would trust the operator.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final

logger = logging.getLogger(__name__)

TOLERATED_SECONDS: Final = 10.0
"""How far the machine's own clock may be off before a person is told."""

_RESOLUTION_SECONDS: Final = 1.0
"""Of a date in an HTTP header, which is cut off and not rounded."""


class ClusterClock:
    """The API server's time, between one answer and the next too; the machine's own until there was an answer."""

    def __init__(
        self,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        own: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._monotonic = monotonic
        self._own = own
        # By how many seconds the API server's time is ahead of the monotonic clock, at least and at most.
        self._bounds: tuple[float, float] | None = None
        self._is_off = False
        self._date = ""

    def answered(self, date: str, *, asked_at: float) -> None:
        """Takes in the `Date` of an answer to what was asked at that moment of the monotonic clock."""
        try:
            told = _seconds_of(date)
        except ValueError:
            return
        least, most = told - self._monotonic(), told + _RESOLUTION_SECONDS - asked_at
        known = self._bounds
        # Where they contradict what is known, that clock was set, or this one stood still.
        contradicted = known is None or least > known[1] or most < known[0]
        self._bounds = (least, most) if known is None or contradicted else (max(least, known[0]), min(most, known[1]))
        if date != self._date:
            self._date = date
            self._compare()

    def now(self) -> datetime:
        """Never before a date that was told, and at most a second late."""
        if self._bounds is None:
            return self._own()
        return datetime.fromtimestamp(self._monotonic() + self._bounds[0], UTC)

    def _compare(self) -> None:
        ahead = (self._own() - self.now()).total_seconds()
        is_off = abs(ahead) > TOLERATED_SECONDS
        if is_off and not self._is_off:
            logger.warning(
                "the clock of the operator's node and the API server's differ; the API server's counts",
                extra={"seconds_ahead": round(ahead)},
            )
        self._is_off = is_off


@lru_cache(maxsize=4)
def _seconds_of(date: str) -> float:
    """All answers of a second have the same; raises ValueError where it is none."""
    return parsedate_to_datetime(date).timestamp()
