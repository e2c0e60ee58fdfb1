# SPDX-License-Identifier: Apache-2.0
"""Log lines: one JSON object each, or text for people; the fields that a message was given are in both."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final

from cloud_recording.api.settings import LogFormat, LoggingSettings
from cloud_recording.controller.recording_key import RecordingKey

_OWN_FIELDS: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_CHATTY: Final = ("kopf", "aiohttp.access", "asyncio")


_ABOUT: ContextVar[RecordingKey | None] = ContextVar("about", default=None)


@contextmanager
def about(key: RecordingKey) -> Iterator[None]:
    """Whatever is logged meanwhile, by whichever module, names this recording and its namespace."""
    token = _ABOUT.set(key)
    try:
        yield
    finally:
        _ABOUT.reset(token)


def named(record: logging.LogRecord) -> bool:
    """Gives a record the recording that it is about, unless it names one itself."""
    key = _ABOUT.get()
    if key is not None and not hasattr(record, "recording"):
        record.namespace, record.recording = key
    return True


def set_up(settings: LoggingSettings) -> None:
    """Has all logging of the process written to standard error in the settings' format."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(named)
    handler.setFormatter(JsonLines() if settings.format is LogFormat.JSON else TextLines())
    logging.basicConfig(level=settings.level.upper(), handlers=[handler], force=True)
    # Kopf warns that it leaves the signals alone: so it should, the operator takes them.
    logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)
    if settings.level != "debug":
        for name in _CHATTY:
            logging.getLogger(name).setLevel(logging.WARNING)


class JsonLines(logging.Formatter):
    """One JSON object per record."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


class TextLines(logging.Formatter):
    """Time, level, message and the fields after it."""

    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {key}={value}" for key, value in _fields(record).items())
        moment = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S.%f")[:-3]
        line = f"{moment} {record.levelname.lower():7} {record.getMessage()}{fields}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _OWN_FIELDS}
