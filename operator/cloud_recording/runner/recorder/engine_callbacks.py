# SPDX-License-Identifier: Apache-2.0
"""What an engine's callback is on the wire. Imports nothing that is heavy, as the recorder does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from cloud_recording.api.phrases import participant
from cloud_recording.common.callback_names import CallbackName
from cloud_recording.common.error_codes import RecordingErrorCode
from cloud_recording.runner.recorder.engine import CallbackType, EngineCallback

CALLBACK_NAMES: Final[Mapping[CallbackType, CallbackName]] = {kind: CallbackName[kind.name] for kind in CallbackType}
_LONGEST_MESSAGE: Final = 1024


def name_of(callback: EngineCallback, *, snapshot: Mapping[str, Any] | None) -> CallbackName:
    """What the engine's callback is called on the wire: a channel that refuses everybody is no failure of the part."""
    fatal = callback.type is CallbackType.FATAL_ERROR and callback.code == RecordingErrorCode.CONNECT_ERROR
    return CallbackName.REFUSED if fatal and refuses_all(snapshot) else CALLBACK_NAMES[callback.type]


def refuses_all(snapshot: Mapping[str, Any] | None) -> bool:
    """Whether every participant is refused, or the recorder by a room, and nothing was ever recorded."""
    if snapshot is None:
        return False
    written = (snapshot.get("slices") or {}).get("written", 0)
    nothing = not written and not snapshot.get("somebodyJoined")
    return nothing and (is_of_room(snapshot) or _every_participant_is_refused(snapshot))


def is_of_room(snapshot: Mapping[str, Any] | None) -> bool:
    """Whether the recorder itself has a place to come to, and is not there."""
    return (snapshot or {}).get("inChannel") is False


def _every_participant_is_refused(snapshot: Mapping[str, Any]) -> bool:
    people = snapshot.get("participants") or ()
    return bool(people) and all(person.get("state") == "Refused" for person in people)


def payload_of(callback: EngineCallback, *, snapshot: Mapping[str, Any] | None) -> dict[str, Any]:
    """The fields of the wire's callback that the engine's callback becomes."""
    match callback.type:
        case CallbackType.UPLOADED | CallbackType.BACKED_UP:
            return {"fileName": callback.text}
        case CallbackType.UPLOADING_PROGRESS:
            return {"progressPercent": min(callback.progress, 100), "playlist": callback.text}
        case CallbackType.RECORDER_FAILURE | CallbackType.UPLOADER_FAILURE:
            times = f" ({callback.repeats + 1} times)" if callback.repeats else ""
            return {"code": callback.code, "message": callback.text + times, **_cause_of(callback.text, snapshot)}
        case CallbackType.FATAL_ERROR:
            refused = name_of(callback, snapshot=snapshot) is CallbackName.REFUSED
            issues = _issues(snapshot) if refused else ""
            by_room = {"room": True} if refused and is_of_room(snapshot) else {}
            return {"code": callback.code, "message": issues or error_message(snapshot), **by_room}
        case _:
            return {}


def _cause_of(text: str, snapshot: Mapping[str, Any] | None) -> dict[str, str]:
    """Why this very failure was told, which the newest state need not show any more; the interface cuts long texts."""
    causes = (snapshot or {}).get("failureCauses") or ()
    found = next((one for one in reversed(causes) if text and one["message"].startswith(text)), None)
    return {"cause": found["cause"], "fact": found["fact"][:_LONGEST_MESSAGE]} if found else {}


def _issues(snapshot: Mapping[str, Any] | None) -> str:
    """What is wrong with each participant: the engine's error has the words of one of them alone."""
    people = (snapshot or {}).get("participants") or ()
    issues = [f"{_called(one)}: {one['message']}" for one in people if one.get("message")]
    return "; ".join(issues)[:_LONGEST_MESSAGE]


def _called(person: Mapping[str, Any]) -> str:
    return participant(person["uid"], person.get("name") or person.get("identity"))


def error_message(snapshot: Mapping[str, Any] | None) -> str:
    """The interface's fatal callback has no message; the engine's snapshot may have one."""
    error = (snapshot or {}).get("lastError") or {}
    return str(error.get("message", ""))
