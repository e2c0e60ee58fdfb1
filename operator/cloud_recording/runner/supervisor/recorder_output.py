# SPDX-License-Identifier: Apache-2.0
"""Takes what the recorder process prints into the supervisor's log, which says whose recording it is.

Three kinds of lines come that way: those of the process's own log, those of our engine's log (JSON with `recordingId`),
and whatever else an engine or a library of its prints.
"""

from __future__ import annotations

import json
import logging
from asyncio import StreamReader
from collections.abc import Mapping
from typing import Any, Final

from cloud_recording.common.json_logging import RENAMED_FIELDS
from cloud_recording.runner.process_log import ENGINE_OUTPUT

_root = logging.getLogger()
_engine_output = logging.getLogger(ENGINE_OUTPUT)

_LONGEST_LINE_BYTES: Final = 16_384
_LEVELS: Final[Mapping[object, str]] = {"debug": "debug", "info": "info", "warn": "warning", "error": "error"}
"""The engine's names of levels, and Python's."""


async def log_output(output: StreamReader) -> None:
    """Logs the process's output until it ends; what is too long for a line is cut into several."""
    rest = b""
    while chunk := await output.read(_LONGEST_LINE_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > _LONGEST_LINE_BYTES:
            lines.append(rest)
            rest = b""
        for line in lines:
            _log(line.decode("utf-8", errors="replace"))
    _log(rest.decode("utf-8", errors="replace"))


def _log(line: str) -> None:
    if line.strip() and not relay(line):
        _engine_output.info("output", extra={"line": line})


def relay(text: str) -> bool:
    """Logs a line that is one of a log already, with what it says of itself; False where it is none."""
    line = _parsed(text)
    if line is None or not ({"process", "recordingId"} & line.keys()):
        return False
    if "process" not in line:
        head = {"time": line.pop("time", None), "level": _LEVELS.get(line.pop("level", None), "info")}
        # What a record has for itself, such as its logger's name, an engine may have for something else.
        fields = {f"engine.{name}" if name in RENAMED_FIELDS else name: value for name, value in line.items()}
        line = {**head, "process": "recorder", "logger": ENGINE_OUTPUT, **fields}
    _root.handle(logging.makeLogRecord({"name": _root.name, "levelno": logging.INFO, "msg": line}))
    return True


def _parsed(text: str) -> dict[str, Any] | None:
    if not text.startswith("{"):
        return None
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) else None
