# SPDX-License-Identifier: Apache-2.0
"""The supervisor of one part: keeps a recorder process at work, and the operator informed, across restarts.

It carries out what `state_machine` decides and decides nothing itself. What must survive it is in the outbox, in the
same transaction as the callbacks that told it.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, assert_never

from cloud_recording.api.channel import Stream
from cloud_recording.api.storage import StoragePlace
from cloud_recording.api.wire import Summary
from cloud_recording.common.callback_names import CallbackName
from cloud_recording.common.error_codes import RecordingErrorCode
from cloud_recording.common.json_logging import Redactor
from cloud_recording.runner.control_protocol import Command
from cloud_recording.runner.faults import RecordingFault
from cloud_recording.runner.supervisor.callback_delivery import Delivery, Receiver
from cloud_recording.runner.supervisor.clock import boot_id, now
from cloud_recording.runner.supervisor.mounted_secrets import MountedSecrets
from cloud_recording.runner.supervisor.mounts import POLL_SECONDS, Mounts, UnreadableMount, WatchedFile
from cloud_recording.runner.supervisor.part_actions import Action, Begin, Conclude, EmitCallback, Kill, Send, Spawn
from cloud_recording.runner.supervisor.part_end import handed_over, reopened, summarise
from cloud_recording.runner.supervisor.part_events import (
    DesiredSeen,
    Event,
    ProcessAnswered,
    ProcessExited,
    SecretsSeen,
    Terminate,
    Tick,
)
from cloud_recording.runner.supervisor.part_log import log_callback, log_command
from cloud_recording.runner.supervisor.part_state import Ending, Facts, State
from cloud_recording.runner.supervisor.part_store import OUTBOX, PartStore, lasting, resumed
from cloud_recording.runner.supervisor.probe_server import ProbeState
from cloud_recording.runner.supervisor.readiness import readiness
from cloud_recording.runner.supervisor.recorder_child import RecorderChild
from cloud_recording.runner.supervisor.recorder_job import JobBuilder
from cloud_recording.runner.supervisor.state_machine import react
from cloud_recording.runner.supervisor.streams_refusal import streams_refusal

logger = logging.getLogger(__name__)

FLUSH_SECONDS: Final = 300.0
"""How long a concluded part waits for its last callbacks to be taken; its summary is the termination message."""
TERMINATED_FLUSH_SECONDS: Final = 15.0
"""The same when the kubelet has asked it to end; the pod's grace period has this much beyond `uploadGraceSeconds`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodContext:
    """Where a supervisor works."""

    mounts: Mounts
    work: Path
    termination_message: Path | None
    pod_uid: str
    scratch: Path | None = None
    """A directory on the node's disk; none without a node."""


