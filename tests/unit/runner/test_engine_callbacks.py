# SPDX-License-Identifier: Apache-2.0
"""What an engine's end is on the wire: a channel that refuses the recorder is no failure of the part."""

from __future__ import annotations

from typing import Any

import pytest

from cloud_recording.common.error_codes import RecordingErrorCode
from cloud_recording.runner.recorder.engine import CallbackType, EngineCallback
from cloud_recording.runner.recorder.engine_callbacks import name_of, payload_of

ERROR = {"code": 430, "message": "the channel refuses the recorder: no"}
REFUSED = {"uid": 1, "name": "alice", "state": "Refused", "message": "forbidden"}
LEFT = {"uid": 2, "state": "Left", "message": "gone"}
REFUSED_MESSAGE = "participant 1 'alice': forbidden"
FATAL, NO = "RecordingFatalError", "RecordingRefused"


@pytest.mark.parametrize(
    ("snapshot", "called", "payload"),
    [
        pytest.param(None, FATAL, {"message": ""}, id="an engine that tells nothing of itself"),
        pytest.param({}, FATAL, {"message": ERROR["message"]}, id="nobody is known, and no room"),
        pytest.param({"participants": [REFUSED]}, NO, {"message": REFUSED_MESSAGE}, id="everybody is refused"),
        pytest.param({"participants": [REFUSED, LEFT]}, FATAL, {"message": ERROR["message"]}, id="somebody was there"),
        pytest.param({"inChannel": False}, NO, {"message": ERROR["message"], "room": True}, id="a room refuses"),
        pytest.param(
            {"inChannel": False, "somebodyJoined": True},
            FATAL,
            {"message": ERROR["message"]},
            id="a room refuses later",
        ),
    ],
)
def test_who_is_refused_before_anything_was_recorded_may_ask_again(
    snapshot: dict[str, Any] | None, called: str, payload: dict[str, Any]
) -> None:
    code = RecordingErrorCode.CONNECT_ERROR
    callback = EngineCallback(type=CallbackType.FATAL_ERROR, code=code, progress=0, repeats=0, time_ms=0, text="")
    known = None if snapshot is None else {"lastError": ERROR, **snapshot}
    assert name_of(callback, snapshot=known) == called
    assert payload_of(callback, snapshot=known) == {"code": 430, **payload}
