# SPDX-License-Identifier: Apache-2.0
"""A log line is one JSON object, and no secret is in it."""

from __future__ import annotations

import io
import json
import logging
import sys
from pathlib import Path

import pytest

from cloud_recording.common.json_logging import JsonLines, RedactingFilter, Redactor


class Log:
    """A handler as every process has it, and what came out of it."""

    def __init__(self, secret: Path | None = None) -> None:
        redactor = Redactor()
        redactor.learn([secret] if secret else [])
        self._stream = io.StringIO()
        self._handler = logging.StreamHandler(self._stream)
        self._handler.setFormatter(JsonLines({"namespace": "ns"}))
        self._handler.addFilter(RedactingFilter(redactor))

    def told(self, message: object, *arguments: object, **attributes: object) -> dict[str, object]:
        record = logging.makeLogRecord({"name": "any", "levelname": "INFO", "msg": message, "args": arguments})
        vars(record).update(attributes)
        self._handler.handle(record)
        parsed = json.loads(self._stream.getvalue().splitlines()[-1])
        assert isinstance(parsed, dict)
        return parsed


@pytest.fixture
def log(tmp_path: Path) -> Log:
    (tmp_path / "key").write_text("s3cr3t-key\n")
    return Log(tmp_path / "key")


def test_a_line_has_time_level_logger_message_and_the_fields() -> None:
    told = Log().told("pod %s", "created", pod="p0", count=3, created=0.25)
    assert told == {
        "time": "1970-01-01T00:00:00.250Z",
        "level": "info",
        "logger": "any",
        "message": "pod created",
        "namespace": "ns",
        "pod": "p0",
        "count": 3,
    }


def test_a_secret_is_hidden_in_message_fields_and_traceback(log: Log) -> None:
    try:
        int("s3cr3t-key")
    except ValueError:
        told = log.told("got %s", "s3cr3t-key", nested={"in": ["s3cr3t-key"]}, exc_info=sys.exc_info())
    assert told["message"] == "got [redacted]"
    assert told["nested"] == '{"in": ["[redacted]"]}'
    assert "ValueError" in str(told["exception"])
    assert "s3cr3t-key" not in json.dumps(told)


def test_a_private_key_within_json_is_hidden_however_it_is_quoted(tmp_path: Path) -> None:
    """Promise: a service account's key is hidden as a whole, line by line, and as JSON writes it; its e-mail is not."""
    key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG\nAgEAAoIBAQC7\n-----END PRIVATE KEY-----\n"
    document = json.dumps({"type": "service_account", "client_email": "r@p.iam", "private_key": key})
    (tmp_path / "key.json").write_text(document)
    log = Log(tmp_path / "key.json")
    for text in (document, key, "MIIEvQIBADANBgkqhkiG", f"line AgEAAoIBAQC7 of {json.dumps(key)}"):
        told = str(log.told(text)["message"])
        assert "MIIE" not in told
        assert "AgEA" not in told
    assert log.told("r@p.iam, a service_account")["message"] == "r@p.iam, a service_account"


def test_the_signature_of_a_token_is_hidden_however_a_url_writes_it(tmp_path: Path) -> None:
    """Promise: a SAS token is hidden as a whole, and so is its signature, which is all that is secret of it."""
    token = "?sv=2024-11-04&se=2030-01-01T00%3A00%3A00Z&sig=sesame%2Bopen%2Fnow%3D"
    (tmp_path / "sasToken").write_text(token + "\n")
    log = Log(tmp_path / "sasToken")
    for text in (token, "sesame%2Bopen%2Fnow%3D", "sesame+open/now="):
        assert "sesame" not in str(log.told(f"of {text} it says no")["message"])


def test_credentials_in_urls_are_hidden_by_their_form() -> None:
    told = Log().told("cannot reach %s", "rtmp://user:pass@host/live?token=abc")
    assert told["message"] == "cannot reach rtmp://[redacted]@host/live?[redacted]"


def test_a_line_of_another_process_keeps_what_it_says_of_itself(log: Log) -> None:
    told = log.told({"time": "t", "level": "warning", "logger": "engine", "message": "refused: s3cr3t-key", "uid": 7})
    assert told == {
        "time": "t",
        "level": "warning",
        "logger": "engine",
        "message": "refused: [redacted]",
        "uid": 7,
        "namespace": "ns",
    }
