# SPDX-License-Identifier: Apache-2.0
"""Structured logs of every process: one JSON object per line, and no secret in any of them.

`JsonLines` goes on the handler as its formatter, `RedactingFilter` as its filter. Redaction is a net, not the method:
nothing logs a secret on purpose. The net knows credentials in URLs by their form, and the contents of every file that
it was told to be secret, so that a library's or an engine's message cannot leak one. It is cheap to import, as the
recorder process counts its memory.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, quote

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

REDACTED: Final = "[redacted]"

RENAMED_FIELDS: Final = {"asctime": "time", "levelname": "level", "name": "logger", "exc_info": "exception"}
"""What a line calls these attributes of a record."""

_RESERVED: Final = frozenset(RESERVED_ATTRS) | {"message", "asctime", "taskName"}
_URL_CREDENTIALS: Final = re.compile(r"(?<=://)[^/?#@\s]+@")
_URL_QUERY: Final = re.compile(r"(?<=[a-z]://)([^\s?#\"']+)[?#][^\s\"']*")
_SHORTEST: Final = 4
"""A shorter content is no secret worth the name, and hiding it everywhere would garble the log."""


class JsonLines(JsonFormatter):
    """One object per record: time, level, logger and message, then what the call gave as `extra`.

    `fields` are in every line. A record whose message is a mapping is a line of another process: what the mapping says
    takes the place of this process's own time, level, logger and message.
    """

    def __init__(self, fields: Mapping[str, object] | None = None) -> None:
        super().__init__(
            ["asctime", "levelname", "name", "message"],
            rename_fields=RENAMED_FIELDS,
            static_fields=dict(fields or {}),
            json_default=str,
            json_ensure_ascii=False,
        )

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802 - logging's
        """RFC 3339, in milliseconds."""
        return utc_text(record, timespec="milliseconds").replace("+00:00", "Z")

    def process_log_record(self, log_data: dict[str, object]) -> dict[str, object]:
        """Levels in small letters, as the engine's log and Kubernetes' own have them."""
        log_data["level"] = str(log_data["level"]).lower()
        return log_data


def utc_text(record: logging.LogRecord, *, timespec: str) -> str:
    """When the record was made."""
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec=timespec)


def extra_fields(record: logging.LogRecord) -> dict[str, object]:
    """What the call that made the record gave as `extra`."""
    return {name: value for name, value in vars(record).items() if name not in _RESERVED}


class Redactor:
    """Hides what must not be read, wherever it stands in a text."""

    def __init__(self) -> None:
        self._secrets: tuple[str, ...] = ()
        self._files: dict[Path, tuple[int, ...]] = {}

    def learn(self, files: Iterable[Path]) -> None:
        """Hides the contents of files from now on: what is in them, and what ever comes into them by a rotation."""
        for file in files:
            self._files.setdefault(file, ())
        self._read_again()

    def redact(self, text: str) -> str:
        """The text with every known secret, and credentials and queries of URLs, taken out."""
        self._read_again()
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        return _URL_QUERY.sub(rf"\1?{REDACTED}", _URL_CREDENTIALS.sub(f"{REDACTED}@", text))

    def redact_value(self, value: object) -> object:
        """A field's value: numbers as they are, and anything with structure as the text of its JSON."""
        if isinstance(value, (int, float, type(None))):
            return value
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        return self.redact(text)

    def _read_again(self) -> None:
        """Adds what has come into the files; what was in them before may still be in a text."""
        found = set(self._secrets)
        for file, seen in self._files.items():
            try:
                version = _version(file)
                if version == seen:
                    continue
                content = file.read_text(encoding="utf-8", errors="replace").strip()
            except OSError:
                continue
            self._files[file] = version
            found.update(part for part in _parts(content) if len(part) >= _SHORTEST)
        if len(found) != len(self._secrets):
            # The longest first: a secret that contains another must go as a whole.
            self._secrets = tuple(sorted(found, key=len, reverse=True))


def _parts(content: str) -> Iterator[str]:
    """What of a secret may stand in a text: all of it, its lines, and the private key that it wraps in JSON.

    Or the signature of a SAS token, which a URL may write otherwise.
    """
    yield content
    yield from content.splitlines()
    for signature in parse_qs(content.strip().removeprefix("?")).get("sig", ()):
        yield from (signature, quote(signature, safe=""))
    if not content.startswith("{"):
        return
    try:
        fields = json.loads(content)
    except ValueError:
        return
    for key in fields.values():
        if isinstance(key, str) and "PRIVATE KEY" in key:
            yield from (key, json.dumps(key), *key.splitlines())


def _version(file: Path) -> tuple[int, ...]:
    """Another one whenever the file's content was written or replaced."""
    now = file.stat()
    return now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns


class RedactingFilter(logging.Filter):
    """Takes secrets out of a record's message, fields and traceback before any formatter sees them.

    It changes the record itself, so it belongs on the process's one handler and not on a logger.
    """

    def __init__(self, redactor: Redactor | None = None) -> None:
        super().__init__()
        self._redactor = redactor or Redactor()

    def filter(self, record: logging.LogRecord) -> bool:
        """Redacts, and lets every record pass."""
        redact = self._redactor.redact_value
        if isinstance(record.msg, dict):
            record.msg = {name: redact(value) for name, value in record.msg.items()}
        else:
            record.msg, record.args = self._redactor.redact(record.getMessage()), ()
        for name, value in extra_fields(record).items():
            setattr(record, name, redact(value))
        if record.exc_info:
            record.exc_text = self._redactor.redact(logging.Formatter().formatException(record.exc_info))
            record.exc_info = None
        return True
