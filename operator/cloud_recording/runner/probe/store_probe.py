# SPDX-License-Identifier: Apache-2.0
"""Tries a store by the very engine that records: before anybody has come it puts the playlist-to-be, or, where nothing
is put twice, begins an object that it never completes.

The engine is a recorder process as any part has one. Its only participant is this process, which never answers, so that
the trial of the store is all that comes of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from typing import Final, Self

from cloud_recording.api.channel import Stream
from cloud_recording.api.recording_storage import Right, StorageProbe, StorageRights
from cloud_recording.api.wire import StorageRecord
from cloud_recording.runner.control_protocol import Command, Mode
from cloud_recording.runner.one_shot import OneShotPod
from cloud_recording.runner.outbox import Outbox, Writer
from cloud_recording.runner.probe.object_rights import rights_of
from cloud_recording.runner.supervisor.mounted_secrets import MountedSecrets
from cloud_recording.runner.supervisor.part_events import Event, ProcessExited, ProcessHeartbeat, ProcessLoaded
from cloud_recording.runner.supervisor.part_store import OUTBOX
from cloud_recording.runner.supervisor.recorder_child import RecorderChild
from cloud_recording.runner.supervisor.recorder_job import JobBuilder

logger = logging.getLogger(__name__)

PATIENCE_SECONDS: Final = 90.0
"""The engine tells within this what it is refused, a server that does not answer included."""

SECOND_THOUGHT_SECONDS: Final = 4.0
"""How long a refusal may turn out to have been of the moment."""

WAITING_FOR_SECRET: Final = "WaitingForSecret"  # noqa: S105 - a word of the status, no secret
_READY: Final = "Ready"
_FAILING: Final = "Failing"
_UNANSWERED: Final = "StorageTimeout"
_BROKEN: Final = "ProbeFailed"


async def probe(pod: OneShotPod) -> StorageProbe:
    """What became of the trial."""
    secrets = MountedSecrets(pod.document, pod.secrets)
    missing = secrets.missing()
    if missing:
        words = "; ".join(one.sentence() for one in missing).replace("`spec.storage.", "`spec.")
        return StorageProbe(ready=False, cause=WAITING_FOR_SECRET, message=words)
    async with _nobody() as stream, _Trial(pod, secrets, stream) as trial:
        answer = _answer(await trial.outcome())
    document = pod.document
    # Where nothing is put twice, nothing is there to be asked for.
    if not answer.ready or document.storage.is_write_once:
        return answer
    name = f"{document.recording_id}_{document.spec.channel.name}.m3u8"
    return answer.model_copy(update={"rights": await rights_of(document, secrets, name)})


def _answer(record: StorageRecord | None) -> StorageProbe:
    if record is None:
        return StorageProbe(ready=False, cause=_BROKEN, message="the recorder process ended, as its log says")
    if record.state == _READY:
        return StorageProbe(ready=True, rights=StorageRights(put=Right.ALLOWED))
    if record.state == _FAILING:
        put = Right.REFUSED if record.cause == "AccessDenied" else Right.UNKNOWN
        return StorageProbe(
            ready=False, cause=record.cause or "", message=record.message, rights=StorageRights(put=put)
        )
    message = f"the store did not answer within {PATIENCE_SECONDS:.0f} s"
    return StorageProbe(ready=False, cause=_UNANSWERED, message=message)


class _Trial:
    """A recorder process that has its store tried, from its start to its end."""

    def __init__(self, pod: OneShotPod, secrets: MountedSecrets, stream: Stream) -> None:
        self._pod = pod
        self._stream = stream
        self._jobs = JobBuilder(pod.document, secrets, work=pod.work)
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._outbox: Outbox | None = None
        self._child: RecorderChild | None = None
        self._ended = False

    async def __aenter__(self) -> Self:
        path = self._pod.work / OUTBOX
        self._outbox = Outbox(path, writer=Writer.SUPERVISOR)
        self._child = RecorderChild(
            library=self._pod.document.engine.library_path,
            outbox=path,
            on_event=self._events.put_nowait,
            on_callbacks=lambda: None,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ends the process at once: left in order, it would put a manifest, too, of what was never recorded."""
        if self._child is not None:
            self._child.kill()
        while not self._ended:
            await self._next()
        if self._outbox is not None:
            self._outbox.close()

    async def outcome(self) -> StorageRecord | None:
        """What the engine says of its store, once that has come to rest; None where the engine is gone."""
        record = StorageRecord()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while record.state != _READY and time.monotonic() < deadline:
            async with _until(deadline):
                record = await self._heard(record)
            if self._ended:
                return None
            if record.state == _FAILING:
                deadline = min(deadline, time.monotonic() + SECOND_THOUGHT_SECONDS)
        return record

    async def _heard(self, known: StorageRecord) -> StorageRecord:
        event = await self._next()
        if isinstance(event, ProcessHeartbeat) and event.snapshot and event.snapshot.get("storage"):
            return StorageRecord.model_validate(event.snapshot["storage"])
        return known

    async def _next(self) -> Event:
        event = await self._events.get()
        if isinstance(event, ProcessLoaded):
            job = self._jobs.job(Mode.RECORD, self._pod.desired, streams=[self._stream])
            self._send(Command.BEGIN, job=job.as_json())
        self._ended = self._ended or isinstance(event, ProcessExited)
        return event

    def _send(self, command: Command, **fields: object) -> None:
        if self._child is not None:
            self._child.send({"command": command, **fields})


@contextlib.asynccontextmanager
async def _until(deadline: float) -> AsyncIterator[None]:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
            yield


@contextlib.asynccontextmanager
async def _nobody() -> AsyncIterator[Stream]:
    """A stream that takes a connection and says nothing: one that refused it would end the attempt."""
    connected: set[asyncio.StreamWriter] = set()
    server = await asyncio.start_server(lambda _, writer: connected.add(writer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield Stream(uid=1, url=f"rtmp://127.0.0.1:{port}/probe")
    finally:
        server.close()
        for writer in connected:
            writer.close()
