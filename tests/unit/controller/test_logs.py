# SPDX-License-Identifier: Apache-2.0
"""Whatever is logged about a recording names it, and its namespace."""

from __future__ import annotations

import json
import logging

from cloud_recording.controller.logs import JsonLines, about, named
from cloud_recording.controller.recording_key import RecordingKey


def line(**extra: str) -> dict[str, str]:
    record = logging.makeLogRecord({"name": "any", "levelname": "INFO", "msg": "pod created", **extra})
    assert named(record)
    parsed: dict[str, str] = json.loads(JsonLines().format(record))
    return parsed


def test_what_is_logged_in_a_pass_names_recording_and_namespace() -> None:
    with about(RecordingKey("meetings", "stand-up")):
        told = line(pod="stand-up-p0")
    assert (told["namespace"], told["recording"], told["pod"]) == ("meetings", "stand-up", "stand-up-p0")
    assert "recording" not in line()
