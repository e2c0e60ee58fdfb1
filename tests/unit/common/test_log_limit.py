# SPDX-License-Identifier: Apache-2.0
"""A log is bounded: so many lines of a kind in a minute, and the next says how many are missing."""

from __future__ import annotations

import logging
from typing import Any

from cloud_recording.common.log_limit import LINE_KIND, MINUTE, MOST, LineLimit


def record(at: float, *, line: int = 1, name: str = "any", message: object = "m", **extra: Any) -> logging.LogRecord:
    attributes = {"name": name, "pathname": "p", "lineno": line, "msg": message, "created": at, **extra}
    return logging.makeLogRecord(attributes)


def test_a_kind_has_so_many_lines_in_a_minute_and_the_next_says_how_many_were_left_out() -> None:
    limit = LineLimit()
    assert all(limit.filter(record(0.0)) for _ in range(MOST))
    assert not limit.filter(record(1.0))
    assert not limit.filter(record(2.0))
    assert limit.filter(record(2.0, line=2)), "another line of code is another kind"
    after = record(MINUTE)
    assert limit.filter(after)
    assert vars(after)["leftOut"] == 2
    following = record(MINUTE)
    assert limit.filter(following)
    assert "leftOut" not in vars(following)


def test_a_logger_may_have_another_number() -> None:
    limit = LineLimit({"engine": 2})
    assert [limit.filter(record(0.0, name="engine")) for _ in range(3)] == [True, True, False]


def test_lines_of_another_process_pass() -> None:
    limit = LineLimit()
    assert all(limit.filter(record(0.0, message={"message": "its own"})) for _ in range(2 * MOST))


def test_kinds_that_one_line_of_code_writes_do_not_keep_each_other_out() -> None:
    limit = LineLimit()
    storm = [limit.filter(record(0.0, line_kind="RecorderFailure")) for _ in range(2 * MOST)]
    assert storm.count(True) == MOST
    ending = record(0.0, line_kind="RecordingUploaded")
    assert limit.filter(ending)
    assert LINE_KIND not in vars(ending)
