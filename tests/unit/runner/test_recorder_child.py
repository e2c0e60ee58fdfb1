# SPDX-License-Identifier: Apache-2.0
"""Whatever a recorder process says, its supervisor hears what follows, and its end."""

from __future__ import annotations

import asyncio

import pytest

from cloud_recording.runner.control_protocol import Report, encode
from cloud_recording.runner.supervisor.part_events import Event, ProcessEnded, ProcessLoaded
from cloud_recording.runner.supervisor.recorder_child import read_reports

LIMIT = 128


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"x" * 10 * LIMIT + b"\n", id="too long"),
        pytest.param(b'{"report": "heartbeat", "snapshot": {"name": "\xff\xfe"}}\n', id="not UTF-8"),
        pytest.param(b"[1]\n", id="no object"),
        pytest.param(b'{"report": "from the future"}\n', id="an unknown report"),
        pytest.param(b'{"report": "ended"}\n', id="without its fields"),
    ],
)
async def test_a_report_that_cannot_be_read_is_passed_over(line: bytes) -> None:
    reader = asyncio.StreamReader(limit=LIMIT)
    heard: list[Event] = []
    rung: list[bool] = []
    reader.feed_data(encode({"report": Report.LOADED, "extended": True}) + line)
    reader.feed_data(encode({"report": Report.CALLBACKS}) + encode({"report": Report.ENDED, "drained": True}))
    reader.feed_eof()
    await asyncio.wait_for(read_reports(reader, on_event=heard.append, on_callbacks=lambda: rung.append(True)), 10)
    assert heard == [ProcessLoaded(extended=True), ProcessEnded(drained=True)]
    assert rung == [True]
