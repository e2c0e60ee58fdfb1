# SPDX-License-Identifier: Apache-2.0
"""Objects as they were last seen, so that not everything that the API server has told already is read once more.

What is remembered may be out of date. It is enough to see that there is nothing to do, and to write under its version,
which fails where it is; for everything else the object is read.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")

REMEMBERED_SECONDS: Final = 450.0
"""How long usually an object is remembered of which nothing is heard; shorter than a resync, which is to read it."""

REMEMBERED_WRITES: Final = 8
"""How many versions of our own a late watch may still tell of."""


@dataclass(frozen=True, slots=True)
class _Entry(Generic[Value]):
    at: float
    version: int
    value: Value
    ours: tuple[int, ...]


class RecentlySeen(Generic[Key, Value]):
    """The newest version that was seen of each object, by reading, by writing or by the watch."""

    def __init__(self, *, clock: Callable[[], float], seconds: float = REMEMBERED_SECONDS) -> None:
        """`seconds` is how long an object is remembered of which nothing is heard."""
        self._clock = clock
        self._seconds = seconds
        self._entries: OrderedDict[Key, _Entry[Value]] = OrderedDict()

    def seen(self, key: Key, version: str, value: Value) -> None:
        """Takes in what was read, or what the watch told, which may be late.

        An older version that is none of ours says that what is known cannot be relied upon: versions go back when a
        backup of the API server's store is restored.
        """
        known, number = self._entries.get(key), _number(version)
        if number is None:
            self.forget(key)
        elif known is None or number >= known.version:
            self._remember(key, number, value, known.ours if known else ())
        elif number not in known.ours:
            self.forget(key)

    def wrote(self, key: Key, version: str, value: Value) -> None:
        """Takes in the answer to a write of ours."""
        known, number = self._entries.get(key), _number(version)
        if number is None:
            self.forget(key)
            return
        ours = (*(known.ours if known else ()), number)[-REMEMBERED_WRITES:]
        if known is not None and known.version > number:
            self._remember(key, known.version, known.value, ours)
        else:
            self._remember(key, number, value, ours)

    def of(self, key: Key) -> Value | None:
        """What is known of the object; None where it has to be read."""
        self._drop_old()
        known = self._entries.get(key)
        return known.value if known is not None else None

    def forget(self, key: Key) -> None:
        """The object is gone, or what is known of it is not to be relied upon."""
        self._entries.pop(key, None)

    def forget_all(self) -> None:
        """Nothing that is known is to be relied upon."""
        self._entries.clear()

    def _remember(self, key: Key, version: int, value: Value, ours: tuple[int, ...]) -> None:
        self._drop_old()
        self._entries[key] = _Entry(self._clock(), version, value, ours)
        self._entries.move_to_end(key)

    def _drop_old(self) -> None:
        oldest = self._clock() - self._seconds
        while self._entries:
            key, entry = next(iter(self._entries.items()))
            if entry.at > oldest:
                return
            del self._entries[key]


def _number(version: str) -> int | None:
    """Versions are numbers that grow; of any other kind it could not be told which is newer."""
    return int(version) if version.isdecimal() else None
