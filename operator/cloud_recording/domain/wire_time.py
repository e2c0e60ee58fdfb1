# SPDX-License-Identifier: Apache-2.0
"""Moments of the wire, which are milliseconds, in the precision of a status."""

from __future__ import annotations

from datetime import UTC, datetime


def time_of(milliseconds: int) -> datetime:
    """The moment, to the second."""
    return datetime.fromtimestamp(milliseconds // 1000, UTC)


def optional_time(milliseconds: int | None) -> datetime | None:
    """The same, of a moment that need not be known."""
    return None if milliseconds is None else time_of(milliseconds)
