# SPDX-License-Identifier: Apache-2.0
"""What an engine's callback is on the wire. Imports the standard library and the binding only, as the recorder does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cloud_recording.runner.recorder.engine import CallbackType, EngineCallback

NAMES: Final[Mapping[CallbackType, str]] = {
    CallbackType.CONNECTING: "RecordingConnecting",
    CallbackType.STARTED: "RecordingStarted",
    CallbackType.STOPPED: "RecordingStopped",
    CallbackType.UPLOADED: "RecordingUploaded",
    CallbackType.BACKED_UP: "RecordingBackedUp",
    CallbackType.UPLOADING_PROGRESS: "RecordingUploadingProgress",
    CallbackType.RECORDER_FAILURE: "RecorderFailure",
    CallbackType.UPLOADER_FAILURE: "UploaderFailure",
    CallbackType.FATAL_ERROR: "RecordingFatalError",
}
ENDINGS: Final = frozenset({CallbackType.UPLOADED, CallbackType.BACKED_UP, CallbackType.FATAL_ERROR})


def payload_of(callback: EngineCallback, *, snapshot: Mapping[str, Any] | None) -> dict[str, Any]:
    """The fields of the wire's callback that the engine's callback becomes."""
    match callback.type:
        case CallbackType.UPLOADED | CallbackType.BACKED_UP:
            return {"fileName": callback.text}
        case CallbackType.UPLOADING_PROGRESS:
            return {"progressPercent": min(callback.progress, 100), "playlist": callback.text}
        case CallbackType.RECORDER_FAILURE | CallbackType.UPLOADER_FAILURE:
            times = f" ({callback.repeats + 1} times)" if callback.repeats else ""
            return {"code": callback.code, "message": callback.text + times}
        case CallbackType.FATAL_ERROR:
            return {"code": callback.code, "message": error_message(snapshot)}
        case _:
            return {}


def error_message(snapshot: Mapping[str, Any] | None) -> str:
    """The interface's fatal callback has no message; the engine's snapshot may have one."""
    error = (snapshot or {}).get("lastError") or {}
    return str(error.get("message", ""))
