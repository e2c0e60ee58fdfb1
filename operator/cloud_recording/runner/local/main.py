# SPDX-License-Identifier: Apache-2.0
"""`cloud-recording run`: records a manifest on this machine, without a cluster.

The supervisor is the one that pods run; a terminal takes the operator's place. Ctrl-C stops the recording in order, and
what is left is uploaded; a second Ctrl-C gives the upload up. SIGTERM means what it means in a pod. With `--resume`, a
recording that was killed goes on under its id, as in a pod whose container is started again; of one that has ended,
what could not be uploaded is tried again.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import json
import logging
import os
import signal
import sqlite3
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cloud_recording.api.channel import URL_SCHEMES
from cloud_recording.api.phrases import counted
from cloud_recording.api.recording import DesiredRecordingState
from cloud_recording.api.status import Outcome
from cloud_recording.api.wire import ABSENT, DesiredState, EngineLibrary, PartIdentity, RecordingDocument, Summary
from cloud_recording.common.json_logging import Redactor
from cloud_recording.runner import process_log
from cloud_recording.runner.local.manifest import Manifest, ManifestError, load
from cloud_recording.runner.local.terminal import Terminal
from cloud_recording.runner.supervisor.mounts import Mounts
from cloud_recording.runner.supervisor.part_state import Facts
from cloud_recording.runner.supervisor.recorder_job import Assignment
from cloud_recording.runner.supervisor.supervisor import OUTBOX, PodContext, Supervisor, log_fields

EXIT_RECORDED: Final = 0
EXIT_FAILED: Final = 1
EXIT_INVALID: Final = 2
EXIT_NOTHING: Final = 3
EXIT_FATAL: Final = 4
EXIT_INCOMPLETE: Final = 5

_LIBRARY: Final = "libagora-cloud-recording-client.so"
_SHOW_SECONDS: Final = 1.0

_EXITS: Final = f"""exit status:
  {EXIT_RECORDED}  recorded, and everything is stored
  {EXIT_FAILED}  the program failed
  {EXIT_INVALID}  wrong arguments, or a manifest that cannot be recorded, or nothing to resume
  {EXIT_NOTHING}  nothing was recorded
  {EXIT_FATAL}  the recording could not go on
  {EXIT_INCOMPLETE}  something could not be uploaded; it is kept in the work directory (see --resume)
"""


class ResumeError(Exception):
    """What `--resume` names cannot be gone on with; the text says why, and the way out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalHost:
    """What this machine lends the recording."""

    engine: str
    work: Path