class Supervisor:
    """One part, from its documents to its summary."""

    def __init__(
        self,
        pod: PodContext,
        *,
        receiver: Receiver,
        redactor: Redactor,
        reopen: bool = False,
        patient: bool = True,
        outbox: Path | None = None,
    ) -> None:
        """`reopen` gives a part that has ended another try to upload what it left.

        Who is not `patient` ends where every participant is refused, instead of asking again later.

        The outbox is on the work volume unless another path is given.
        """
        self._pod = pod
        self._document = pod.mounts.recording()
        self._secrets = MountedSecrets(self._document, pod.mounts.secrets)
        self._jobs = JobBuilder(self._document, self._secrets, work=pod.work, scratch=pod.scratch)
        self._redactor = redactor
        rescues = self._document.part.rescue
        self._store = PartStore(
            outbox or pod.work / OUTBOX, self._document, owner=pod.pod_uid, takes_over=reopen or rescues
        )
        self._outbox = self._store.outbox
        remembered = resumed(self._store.facts(), boot=boot_id(), now=now())
        facts = reopened(remembered) if reopen else remembered
        if rescues and not self._store.is_handed_over:
            has_files = (pod.work / self._document.recording_id).exists()
            facts = handed_over(facts, is_left=has_files or self._document.part.from_backup)
            self._store.hand_over(facts)
        desired, concluded = pod.mounts.desired(), facts.summary is not None
        self._state = State(
            desired=desired.state,
            unknown=desired.unknown,
            streams=_streams(facts) or self._document.spec.channel.listed_streams,
            patient=patient,
            passes_through=self._document.spec.recording.video.passthrough is not None,
            facts=facts,
            concluded=concluded,
        )
        self._secrets.streams = self._state.streams
        self._delivery = Delivery(self._outbox, receiver, up_to=self._catch_up)
        self._child: RecorderChild | None = None
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._callbacks_stored = asyncio.Event()
        self._concluded = asyncio.Event()
        # Once the outbox is closed: probes still come.
        self._left_waiting: int | None = None

    @property
    def child_pid(self) -> int | None:
        """The recorder process's number, while there is one."""
        return self._child.pid if self._child else None

    @property
    def facts(self) -> Facts:
        """What is known of the part, after its end too."""
        return self._state.facts

    def probe_state(self) -> ProbeState:
        """What probes and metrics show."""
        return ProbeState(
            state=self._state,
            readiness=readiness(self._state, now()),
            callbacks_waiting=self._outbox.waiting() if self._left_waiting is None else self._left_waiting,
            callbacks_delivered=self._delivery.sent,
        )

    @property
    def has_blank_outbox(self) -> bool:
        """Whether the outbox had nothing to say of the part when it was opened."""
        return self._store.is_blank

    def begin_with_new_outbox(self) -> None:
        """Begins without the outbox that knew what the part had come to, before anything else has begun.

        What is on the volume is delivered in any case: by the engine's own journal while the recording is still wanted,
        else by a rescue. Whether it is, the operator knows.
        """
        self._store.begin()
        self._state = replace(self._state, facts=replace(self._state.facts, captured=True))
        self._store.write(self._state.facts)

    def conclude_unwritable(self, fault: RecordingFault) -> None:
        """Concludes the part as fatal before anything has begun."""
        unwritable = replace(self._state.facts, unwritable=True)
        self._state = replace(
            self._state, facts=replace(unwritable, ending=Ending.FATAL, code=fault.code, message=fault.message)
        )
        self._store.begin()
        payload = {"code": fault.code, "message": fault.message}
        self._write([EmitCallback(type=CallbackName.FATAL_ERROR, payload=payload)])

    def terminate(self) -> None:
        """Stop capturing, upload, report, exit: what SIGTERM means."""
        logger.info("told to end")
        self._events.put_nowait(Terminate())

    async def run(self) -> Summary:
        """Works until the part is concluded and its callbacks are delivered, or cannot be for too long."""
        self._catch_up()
        async with asyncio.TaskGroup() as tasks:
            delivery = tasks.create_task(self._delivery.run(), name="delivery")
            helpers = [
                tasks.create_task(self._watch_mounts(), name="mounts"),
                tasks.create_task(self._listen(), name="outbox"),
                tasks.create_task(self._work(), name="events"),
            ]
            if not self._state.concluded:
                await self._concluded.wait()
            await self._flush()
            for task in (delivery, *helpers):
                task.cancel()
        self._left_waiting = self._outbox.waiting()
        self._outbox.close()
        return Summary.model_validate(self._state.facts.summary)

    async def _watch_mounts(self) -> None:
        """Turns changes of the mounted files into events, and the passing of time too."""
        desired = WatchedFile(self._pod.mounts.desired_path)
        seen = None
        while True:
            found = self._secrets.missing(), self._secrets.versions()
            if found != seen:
                seen = found
                self._redactor.learn(need.path for need in self._secrets.needed())
                self._events.put_nowait(SecretsSeen(missing=found[0]))
            if desired.changed():
                self._read_desired()
            self._events.put_nowait(Tick())
            await asyncio.sleep(POLL_SECONDS)

    def _read_desired(self) -> None:
        """A document that cannot be read changes nothing: the recording goes on as it was last desired."""
        try:
            read = self._pod.mounts.desired(known=self._state.desired)
        except UnreadableMount as error:
            logger.warning("the desired state cannot be read", extra={"error": str(error)})
        else:
            self._events.put_nowait(DesiredSeen(desired=read.state, unread=read.unread, unknown=read.unknown))

    async def _listen(self) -> None:
        """Reads the outbox whenever the recorder process has put callbacks into it."""
        while True:
            await self._callbacks_stored.wait()
            self._callbacks_stored.clear()
            self._catch_up()

    async def _work(self) -> None:
        while True:
            event = await self._events.get()
            if isinstance(event, ProcessExited):
                self._note_exit(event)
            self._step([event])

    def _note_exit(self, event: ProcessExited) -> None:
        """What the dead process had stored counts before its death does."""
        logger.info("the recorder process has ended", extra={"status": event.status})
        self._catch_up()
        self._child = None

    def _catch_up(self) -> int:
        """Applies every callback that a recorder process stored; returns the sequence up to which that is done."""
        last = self._outbox.last_sequence()
        while not self._state.concluded:
            callbacks = self._store.unread(after=self._state.facts.read_up_to, up_to=last)
            if not callbacks:
                break
            for callback in callbacks:
                log_callback(callback.type, callback.payload, by="engine")
            self._step(callbacks)
            self._delivery.wake()
        return last

    def _step(self, events: Sequence[Event]) -> None:
        """Applies events; facts and callbacks are stored, together, before anything is done about them."""
        before = self._state
        actions: list[Action] = []
        for event in events:
            self._state, following = react(self._state, event, now())
            actions += following
        self._secrets.streams = self._state.streams
        emitted = [action for action in actions if isinstance(action, EmitCallback)]
        if emitted or lasting(self._state.facts) != lasting(before.facts):
            self._write(emitted)
        for action in actions:
            self._carry_out(action)

    def _write(self, emitted: Sequence[EmitCallback]) -> None:
        self._store.write(self._state.facts, emitted)
        if emitted:
            self._delivery.wake()

    def _carry_out(self, action: Action) -> None:
        match action:
            case EmitCallback():
                log_callback(action.type, action.payload, by="supervisor")
            case Spawn():
                self._child = RecorderChild(
                    library=self._document.engine.library_path,
                    outbox=self._store.path,
                    on_event=self._events.put_nowait,
                    on_callbacks=self._callbacks_stored.set,
                )
            case Begin():
                self._redactor.learn(need.path for need in self._secrets.needed())
                if action.anew:
                    shutil.rmtree(self._pod.work / self._document.recording_id, ignore_errors=True)
                job = self._jobs.job(action.mode, action.desired, _storage_place(action.place), streams=action.streams)
                self._send({"command": Command.BEGIN, "job": job.as_json()})
            case Send():
                log_command(action, self._state)
                self._order(action)
            case Kill():
                logger.warning("ending the recorder process", extra={"reason": action.reason})
                if self._child:
                    self._child.kill()
            case Conclude():
                self._conclude()
            case _:
                assert_never(action)

    def _order(self, send: Send) -> None:
        """Sends a command, or answers for the recorder process what that cannot know."""
        if send.command is Command.STREAMS:
            refusal = streams_refusal(send.arguments["streams"], self._document, self._secrets)
            if refusal:
                code = RecordingErrorCode.INVALID_PARAMETER
                self._events.put_nowait(ProcessAnswered(answer=send.command, refusal=refusal, code=code))
                return
            self._redactor.learn(need.path for need in self._secrets.needed_with(send.arguments["streams"]))
        self._send({"command": send.command, **self._engine_arguments(send)})

    def _engine_arguments(self, send: Send) -> Mapping[str, Any]:
        match send.command:
            case Command.STORAGE:
                return {"place": self._jobs.storage_change(StoragePlace.model_validate(send.arguments["place"]))}
            case Command.STREAMS:
                return {"streams": self._jobs.streams_change(send.arguments["streams"])}
            case _:
                return send.arguments

    def _send(self, message: Mapping[str, Any]) -> None:
        if self._child:
            self._child.send(message)

    def _conclude(self) -> None:
        sequence = self._outbox.last_sequence() + 1
        summary = summarise(self._state.facts, self._document, last_sequence=sequence)
        payload = summary.model_dump(mode="json", by_alias=True, exclude_none=True)
        self._state = replace(self._state, facts=replace(self._state.facts, summary=payload))
        self._write([EmitCallback(type=CallbackName.FINISHED, payload={"summary": payload})])
        logger.info("concluded", extra={"summary": payload})
        self._concluded.set()

    async def _flush(self) -> None:
        """Leaves the summary where the kubelet finds it, and waits a while for the operator to take all callbacks."""
        summary = Summary.model_validate(self._state.facts.summary)
        if self._pod.termination_message is not None:
            self._pod.termination_message.write_text(summary.termination_message(), encoding="utf-8")
        self._delivery.wake()
        deadline = time.monotonic() + FLUSH_SECONDS
        while self._outbox.waiting() and not self._delivery.pod_unknown:
            if self._state.terminated_at is not None:
                deadline = min(deadline, time.monotonic() + TERMINATED_FLUSH_SECONDS)
            if time.monotonic() > deadline:
                logger.warning("callbacks were not delivered", extra={"waiting": self._outbox.waiting()})
                return
            await asyncio.sleep(POLL_SECONDS)


def _streams(facts: Facts) -> tuple[Stream, ...]:
    return tuple(Stream.model_validate(stream) for stream in facts.streams or ())


def _storage_place(place: Mapping[str, Any] | None) -> StoragePlace | None:
    return None if place is None else StoragePlace.model_validate(place)
