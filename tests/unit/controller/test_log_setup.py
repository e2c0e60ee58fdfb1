# SPDX-License-Identifier: Apache-2.0
"""Whatever is logged about a recording names it, and its namespace."""

from __future__ import annotations

import json
import logging

from cloud_recording.common.json_logging import JsonLines
from cloud_recording.controller.log_setup import RecordingFields, TextLines, logging_about
from cloud_recording.controller.recording_key import RecordingKey


def line(formatter: logging.Formatter, **extra: str) -> str:
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