class LocalRun:
    """One recording of one manifest."""

    def __init__(self, manifest: Manifest, host: LocalHost, *, mounted: Path, resumed: uuid.UUID | None = None) -> None:
        self._manifest = manifest
        self._resumes = resumed is not None
        self._uid = resumed or uuid.uuid4()
        self._work = host.work / self._uid.hex
        self._host = host
        self._mounts = Mounts(pod=mounted / "pod", secrets=mounted / "secrets", token=mounted / "token")
        self._desired = _first_desired(manifest)
        self._terminal = Terminal(on_callback=self._on_callback)
        self._supervisor: Supervisor | None = None
        self._interrupted = 0

    async def run(self) -> int:
        """Records until it is over and returns the exit status."""
        self._mount()
        if self._resumes:
            self._check_resumable()
        self._work.mkdir(parents=True, exist_ok=True)
        redactor = Redactor()
        with self._held(), (self._work / "log.jsonl").open("a", encoding="utf-8") as log:
            fields = log_fields(self._mounts.recording())
            process_log.set_up(process="supervisor", redactor=redactor, stream=log, fields=fields)
            self._supervisor = self._supervisor_of(redactor)
            self._limit(self._supervisor.facts)
            summary = await self._supervise(self._supervisor)
            logging.shutdown()
        return self._conclude(summary)

    def _check_resumable(self) -> None:
        if not self._work.is_dir():
            raise ResumeError(f"--resume: there is no recording {self._uid.hex} in {self._host.work}")
        if self._desired.state is DesiredRecordingState.STOPPED and not (self._work / OUTBOX).exists():
            # Nobody would know that there is something to upload.
            raise ResumeError(f"--resume: {self._work}/{OUTBOX} is gone; without `desiredState: Stopped` it records on")

    def _supervisor_of(self, redactor: Redactor) -> Supervisor:
        pod = PodContext(mounts=self._mounts, work=self._work, termination_message=None, pod_uid=str(self._uid))
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
    def _held(self) -> Iterator[None]:
        """Keeps the recording from being resumed by another process, until this one ends."""
        with (self._work / "run.lock").open("w", encoding="ascii") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ResumeError(f"--resume: {self._uid.hex} is being recorded by another process") from None
            yield

    async def _supervise(self, supervisor: Supervisor) -> Summary:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        loop.add_signal_handler(signal.SIGTERM, supervisor.terminate)
        does = "going on with" if self._resumes else "recording"
        self._terminal.say(f"{does} {self._manifest.name} as {self._uid.hex}; files and log: {self._work}")
        shown = asyncio.create_task(self._show(supervisor))
        try:
            return await supervisor.run()
        finally:
            shown.cancel()
            self._terminal.show(supervisor.facts.snapshot)
            await self._terminal.close()

    async def _show(self, supervisor: Supervisor) -> None:
        while True:
            self._terminal.show(supervisor.facts.snapshot)
            await asyncio.sleep(_SHOW_SECONDS)

    def _on_callback(self, callback: Mapping[str, Any]) -> None:
        if callback["type"] == "RecordingStarted" and self._supervisor is not None:
            self._limit(self._supervisor.facts)

    def _limit(self, facts: Facts) -> None:
        """Does what the operator would do: counts the longest duration from the start, whichever process saw that."""
        limit = self._manifest.spec.max_duration_seconds
        if limit is None or facts.started_at is None or facts.stopped_at is not None:
            return
        left = limit - (time.time() - facts.started_at / 1000)
        asyncio.get_running_loop().call_later(max(left, 0), self._stop, "maxDurationSeconds is over; stopping")

    def _interrupt(self) -> None:
        self._interrupted += 1
        if self._interrupted == 1:
            self._stop("stopping; what is left is uploaded (Ctrl-C again gives that up)")
        elif self._supervisor is not None:
            self._terminal.say("giving up the upload")
            self._want(upload_grace_seconds=0)
            self._supervisor.terminate()

    def _stop(self, reason: str) -> None:
        if self._desired.state is not DesiredRecordingState.STOPPED:
            self._terminal.say(reason)
            self._want(state=DesiredRecordingState.STOPPED)

    def _want(self, **changes: object) -> None:
        generation = self._desired.generation + 1
        self._desired = self._desired.model_copy(update={**changes, "generation": generation})
        _write(self._mounts.desired_path, self._desired.model_dump(mode="json", by_alias=True))

    def _mount(self) -> None:
        """Lays the files out as the kubelet would; all secrets must be there, for nobody will create one later."""
        document = self._document()
        self._mounts.pod.mkdir()
        _write(self._mounts.pod / "recording.json", document.model_dump(mode="json", by_alias=True, exclude_none=True))
        _write(self._mounts.desired_path, self._desired.model_dump(mode="json", by_alias=True))
        for name, keys in self._manifest.secrets.items():
            (self._mounts.secrets / name).mkdir(parents=True)
            for key, content in keys.items():
                (self._mounts.secrets / name / key).write_bytes(content)
        missing = Assignment(document, secrets=self._mounts.secrets, work=self._work).missing_secrets()
        if missing:
            raise ManifestError(
                "\n".join(
                    f"{secret.field}: the files hold no Secret {secret.secret_name!r} with the key {secret.key!r}"
                    if secret.problem == ABSENT
                    else f"{secret.field}: {secret.sentence()}"
                    for secret in missing
                )
            )

    def _document(self) -> RecordingDocument:
        spec = self._manifest.spec
        return RecordingDocument(
            namespace=self._manifest.namespace,
            name=self._manifest.name,
            uid=str(self._uid),
            recording_id=self._uid.hex,
            part=PartIdentity(number=0),
            spec=spec.model_copy(update={"pod": None}),
            storage=spec.storage,
            callback_url="",
            engine=EngineLibrary(name=spec.engine.name, library_path=self._host.engine),
            protocols=(*URL_SCHEMES, "file"),
            allow_link_local=True,
            max_wait_seconds=spec.recording.max_wait_seconds,
        )

    def _conclude(self, summary: Summary) -> int:
        code, words = exit_status_of(summary)
        kept = f"; it is kept in {self._work}, and --resume {self._uid.hex} tries again"
        self._terminal.say(words if code != EXIT_INCOMPLETE else words + kept)
        return code


