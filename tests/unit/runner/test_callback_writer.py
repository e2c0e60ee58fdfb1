# SPDX-License-Identifier: Apache-2.0
"""Calls of the engine that are stored together: each keeps what was true of it."""

from __future__ import annotations

import json
from pathlib import Path

from cloud_recording.common.error_codes import RecordingErrorCode
from cloud_recording.common.json_logging import Redactor
from cloud_recording.runner.outbox import Outbox, Writer
from cloud_recording.runner.recorder.callback_writer import CallbackWriter
from cloud_recording.runner.recorder.engine import CallbackType, EngineCallback


def call(kind: CallbackType, text: str = "", code: int = 0) -> EngineCallback:
    return EngineCallback(type=kind, code=code, progress=0, repeats=0, time_ms=1_777_896_000_000, text=text)


def test_each_failure_of_a_batch_has_its_own_cause_though_the_snapshot_is_of_the_last(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.sqlite3", writer=Writer.RECORDER)
    writer = CallbackWriter(outbox, redactor=Redactor(), on_stored=lambda: None)
    told = {"AccessDenied": "https://u:p@s3 denies access: let it", "StorageTimeout": "no answer" + "!" * 2000}
    causes = [{"message": text, "cause": cause, "fact": cause.lower()} for cause, text in told.items()]
    failed = [
        call(CallbackType.UPLOADER_FAILURE, text[:1023], RecordingErrorCode.UPLOADER_FAILED) for text in told.values()
    ]
    other = call(CallbackType.RECORDER_FAILURE, "a track is damaged", RecordingErrorCode.RECORDER_FAILED)
    snapshot = writer.parsed(json.dumps({"state": "Paused", "failureCauses": causes}))
    writer.write([call(CallbackType.STARTED), *failed, other, call(CallbackType.STOPPED)], snapshot)
    stored = [one.as_sent() for one in outbox.pending(limit=10)]
    assert [one.get("cause") for one in stored] == [None, "AccessDenied", "StorageTimeout", None, None]
    assert [one.get("fact") for one in stored[1:3]] == ["accessdenied", "storagetimeout"]
    assert ["snapshot" in one for one in stored] == [True, False, False, False, True]
