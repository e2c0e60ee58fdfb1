# SPDX-License-Identifier: Apache-2.0
"""Begins a supervisor whatever has become of its outbox: what waits on the volume is worth more than it.

An outbox that is damaged is put aside, and one that cannot be used is begun on the node's disk. Where the volume takes
nothing and holds nothing, the part is concluded: another pod, perhaps on another node, is the better try.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import tempfile
from pathlib import Path
from typing import Final

from cloud_recording.common.json_logging import Redactor
from cloud_recording.runner.faults import RecordingFault
from cloud_recording.runner.supervisor.callback_delivery import Receiver
from cloud_recording.runner.supervisor.clock import now
from cloud_recording.runner.supervisor.part_store import OUTBOX
from cloud_recording.runner.supervisor.supervisor import PodContext, Supervisor

logger = logging.getLogger(__name__)

_WITHOUT_FAULT: Final = frozenset({"BUSY", "LOCKED", "FULL", "READONLY", "IOERR", "CANTOPEN", "PERM", "AUTH", "NOMEM"})
"""What SQLite calls errors of the place and the moment; any other says that the file is not what it should be."""


def recovered_supervisor(pod: PodContext, *, receiver: Receiver, redactor: Redactor) -> Supervisor:
    """The part's supervisor, with the outbox that there is, or a new one."""
    elsewhere = Path(tempfile.gettempdir()) / "cloud-recording" / OUTBOX
    if elsewhere.exists():
        supervisor = Supervisor(pod, receiver=receiver, redactor=redactor, outbox=elsewhere)
    else:
        try:
            supervisor = Supervisor(pod, receiver=receiver, redactor=redactor)
        except (OSError, sqlite3.Error) as error:
            return _with_new_outbox(pod, error, elsewhere, receiver=receiver, redactor=redactor)
    if supervisor.has_blank_outbox and (elsewhere.exists() or _has_put_aside(pod.work)):
        # A supervisor that died here had begun another, and not got to say so.
        supervisor.begin_with_new_outbox()
    return supervisor


def _with_new_outbox(
    pod: PodContext, error: OSError | sqlite3.Error, elsewhere: Path, *, receiver: Receiver, redactor: Redactor
) -> Supervisor:
    damaged = isinstance(error, sqlite3.Error) and _is_damaged(error)
    outbox = None if damaged else elsewhere
    try:
        aside = _put_aside(pod.work / OUTBOX, now_ms=now().wall_ms) if damaged else None
        logger.error("the outbox cannot be used; a new one is begun", extra={"error": str(error), "aside": str(aside)})
        supervisor = Supervisor(pod, receiver=receiver, redactor=redactor, outbox=outbox)
    except (OSError, sqlite3.Error):
        outbox = elsewhere
        supervisor = Supervisor(pod, receiver=receiver, redactor=redactor, outbox=outbox)
    if outbox is elsewhere and not _has_files(pod.work):
        fault = RecordingFault(f"the work volume {pod.work} cannot be written: {error}")
        logger.error("the work volume cannot be written", extra={"error": fault.message})
        supervisor.conclude_unwritable(fault)
    else:
        supervisor.begin_with_new_outbox()
    return supervisor


def _has_files(work: Path) -> bool:
    """Whether a recorder left something on the volume, as far as that can be told."""
    try:
        return any(not entry.name.startswith((OUTBOX, "lost+found")) for entry in work.iterdir())
    except OSError:
        return False


def _is_damaged(error: sqlite3.Error) -> bool:
    """Whether the outbox itself is broken, so that it can never be used again."""
    name = getattr(error, "sqlite_errorname", "") or ""
    return name.removeprefix("SQLITE_").partition("_")[0] not in _WITHOUT_FAULT


_BROKEN: Final = ".broken-"


def _has_put_aside(work: Path) -> bool:
    return any(work.glob(f"{OUTBOX}{_BROKEN}*"))


def _put_aside(path: Path, *, now_ms: int) -> Path:
    """Moves a broken outbox out of the way, with what SQLite keeps beside it; returns its new path."""
    aside = path.with_name(f"{path.name}{_BROKEN}{now_ms}")
    for suffix in ("-wal", "-shm", ""):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    return aside
