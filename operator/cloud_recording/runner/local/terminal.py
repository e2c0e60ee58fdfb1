# SPDX-License-Identifier: Apache-2.0
"""Shows a person at a terminal what the operator would have been told."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TextIO

from cloud_recording.api.error_facts import error_facts
from cloud_recording.api.reasons import FINAL_FAILURES
from cloud_recording.api.wire import EngineState
from cloud_recording.common.callback_names import CallbackName
from cloud_recording.runner.outbox import StoredCallback
from cloud_recording.runner.supervisor.callback_delivery import Taken

_CLEAR_LINE = "\r\x1b[K"


def _uploader_failure(callback: Mapping[str, Any]) -> str:
    words = f"upload: {callback['message']} ({callback['code']})"
    again = callback.get("cause") not in FINAL_FAILURES and error_facts(callback["code"]).heals
    return f"{words}; it is tried again" if again else words


def _started(callback: Mapping[str, Any]) -> str:
    paused = (callback.get("snapshot") or {}).get("state") == EngineState.PAUSED
    return "somebody is in the channel: recording" + (" is paused" if paused else "")


_SENTENCES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    CallbackName.RUNNER_TERMINATING: lambda _: "told to end: recording stops, and what is left is uploaded",
    CallbackName.CONNECTING: lambda _: "connecting to the channel",
    CallbackName.STARTED: _started,
    CallbackName.STOPPED: lambda _: "recording has stopped; uploading what is left",
    CallbackName.UPLOADED: lambda it: f"everything is stored: {it['fileName']}",
    CallbackName.BACKED_UP: lambda it: (
        f"everything is stored, some of it in the backup: {it['fileName']}; `storage` gets it, too, if it answers "
        "before this ends"
    ),
    CallbackName.RECORDER_FAILURE: lambda it: f"recorder: {it['message']} ({it['code']})",
    CallbackName.UPLOADER_FAILURE: _uploader_failure,
    CallbackName.FATAL_ERROR: lambda it: f"the recording cannot go on: {it['message'] or 'error'} ({it['code']})",
    CallbackName.REFUSED: lambda it: f"the recording cannot go on: {it['message']} ({it['code']})",
    CallbackName.RECORDER_EXITED: lambda it: str(it["message"]),
    CallbackName.EDIT_REFUSED: lambda it: f"{it['field']}: {it['message']}",
}


def sentence(callback: Mapping[str, Any]) -> str | None:
    """What a callback means, or None when a person need not hear of it."""
    say = _SENTENCES.get(str(callback["type"]))
    return say(callback) if say else None


def progress(snapshot: Mapping[str, Any]) -> str:
    """The recording in a line."""
    minutes, seconds = divmod(int(snapshot.get("recordedMilliseconds", 0)) // 1000, 60)
    slices = snapshot.get("slices", {})
    present = [person for person in snapshot.get("participants", ()) if person.get("state") == "Joined"]
    return (
        f"{snapshot.get('state', '?'):<10} {minutes:02d}:{seconds:02d}  "
        f"slices {slices.get('uploaded', 0)}/{slices.get('written', 0)} uploaded  participants {len(present)}"
    )


def comings_and_goings(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """Whose state, or whose trouble, is another in the second snapshot than in the first, and why; a line for each."""
    known = {person["uid"]: person for person in before.get("participants", ())}
    for person in after.get("participants", ()):
        then = known.get(person["uid"], {})
        why = str(person.get("message") or "")
        if (person.get("state"), why) == (then.get("state"), str(then.get("message") or "")):
            continue
        if person.get("state") == then.get("state") == "Joined":
            words = why
        else:
            words = _PRESENCE.get(str(person.get("state")), "")
            words = f"{words}: {why}" if words and why else words
        if words:
            yield f"{_who(person)} {words}" if words != why else f"{_who(person)}: {why}"


_PRESENCE: Mapping[str, str] = {
    "Joined": "has joined",
    "Left": "has left",
    "Refused": "is refused, and asked for again",
    "Failed": "cannot be recorded, and is asked for again",
}


def _who(person: Mapping[str, Any]) -> str:
    name = person.get("name") or person.get("identity")
    return f"{name} ({person['uid']})" if name else f"participant {person['uid']}"


class Terminal:
    """A receiver of callbacks that prints: a line for each that matters, and on a terminal one line that moves."""

    def __init__(self, *, on_callback: Callable[[Mapping[str, Any]], None], output: TextIO = sys.stdout) -> None:
        self._on_callback = on_callback
        self._output = output
        self._moving = output.isatty()
        self._shown: Mapping[str, Any] = {}

    def say(self, text: str) -> None:
        """Prints a line."""
        self._output.write(f"{_CLEAR_LINE if self._moving else ''}{text}\n")
        self._output.flush()

    def show(self, snapshot: Mapping[str, Any] | None) -> None:
        """Tells who came and went since the last time, and moves the line that tells how far the recording is."""
        if snapshot is None:
            return
        clock = datetime.now(UTC).strftime("%H:%M:%S")
        for words in comings_and_goings(self._shown, snapshot):
            self.say(f"{clock}  {words}")
        self._shown = snapshot
        if self._moving:
            self._output.write(_CLEAR_LINE + progress(snapshot))
            self._output.flush()

    async def take(self, callbacks: Sequence[StoredCallback], *, after: int) -> Taken:  # noqa: ARG002 - as receivers have it
        """Prints what is worth it and acknowledges all."""
        for callback in (stored.as_sent() for stored in callbacks):
            for line in _lines(callback, moving=self._moving):
                self.say(line)
            self._on_callback(callback)
        return Taken(acknowledged=callbacks[-1].sequence)

    async def close(self) -> None:
        """Leaves the cursor on a line of its own."""
        if self._moving:
            self._output.write(_CLEAR_LINE)
            self._output.flush()


def _lines(callback: Mapping[str, Any], *, moving: bool) -> Iterator[str]:
    words = sentence(callback)
    clock = str(callback["time"])[11:19]
    if words is not None:
        yield f"{clock}  {words}"
    elif callback["type"] == CallbackName.SNAPSHOT and not moving:
        yield f"{clock}  {progress(callback['snapshot'])}"
