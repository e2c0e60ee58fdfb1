# SPDX-License-Identifier: Apache-2.0
"""The declarations that cffi binds are those of the C header, every one and no other."""

from __future__ import annotations

import re
from pathlib import Path

SHIM = Path(__file__).resolve().parents[3] / "native" / "abi" / "shim"


def declarations(file: Path) -> list[str]:
    """The file's declarations without comments, directives and the C++ bracket, each on one line."""
    text = re.sub(r"/\*.*?\*/", " ", file.read_text(encoding="utf-8"), flags=re.DOTALL)
    text = re.sub(r"#ifdef __cplusplus.*?#endif", " ", text, flags=re.DOTALL)
    text = re.sub(r"^\s*#.*$", " ", text, flags=re.MULTILINE)
    blocks = re.findall(r"[^;{}]*(?:\{[^}]*\}[^;]*)?;", text)
    return [re.sub(r"\s+", " ", re.sub(r",\s*}", " }", block)).strip() for block in blocks]


def test_the_bound_declarations_are_the_headers() -> None:
    assert declarations(SHIM / "shim.cdef") == declarations(SHIM / "shim.h")


def test_the_comparison_sees_what_it_compares() -> None:
    found = declarations(SHIM / "shim.h")
    assert any(declaration.startswith("typedef struct shim_event {") for declaration in found)
    assert sum("(" in declaration for declaration in found) > 15
