# SPDX-License-Identifier: Apache-2.0
"""Bounds how many lines of one kind a log has in a minute, so that what fails all the time does not flood it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

MOST: Final = 60
"""Far more of one kind than a healthy process has; as many as the engine's own log lets through."""
MINUTE: Final = 60.0

LINE_KIND: Final = "line_kind"
"""A record's `extra` of this name tells kinds apart that one line of code writes; it is not written itself."""

Kind = tuple[str, str, int, object]


@dataclass(slots=True)
class _Count:
    since: float
    lines: int = 0
    left_out: int = 0


class LineLimit(logging.Filter):
    """Lets so many records of one line of code through in a minute; the next says how many were `leftOut`.

    `most` gives other numbers to loggers by their name. A record whose message is a mapping is a line of another
    process, which bounded its own.
    """

    def __init__(self, most: Mapping[str, int] | None = None) -> None:
        super().__init__()
        self._most = dict(most or {})
        self._counts: dict[Kind, _Count] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written; time is the record's own."""
        if isinstance(record.msg, dict):
            return True
        kind = (record.name, record.pathname, record.lineno, vars(record).pop(LINE_KIND, None))
        count = self._counts.setdefault(kind, _Count(since=record.created))
        if record.created - count.since >= MINUTE:
            count.since, count.lines = record.created, 0
        if count.lines >= self._most.get(record.name, MOST):
            count.left_out += 1
            return False
        count.lines += 1
        if count.left_out:
            record.leftOut = count.left_out
            count.left_out = 0
        return True
