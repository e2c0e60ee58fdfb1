# SPDX-License-Identifier: Apache-2.0
"""A pass over one RecordingStorage: look, decide, write the status once, act. Everything is read: there are few."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, assert_never

from cloud_recording.api.reasons import ConditionType, Reason
from cloud_recording.api.recording_storage import IN_USE_FINALIZER, RecordingStorage, RecordingStorageStatus
from cloud_recording.api.status import Condition, ConditionStatus
from cloud_recording.common.json_types import Json
from cloud_recording.controller.execute_actions import reason_of_refusal
from cloud_recording.controller.known_storages import KnownStorages, parsed
from cloud_recording.controller.storage_key import StorageKey
from cloud_recording.domain import conditions, names
from cloud_recording.domain.decide_storage import (
    CreateProbe,
    DeleteProbe,
    ReleaseStorage,
    StorageAction,
    StorageDecision,
    StorageState,
    decide_storage,
)
from cloud_recording.domain.observed_state import OperatorContext, PodRefusal
from cloud_recording.domain.pod_view import PodView
from cloud_recording.domain.probe_pod import build_probe_pod
from cloud_recording.domain.store_refs import names_in
from cloud_recording.kube.errors import Conflict, InternalError, Refused, level_of
from cloud_recording.kube.events import EventNote, EventRecorder
from cloud_recording.kube.pods import ForeignObjectError, Pods
from cloud_recording.kube.recordings import Recordings

logger = logging.getLogger(__name__)

ATTEMPTS: Final = 4
"""How often a pass starts over at once when somebody else wrote in between; after that it goes back to the queue."""

REFUSED_PAUSE: Final = timedelta(seconds=30)
"""How long a pod that the API server refuses is not asked for again."""


class StorageReconciler:
    """Tries RecordingStorages, and lets go of those that nobody uses."""

    def __init__(
        self,
        *,
        storages: KnownStorages,
        recordings: Recordings,
        pods: Pods,
        events: EventRecorder,
        context: Callable[[], OperatorContext],
        clock: Callable[[], datetime],
    ) -> None:
        self._storages = storages
        self._recordings = recordings
        self._pods = pods
        self._events = events
        self._context = context
        self._clock = clock

    async def reconcile(self, key: StorageKey) -> float | None:
        """Makes one pass; returns after how many seconds the next is due though nothing changes."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await self._pass(key)
            except Conflict:
                if attempt == ATTEMPTS:
                    raise
        return None

    async def _pass(self, key: StorageKey) -> float | None:
        body = await self._storages.read(key)
        if body is None:
            return None
        state = await self._state(parsed(body))
        decision = decide_storage(state)
        if decision.add_finalizer:
            finalizers = [*(body["metadata"].get("finalizers") or []), IN_USE_FINALIZER]
            body = await self._storages.set_finalizers(body, finalizers)
        body = await self._write(body, state.storage.status, decision.status)
        refusal = await self._act(body, state.storage, decision)
        if refusal is not None:
            written = state.storage.model_copy(update={"status": decision.status})
            refused = StorageState(
                storage=written, probe=None, users=(), now=state.now, settings=state.settings, refusal=refusal
            )
            decision = decide_storage(refused)
            await self._write(body, written.status, decision.status)
        return decision.requeue_after.total_seconds() if decision.requeue_after is not None else None

    async def _state(self, storage: RecordingStorage) -> StorageState:
        metadata = storage.metadata
        leaving = metadata.deletion_timestamp is not None
        pod = await self._pods.read(
            namespace=metadata.namespace, name=names.probe_pod_name(storage=metadata.name, uid=metadata.uid)
        )
        return StorageState(
            storage=storage,
            probe=PodView.of(pod) if pod is not None else None,
            users=await self._users(StorageKey(metadata.namespace, metadata.name)) if leaving else (),
            now=self._clock(),
            settings=self._context().settings,
        )

    async def _users(self, key: StorageKey) -> list[str]:
        """The recordings that are not over and name it."""
        listed = self._recordings.listed(namespace=key.namespace)
        names_it = [body async for body in listed if key.name in names_in(body) and not _over(body)]
        return sorted(body["metadata"]["name"] for body in names_it)

    async def _act(self, body: Json, storage: RecordingStorage, decision: StorageDecision) -> PodRefusal | None:
        for action in decision.actions:
            refusal = await self._do(body, storage, action)
            if refusal is not None:
                return refusal
        return None

    async def _do(self, body: Json, storage: RecordingStorage, action: StorageAction) -> PodRefusal | None:
        namespace = storage.metadata.namespace
        about = {"namespace": namespace, "storage": storage.metadata.name}
        match action:
            case CreateProbe():
                try:
                    made = await self._pods.create(build_probe_pod(storage, self._context().settings))
                except (Refused, ForeignObjectError, InternalError) as error:
                    fields = {**about, "error": error.message}
                    logger.log(level_of(error), "probe refused by the API server", extra=fields)
                    return refusal_of(error)
                logger.info("probe created", extra={**about, "pod": made["metadata"]["name"]})
            case DeleteProbe(pod=pod, at_once=at_once):
                grace = 0 if at_once else None
                await self._pods.delete(namespace=namespace, name=pod.name, uid=pod.uid, grace_seconds=grace)
            case ReleaseStorage():
                kept = [one for one in body["metadata"].get("finalizers") or [] if one != IN_USE_FINALIZER]
                await self._storages.set_finalizers(body, kept)
                logger.info("storage let go of", extra=about)
            case _:
                assert_never(action)
        return None

    async def _write(self, body: Json, before: RecordingStorageStatus, after: RecordingStorageStatus) -> Json:
        if after == before:
            return body
        written = await self._storages.write_status(
            body, after.model_dump(mode="json", by_alias=True, exclude_none=True)
        )
        ready, known = (conditions.get(status, ConditionType.READY) for status in (after, before))
        if ready is not None and (known is None or (ready.status, ready.reason) != (known.status, known.reason)):
            await self._tell(written, ready)
        return written

    async def _tell(self, body: Json, ready: Condition) -> None:
        if ready.reason is Reason.PROBING:
            return
        warning = ready.status is not ConditionStatus.TRUE
        note = ready.message or "the store takes files"
        await self._events.record(
            body, EventNote(warning=warning, reason=ready.reason.value, action="Probe", note=note)
        )


def _over(body: Json) -> bool:
    conditions = (body.get("status") or {}).get("conditions") or []
    return any(one["type"] == ConditionType.FINISHED.value and one["status"] == "True" for one in conditions)


def refusal_of(error: Refused | InternalError | ForeignObjectError) -> PodRefusal:
    """What the API server says of a probe that it refuses."""
    return PodRefusal(part=0, reason=reason_of_refusal(error), message=error.message, retry_after=REFUSED_PAUSE)
