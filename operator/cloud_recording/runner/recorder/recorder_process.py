# SPDX-License-Identifier: Apache-2.0
"""Drives one engine: loads it, has it record, rescue or merge, and carries the supervisor's commands out.

It decides nothing about the recording's fate.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, Final, TextIO, TypeVar, assert_never

from cloud_recording.common.error_codes import RecordingErrorCode
from cloud_recording.common.json_logging import Redactor
from cloud_recording.runner.control_protocol import Answer, Command, Job, Mode, Report, encode
from cloud_recording.runner.faults import RecordingFault
from cloud_recording.runner.outbox import Outbox
from cloud_recording.runner.recorder.callback_writer import CallbackWriter
from cloud_recording.runner.recorder.engine import Engine, EngineError, EngineUnavailable, Recorder
from cloud_recording.runner.recorder.engine_arguments import files_of_streams, secret_files, start_parameters
from cloud_recording.runner.recorder.engine_callbacks import CALLBACK_NAMES, error_message

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS: Final = 1.0
_DRAIN_STEP_SECONDS: Final = 1.0
_CALLBACKS_AT_ONCE: Final = 256

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
        self._redactor = redactor
        self._writer = CallbackWriter(outbox, redactor=redactor, on_stored=lambda: self._report(Report.CALLBACKS))
        self._supervisor = supervisor
        # All calls that may block go through one thread: the interface orders them, and the configuration of the next
        # instance belongs to the thread that creates it.
        self._engine_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="engine")
        self._engine: Engine | None = None
        self._recorder: Recorder | None = None
        self._recording_id = ""
        self._snapshot: dict[str, Any] | None = None
        self._coming_home = False
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
            self._writer.write_fault(RecordingFault(error.message), self._snapshot)
            return False
        self._report(Report.LOADED, extended=self._engine.extended)
        return True

    async def run(self, job: Job) -> None:
        """Records, rescues or merges until there is nothing more to do here."""
        self._redactor.learn(secret_files(job))
        async with asyncio.TaskGroup() as tasks:
            heartbeats = tasks.create_task(self._send_heartbeats())
            self._lock = await self._call(lambda: _lock(Path(job.work_directory)))
            if job.mode is Mode.RESCUE:
                await self._rescue(job)
            elif job.mode is Mode.MERGE:
                await self._merge(job)
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
        match command:
            case Command.STOP:
                await self._call(recorder.stop)
            case Command.PAUSE:
                paused = bool(message["paused"])
                await self._call(lambda: engine.set_paused(self._recording_id, paused=paused))
            case Command.LAYOUT:
                layout, identity = int(message["layout"]), message.get("maxResolutionIdentity")
                large = int(message["maxResolutionUid"]) if identity is None else str(identity)
                await self._call(lambda: engine.set_layout(self._recording_id, layout=layout, max_resolution=large))
            case Command.STORAGE:
                place = json.dumps(message["place"])
                await self._call(lambda: engine.set_storage(self._recording_id, place=place))
            case Command.STREAMS:
                self._redactor.learn(files_of_streams(message["streams"]))
                streams = json.dumps({"streams": message["streams"]})
                await self._call(lambda: engine.set_streams(self._recording_id, streams=streams))
            case Command.BEGIN:
                raise EngineError("a recorder process is begun once")
            case _:
                assert_never(command)

    async def _record(self, job: Job) -> None:
        engine = self._loaded
        try:
            configuration = json.dumps(job.configuration) if engine.extended else None
            recorder = await self._call(lambda: engine.create_recorder(configuration))
        except EngineError as error:
            fault = RecordingFault(error.message, code=error.code or RecordingErrorCode.RECORDER_INIT)
            self._writer.write_fault(fault, self._snapshot)
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
            await self._call(lambda: recorder.start(start_parameters(job)))
        except EngineError as error:
            self._take_all_callbacks()
            if not self._ending.is_set():
                message = error_message(self._read_status()) or error.message
                fault = RecordingFault(message, code=error.code or RecordingErrorCode.GENERAL_ERROR)
                self._writer.write_fault(fault, self._snapshot)
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
        configuration = json.dumps(job.configuration)
        rescue = asyncio.create_task(self._call(lambda: engine.rescue(configuration)))
        given_up = asyncio.create_task(self._given_up.wait())
        await asyncio.wait({rescue, given_up}, return_when=asyncio.FIRST_COMPLETED)
        given_up.cancel()
        if not rescue.done():
            return
        # What there was to rescue is counted by then, whatever the process that died had told.
        self._report(Report.HEARTBEAT, snapshot=self._read_status())
        try:
            rescue.result()
        except EngineError as error:
            self._refuse(Answer.RESCUE, error)
        else:
            self._done(Answer.RESCUE)

    async def _merge(self, job: Job) -> None:
        engine, configuration = self._loaded, json.dumps(job.configuration)
        try:
            told = await self._call(lambda: engine.merge(configuration))
        except EngineError as error:
            self._refuse(Answer.MERGE, error)
        else:
            told = self._redactor.redact(told)
            self._report(Report.ANSWER, answer=Answer.MERGE, refusal="", code=0, told=told)

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
        self._writer.write(callbacks, self._read_status())
        for facts in (CALLBACK_NAMES[callback.type].facts for callback in callbacks):
            if facts.comes_home and self._loaded.extended:
                self._coming_home = True
            elif facts.is_final:
                self._ending.set()
        return True

    async def _send_heartbeats(self) -> None:
        """Shows the supervisor, once a second, that this process lives and how far the recording is."""
        while True:
            snapshot = self._read_status()
            self._writer.write_snapshot(snapshot)
            self._report(Report.HEARTBEAT, snapshot=snapshot)
            if self._coming_home and (snapshot or {}).get("state") == "Uploaded":
                self._ending.set()
            await asyncio.sleep(HEARTBEAT_SECONDS)

    def _read_status(self) -> dict[str, Any] | None:
        """The newest snapshot, cleaned; the last one known once the engine has forgotten the recording."""
        text = self._engine.status(self._recording_id) if self._engine and self._recording_id else None
        if text is not None:
            self._snapshot = self._writer.parsed(text)
        return self._snapshot

    def _report(self, report: Report, **fields: object) -> None:
        self._supervisor.write(encode({"report": report, **fields}))

    @property
    def _loaded(self) -> Engine:
        if self._engine is None:
            raise RuntimeError("the engine is not loaded")
        return self._engine

    async def _call(self, function: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._engine_thread, function)


def _lock(directory: Path) -> TextIO:
    """Holds the work directory until this process ends: one that was orphaned must be gone before another captures."""
    file = (directory / "recorder.lock").open("w", encoding="ascii")
    fcntl.flock(file, fcntl.LOCK_EX)
    return file
