# SPDX-License-Identifier: Apache-2.0
"""The log of a runner's process: one JSON object per line, whose it is in each, no secret, and so many in a minute."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import Final, TextIO

from cloud_recording.common.json_logging import JsonLines, RedactingFilter, Redactor
from cloud_recording.common.log_limit import LineLimit

ENGINE_OUTPUT: Final = "engine"
"""The logger of what an engine prints."""
_MOST_OF: Final = {ENGINE_OUTPUT: 600}
"""An engine prints from many places, and most of all when it is about to die: that must be had."""


def set_up(
    *,
    process: str,
    redactor: Redactor,
    stream: TextIO = sys.stderr,
    fields: Mapping[str, object] | None = None,
) -> None:
    """Has all logging of this process written to the stream, each line with the process's name and the fields."""
    handler = logging.StreamHandler(stream)
    handler.addFilter(LineLimit(_MOST_OF))
    handler.addFilter(RedactingFilter(redactor))
    handler.setFormatter(JsonLines({"process": process, **(fields or {})}))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
