# SPDX-License-Identifier: Apache-2.0
"""One recording without a cluster: the pods' supervisor, with a terminal and this process for operator.

Ctrl-C stops the recording in order, and what is left is uploaded; a second Ctrl-C gives the upload up. SIGTERM means
what it means in a pod. SIGUSR1 has the manifest read again: who is added to its streams joins, who is removed leaves. A
recording that was killed goes on under its id, as in a pod whose container is started again; of one that has ended,
what could not be uploaded is tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import signal
import sqlite3
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cloud_recording.api.recording import DesiredRecordingState
from cloud_recording.api.wire import Summary
from cloud_recording.common.callback_names import CallbackName
from cloud_recording.common.json_logging import Redactor
from cloud_recording.runner import process_log
from cloud_recording.runner.local.exit_statuses import EXIT_INCOMPLETE, EXIT_RECORDED, exit_status_of
from cloud_recording.runner.local.manifest import Manifest, ManifestError
from cloud_recording.runner.local.pod_files import PodFiles
from cloud_recording.runner.local.terminal import Terminal
from cloud_recording.runner.supervisor.clock import now
from cloud_recording.runner.supervisor.part_log import log_fields
from cloud_recording.runner.supervisor.part_state import Facts
from cloud_recording.runner.supervisor.part_store import OUTBOX
from cloud_recording.runner.supervisor.supervisor import PodContext, Supervisor

_SHOW_SECONDS: Final = 1.0


_EDITED_IN_PART: Final = (
    "the manifest was read again: of what was edited `channel.streams`, `recording.video.layout`, `maxResolutionUid`, "
    "`maxResolutionIdentity`, `desiredState` and `uploadGraceSeconds` count, and all else when a recording begins"
)


class ResumeError(Exception):
    """The recording cannot be gone on with; the text says why, and the way out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalHost:
    """What this machine lends the recording."""

    engine: str
    work: Path


