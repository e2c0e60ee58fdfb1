# SPDX-License-Identifier: Apache-2.0
"""Whatever a recorder process says, its supervisor hears what follows, and its end."""

from __future__ import annotations

import asyncio

import pytest

from cloud_recording.runner.control_protocol import Report, encode
from cloud_recording.runner.supervisor.part_events import Event, ProcessEnded, ProcessLoaded
from cloud_recording.runner.supervisor.recorder_child import inherited, read_reports

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


def test_the_environment_has_what_names_an_identity_and_no_key() -> None:
    """Promise: roles, URLs and token files pass, and nothing that somebody may have put a secret into."""
    names = {
        "PATH": "/bin",
        "AWS_ROLE_ARN": "arn:aws:iam::1:role/films",
        "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/secrets/eks.amazonaws.com/serviceaccount/token",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount/token",
        "AWS_REGION": "eu-central-1",
    }
    secrets = {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "hunter2",
        "AWS_SESSION_TOKEN": "hunter2",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "hunter2",
        "DATABASE_PASSWORD": "hunter2",
    }
    assert inherited({**names, **secrets}) == names
