# SPDX-License-Identifier: Apache-2.0
"""A recorder process as its parent sees it: started, sent commands, its reports read, and its end reported last."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from cloud_recording.runner.control_protocol import CONTROL_DESCRIPTOR_OPTION, Report, decode, encode
from cloud_recording.runner.supervisor.part_events import (
    Event,
    ProcessAnswered,
    ProcessEnded,
    ProcessExited,
    ProcessHeartbeat,
    ProcessLoaded,
)
from cloud_recording.runner.supervisor.pod_identity import IDENTITY_VARIABLES
from cloud_recording.runner.supervisor.recorder_output import log_output

logger = logging.getLogger(__name__)

_LINE_BYTES: Final = 1 << 20
_CANNOT_START: Final = 127
_INHERITED: Final = (
    *("PATH", "HOME", "LANG", "LD_LIBRARY_PATH", "PYTHONPATH", "TMPDIR", "TZ"),
    "CLOUD_RECORDING_LIVEKIT_LIBRARY",
    *IDENTITY_VARIABLES,
)
"""What a recorder process gets of the environment: nothing that anybody could have put a secret into."""


class RecorderChild:
    """One recorder process. `on_event` gets its events in order, `ProcessExited` last.

    `on_callbacks` is called when there are new callbacks in the outbox.
    """

    def __init__(
        self,
        *,
        library: str,
        outbox: Path,
        on_event: Callable[[Event], None],
        on_callbacks: Callable[[], None],
    ) -> None:
        self._library = library
        self._outbox = outbox
        self._on_event = on_event
        self._on_callbacks = on_callbacks
        self._writer: asyncio.StreamWriter | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._life = asyncio.create_task(self._live(), name="recorder process")

    @property
    def pid(self) -> int | None:
        """The process's number, once it has one."""
        return self._process.pid if self._process else None

    def send(self, message: Mapping[str, Any]) -> None:
        """Sends a message; to a dead process it is lost, and its death is an event anyway."""
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(encode(message))

    def kill(self) -> None:
        """Ends the process at once."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGKILL)

    async def _live(self) -> None:
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = await self._start(theirs)
        except OSError as error:
            ours.close()
            logger.error("cannot start the recorder process", extra={"error": str(error)})  # noqa: TRY400
            self._on_event(ProcessExited(status=_CANNOT_START))
            return
        reader, self._writer = await asyncio.open_connection(sock=ours, limit=_LINE_BYTES)
        output = asyncio.create_task(_logged(self._process.stdout))
        await read_reports(reader, on_event=self._on_event, on_callbacks=self._on_callbacks)
        status = await self._process.wait()
        self._writer.close()
        await output
        self._on_event(ProcessExited(status=status))

    async def _start(self, control: socket.socket) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "cloud_recording.runner.recorder.main",
            CONTROL_DESCRIPTOR_OPTION,
            str(control.fileno()),
            "--engine",
            self._library,
            "--outbox",
            str(self._outbox),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            pass_fds=(control.fileno(),),
            env=inherited(os.environ),
            # A terminal's Ctrl-C is for the supervisor, which then stops the recording in order.
            start_new_session=True,
        )


def inherited(environment: Mapping[str, str]) -> dict[str, str]:
    """What of the supervisor's environment a recorder process gets."""
    return {name: environment[name] for name in _INHERITED if name in environment}


async def _logged(output: asyncio.StreamReader | None) -> None:
    if output is not None:
        await log_output(output)


async def read_reports(
    reader: asyncio.StreamReader, *, on_event: Callable[[Event], None], on_callbacks: Callable[[], None]
) -> None:
    """Hears a recorder process to its end. What nobody can read is passed over: its death must be noticed."""
    with contextlib.suppress(ConnectionError):
        async for line in _lines(reader):
            try:
                message = decode(line)
                report = Report(message["report"])
                event = None if report is Report.CALLBACKS else _event(report, message)
            except (KeyError, TypeError, ValueError) as error:
                logger.warning("a report of the recorder process cannot be read", extra={"error": str(error)})
                continue
            if event is None:
                on_callbacks()
            else:
                on_event(event)


async def _lines(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The lines of a stream; of one that is longer than the reader's limit only the end comes."""
    while True:
        try:
            yield await reader.readuntil()
        except asyncio.IncompleteReadError:
            return
        except asyncio.LimitOverrunError as error:
            await reader.readexactly(error.consumed)


def _event(report: Report, message: Mapping[str, Any]) -> Event:
    match report:
        case Report.LOADED:
            return ProcessLoaded(extended=message["extended"])
        case Report.HEARTBEAT:
            return ProcessHeartbeat(snapshot=message["snapshot"])
        case Report.ANSWER:
            answer, refusal, code = message["answer"], message["refusal"], message["code"]
            return ProcessAnswered(answer=answer, refusal=refusal, code=code, told=message.get("told", ""))
        case Report.ENDED:
            return ProcessEnded(drained=message["drained"])
        case Report.CALLBACKS:
            raise ValueError("callbacks are read from the outbox")
