# SPDX-License-Identifier: Apache-2.0
"""How long what is free on a work volume lasts, as the operator and a recorder's metrics say alike."""

from __future__ import annotations


def lasting_seconds(*, free_bytes: int | None, written_bytes: int, recorded_milliseconds: int) -> int | None:
    """How many seconds of media have room, at the bit rate so far; None while either is not known."""
    if free_bytes is None or written_bytes <= 0 or recorded_milliseconds <= 0:
        return None
    return free_bytes * recorded_milliseconds // (written_bytes * 1000)
