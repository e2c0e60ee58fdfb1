# SPDX-License-Identifier: Apache-2.0
"""Structured logs: one JSON object per line on standard error, and no secret in any of them.

Redaction is a net, not the method: nothing in the runner logs a secret on purpose. The net knows the contents of every
file the runner may mount as a secret, and credentials in URLs by their form, so that a library's or an engine's message
cannot leak one. Standard library only: the recorder process imports this module.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, TextIO

REDACTED: Final = "[redacted]"

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_URL_CREDENTIALS: Final = re.compile(r"(?<=://)[^/?#@\s]+@")
_URL_QUERY: Final = re.compile(r"(?<=[a-z]://)([^\s?#\"']+)[?#][^\s\"']*")
_LEVELS: Final[Mapping[object, str]] = {"debug": "debug", "info": "info", "warn": "warning", "error": "error"}
"""The engine's names of levels, and Python's."""
_SHORTEST: Final = 4
"""A shorter content is no secret worth the name, and hiding it everywhere would garble the log."""


class Redactor:
    """Hides what must not be read, wherever it stands in a text."""

    def __init__(self) -> None:
        self._secrets: tuple[str, ...] = ()
        self._files: dict[Path, tuple[int, ...]] = {}

    def learn(self, files: Iterable[Path]) -> None:
        """Hides the contents of files from now on: what is in them, and what ever comes into them by a rotation."""
        for file in files:
            self._files.setdefault(file, ())
        self._look()

    def _look(self) -> None:
        """Adds what has come into the files; what was in them before may still be in a text."""
        found = set(self._secrets)
        for file, seen in self._files.items():
            try:
                is_now = _version(file)
                if is_now == seen:
                    continue
                content = file.read_text(encoding="utf-8", errors="replace").strip()
            except OSError:
                continue
            self._files[file] = is_now
            found.update(part for part in (content, *content.splitlines()) if len(part) >= _SHORTEST)
        if len(found) != len(self._secrets):
            # The longest first: a secret that contains another must go as a whole.
            self._secrets = tuple(sorted(found, key=len, reverse=True))

    def redact(self, text: str) -> str:
        """The text with every known secret, and credentials and queries of URLs, taken out."""
        self._look()
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        return _URL_QUERY.sub(rf"\1?{REDACTED}", _URL_CREDENTIALS.sub(f"{REDACTED}@", text))


def _version(file: Path) -> tuple[int, ...]:
    """Another one whenever the file's content was written or replaced."""
    now = file.stat()
    return now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns


class JsonFormatter(logging.Formatter):
    """One object per line: time, level, logger, message, the fields given as `extra`, and those of every line."""

    def __init__(self, *, process: str, redactor: Redactor, fields: Mapping[str, object] | None = None) -> None:
        super().__init__()
        self._process = process
        self._redactor = redactor
        self._fields = dict(fields or {})

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        moment = datetime.fromtimestamp(record.created, tz=UTC).isoformat(timespec="milliseconds")
        line = {
            "time": moment.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "process": self._process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line.update({name: value for name, value in vars(record).items() if name not in _STANDARD})
        if record.exc_info:
            line["exception"] = "".join(traceback.format_exception(*record.exc_info))
        return self.line(line)

    def line(self, fields: Mapping[str, object]) -> str:
        """The line of these fields."""
        cleaned = {name: self._clean(value) for name, value in {**fields, **self._fields}.items()}
        return json.dumps(cleaned, ensure_ascii=False, default=str)

    def _clean(self, value: object) -> object:
        if isinstance(value, (int, float, type(None))):
            return value
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        return self._redactor.redact(text)


def configure(
    *,
    process: str,
    redactor: Redactor,
    stream: TextIO = sys.stderr,
    fields: Mapping[str, object] | None = None,
) -> None:
    """Sends every log record of this process through the formatter to the stream, each with the fields."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter(process=process, redactor=redactor, fields=fields))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(logging.INFO)


def relay(text: str) -> bool:
    """Adds a line of the recorder process to this process's log; False where it is no line of a log.

    Such are what the process's own formatter made, and what our engine's log has, which comes from its `engine`.
    """
    line = _line(text)
    if line is None or not ({"process", "recordingId"} & line.keys()):
        return False
    if "process" not in line:
        head = {"time": line.pop("time", None), "level": _LEVELS.get(line.pop("level", None), "info")}
        line = {**head, "process": "recorder", "logger": "engine", **line}
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and isinstance(handler.formatter, JsonFormatter):
            handler.stream.write(handler.formatter.line(line) + "\n")
            handler.flush()
    return True


def _line(text: str) -> dict[str, Any] | None:
    if not text.startswith("{"):
        return None
    try:
        line = json.loads(text)
    except ValueError:
        return None
    return line if isinstance(line, dict) else None
