# SPDX-License-Identifier: Apache-2.0
"""The durable queue of callbacks between whoever makes them (recorder process, supervisor) and whoever sends them.

A callback is on disk, synced, with its sequence number before anybody may act on it, so the death of either process
loses none and changes no order. Sequences only grow; numbers are missing where a newer figure superseded an older one
that had not been acknowledged. Standard library only: the recorder process imports this module.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from cloud_recording.common.callback_names import CallbackName, Retention
from cloud_recording.common.error_codes import RecordingErrorCode

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS callbacks (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    writer TEXT NOT NULL,
    keep TEXT NOT NULL,
    type TEXT NOT NULL,
    document TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS callbacks_by_keep ON callbacks (keep, sequence);
CREATE TABLE IF NOT EXISTS told (
    sequence INTEGER PRIMARY KEY,
    writer TEXT NOT NULL,
    keep TEXT NOT NULL,
    type TEXT NOT NULL,
    document TEXT NOT NULL,
    told_ms INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""

INFORMATIVE_LIMIT: Final = 1_000
"""How many callbacks that only inform may wait; beyond, the oldest go. What decides a status is never dropped."""

TOLD_SECONDS: Final = 3600.0
"""How long a callback that was acknowledged is kept: the status is put back with a backup of the API server's store."""
TOLD_LIMIT: Final = 1_000

_ACKNOWLEDGED: Final = "acknowledged"
_LAST_POSSIBLE: Final = 2**63 - 1
_BUSY_SECONDS: Final = 30.0


