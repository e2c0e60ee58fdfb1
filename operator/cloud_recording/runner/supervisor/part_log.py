# SPDX-License-Identifier: Apache-2.0
"""The log lines that tell a part's story: what was called back, and who had the recorder do what."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from cloud_recording.api.wire import RecordingDocument
from cloud_recording.common.callback_names import Retention, callback_facts
from cloud_recording.common.log_limit import LINE_KIND
from cloud_recording.runner.control_protocol import Command
from cloud_recording.runner.supervisor.part_actions import EDITS, SPEC_FIELDS, Send
from cloud_recording.runner.supervisor.part_state import State

logger = logging.getLogger(__name__)

_NOT_LOGGED: Final = frozenset({"type", "time", "sequence", "snapshot"})
"""What a callback's line has anyway, and what is too much for one."""


def log_fields(document: RecordingDocument) -> dict[str, object]:
    """What every line of a part's log says: whose it is."""
    return {"namespace": document.namespace, "recording": document.name, "part": document.part.number}


def log_callback(kind: str, payload: Mapping[str, Any], *, by: str) -> None:
    """A line for what changes something: figures come every second, and are in the metrics."""
    if callback_facts(kind).retention is Retention.UNTIL_THE_NEXT:
        return
    # Under names that a log record does not use itself.
    named = {f"callback.{name}": value for name, value in payload.items() if name not in _NOT_LOGGED}
    # A storm of failures must not keep the end of the recording out of the log.
    logger.info("callback: %s", kind, extra={"by": by, LINE_KIND: kind, **named})


def log_command(send: Send, state: State) -> None:
    """What the recorder is told to do, and by whom: a field of the spec, the pod's end, or what has happened."""
    by = _ordered_by(send.command, state)
    logger.info("command: %s", send.command, extra={"by": by, LINE_KIND: send.command, **_shown(send)})


def _shown(send: Send) -> Mapping[str, Any]:
    """The arguments, without the addresses of people."""
    if send.command is Command.STREAMS:
        return {"participants": [stream.uid for stream in send.arguments["streams"]]}
    return send.arguments


def _ordered_by(command: Command, state: State) -> str:
    if command in EDITS:
        return " and ".join(state.edited.get(command, ()))
    if state.terminated_at is not None:
        return "the pod's end"
    return SPEC_FIELDS["state"] if state.facts.ending is None else f"the part's end: {state.facts.ending}"
