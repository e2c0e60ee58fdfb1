# SPDX-License-Identifier: Apache-2.0
"""The files that the kubelet shows to the pod: what to record, what is desired now, and which secrets are there.

Changes are found by looking, four times a second, at a handful of inodes. That costs some ten microseconds of CPU a
second and reaches the kubelet's own latency; inotify would cost each pod one of the node's inotify instances, of
which a user has 128 by default, and all recorders of a node run as the same user.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from cloud_recording.api.wire import DesiredState, RecordingDocument
from cloud_recording.runner.faults import ProcessFault

POLL_SECONDS: Final = 0.25

Model = TypeVar("Model", bound=BaseModel)


class UnreadableMount(ProcessFault):
    """A file that the pod must have is not there, or is not what it should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadDesired:
    """The desired state, and which of its fields could not be read: there what was desired before holds on."""

    state: DesiredState
    unread: tuple[str, ...] = ()
    unknown: Mapping[str, Any] = field(default_factory=dict)
    """What it says in fields that this release does not have; null is no wish."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mounts:
    """Where things are mounted."""

    pod: Path
    secrets: Path
    token: Path

    @property
    def authorities(self) -> Path:
        """PEM of what signs the operator's certificate."""
        return self.pod / "callback-ca.pem"

    def recording(self) -> RecordingDocument:
        """What to record; it does not change while the pod lives."""
        return _read(self.pod / "recording.json", RecordingDocument)

    def desired(self, *, known: DesiredState | None = None) -> ReadDesired:
        """What is desired now; of what cannot be read of it the `known` holds on, if there is any.

        A newer operator may have words for a layout that this release has not: a stop beside it must be heard all the
        same.
        """
        try:
            state = _read(self.desired_path, DesiredState)
        except UnreadableMount:
            if known is None:
                raise
            return _renewed(known, self.desired_path)
        return ReadDesired(state=state, unknown=_unknown(_document(self.desired_path)))

    @property
    def desired_path(self) -> Path:
        """The file of the desired state."""
        return self.pod / "desired.json"


def _read(path: Path, model: type[Model]) -> Model:
    try:
        # Operators of a newer release write fields of the spec that this one does not know, with their defaults.
        return model.model_validate_json(path.read_bytes(), extra="ignore")
    except OSError as error:
        raise UnreadableMount(f"{path}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(step) for step in first["loc"])
        raise UnreadableMount(f"{path}: {where}: {first['msg']}") from error


def _renewed(known: DesiredState, path: Path) -> ReadDesired:
    """The known state with each field of the document that can be read."""
    document = _document(path)
    state = known.model_dump(mode="json", by_alias=True)
    unread = []
    for name, value in document.items():
        try:
            DesiredState.model_validate({**state, name: value}, extra="ignore")
        except ValidationError:
            unread.append(name)
        else:
            state[name] = value
    renewed = DesiredState.model_validate(state, extra="ignore")
    return ReadDesired(state=renewed, unread=tuple(unread), unknown=_unknown(document))


_FIELDS: Final = frozenset(known.alias or name for name, known in DesiredState.model_fields.items())


def _unknown(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in _FIELDS and value is not None}


def _document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise UnreadableMount(f"{path}: {error}") from error
    if not isinstance(document, dict):
        raise UnreadableMount(f"{path}: must be an object")
    return document


class WatchedFile:
    """A file of a volume that is replaced by switching a symbolic link, or by renaming."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = self._identity()

    def changed(self) -> bool:
        """Whether the file is another one, or has other content, than when this was last asked."""
        before, self._seen = self._seen, self._identity()
        return self._seen != before

    def _identity(self) -> tuple[int, int, int] | None:
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return stat.st_ino, stat.st_mtime_ns, stat.st_size
