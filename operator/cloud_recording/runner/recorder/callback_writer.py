# SPDX-License-Identifier: Apache-2.0
"""Writes what the engine says into the outbox, without secrets, before the supervisor hears of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from cloud_recording.common.callback_names import CallbackName
from cloud_recording.common.json_logging import Redactor
from cloud_recording.common.json_types import Json
from cloud_recording.runner.faults import RecordingFault
from cloud_recording.runner.outbox import NewCallback, Outbox
from cloud_recording.runner.recorder.engine import CallbackType, EngineCallback
from cloud_recording.runner.recorder.engine_callbacks import name_of, payload_of
from cloud_recording.runner.recorder.snapshot_pacing import SnapshotPacing


class CallbackWriter:
    """The recorder process's end of the outbox; `on_stored` is called after each transaction."""

    def __init__(self, outbox: Outbox, *, redactor: Redactor, on_stored: Callable[[], None]) -> None:
        self._outbox = outbox
        self._redactor = redactor
        self._on_stored = on_stored
        self._pacing = SnapshotPacing()

    def parsed(self, status: str) -> Json:
        """The engine's account of itself, from its JSON."""
        snapshot: Json = self._clean(json.loads(status))
        return snapshot

    def write(self, callbacks: Sequence[EngineCallback], snapshot: Json | None) -> None:
        """Stores calls of the engine in one transaction; each failure has the cause that was its own."""
        self._store(
            [
                NewCallback(
                    type=name_of(callback, snapshot=snapshot),
                    time_ms=callback.time_ms,
                    payload=self._payload(callback, snapshot),
                    # One snapshot speaks for the whole batch: it was taken after the last of it. Whether who begins
                    # is paused is told by nothing else.
                    snapshot=snapshot if callback is callbacks[-1] or callback.type is CallbackType.STARTED else None,
                )
                for callback in callbacks
            ]
        )

    def _payload(self, callback: EngineCallback, snapshot: Json | None) -> Json:
        # Cleaned first: the snapshot is, and its causes are found by the callback's text.
        payload: Json = self._clean(payload_of(replace(callback, text=self._clean(callback.text)), snapshot=snapshot))
        return payload

    def write_snapshot(self, snapshot: Json | None) -> None:
        """Stores a snapshot that no callback carries, when it is time for one."""
        if snapshot is not None and self._pacing.is_due(snapshot, now=time.monotonic()):
            self._store([NewCallback(type=CallbackName.SNAPSHOT, time_ms=_now_ms(), payload={}, snapshot=snapshot)])

    def write_fault(self, fault: RecordingFault, snapshot: Json | None) -> None:
        """Stores what ended the recording where the engine itself could not say so."""
        payload = self._clean({"code": fault.code, "message": fault.message})
        fatal = NewCallback(type=CallbackName.FATAL_ERROR, time_ms=_now_ms(), payload=payload, snapshot=snapshot)
        self._store([fatal])

    def _store(self, callbacks: Sequence[NewCallback]) -> None:
        self._outbox.append(callbacks)
        for callback in callbacks:
            if callback.snapshot is not None:
                self._pacing.sent(callback.snapshot, now=time.monotonic())
        self._on_stored()

    def _clean(self, value: Any) -> Any:  # noqa: ANN401 - JSON in, the same JSON out
        """The value with secrets taken out of every text in it: engines may quote what they were given."""
        if isinstance(value, str):
            return self._redactor.redact(value)
        if isinstance(value, dict):
            return {name: self._clean(item) for name, item in value.items()}
        return [self._clean(item) for item in value] if isinstance(value, list) else value


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
