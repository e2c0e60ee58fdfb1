# SPDX-License-Identifier: Apache-2.0
"""The wall clock of programs under test, set by libfaketime; their monotonic clock goes on as it does."""

from __future__ import annotations

from pathlib import Path


class SetClock:
    """So many seconds off as it was set last, for each program that was started with `environment`."""

    def __init__(self, directory: Path) -> None:
        library = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
        self._offset = directory / "clock-offset"
        self.set(0)
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._offset),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, seconds: int) -> None:
        """Takes effect at once, also in programs that run."""
        partial = self._offset.with_suffix(".partial")
        partial.write_text(f"{seconds:+d}\n")
        partial.replace(self._offset)
