# SPDX-License-Identifier: Apache-2.0
"""Says on the terminal how far things are; results go to standard output, this does not."""

from __future__ import annotations

import sys


def report(message: str) -> None:
    print(f"    {message}", file=sys.stderr, flush=True)
