# SPDX-License-Identifier: Apache-2.0
"""Numbers and names in sentences."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """'1 slice', '2 slices'."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def slices_are(number: int) -> str:
    """'1 slice is', '2 slices are'."""
    return f"{counted(number, 'slice')} {'is' if number == 1 else 'are'}"


_UNITS = ((86_400, "day"), (3600, "hour"), (60, "minute"))


def roughly(seconds: int) -> str:
    """'2 hours', 'less than a minute': in the largest unit of which there are two, and never more than it is."""
    for unit, noun in _UNITS:
        if seconds >= 2 * unit or (noun == "minute" and seconds >= unit):
            return counted(seconds // unit, noun)
    return "less than a minute"


def participant(uid: int, name: str | None) -> str:
    """The participant as people know it."""
    return f"participant {uid} '{name}'" if name else f"participant {uid}"
