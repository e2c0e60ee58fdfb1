# SPDX-License-Identifier: Apache-2.0
"""`cloud-recording recorder`: holds the engine, writes each callback into the outbox, does what the supervisor says.

Whatever the engine says is on disk before the supervisor hears of it. If the supervisor dies, this process ends at
once: nobody could stop it any more, and closed slices survive it.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cloud_recording.common.exit_status import EXIT_FAILED, EXIT_OK
from cloud_recording.common.json_logging import Redactor
from cloud_recording.runner import process_log
from cloud_recording.runner.control_protocol import (
    CONTROL_DESCRIPTOR_OPTION,
    EXIT_ORPHANED,
    Command,
    Job,
    Report,
    decode,
    encode,
)
from cloud_recording.runner.outbox import Outbox, Writer
from cloud_recording.runner.recorder.recorder_process import HEARTBEAT_SECONDS, RecorderProcess

logger = logging.getLogger(__name__)


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
    _leave(EXIT_OK)
    raise AssertionError("unreachable")


def _leave(code: int) -> None:
    """Ends without running destructors: engine threads may still be busy, and what must survive is on disk."""
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
