# SPDX-License-Identifier: Apache-2.0
"""The recorder process: holds the engine, writes each callback into the outbox, and does what the supervisor tells it.

It decides nothing about the recording's fate. Whatever the engine says is on disk before the supervisor hears of it. If
the supervisor dies, this process ends at once: nobody could stop it any more, and closed slices survive it. Imports the
standard library and the binding only, because its memory is counted per recording.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import json
import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, Final, TextIO, TypeVar

from cloud_recording.common.json_logging import Redactor
from cloud_recording.runner import process_log
from cloud_recording.runner.control_protocol import (
    CONTROL_DESCRIPTOR_OPTION,
    EXIT_CONCLUDED,
    EXIT_FAILED,
    EXIT_ORPHANED,
    Answer,
    Command,
    Job,
    Mode,
    Report,
    decode,
    encode,
)
from cloud_recording.runner.outbox import NewCallback, Outbox, Writer
from cloud_recording.runner.recorder.engine import (
    Engine,
    EngineError,
    EngineUnavailable,
    Recorder,
    StartParameters,
)
from cloud_recording.runner.recorder.engine_callbacks import FINAL_CALLBACKS, error_message, name_of, payload_of
from cloud_recording.runner.recorder.snapshot_pacing import SnapshotPacing

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS: Final = 1.0
_DRAIN_STEP_SECONDS: Final = 1.0
_CALLBACKS_AT_ONCE: Final = 256
_RECORDER_INIT: Final = 436
_GENERAL_ERROR: Final = 442

Result = TypeVar("Result")


class RecorderProcess:
    """One engine, at most one recording, one supervisor."""

    def __init__(
        self,
        *,
        library: str,
        outbox: Outbox,
        redactor: Redactor,
        supervisor: asyncio.StreamWriter,
    ) -> None:
        self._library = library
        self._outbox = outbox
        self._redactor = redactor
        self._supervisor = supervisor
        # All calls that may block go through one thread: the interface orders them, and the configuration of the next
        # instance belongs to the thread that creates it.
        self._engine_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine")
        self._engine: Engine | None = None
        self._recorder: Recorder | None = None
        self._recording_id = ""
        self._snapshot: dict[str, Any] | None = None
        self._pacing = SnapshotPacing()
        self.drained = False
        self._lock: TextIO | None = None
        self._started = asyncio.Event()
        self._ending = asyncio.Event()
        self._given_up = asyncio.Event()

    async def load(self) -> bool:
        """Loads the engine and says so; False when there is none to be had, which is told as a fatal error."""
        try:
            self._engine = await self._call(lambda: Engine(self._library))
        except EngineUnavailable as error:
            self._store_fatal(code=_RECORDER_INIT, message=error.message)
            return False
        self._report(Report.LOADED, extended=self._engine.extended)
        return True

    async def run(self, job: Job) -> None:
        """Records or rescues until there is nothing more to do here."""
        self._redactor.learn(_secret_files(job))
        async with asyncio.TaskGroup() as tasks:
            heartbeats = tasks.create_task(self._send_heartbeats())
            self._lock = await self._call(lambda: _lock(Path(job.work_directory)))
            if job.mode is Mode.RESCUE:
                await self._rescue(job)
            else:
                await self._record(job)
            self._report(Report.HEARTBEAT, snapshot=self._read_status())
            self._started.set()
            heartbeats.cancel()

    def obey(self, command: Command, message: Mapping[str, Any]) -> asyncio.Task[None]:
        """Starts to carry out a command; the answer is reported."""
        return asyncio.create_task(self._answer(command, message))

    async def _answer(self, command: Command, message: Mapping[str, Any]) -> None:
        try:
            await self._carry_out(command, message)
        except EngineError as error:
            self._refuse(command, error)
        else:
            self._done(command)

    def _done(self, what: Command | Answer) -> None:
        self._report(Report.ANSWER, answer=what, refusal="", code=0)

    def _refuse(self, what: Command | Answer, error: EngineError) -> None:
        text = self._redactor.redact(error.message) or f"the engine answered {error.code}"
        self._report(Report.ANSWER, answer=what, refusal=text, code=error.code)

    async def _carry_out(self, command: Command, message: Mapping[str, Any]) -> None:
        if command is Command.GIVE_UP:
            self._given_up.set()
            self._ending.set()
            return
        await self._started.wait()
        engine, recorder = self._engine, self._recorder
        if engine is None or recorder is None:
            raise EngineError("nothing is being recorded")
        if command is Command.STOP:
            await self._call(recorder.stop)
        elif command is Command.PAUSE:
            paused = bool(message["paused"])
            await self._call(lambda: engine.set_paused(self._recording_id, paused=paused))
        elif command is Command.LAYOUT:
            layout, uid = int(message["layout"]), int(message["maxResolutionUid"])
            await self._call(lambda: engine.set_layout(self._recording_id, layout=layout, max_resolution_uid=uid))
        elif command is Command.STORAGE:
            place = json.dumps(message["place"])
            await self._call(lambda: engine.set_storage(self._recording_id, place=place))

    async def _record(self, job: Job) -> None:
        engine = self._loaded
        try:
            recorder = await self._call(lambda: engine.create_recorder(_document(job, extended=engine.extended)))
        except EngineError as error:
            self._store_fatal(code=error.code or _RECORDER_INIT, message=error.message)
            return
        self._recorder, self._recording_id = recorder, recorder.recording_id
        loop = asyncio.get_running_loop()
        loop.add_reader(recorder.fileno(), self._take_callbacks)
        try:
            await self._start(job, recorder)
            await self._ending.wait()
            await self._release(recorder)
        finally:
            loop.remove_reader(recorder.fileno())
            self._take_all_callbacks()
        if recorder.late_callbacks:
            logger.warning("the engine called after Release", extra={"callbacks": recorder.late_callbacks})

    async def _start(self, job: Job, recorder: Recorder) -> None:
        try:
            await self._call(lambda: recorder.start(_start_parameters(job)))
        except EngineError as error:
            self._take_all_callbacks()
            if not self._ending.is_set():
                message = error_message(self._read_status()) or error.message
                self._store_fatal(code=error.code or _GENERAL_ERROR, message=message)
                self._ending.set()
        self._started.set()
        self._done(Command.BEGIN)

    async def _release(self, recorder: Recorder) -> None:
        """Gives the instance back and waits for what it left to be uploaded, until told to give up."""
        engine = self._loaded
        await self._call(lambda: recorder.release(cancel=False))
        self._done(Answer.RELEASE)
        while not self.drained and not self._given_up.is_set():
            self.drained = await self._call(lambda: engine.wait_drained(timeout_seconds=_DRAIN_STEP_SECONDS))

    async def _rescue(self, job: Job) -> None:
        engine = self._loaded
        self._recording_id = job.recording_id
        document = json.dumps(job.configuration)
        rescue = asyncio.create_task(self._call(lambda: engine.rescue(document)))
        given_up = asyncio.create_task(self._given_up.wait())
        await asyncio.wait({rescue, given_up}, return_when=asyncio.FIRST_COMPLETED)
        given_up.cancel()
        if not rescue.done():
            return
        try:
            rescue.result()
        except EngineError as error:
            self._refuse(Answer.RESCUE, error)
        else:
            self._done(Answer.RESCUE)

    def _take_all_callbacks(self) -> None:
        while self._take_callbacks():
            pass

    def _take_callbacks(self) -> bool:
        """Moves what the engine said into the outbox, in one transaction, then tells the supervisor.

        What is left when there is too much at once keeps the descriptor readable, so the loop comes back to it.
        """
        callbacks = list(islice(self._recorder.callbacks(), _CALLBACKS_AT_ONCE)) if self._recorder else []
        if not callbacks:
            return False
        snapshot = self._read_status()
        stored = [
            NewCallback(
                type=name_of(callback, snapshot=snapshot),
                time_ms=callback.time_ms,
                payload=self._clean(payload_of(callback, snapshot=snapshot)),
                # One snapshot speaks for the whole batch: it was taken after the last of it.
                snapshot=snapshot if callback is callbacks[-1] else None,
            )
            for callback in callbacks
        ]
        self._store(stored)
        if any(callback.type in FINAL_CALLBACKS for callback in callbacks):
            self._ending.set()
        return True

    async def _send_heartbeats(self) -> None:
        """Shows the supervisor, once a second, that this process lives and how far the recording is."""
        while True:
            snapshot = self._read_status()
            if snapshot is not None and self._pacing.is_due(snapshot, now=time.monotonic()):
                self._store([NewCallback(type="Snapshot", time_ms=_now_ms(), payload={}, snapshot=snapshot)])
            self._report(Report.HEARTBEAT, snapshot=snapshot)
            await asyncio.sleep(HEARTBEAT_SECONDS)

    def _read_status(self) -> dict[str, Any] | None:
        """The newest snapshot, cleaned; the last one known once the engine has forgotten the recording."""
        text = self._engine.status(self._recording_id) if self._engine and self._recording_id else None
        if text is not None:
            self._snapshot = self._clean(json.loads(text))
        return self._snapshot

    def _store_fatal(self, *, code: int, message: str) -> None:
        payload = self._clean({"code": code, "message": message})
        self._store(
            [NewCallback(type="RecordingFatalError", time_ms=_now_ms(), payload=payload, snapshot=self._snapshot)]
        )

    def _store(self, callbacks: Sequence[NewCallback]) -> None:
        self._outbox.append(callbacks)
        for item in callbacks:
            if item.snapshot is not None:
                self._pacing.sent(item.snapshot, now=time.monotonic())
        self._report(Report.CALLBACKS)

    def _report(self, report: Report, **fields: object) -> None:
        self._supervisor.write(encode({"report": report, **fields}))

    def _clean(self, value: Any) -> Any:  # noqa: ANN401 - JSON in, the same JSON out
        """The value with secrets taken out of every text in it: engines may quote what they were given."""
        if isinstance(value, str):
            return self._redactor.redact(value)
        if isinstance(value, dict):
            return {name: self._clean(item) for name, item in value.items()}
        return [self._clean(item) for item in value] if isinstance(value, list) else value

    @property
    def _loaded(self) -> Engine:
        if self._engine is None:
            raise RuntimeError("the engine is not loaded")
        return self._engine

    async def _call(self, function: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._engine_thread, function)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _document(job: Job, *, extended: bool) -> str | None:
    return json.dumps(job.configuration) if extended else None


def _start_parameters(job: Job) -> StartParameters:
    secret = job.decryption_secret.read() if job.decryption_secret else None
    return StartParameters(
        app_id=job.app_id.read() or "",
        channel_name=job.channel_name,
        token=job.token.read() if job.token else None,
        uid=job.uid,
        secret=secret,
        bucket=job.bucket,
        access_key=job.access_key.read() or "",
        secret_key=job.secret_key.read() or "",
        **job.numbers,
    )


def _secret_files(job: Job) -> Iterable[Path]:
    texts = (job.app_id, job.token, job.access_key, job.secret_key, job.decryption_secret)
    yield from (Path(text.path) for text in texts if text is not None and text.path is not None)
    for channel in job.configuration.get("channels", ()):
        for stream in channel["streams"]:
            if "urlFile" in stream:
                yield Path(stream["urlFile"])
            yield from (Path(header["valueFile"]) for header in stream.get("headers", ()) if "valueFile" in header)


def _lock(directory: Path) -> TextIO:
    """Holds the work directory until this process ends: one that was orphaned must be gone before another captures."""
    file = (directory / "recorder.lock").open("w", encoding="ascii")
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


async def _serve(options: argparse.Namespace, redactor: Redactor) -> None:
    asyncio.get_running_loop().set_exception_handler(_fail)
    connection = socket.socket(fileno=options.control_descriptor)
    reader, writer = await asyncio.open_connection(sock=connection)
    outbox = Outbox(Path(options.outbox), writer=Writer.RECORDER)
    process = RecorderProcess(library=options.engine, outbox=outbox, redactor=redactor, supervisor=writer)
    if await process.load():
        await _follow(reader, process)
    writer.write(encode({"report": Report.ENDED, "drained": process.drained}))
    await writer.drain()
    outbox.close()


def _fail(_: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
    """A callback that could not be stored must not be passed over: the process ends, and its supervisor begins anew."""
    logger.error("the recorder process failed", exc_info=context.get("exception"), extra={"at": context["message"]})
    _leave(EXIT_FAILED)


async def _follow(reader: asyncio.StreamReader, process: RecorderProcess) -> None:
    """Carries out commands until the work of the job is done; ends the process when the supervisor is gone."""
    work: asyncio.Task[None] | None = None
    answers: set[asyncio.Task[None]] = set()
    line = asyncio.create_task(reader.readline())
    while work is None or not work.done():
        await asyncio.wait({line, *filter(None, (work,))}, return_when=asyncio.FIRST_COMPLETED)
        if not line.done():
            continue
        if not line.result():
            logger.error("the supervisor is gone")
            os._exit(EXIT_ORPHANED)
        message = decode(line.result())
        line = asyncio.create_task(reader.readline())
        command = Command(message["command"])
        if command is Command.BEGIN:
            work = asyncio.create_task(process.run(Job.from_json(message["job"])))
        elif work is None and command is Command.GIVE_UP:
            return
        else:
            answers.add(process.obey(command, message))
    line.cancel()
    if answers:
        await asyncio.wait(answers, timeout=HEARTBEAT_SECONDS)
    work.result()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the recorder process; its supervisor starts it and gives it a socket."""
    parser = argparse.ArgumentParser(prog="cloud-recording recorder", description="Started by cloud-recording runner.")
    parser.add_argument(CONTROL_DESCRIPTOR_OPTION, type=int, required=True, help="socket to the supervisor")
    parser.add_argument("--engine", required=True, help="path of the engine's library")
    parser.add_argument("--outbox", required=True, help="path of the outbox")
    options = parser.parse_args(arguments)
    redactor = Redactor()
    process_log.set_up(process="recorder", redactor=redactor)
    try:
        asyncio.run(_serve(options, redactor))
    except Exception:
        logger.exception("the recorder process failed")
        _leave(EXIT_FAILED)
    _leave(EXIT_CONCLUDED)
    raise AssertionError("unreachable")


def _leave(code: int) -> None:
    """Ends without running destructors: engine threads may still be busy, and what must survive is on disk."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
