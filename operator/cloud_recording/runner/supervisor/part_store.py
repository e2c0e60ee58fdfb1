# SPDX-License-Identifier: Apache-2.0
"""What must survive the supervisor: the part's facts, stored in a transaction with the callbacks that tell them."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Final

from cloud_recording import __version__
from cloud_recording.api.storage_place import place_record
from cloud_recording.api.wire import RecordingDocument
from cloud_recording.common.callback_names import CallbackName
from cloud_recording.runner.outbox import NewCallback, Outbox, StoredCallback, Writer
from cloud_recording.runner.supervisor.clock import now
from cloud_recording.runner.supervisor.part_actions import EmitCallback
from cloud_recording.runner.supervisor.part_events import CallbackStored
from cloud_recording.runner.supervisor.part_state import Facts, Moment

logger = logging.getLogger(__name__)

OUTBOX: Final = "outbox.sqlite3"
FACTS: Final = "facts"
_HANDED_OVER: Final = "handed over"
_READ_AT_ONCE: Final = 200


class PartStore:
    """The outbox, as the supervisor uses it for one part."""

    def __init__(self, path: Path, document: RecordingDocument, *, owner: str, takes_over: bool) -> None:
        """`takes_over` keeps what another `owner` left there: that of a pod whose volume was copied."""
        self.path = path
        self.outbox = Outbox(path, writer=Writer.SUPERVISOR)
        self._document = document
        self._owner = owner
        self.outbox.claim(owner, takes_over=takes_over)
        self.is_blank = self.outbox.fact(FACTS) is None
        """Whether it had nothing to say of the part when it was opened."""

    @property
    def is_handed_over(self) -> bool:
        """Whether the part that another pod had come to an end with goes on in this one."""
        return self.outbox.fact(_HANDED_OVER) == self._owner

    def facts(self) -> Facts:
        """What is known of the part from before."""
        stored = self.outbox.fact(FACTS)
        try:
            facts = Facts() if stored is None else Facts.from_json(json.loads(stored))
        except (KeyError, TypeError, ValueError) as error:
            logger.warning("what was known of the part cannot be read", extra={"error": str(error)})
            facts = Facts(captured=True)
        if facts.place is not None:
            return facts
        return replace(facts, place=place_record(self._document.storage))

    def begin(self) -> None:
        """Has every callback from now on follow those of an outbox that is not to be had any more."""
        self.outbox.begin_after(now().wall_ms)

    def hand_over(self, facts: Facts) -> None:
        """Has the part that another pod had come to an end with go on: all that it told stays so, but for the end.

        The outbox may be older than the one by which the operator knows the part, or a new one. It is handed over once
        all of it is stored: a supervisor that dies before begins with it again.
        """
        self.outbox.forget(CallbackName.FINISHED)
        self.begin()
        self.outbox.append([], facts={FACTS: _encoded(facts), _HANDED_OVER: self._owner})

    def write(self, facts: Facts, emitted: Sequence[EmitCallback] = ()) -> None:
        """Stores the facts, with the callbacks that tell of them."""
        callbacks = [self._new_callback(callback, facts) for callback in emitted]
        self.outbox.append(callbacks, facts={FACTS: _encoded(facts)})

    def unread(self, *, after: int, up_to: int) -> list[CallbackStored]:
        """The next callbacks that a recorder process stored, as many as are read at once."""
        stored = self.outbox.pending(limit=_READ_AT_ONCE, after=after, up_to=up_to, writer=Writer.RECORDER)
        return [_event(callback) for callback in stored]

    def _new_callback(self, emitted: EmitCallback, facts: Facts) -> NewCallback:
        payload = dict(emitted.payload)
        if emitted.type is CallbackName.RUNNER_STARTED:
            payload |= {"runnerVersion": __version__, "engineName": self._document.engine.name}
        # What the supervisor says of its own accord may come after a callback that has a newer account beside it.
        snapshot = facts.snapshot if emitted.type.facts.carries_last_snapshot else None
        return NewCallback(type=emitted.type, time_ms=now().wall_ms, payload=payload, snapshot=snapshot)


def lasting(facts: Facts) -> Facts:
    """Facts but for the snapshot, which changes every second and comes again by itself."""
    return replace(facts, snapshot=None)


def _encoded(facts: Facts) -> str:
    return json.dumps(facts.as_json())


def _event(stored: StoredCallback) -> CallbackStored:
    sent = stored.as_sent()
    moment = datetime.fromisoformat(sent["time"])
    return CallbackStored(
        sequence=stored.sequence,
        type=stored.type,
        time_ms=round(moment.timestamp() * 1000),
        payload=sent,
        snapshot=sent.get("snapshot"),
    )


def resumed(facts: Facts, *, boot: str, now: Moment) -> Facts:
    """The facts in a supervisor that was started again: on a machine that was, too, only the wall clock went on."""
    since = facts.started_monotonic
    if facts.boot != boot and since is not None and facts.started_at is not None:
        since = now.monotonic - max(0.0, (now.wall_ms - facts.started_at) / 1000)
    return replace(facts, boot=boot, started_monotonic=since)