def exit_status_of(summary: Summary) -> tuple[int, str]:
    """The exit status that a summary means, and what to say about it."""
    kept = f"{counted(summary.slices.uploaded, 'slice')}, {summary.recorded_milliseconds / 1000:.1f} s"
    match summary.outcome:
        case Outcome.UPLOADED | Outcome.BACKED_UP | Outcome.DRAINED if summary.slices.written:
            return EXIT_RECORDED, f"recorded: {kept}"
        case Outcome.UPLOADED | Outcome.BACKED_UP | Outcome.DRAINED:
            why = "it was paused all the time" if summary.somebody_joined else "nobody had joined when it was stopped"
            return EXIT_NOTHING, f"nothing was recorded: {why}"
        case Outcome.IDLE if summary.somebody_joined:
            return EXIT_RECORDED, f"everybody has left; recorded: {kept}"
        case Outcome.IDLE:
            return (
                EXIT_NOTHING,
                "nobody ever joined: check the participants' URLs, or allow a longer maxWaitSeconds",
            )
        case Outcome.INCOMPLETE | Outcome.DISCARDED:
            return EXIT_INCOMPLETE, f"incomplete: {summary.message}"
        case Outcome.FATAL:
            return EXIT_FATAL, f"failed: {summary.message or 'the engine gave no reason'} ({summary.code})"


def _first_desired(manifest: Manifest) -> DesiredState:
    spec = manifest.spec
    return DesiredState(
        generation=1,
        state=spec.desired_state,
        layout=spec.recording.video.layout,
        max_resolution_uid=spec.recording.video.max_resolution_uid,
        upload_grace_seconds=spec.upload_grace_seconds,
    )


def _write(path: Path, content: Mapping[str, Any]) -> None:
    new = path.with_suffix(".new")
    new.write_text(json.dumps(content), encoding="utf-8")
    new.replace(path)


def _engine() -> str:
    """The engine of the source tree that this runs from, else the installed one."""
    built = Path(__file__).resolve().parents[4] / "build" / "lib" / _LIBRARY
    return str(built) if built.exists() else _LIBRARY


def _work_directory() -> Path:
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "cloud-recording"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cloud-recording run",
        description="Records a CloudRecording manifest on this machine, without a cluster. Ctrl-C stops it.",
        epilog=_EXITS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        *("-f", "--filename"),
        dest="files",
        type=Path,
        action="append",
        required=True,
        help="YAML with the CloudRecording and its Secrets; may be given several times",
    )
    parser.add_argument("--name", help="which recording, where the files hold several")
    parser.add_argument("--engine", default=_engine(), help="path of the engine's library (default: %(default)s)")
    parser.add_argument(
        "--work-directory",
        type=Path,
        default=_work_directory(),
        help="where files wait for their upload (default: %(default)s)",
    )
    parser.add_argument(
        "--resume",
        type=uuid.UUID,
        metavar="ID",
        help="go on with a recording that was killed, or upload what is left of one that has ended; "
        "the id is in the first line of its output",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Records a manifest and returns the exit status."""
    options = _parser().parse_args(arguments)
    host = LocalHost(engine=options.engine, work=options.work_directory.resolve())
    try:
        manifest = load(options.files, name=options.name, begun=options.resume is not None)
        # Secrets lie in a directory that only this user can read, and only while the recording runs.
        with tempfile.TemporaryDirectory(prefix="cloud-recording-") as mounted:
            return asyncio.run(LocalRun(manifest, host, mounted=Path(mounted), resumed=options.resume).run())
    except (ManifestError, ResumeError) as error:
        print(error, file=sys.stderr)
        return EXIT_INVALID


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
