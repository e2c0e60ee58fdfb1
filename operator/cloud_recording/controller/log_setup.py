# SPDX-License-Identifier: Apache-2.0
"""The operator's log on standard error: JSON, or text for people; each line names the recording that it is about."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from cloud_recording.api.settings import LogFormat, LoggingSettings
from cloud_recording.common.json_logging import JsonLines, RedactingFilter, extra_fields, utc_text
from cloud_recording.common.log_limit import LineLimit
from cloud_recording.controller.recording_key import RecordingKey
from cloud_recording.controller.storage_key import StorageKey

_CHATTY: Final = ("kopf", "aiohttp.access", "asyncio")

_RECORDING: ContextVar[RecordingKey | None] = ContextVar("recording", default=None)


@contextmanager
def logging_about(key: RecordingKey) -> Iterator[None]:
    """Whatever is logged meanwhile, by whichever module, names this recording and its namespace."""
    token = _RECORDING.set(key)
    try:
        yield
    finally:
        _RECORDING.reset(token)


class RecordingFields(logging.Filter):
    """Gives a record the fields `namespace` and `recording`: of its own `key`, or of the recording that is at work."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Adds the fields, and lets every record pass."""
        key = getattr(record, "key", None)
        if isinstance(key, RecordingKey):
            del vars(record)["key"]
        elif isinstance(key, StorageKey):
            del vars(record)["key"]
            record.namespace, record.storage = key.namespace, key.name
            key = None
        else:
            key = _RECORDING.get()
        if key is not None:
            record.namespace, record.recording = key
        return True


class WarningLimit(LineLimit):
    """Bounds warnings, of which an API server that is away brings thousands; what happens to recordings is all told."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        return record.levelno < logging.WARNING or super().filter(record)


def set_up(settings: LoggingSettings) -> None:
    """Has all logging of the process written to standard error in the settings' format."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(WarningLimit())
    handler.addFilter(RecordingFields())
    handler.addFilter(RedactingFilter())
    handler.setFormatter(JsonLines() if settings.format is LogFormat.JSON else TextLines())
    logging.basicConfig(level=settings.level.upper(), handlers=[handler], force=True)
    # Kopf warns that it leaves the signals alone: so it should, the operator takes them.
    logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)
    if settings.level != "debug":
        for name in _CHATTY:
            logging.getLogger(name).setLevel(logging.WARNING)


class TextLines(logging.Formatter):
    """Time, level, message and the fields after it."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's
        """The line without the traceback, which `logging` puts below it."""
        fields = "".join(f" {name}={value}" for name, value in extra_fields(record).items())
        moment = utc_text(record, timespec="milliseconds")[11:23]
        return f"{moment} {record.levelname.lower():7} {record.message}{fields}"
