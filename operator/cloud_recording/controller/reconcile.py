# SPDX-License-Identifier: Apache-2.0
"""A pass over one recording: look, decide, write the status once, act.

A look is at what the watch told or our own writes answered, where that will do: what cannot be undone is decided on
what was read just now, or written under the version of what was remembered, which fails where that is out of date.
Nothing is remembered between passes that could not be lost: a pass that is cut off anywhere is made good by the next.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from pydantic import ValidationError

from cloud_recording.api.recording import DURABLE_FINALIZER, CloudRecording
from cloud_recording.api.status import Part
from cloud_recording.common.json_types import Json
from cloud_recording.controller.execute_actions import ActionExecutor
from cloud_recording.controller.finalizer_index import FinalizerIndex
from cloud_recording.controller.keyed_locks import KeyedLocks
from cloud_recording.controller.known_pods import KnownPods
from cloud_recording.controller.known_recordings import KnownRecordings
from cloud_recording.controller.known_storages import KnownStorages
from cloud_recording.controller.log_setup import logging_about
from cloud_recording.controller.pod_templates import PodTemplates
from cloud_recording.controller.recording_key import RecordingKey
from cloud_recording.controller.status_writer import StatusWriter, with_status
from cloud_recording.domain import parts, rescue
from cloud_recording.domain.certainty import cannot_be_undone
from cloud_recording.domain.decide import decide
from cloud_recording.domain.decision import Decision
from cloud_recording.domain.invalid_spec import parse, with_invalid_spec
from cloud_recording.domain.names import LABEL_BUCKET
from cloud_recording.domain.observed_state import OperatorContext
from cloud_recording.domain.pod_view import PodView
from cloud_recording.domain.shards import label_due
from cloud_recording.domain.store_refs import names_in, resolved
from cloud_recording.domain.summarize import finished
from cloud_recording.kube.errors import Conflict, NotFound

ATTEMPTS: Final = 4
"""How often a pass starts over at once when somebody else wrote in between; after that it goes back to the queue."""

RESYNC: Final = timedelta(minutes=10)
"""How often a recording that is not finished is looked at even if nothing is heard of it."""


class _UncertainError(Exception):
    """What is to be done can be decided only on what is read now."""


class Reconciler:
    """Brings recordings and their pods to where their specs want them."""

    def __init__(  # noqa: PLR0913 - what a pass needs
        self,
        *,
        recordings: KnownRecordings,
        storages: KnownStorages,
        pods: KnownPods,
        statuses: StatusWriter,
        context: Callable[[], OperatorContext],
        finalizers: FinalizerIndex,
        locks: KeyedLocks[RecordingKey],
        clock: Callable[[], datetime],
    ) -> None:
        self._recordings = recordings
        self._storages = storages
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
        self._recordings.forget(key)
        self._actions.forget(key)
        self._storages.users.forget(key)
        self.unfinished.discard(key)

    def forget_lost(self, lost: Callable[[RecordingKey], bool]) -> None:
        """Drops what is remembered of those that another replica decides about from now on."""
        for key in [key for key in self.unfinished if lost(key)]:
            self.forget(key)
        self._finalizers.forget(lost)
        self._templates.forget_lost(lost)
        self._statuses.versions.forget_lost(lost)

    def left_behind(
        self, namespace: str | None, *, owns: Callable[[RecordingKey], bool]
    ) -> AsyncIterator[RecordingKey]:
        """Of these recordings those for which something is held: no watch tells of one that went in the meantime."""
        return self._templates.left_behind(namespace, owns=owns)

    async def label(self, key: RecordingKey) -> None:
        """Has whoever decides about this recording see it, which has another one's label."""
        try:
            body = await self._recordings.read(key)
        except NotFound:
            return
        label = label_due(body["metadata"], shards=self._context().settings.shards, over=True)
        if label is not None:
            finalizers = body["metadata"].get("finalizers") or []
            await self._recordings.set_finalizers(body, finalizers, labels={LABEL_BUCKET: label})

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
        remembered = self._recordings.remembered(key)
        if remembered is not None:
            with contextlib.suppress(_UncertainError):
                return await self._pass_over(key, remembered, live=False)
        try:
            body = await self._recordings.read(key)
        except NotFound:
            self.forget(key)
            await self._pods_of(key, None, live=True)
            await self._templates.delete_strays(key, but=None)
            return None
        return await self._pass_over(key, body, live=True)

    async def _pass_over(self, key: RecordingKey, body: Json, *, live: bool) -> float | None:
        """Decides about the recording as it was found; raises _UncertainError where that will not do."""
        await self._templates.delete_strays(key, but=body["metadata"]["uid"])
        parsed = parse(body)
        recording = parsed.recording
        over = finished(recording.status) or recording.metadata.deletion_timestamp is not None
        if parsed.spec_error is not None and not over:
            await self._refuse(body, recording, parsed.spec_error)
            return None
        # One that is over uses no store: nobody asks thousands of times for what may be gone.
        names = frozenset() if finished(recording.status) else names_in(body)
        self._storages.users.note(key, names)
        stores = resolved(recording, await self._storages.named(key.namespace, names))
        recording = stores.recording
        pods = await self._pods_of(key, recording, live=live)
        context = replace(self._context(), store_wait=stores.waits)
        decision = decide(recording, pods, now=self._clock(), context=context)
        # A write under the version that is remembered fails where that is not the newest.
        label = label_due(body["metadata"], shards=context.settings.shards, over=finished(recording.status))
        writes = decision.add_finalizer or label is not None or decision.status != recording.status
        if not live and (pods or not writes) and cannot_be_undone(recording.status, decision):
            raise _UncertainError
        return self._requeue_after(key, await self._act(body, recording, pods, decision, context=context, label=label))

    async def _act(
        self,
        body: Json,
        recording: CloudRecording,
        pods: Mapping[str, PodView],
        decision: Decision,
        *,
        context: OperatorContext,
        label: str | None,
    ) -> Decision:
        """Writes and acts; where a pod is refused, decides once more, so that the status says so."""
        finalizers = None
        if decision.add_finalizer or label is not None:
            added = [DURABLE_FINALIZER] if decision.add_finalizer else []
            finalizers = [*(body["metadata"].get("finalizers") or []), *added]
        labels = {LABEL_BUCKET: label} if label is not None else None
        body = await self._written(body, recording, decision, finalizers=finalizers, labels=labels)
        spec = recording.spec
        recording = parse(body).recording if finalizers is not None else with_status(recording, decision.status)
        # With its stores written out, as they were for the decision.
        recording = recording.model_copy(update={"spec": spec})
        refusal = await self._actions.execute(body, recording, decision.actions)
        if refusal is None:
            return decision
        decision = decide(recording, pods, now=self._clock(), context=context, refusal=refusal)
        body = await self._written(body, recording, decision)
        if finished(decision.status):
            # Nothing announces it: what is left to do is done now.
            await self._actions.execute(body, with_status(recording, decision.status), decision.actions)
        return decision

    async def _written(
        self,
        body: Json,
        recording: CloudRecording,
        decision: Decision,
        *,
        finalizers: list[str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Json:
        return await self._statuses.write(
            body, before=recording.status, after=decision.status, by_pass=True, finalizers=finalizers, labels=labels
        )

    async def _pods_of(self, key: RecordingKey, recording: CloudRecording | None, *, live: bool) -> dict[str, PodView]:
        """Every pod of the recording that matters: those of unfinished parts or that left something, and those we hold.

        A pod of a recording of this name that is gone is ended on the way. A recording goes before its pods only when
        somebody takes our finalizer off it by hand.
        """
        of_parts = _that_matter(recording) if recording is not None else ()
        uid = recording.metadata.uid if recording is not None else None
        merge = parts.merge_of(recording.status) if recording is not None else None
        of_merge = {merge.pod} if merge is not None and merge.pod is not None else set()
        pod_names = sorted({part.pod for part in of_parts} | of_merge | self._finalizers.of(key))
        if not live:
            return self._recall_pods(key, pod_names, uid=uid)
        found = {}
        for name in pod_names:
            pod = await self._pods.view(namespace=key.namespace, name=name)
            if pod is None or pod.recording != key.name:
                continue
            if pod.recording_uid == uid:
                found[name] = pod
            else:
                await self._pods.delete(namespace=key.namespace, name=name, uid=pod.uid)
                await self._actions.release(key.namespace, pod)
        return found

    def _recall_pods(self, key: RecordingKey, pod_names: Iterable[str], *, uid: str | None) -> dict[str, PodView]:
        """The pods as they were last seen; raises _UncertainError where one has to be looked at."""
        found = {}
        for name in pod_names:
            pod = self._pods.remembered(namespace=key.namespace, name=name)
            if pod is None or (pod.recording, pod.recording_uid) != (key.name, uid):
                raise _UncertainError
            found[name] = pod
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


def _that_matter(recording: CloudRecording) -> list[Part]:
    """The parts whose pods decide what is done next: none is made for what another pod may still have open."""
    if finished(recording.status):
        return list(parts.unfinished(recording.status))
    return [
        part for part in recording.status.parts if part.state not in parts.OVER or rescue.is_needed(recording, part)
    ]
