# SPDX-License-Identifier: Apache-2.0
"""Figures that wait because an operator with much to do asked for it; what changes anything else is never held."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from cloud_recording.common.callback_names import CallbackName, Retention
from cloud_recording.runner.outbox import StoredCallback

LONGEST_SECONDS: Final = 40.0
"""No operator may ask for more: of a recorder that is silent for 90 s it says that it does not hear it."""

_REPLACED_BY_THE_NEXT: Final = frozenset(
    name for name in CallbackName if name.facts.retention is Retention.UNTIL_THE_NEXT
)
FIGURES: Final = frozenset(
    {
        "slices",
        "bytes",
        "progressPercent",
        "lastDurableSliceTime",
        "recordedMilliseconds",
        "pendingMilliseconds",
        "volumeFreeBytes",
        "positionMilliseconds",
        "tickLatenessMicroseconds",
    }
)
"""What grows while nothing happens; anything else in a snapshot is news."""


class HeldFigures:
    """Knows what the operator was told last, and until when it asked not to be told more of the same."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._told: dict[str, Any] = {}
        self._until = 0.0

    def taken(self, callbacks: Sequence[StoredCallback], *, figures_seconds: float) -> None:
        """The operator has these, and takes figures after that time."""
        self._told |= {one.type: _but_figures(one) for one in callbacks}
        self._until = self._clock() + min(figures_seconds, LONGEST_SECONDS)

    def wait_seconds(self, callbacks: Sequence[StoredCallback]) -> float:
        """For how long these may wait."""
        left = self._until - self._clock()
        return left if left > 0 and all(map(self._is_more_of_the_same, callbacks)) else 0.0

    def _is_more_of_the_same(self, callback: StoredCallback) -> bool:
        return callback.type in _REPLACED_BY_THE_NEXT and self._told.get(callback.type) == _but_figures(callback)


def _but_figures(callback: StoredCallback) -> dict[str, Any]:
    document = callback.as_sent()
    snapshot: Mapping[str, Any] = document.get("snapshot") or {}
    left = {name: value for name, value in snapshot.items() if name not in FIGURES}
    # Until the bucket has a first slice, the recording may be given another bucket.
    left["stored"] = bool((snapshot.get("slices") or {}).get("uploaded"))
    own = {name: value for name, value in document.items() if name not in {"sequence", "time", *FIGURES}}
    return {**own, "snapshot": left}
