# SPDX-License-Identifier: Apache-2.0
"""Whatever is logged about a recording names it, and its namespace."""

from __future__ import annotations

import json
import logging

from cloud_recording.common.json_logging import JsonLines
from cloud_recording.common.log_limit import MOST
from cloud_recording.controller.log_setup import RecordingFields, TextLines, WarningLimit, logging_about
from cloud_recording.controller.recording_key import RecordingKey


def line(formatter: logging.Formatter, **extra: object) -> str:
    record = logging.makeLogRecord({"name": "any", "levelname": "INFO", "msg": "pod created", **extra})
    assert RecordingFields().filter(record)
    return formatter.format(record)


def test_what_is_logged_in_a_pass_names_recording_and_namespace() -> None:
    with logging_about(RecordingKey("meetings", "stand-up")):
        told = json.loads(line(JsonLines(), pod="stand-up-p0"))
    assert (told["namespace"], told["recording"], told["pod"]) == ("meetings", "stand-up", "stand-up-p0")
    assert "recording" not in json.loads(line(JsonLines()))


def test_a_line_for_people_has_the_same_fields() -> None:
    with logging_about(RecordingKey("meetings", "stand-up")):
        told = line(TextLines(), pod="stand-up-p0")
    assert told.endswith("pod created pod=stand-up-p0 namespace=meetings recording=stand-up")


def test_a_line_may_name_its_recording_by_the_key() -> None:
    told = json.loads(line(JsonLines(), key=RecordingKey("meetings", "stand-up")))
    assert (told["namespace"], told["recording"], "key" in told) == ("meetings", "stand-up", False)


def test_only_warnings_are_bounded() -> None:
    limit = WarningLimit()
    written = {
        level: sum(limit.filter(logging.makeLogRecord({"levelno": level, "created": 1.0})) for _ in range(500))
        for level in (logging.INFO, logging.WARNING)
    }
    assert written == {logging.INFO: 500, logging.WARNING: MOST}
