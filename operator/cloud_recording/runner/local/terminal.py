# SPDX-License-Identifier: Apache-2.0
"""Shows a person at a terminal what the operator would have been told."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TextIO

from cloud_recording.runner.outbox import Stored

Json = Mapping[str, Any]

_CLEAR_LINE = "\r\x1b[K"

_SENTENCES: Mapping[str, Callable[[Json], str]] = {
    "RecordingConnecting": lambda _: "connecting to the channel",
    "RecordingStarted": lambda _: "somebody is in the channel: recording",
    "RecordingStopped": lambda _: "recording has stopped; uploading what is left",
    "RecordingUploaded": lambda told: f"everything is in the bucket: {told['fileName']}",
    "RecordingBackedUp": lambda told: f"everything is stored, some of it in the backup: {told['fileName']}",
    "RecorderFailure": lambda told: f"recorder: {told['message']} ({told['code']})",
    "UploaderFailure": lambda told: f"upload: {told['message']} ({told['code']}); it is tried again",
    "RecordingFatalError": lambda told: f"the recording cannot go on: {told['message'] or 'error'} ({told['code']})",
    "RecordingRefused": lambda told: f"the recording cannot go on: {told['message']} ({told['code']})",
    "RecorderExited": lambda told: str(told["message"]),
    "EditRefused": lambda told: f"{told['field']}: {told['message']}",
}


def sentence(told: Json) -> str | None:
    """What a callback means, or None when a person need not hear of it."""
    say = _SENTENCES.get(str(told["type"]))
    return say(told) if say else None


def progress(snapshot: Json) -> str:
    """The recording in a line."""
    minutes, seconds = divmod(int(snapshot.get("recordedMilliseconds", 0)) // 1000, 60)
    slices = snapshot.get("slices", {})
    present = [person for person in snapshot.get("participants", ()) if person.get("state") == "Joined"]
    return (
        f"{snapshot.get('state', '?'):<10} {minutes:02d}:{seconds:02d}  "
        f"slices {slices.get('uploaded', 0)}/{slices.get('written', 0)} uploaded  participants {len(present)}"
    )


def comings_and_goings(before: Json, after: Json) -> Iterator[str]:
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


def _who(person: Json) -> str:
    name = person.get("name")
    return f"{name} ({person['uid']})" if name else f"participant {person['uid']}"


class Terminal:
    """A receiver of callbacks that prints: a line for each that matters, and on a terminal one line that moves."""

    def __init__(self, *, heard: Callable[[Json], None], output: TextIO = sys.stdout) -> None:
        self._heard = heard
        self._output = output
        self._moving = output.isatty()
        self._shown: Json = {}

    def say(self, text: str) -> None:
        """Prints a line."""
        self._output.write(f"{_CLEAR_LINE if self._moving else ''}{text}\n")
        self._output.flush()

    def show(self, snapshot: Json | None) -> None:
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

    async def take(self, callbacks: Sequence[Stored]) -> int:
        """Prints what is worth it and acknowledges all."""
        for told in (callback.as_sent() for callback in callbacks):
            for line in _lines(told, moving=self._moving):
                self.say(line)
            self._heard(told)
        return callbacks[-1].sequence

    async def close(self) -> None:
        """Leaves the cursor on a line of its own."""
        if self._moving:
            self._output.write(_CLEAR_LINE)
            self._output.flush()


def _lines(told: Json, *, moving: bool) -> Iterator[str]:
    words = sentence(told)
    clock = str(told["time"])[11:19]
    if words is not None:
        yield f"{clock}  {words}"
    elif told["type"] == "Snapshot" and not moving:
        yield f"{clock}  {progress(told['snapshot'])}"
