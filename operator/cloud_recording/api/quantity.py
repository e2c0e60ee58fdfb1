# SPDX-License-Identifier: Apache-2.0
"""Kubernetes quantities as whole numbers, for programs that cannot read `4Gi`."""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal
from typing import Final

_PARTS: Final = re.compile(r"^(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?P<suffix>[KMGTPE]i|[numkMGTPE]?)$")
_BINARY: Final = {f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", start=1)}
_DECIMAL: Final = {
    letter: Decimal(1000) ** power for power, letter in enumerate(("n", "u", "m", "", *"kMGTPE"), start=-3)
}


def whole(quantity: str) -> int:
    """The quantity as a number, rounded up as Kubernetes does; ValueError for what is no quantity."""
    parts = _PARTS.match(quantity)
    if parts is None:
        raise ValueError(f"'{quantity}' is no quantity, such as '4Gi'")
    factor = (_BINARY | _DECIMAL)[parts["suffix"]]
    return int((Decimal(parts["number"]) * factor).to_integral_value(rounding=ROUND_CEILING))
