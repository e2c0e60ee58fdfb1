# SPDX-License-Identifier: Apache-2.0
"""A pass over one recording: read live, decide, write the status once, act.

Nothing is remembered between passes that could not be lost: a pass that is cut off anywhere is made good by the next.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime, timedelta
from typing import Final

from pydantic import ValidationError

from cloud_recording.api.recording import DURABLE_FINALIZER, CloudRecording
from cloud_recording.common.json_types import Json
from cloud_recording.controller.execute_actions import ActionExecutor
from cloud_recording.controller.finalizer_index import FinalizerIndex
from cloud_recording.controller.keyed_locks import KeyedLocks
from cloud_recording.controller.log_setup import logging_about
from cloud_recording.controller.pod_templates import PodTemplates
from cloud_recording.controller.recording_key import RecordingKey
from cloud_recording.controller.status_writer import StatusWriter, with_status
from cloud_recording.domain import parts
from cloud_recording.domain.decide import decide
from cloud_recording.domain.decision import Decision
from cloud_recording.domain.invalid_spec import parse, with_invalid_spec
from cloud_recording.domain.observed_state import OperatorContext, PodRefusal
from cloud_recording.domain.pod_view import PodView, recording_of
from cloud_recording.domain.summarize import finished
from cloud_recording.kube.errors import Conflict, NotFound
from cloud_recording.kube.pods import Pods
from cloud_recording.kube.recordings import Recordings

ATTEMPTS: Final = 4
"""How often a pass starts over at once when somebody else wrote in between; after that it goes back to the queue."""

RESYNC: Final = timedelta(minutes=10)
"""How often a recording that is not finished is looked at even if nothing is heard of it."""


class Reconciler:
    """Brings recordings and their pods to where their specs want them."""

    def __init__(
        self,
        *,
        recordings: Recordings,
        pods: Pods,
        statuses: StatusWriter,
        context: Callable[[], OperatorContext],
        finalizers: FinalizerIndex,
        locks: KeyedLocks[RecordingKey],
        clock: Callable[[], datetime],
    ) -> None:
        self._recordings = recordings
        self._pods = pods
        self._statuses = statuses
        self._context = context
        self._finalizers = finalizers
        self._templates = PodTemplates(pods)
        self._actions = ActionExecutor(
            recordings=recordings,
            pods=pods,
            templates=self._templates,
            statuses=statuses,
            context=context,
            clock=clock,
        )
        self._locks = locks
        self._clock = clock
        self.unfinished: set[RecordingKey] = set()
        """The recordings that are not known to be over: those whose pods have to hear of a new authority."""

    def forget(self, key: RecordingKey) -> None:
        """Drops what is remembered of a recording that is over or gone."""
        self._statuses.versions.forget(key)
        self._actions.forget(key)
        self.unfinished.discard(key)

    def left_behind(self, namespace: str | None) -> AsyncIterator[RecordingKey]:
        """The recordings for which something is held: the watch does not tell of one that went in the meantime."""
        return self._templates.left_behind(namespace)

    async def reconcile(self, key: RecordingKey) -> float | None:
        """Makes one pass; returns after how many seconds the next is due though nothing changes."""
        for attempt in range(1, ATTEMPTS + 1):
            async with self._locks.hold(key):
                try:
                    with logging_about(key):
                        return await self._pass(key)
                except Conflict:
                    if attempt == ATTEMPTS:
                        raise
        return None

    async def _pass(self, key: RecordingKey) -> float | None:
        try:
            body = await self._recordings.read(namespace=key.namespace, name=key.name)
        except NotFound:
            self.forget(key)
            await self._read_pods(key, None)
            await self._templates.delete_strays(key, but=None)
            return None
        await self._templates.delete_strays(key, but=body["metadata"]["uid"])
        parsed = parse(body)
        recording = parsed.recording
        over = finished(recording.status) or recording.metadata.deletion_timestamp is not None
        if parsed.spec_error is not None and not over:
            await self._refuse(body, recording, parsed.spec_error)
            return None
        pods = await self._read_pods(key, recording)
        decision = await self._decide_and_act(body, recording, pods)
        return self._requeue_after(key, decision)

    async def _decide_and_act(self, body: Json, recording: CloudRecording, pods: Mapping[str, Json]) -> Decision:
        """Decides, writes and acts; where a pod is refused, once more, so that the status says so."""
        views = {name: PodView.of(pod) for name, pod in pods.items()}
        refusal: PodRefusal | None = None
        while True:
            decision = decide(recording, views, now=self._clock(), context=self._context(), refusal=refusal)
            if decision.add_finalizer:
                finalizers = [*body["metadata"].get("finalizers", []), DURABLE_FINALIZER]
                body = await self._recordings.set_finalizers(body, finalizers)
                recording = parse(body).recording
            body = await self._statuses.write(body, before=recording.status, after=decision.status, by_pass=True)
            recording = with_status(recording, decision.status)
            if refusal is not None:
                return decision
            refusal = await self._actions.execute(body, recording, pods, decision.actions)
            if refusal is None:
                return decision

    async def _read_pods(self, key: RecordingKey, recording: CloudRecording | None) -> dict[str, Json]:
        """Every pod of the recording that matters: those of unfinished parts, and those that we still hold.

        A pod of a recording of this name that is gone is ended on the way. A recording goes before its pods only when
        somebody takes our finalizer off it by hand.
        """
        unfinished = parts.unfinished(recording.status) if recording is not None else ()
        uid = recording.metadata.uid if recording is not None else None
        found = {}
        for name in sorted({part.pod for part in unfinished} | self._finalizers.of(key)):
            pod = await self._pods.read(namespace=key.namespace, name=name)
            view = PodView.of(pod) if pod is not None else None
            if pod is None or view is None or recording_of(pod) != key.name:
                continue
            if view.recording_uid == uid:
                found[name] = pod
            else:
                await self._pods.delete(namespace=key.namespace, name=name, uid=view.uid)
                await self._actions.release(pod)
        return found

    async def _refuse(self, body: Json, recording: CloudRecording, error: ValidationError) -> None:
        after = with_invalid_spec(recording, recording.status, error, now=self._clock())
        await self._statuses.write(body, before=recording.status, after=after)

    def _requeue_after(self, key: RecordingKey, decision: Decision) -> float | None:
        due = decision.requeue_after.total_seconds() if decision.requeue_after is not None else None
        if finished(decision.status):
            self.forget(key)
            return due
        self.unfinished.add(key)
        # Spread, so that ten thousand recordings that began together are not all looked at together for ever.
        resync = RESYNC.total_seconds() * random.uniform(0.75, 1.0)  # noqa: S311
        return resync if due is None else min(due, resync)
