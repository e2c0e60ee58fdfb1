# SPDX-License-Identifier: Apache-2.0
"""When a snapshot is worth a callback. Standard library only: the recorder process imports this module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

LEAST_INTERVAL_SECONDS: Final = 1.0
LONGEST_SILENCE_SECONDS: Final = 30.0

ALWAYS_MOVING: Final = frozenset(
    {"positionMilliseconds", "recordedMilliseconds", "tickLatenessMicroseconds", "volumeFreeBytes"}
)
"""Figures that differ in every snapshot of a live recording: did they count, each recording would call every second."""


class SnapshotPacing:
    """Lets a snapshot through when something in it changed, at most once a second, and at least every 30 seconds."""

    def __init__(self) -> None:
        self._last_sent: dict[str, Any] | None = None
        self._sent_at = float("-inf")

    def is_due(self, snapshot: Mapping[str, Any], *, now: float) -> bool:
        """Whether this snapshot should be told now."""
        if now - self._sent_at < LEAST_INTERVAL_SECONDS:
            return False
        return now - self._sent_at >= LONGEST_SILENCE_SECONDS or _without_moving(snapshot) != self._last_sent

    def sent(self, snapshot: Mapping[str, Any], *, now: float) -> None:
        """Notes that a snapshot went out, alone or with a callback."""
        self._last_sent = _without_moving(snapshot)
        self._sent_at = now


def _without_moving(snapshot: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in snapshot.items() if name not in ALWAYS_MOVING}