def rfc3339(milliseconds: int) -> str:
    """A moment given in milliseconds since the epoch as callbacks carry it: UTC with milliseconds."""
    moment = datetime.fromtimestamp(milliseconds / 1000, tz=UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCallback:
    """A callback that has no sequence yet."""

    type: CallbackName
    time_ms: int
    payload: Mapping[str, Any]
    snapshot: Mapping[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """The callback as it is sent, but for its sequence."""
        snapshot = {} if self.snapshot is None else {"snapshot": self.snapshot}
        return {"type": self.type, "time": rfc3339(self.time_ms), **self.payload, **snapshot}

    def encoded(self) -> str:
        """The same as it is stored."""
        return json.dumps(self.as_json(), ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCallback:
    """A callback that waits to be acknowledged."""

    sequence: int
    type: str
    body: str

    def as_sent(self) -> dict[str, Any]:
        """The callback with its sequence."""
        return {"sequence": self.sequence, **json.loads(self.body)}


class Writer(StrEnum):
    """Who put a callback into the outbox."""

    RECORDER = "recorder"
    SUPERVISOR = "supervisor"


class Outbox:
    """The outbox at `path`. Several processes may have it open; each method is one transaction."""

    def __init__(self, path: Path, *, writer: Writer) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = writer
        self._connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.executescript(_SCHEMA)

    def close(self) -> None:
        """Gives the file back."""
        self._connection.close()

    def claim(self, owner: str, *, takes_over: bool = False) -> None:
        """Makes the outbox that of the pod `owner`: what another pod left cannot be sent with this one's identity.

        `takes_over` keeps it: nothing is sent then, and who does it knows whose part it is, as of a copy of a volume.

        What it would have told is in the engine's own index, and so in this pod's snapshots. It is written in any case,
        so that a volume that takes nothing is found out at once.
        """
        with self._transaction():
            if self._fact("owner") != owner and not takes_over:
                self._connection.execute("DELETE FROM callbacks")
                self._connection.execute("DELETE FROM told")
                self._connection.execute("DELETE FROM facts")
            self._remember("owner", owner)

    def begin_after(self, sequence: int) -> None:
        """Numbers callbacks from beyond a sequence: those of an outbox that cannot be read any more count as known."""
        with self._transaction():
            last = max(sequence, self.last_sequence())
            self._connection.execute("DELETE FROM sqlite_sequence WHERE name = 'callbacks'")
            self._connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('callbacks', ?)", (last,))

    def forget(self, name: CallbackName) -> None:
        """Has no callback of this name be told any more, nor again."""
        with self._transaction():
            self._connection.execute("DELETE FROM callbacks WHERE type = ?", (name,))
            self._connection.execute("DELETE FROM told WHERE type = ?", (name,))

    def append(self, callbacks: Sequence[NewCallback], *, facts: Mapping[str, str] | None = None) -> None:
        """Stores callbacks in order, with the facts that are true from then on."""
        lasting = _without_superseded(callbacks)
        with self._transaction():
            for figure in filter(_is_figure, lasting):
                self._connection.execute("DELETE FROM callbacks WHERE keep = ?", (figure.type,))
            self._connection.executemany(
                "INSERT INTO callbacks (writer, keep, type, document) VALUES (?, ?, ?, ?)",
                [(self._writer, _keep(item), item.type, item.encoded()) for item in lasting],
            )
            for name, value in (facts or {}).items():
                self._remember(name, value)
            if any(_keep(item) == Retention.WHILE_THERE_IS_ROOM for item in lasting):
                self._drop_old_information()

    def pending(
        self, *, limit: int, after: int = 0, up_to: int | None = None, writer: Writer | None = None
    ) -> list[StoredCallback]:
        """The oldest callbacks that wait, in order, of those between two sequences, by one writer or by all."""
        rows = self._connection.execute(
            "SELECT sequence, type, document FROM callbacks "
            "WHERE sequence > ? AND sequence <= ? AND writer IN (?, ?) ORDER BY sequence LIMIT ?",
            (after, _LAST_POSSIBLE if up_to is None else up_to, *((writer, writer) if writer else Writer), limit),
        )
        return [StoredCallback(sequence=sequence, type=kind, body=body) for sequence, kind, body in rows]

    def waiting(self) -> int:
        """How many callbacks wait."""
        return int(self._connection.execute("SELECT count(*) FROM callbacks").fetchone()[0])

    def acknowledge(self, sequence: int, *, now_ms: int) -> None:
        """Has nothing up to a sequence wait any more; what is more than a figure is kept for an hour."""
        kept = (Retention.ALWAYS, Retention.WHILE_THERE_IS_ROOM)
        with self._transaction():
            self._connection.execute(
                "INSERT OR REPLACE INTO told SELECT sequence, writer, keep, type, document, ? FROM callbacks "
                "WHERE sequence <= ? AND keep IN (?, ?)",
                (now_ms, sequence, *kept),
            )
            self._connection.execute("DELETE FROM callbacks WHERE sequence <= ?", (sequence,))
            self._connection.execute(
                "DELETE FROM told WHERE told_ms < ? OR sequence <= "
                "(SELECT sequence FROM told ORDER BY sequence DESC LIMIT 1 OFFSET ?)",
                (now_ms - round(TOLD_SECONDS * 1000), TOLD_LIMIT),
            )
            self._remember(_ACKNOWLEDGED, str(max(sequence, self._acknowledged())))

    def acknowledged(self) -> int:
        """The highest sequence that needed not be sent again, as far as was heard; 0 if none was."""
        return self._acknowledged()

    def recall(self, sequence: int) -> int:
        """Has everything beyond a sequence wait again, as far as it is kept; returns how many that are."""
        beyond = (sequence,)
        with self._transaction():
            recalled = self._connection.execute(
                "INSERT OR IGNORE INTO callbacks (sequence, writer, keep, type, document) "
                "SELECT sequence, writer, keep, type, document FROM told WHERE sequence > ?",
                beyond,
            ).rowcount
            self._connection.execute("DELETE FROM told WHERE sequence > ?", beyond)
            self._remember(_ACKNOWLEDGED, str(sequence))
        return recalled

    def drop(self, sequence: int) -> bool:
        """Forgets one callback, unless it decides a status; returns whether it is forgotten."""
        with self._transaction():
            found = "DELETE FROM callbacks WHERE sequence = ? AND keep != ?"
            return self._connection.execute(found, (sequence, Retention.ALWAYS)).rowcount > 0

    def last_sequence(self) -> int:
        """The last sequence ever given, 0 if none was."""
        row = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'callbacks'").fetchone()
        return int(row[0]) if row else 0

    def fact(self, name: str) -> str | None:
        """A fact that was stored together with callbacks."""
        return self._fact(name)

    def _fact(self, name: str) -> str | None:
        row = self._connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row else None

    def _acknowledged(self) -> int:
        return int(self._fact(_ACKNOWLEDGED) or 0)

    def _remember(self, name: str, value: str) -> None:
        self._connection.execute("INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)", (name, value))

    def _drop_old_information(self) -> None:
        self._connection.execute(
            "DELETE FROM callbacks WHERE keep = ? AND sequence <= "
            "(SELECT sequence FROM callbacks WHERE keep = ? ORDER BY sequence DESC LIMIT 1 OFFSET ?)",
            (Retention.WHILE_THERE_IS_ROOM, Retention.WHILE_THERE_IS_ROOM, INFORMATIVE_LIMIT),
        )

    def _transaction(self) -> _Transaction:
        return _Transaction(self._connection)


class _Transaction:
    """BEGIN IMMEDIATE … COMMIT: a reader that becomes a writer half way would fail under another process's write."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._connection.execute("COMMIT" if kind is None else "ROLLBACK")


def _is_figure(callback: NewCallback) -> bool:
    return callback.type.facts.retention is Retention.UNTIL_THE_NEXT


def _without_superseded(callbacks: Sequence[NewCallback]) -> list[NewCallback]:
    """All but the figures that later ones among them replace."""
    newest = {item.type: item for item in callbacks if _is_figure(item)}
    return [item for item in callbacks if newest.get(item.type, item) is item]


def _keep(callback: NewCallback) -> str:
    """How long a callback is kept: a figure under its own name, by which the next one finds it."""
    if _is_figure(callback):
        return callback.type
    # That nobody is there ends a recording, though it comes as a failure.
    decides = callback.payload.get("code") == RecordingErrorCode.NO_USERS
    return Retention.ALWAYS if decides else callback.type.facts.retention
