# SPDX-License-Identifier: Apache-2.0
"""What the supervisor and its recorder process say to each other, as JSON lines over a socket pair.

A job names the files that hold secrets, never their contents: the recorder process reads them itself when it begins.
Standard library only: the recorder process imports this module.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

CONTROL_DESCRIPTOR_OPTION: Final = "--control-descriptor"

EXIT_ORPHANED: Final = 3
"""The supervisor is gone: nobody is left to report to or to be stopped by."""


class Mode(StrEnum):
    """What a recorder process is for."""

    RECORD = "record"
    RESCUE = "rescue"
    MERGE = "merge"


class Command(StrEnum):
    """What the supervisor tells the recorder process."""

    BEGIN = "begin"
    STOP = "stop"
    PAUSE = "pause"
    LAYOUT = "layout"
    STORAGE = "storage"
    STREAMS = "streams"
    GIVE_UP = "give-up"


class Answer(StrEnum):
    """What the recorder process has done, beside its commands; with a refusal: what the engine would not do."""

    RELEASE = "release"
    RESCUE = "rescue"
    MERGE = "merge"


class Report(StrEnum):
    """What the recorder process tells the supervisor. CALLBACKS says that there are new ones in the outbox."""

    LOADED = "loaded"
    CALLBACKS = "callbacks"
    HEARTBEAT = "heartbeat"
    ANSWER = "answer"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretText:
    """A text that is either known to everybody or in a file; the file wins."""

    value: str | None = None
    path: str | None = None

    def read(self) -> str | None:
        """The text. Files lose their final line break, which most tools that make Secrets append."""
        if self.path is None:
            return self.value
        return Path(self.path).read_text(encoding="utf-8").rstrip("\r\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Everything a recorder process needs to record, or to rescue, one part, or to make one playlist over several."""

    mode: Mode
    work_directory: str
    recording_id: str
    channel_name: str
    app_id: SecretText
    token: SecretText | None
    uid: int
    access_key: SecretText
    secret_key: SecretText
    decryption_secret: SecretText | None
    bucket: str
    numbers: Mapping[str, int]
    """The arguments of StartCloudRecording that are numbers, by the names of `StartParameters`."""
    configuration: Mapping[str, Any] = field(default_factory=dict)
    """The configuration document of engines that take one."""

    def as_json(self) -> dict[str, Any]:
        """The job as `from_json` reads it."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Job:
        """The job that `as_json` wrote."""
        texts = {
            name: None if value[name] is None else SecretText(**value[name])
            for name in ("app_id", "token", "access_key", "secret_key", "decryption_secret")
        }
        return cls(**{**value, **texts, "mode": Mode(value["mode"])})


def encode(message: Mapping[str, Any]) -> bytes:
    """One message as a line."""
    return json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> dict[str, Any]:
    """The message of a line."""
    message = json.loads(line)
    if not isinstance(message, dict):
        raise TypeError("a message must be an object")
    return message