class LocalRun:
    """One recording of one manifest."""

    def __init__(
        self,
        manifest: Manifest,
        host: LocalHost,
        *,
        mounted: Path,
        resumed: uuid.UUID | None = None,
        rescues: bool = False,
        reread: Callable[[], Manifest] | None = None,
    ) -> None:
        """`rescues`: nothing more is recorded. `reread` reads the manifest again, which may have been edited."""
        self._manifest = manifest
        self._reread = reread
        self._resumes = resumed is not None
        self._rescues = rescues
        self._uid = resumed or uuid.uuid4()
        self._work = host.work / self._uid.hex
        self._host = host
        self._files = PodFiles(manifest, mounted, uid=self._uid, engine=host.engine)
        self._terminal = Terminal(on_callback=self._on_callback)
        self._supervisor: Supervisor | None = None
        self._interrupted = 0
        self._playlist: str | None = None
        self._is_limited = False

    async def run(self) -> int:
        """Records until it is over and returns the exit status."""
        self._files.lay_out()
        if self._resumes:
            self._check_resumable()
        self._work.mkdir(parents=True, exist_ok=True)
        redactor = Redactor()
        with self._locked(), (self._work / "log.jsonl").open("a", encoding="utf-8") as log:
            fields = log_fields(self._files.mounts.recording())
            process_log.set_up(process="supervisor", redactor=redactor, stream=log, fields=fields)
            self._supervisor = self._supervisor_of(redactor)
            summary = await self._supervise(self._supervisor)
            logging.shutdown()
        return self._conclude(summary)

    def _check_resumable(self) -> None:
        if not self._work.is_dir():
            raise ResumeError(f"there is no recording {self._uid.hex} in {self._host.work}")
        if self._files.desired.state is DesiredRecordingState.STOPPED and not (self._work / OUTBOX).exists():
            # Nobody would know that there is something to upload.
            raise ResumeError(
                f"{self._work}/{OUTBOX} is gone, which knows what was recorded; `run --resume` records on"
            )

    def _supervisor_of(self, redactor: Redactor) -> Supervisor:
        pod = PodContext(mounts=self._files.mounts, work=self._work, termination_message=None, pod_uid=str(self._uid))
        try:
            return Supervisor(pod, receiver=self._terminal, redactor=redactor, reopen=True, patient=False)
        except sqlite3.OperationalError:
            # Locked, or no room: nothing is damaged.
            raise
        except sqlite3.DatabaseError as error:
            # What was recorded is in the engine's own files; this one remembers what was told of it.
            message = f"{self._work}/{OUTBOX} cannot be used: {error}; remove {OUTBOX}* there, and it records on"
            raise ResumeError(message) from None

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Keeps the recording from being resumed by another process, until this one ends."""
        with (self._work / "run.lock").open("w", encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ResumeError(f"{self._uid.hex} is being recorded by another process") from None
            yield

    async def _supervise(self, supervisor: Supervisor) -> Summary:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        loop.add_signal_handler(signal.SIGTERM, supervisor.terminate)
        loop.add_signal_handler(signal.SIGUSR1, self._edit)
        does = "rescuing" if self._rescues else "going on with" if self._resumes else "recording"
        self._terminal.say(f"{does} {self._manifest.name} as {self._uid.hex}; files and log: {self._work}")
        shown = asyncio.create_task(self._show(supervisor))
        try:
            return await supervisor.run()
        finally:
            # Nothing is left that they could end; after the loop, which handles them, they would be tracebacks.
            signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
            self._supervisor = None
            shown.cancel()
            self._terminal.show(supervisor.facts.snapshot)
            await self._terminal.close()

    async def _show(self, supervisor: Supervisor) -> None:
        while True:
            self._terminal.show(supervisor.facts.snapshot)
            self._limit(supervisor.facts)
            await asyncio.sleep(_SHOW_SECONDS)

    def _on_callback(self, callback: Mapping[str, Any]) -> None:
        if callback["type"] == CallbackName.UPLOADED:
            self._playlist = str(callback["fileName"])

    def _limit(self, facts: Facts) -> None:
        """Does what the operator would do: counts the longest duration from the first media on."""
        limit, since = self._manifest.spec.max_duration_seconds, facts.started_monotonic
        if self._is_limited or limit is None or since is None or facts.stopped_at is not None:
            return
        self._is_limited = True
        left = limit - (now().monotonic - since)
        asyncio.get_running_loop().call_later(max(left, 0), self._stop, "maxDurationSeconds is over; stopping")

    def _edit(self) -> None:
        """Does what the API server and the operator would do with an edit."""
        if self._reread is None:
            return self._terminal.say("there is no manifest that could be read again: the URLs stay as they are")
        try:
            whole = self._files.edit(self._reread())
        except ManifestError as error:
            self._terminal.say(f"the edited manifest is not taken: {error}")
        else:
            self._terminal.say("the manifest was read again" if whole else _EDITED_IN_PART)

    def _interrupt(self) -> None:
        self._interrupted += 1
        if self._interrupted == 1:
            is_stopped = self._files.desired.state is DesiredRecordingState.STOPPED
            does = "" if is_stopped else "stopping; "
            self._terminal.say(f"{does}what is left is uploaded (Ctrl-C again gives that up)")
            self._files.change_desired(state=DesiredRecordingState.STOPPED)
        elif self._supervisor is not None:
            self._terminal.say("giving up the upload")
            self._files.change_desired(upload_grace_seconds=0)
            self._supervisor.terminate()

    def _stop(self, reason: str) -> None:
        if self._files.desired.state is not DesiredRecordingState.STOPPED:
            self._terminal.say(reason)
            self._files.change_desired(state=DesiredRecordingState.STOPPED)

    def _conclude(self, summary: Summary) -> int:
        code, words = exit_status_of(summary)
        again = "the same command" if self._rescues else f"--resume {self._uid.hex}"
        kept = f"; it is kept in {self._work}, and {again} tries again"
        self._terminal.say(words if code != EXIT_INCOMPLETE else words + kept)
        directory = self._manifest.directory
        if directory is not None and code == EXIT_RECORDED and self._playlist is not None:
            self._terminal.say(f"play {directory / self._playlist}")
        return code
