# SPDX-License-Identifier: Apache-2.0
"""The chart's values as values.yaml documents them: each value's path, default and the comment above it."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

import yaml

_KEY = re.compile(r"^(?P<indent> *)(?P<key>[A-Za-z]+):")


class Value(NamedTuple):
    """A value that a user sets; what lies below a documented value belongs to it."""

    path: str
    default: Any
    comment: str

    @property
    def row(self) -> str:
        """The value's line in the table of the chart's README."""
        return f"| `{self.path}` | `{json.dumps(self.default, ensure_ascii=False)}` | {self.comment} |"


def documented_values(text: str) -> list[Value]:
    """Every value with a comment of its own, in the order of the file."""
    defaults = yaml.safe_load(text)
    values: list[Value] = []
    comment: list[str] = []
    parents: list[str] = []
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("# "):
            comment.append(stripped.removeprefix("# "))
            continue
        if key := _KEY.match(line):
            parents[len(key["indent"]) // 2 :] = [key["key"]]
            if comment:
                path = ".".join(parents)
                values.append(Value(path, _lookup(defaults, parents), " ".join(comment)))
        comment = []
    return values


def leaves(values: dict[str, Any], path: str = "") -> list[str]:
    """The paths of all values that are no groups."""
    found: list[str] = []
    for key, value in values.items():
        inner = f"{path}.{key}" if path else key
        found += leaves(value, inner) if isinstance(value, dict) and value else [inner]
    return found


def _lookup(defaults: Any, path: list[str]) -> Any:
    for key in path:
        defaults = defaults[key]
    return defaults
