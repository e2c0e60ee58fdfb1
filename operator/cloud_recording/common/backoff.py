# SPDX-License-Identifier: Apache-2.0
"""How long to wait before something that failed is tried again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """How long to wait after the n-th failure in a row: doubled each time, and spread."""

    first_seconds: float = 0.5
    most_seconds: float = 60.0

    def after(self, failures: int, *, spread: float) -> float:
        """The wait after this many failures; `spread` from 0 to 1 takes off up to half of it."""
        full = min(self.most_seconds, self.first_seconds * 2.0 ** min(failures - 1, 32))
        return full * (1.0 - spread / 2.0)
