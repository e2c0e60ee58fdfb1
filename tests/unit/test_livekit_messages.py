# SPDX-License-Identifier: Apache-2.0
"""What we speak with LiveKit's client library is what the pinned one understands."""

import importlib.util
import runpy
from pathlib import Path

SPOKEN = Path(__file__).parents[2] / "native" / "core" / "livekit"


def test_the_messages_are_those_of_the_locked_package() -> None:
    """Promise: another version of the library in the lock file is noticed; `extract.py` then writes its messages."""
    package = importlib.util.find_spec("livekit")
    assert package is not None
    assert package.submodule_search_locations is not None
    descriptions = Path(next(iter(package.submodule_search_locations))) / "rtc" / "_proto"
    extract = runpy.run_path(str(SPOKEN / "extract.py"))["extract"]
    assert extract(descriptions) == (SPOKEN / "livekit_ffi.fds").read_bytes()
