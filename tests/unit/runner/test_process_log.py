# SPDX-License-Identifier: Apache-2.0
"""G8: a log line is one JSON object, and no secret is in it."""

from __future__ import annotations

import io
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_recording.common.json_logging import JsonLines, RedactingFilter, Redactor
from cloud_recording.runner import process_log
from cloud_recording.runner.supervisor.recorder_output import relay


def line(redactor: Redactor, message: str, *arguments: object, **fields: object) -> dict[str, object]:
    record = logging.LogRecord("runner", logging.INFO, "", 0, message, arguments, None)
    vars(record).update(fields)
    RedactingFilter(redactor).filter(record)
    parsed = json.loads(JsonLines().format(record))
    assert isinstance(parsed, dict)
    return parsed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rtmp://user:pass@host/live", "rtmp://[redacted]@host/live"),
        ("GET https://host/a?signature=abc#x failed", "GET https://host/a?[redacted] failed"),
        ("https://s3.example.com/bucket/key is fine", "https://s3.example.com/bucket/key is fine"),
        ("what? not a URL", "what? not a URL"),
    ],
)
def test_credentials_in_urls_are_hidden_by_their_form(text: str, expected: str) -> None:
    assert line(Redactor(), text)["message"] == expected


def test_every_mounted_secret_is_hidden_wherever_it_stands(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("s3cr3t-key\n")
    (tmp_path / "bundle").write_text("first line\nsecond line\n")
    redactor = Redactor()
    redactor.learn([tmp_path / "key", tmp_path / "bundle", tmp_path / "missing"])
    seen = line(redactor, "got %s", "s3cr3t-key", extra_field={"nested": ["second line"]}, count=3)
    assert seen["message"] == "got [redacted]"
    assert seen["extra_field"] == '{"nested": ["[redacted]"]}'
    assert seen["count"] == 3


def test_a_rotated_secret_is_hidden_in_both_forms(tmp_path: Path) -> None:
    file, redactor = tmp_path / "key", Redactor()
    for content in ("the-old-one", "the-new-one"):
        file.write_text(content)
        redactor.learn([file])
    assert redactor.redact("the-old-one the-new-one") == "[redacted] [redacted]"


def test_what_a_rotation_puts_into_a_file_is_hidden_from_then_on_beside_what_was_there(tmp_path: Path) -> None:
    """As the kubelet does it: the name leads to another file."""
    (tmp_path / "old").write_text("the-first-key")
    (tmp_path / "new").write_text("the-other-one")
    mounted = tmp_path / "key"
    mounted.symlink_to("old")
    redactor = Redactor()
    redactor.learn([mounted])
    assert redactor.redact("the-first-key the-other-one") == "[redacted] the-other-one"
    (tmp_path / "next").symlink_to("new")
    (tmp_path / "next").rename(mounted)
    assert redactor.redact("the-first-key the-other-one") == "[redacted] [redacted]"


def test_a_traceback_is_a_field_and_is_redacted(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("s3cr3t-key")
    redactor = Redactor()
    redactor.learn([tmp_path / "key"])
    try:
        int("s3cr3t-key")
    except ValueError:
        seen = line(redactor, "failed", exc_info=sys.exc_info())
    assert "[redacted]" in str(seen["exception"])


@pytest.fixture
def log(tmp_path: Path) -> Iterator[io.StringIO]:
    """What a supervisor of the recording `demo` logs, to which `s3cr3t-key` is a secret."""
    (tmp_path / "key").write_text("s3cr3t-key")
    redactor, stream, root = Redactor(), io.StringIO(), logging.getLogger()
    redactor.learn([tmp_path / "key"])
    handlers, level = root.handlers, root.level
    process_log.set_up(
        process="supervisor", redactor=redactor, stream=stream, fields={"namespace": "ns", "recording": "demo"}
    )
    yield stream
    root.handlers = handlers
    root.setLevel(level)


def test_every_line_says_whose_it_is(log: io.StringIO) -> None:
    logging.getLogger("runner").info("told")
    assert relay('{"time": "t", "level": "info", "process": "recorder", "logger": "a", "message": "s3cr3t-key"}')
    ours, other = (json.loads(line) for line in log.getvalue().splitlines())
    assert (ours["namespace"], ours["recording"], ours["process"]) == ("ns", "demo", "supervisor")
    assert other == {
        "time": "t",
        "level": "info",
        "process": "recorder",
        "logger": "a",
        "message": "[redacted]",
        "namespace": "ns",
        "recording": "demo",
    }


def test_a_line_of_the_engine_s_log_becomes_one_of_ours(log: io.StringIO) -> None:
    line = {"time": "t", "level": "warn", "recordingId": "0f", "message": "refused: s3cr3t-key", "participant": 7}
    assert relay(json.dumps(line))
    assert json.loads(log.getvalue()) == {
        "time": "t",
        "level": "warning",
        "process": "recorder",
        "logger": "engine",
        "recordingId": "0f",
        "message": "refused: [redacted]",
        "participant": 7,
        "namespace": "ns",
        "recording": "demo",
    }


def test_what_the_engine_names_is_not_taken_for_the_logger(log: io.StringIO) -> None:
    assert relay(json.dumps({"time": "t", "level": "info", "recordingId": "0f", "message": "joined", "name": "carol"}))
    told = json.loads(log.getvalue())
    assert (told["logger"], told["engine.name"]) == ("engine", "carol")


@pytest.mark.parametrize("text", ["[mpegts @ 0x1] late", "{", "[1]", '{"a": 1}', '{"recordingId": '])
def test_what_is_no_line_of_a_log_is_not_passed_on_as_one(text: str, log: io.StringIO) -> None:
    assert not relay(text)
    assert log.getvalue() == ""
