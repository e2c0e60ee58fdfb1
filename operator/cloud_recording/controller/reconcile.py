# SPDX-License-Identifier: Apache-2.0
"""A pass over one recording: read live, decide, write the status once, act.

Nothing is remembered between passes that could not be lost: a pass that is cut off anywhere is made good by the next.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, assert_never

from pydantic import ValidationError

from cloud_recording.api.reasons import Reason
from cloud_recording.api.recording import DURABLE_FINALIZER, KIND, CloudRecording
from cloud_recording.api.status import CloudRecordingStatus
from cloud_recording.api.wire import SUMMARY_FINALIZER
from cloud_recording.controller.keys import HeldPods, RecordingKey
from cloud_recording.controller.locks import KeyedLocks
from cloud_recording.controller.statuses import StatusWriter, with_status
from cloud_recording.domain import parts
from cloud_recording.domain.decide import Refusal, Surroundings, decide
from cloud_recording.domain.decision import (
    Action,
    AnnotatePod,
    CreatePod,
    Decision,
    DeletePod,
    DeleteRecording,
    ReleasePod,
    ReleaseRecording,
)
from cloud_recording.domain.desired import desired_state, recording_document
from cloud_recording.domain.invalid import unreadable
from cloud_recording.domain.pod_builder import build_claim, build_pod
from cloud_recording.domain.pod_view import PodView, owner
from cloud_recording.domain.summarize import finished
from cloud_recording.kube.errors import Conflict, NotFound, Refused
from cloud_recording.kube.pods import ForeignObjectError, Pods
from cloud_recording.kube.recordings import Recordings

logger = logging.getLogger(__name__)

Json = dict[str, Any]

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
        surroundings: Callable[[], Surroundings],
        held: HeldPods,
        locks: KeyedLocks[RecordingKey],
        clock: Callable[[], datetime],
    ) -> None:
        self._recordings = recordings
        self._pods = pods
        self._statuses = statuses
        self._surroundings = surroundings
        self._held = held
        self._locks = locks
        self._clock = clock
        self._versions: dict[RecordingKey, str] = {}
        self.unfinished: set[RecordingKey] = set()
        """The recordings that are not known to be over: those whose pods have to hear of a new authority."""

    def is_own_write(self, key: RecordingKey, version: str) -> bool:
        """Whether this version is what the last pass left: a decision that was carried out asks for nothing more."""
        return self._versions.get(key) == version

    def forget(self, key: RecordingKey) -> None:
        """Drops what is remembered of a recording that is over or gone."""
        self._versions.pop(key, None)
        self.unfinished.discard(key)

    async def reconcile(self, key: RecordingKey) -> float | None:
        """Makes one pass; returns after how many seconds the next is due though nothing changes."""
        for attempt in range(1, ATTEMPTS + 1):
            async with self._locks.hold(key):
                try:
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
            await self._release_orphans(key)
            return None
        try:
            recording = CloudRecording.model_validate(body)
        except ValidationError as error:
            await self._refuse(body, error)
            return None
        pods = await self._read_pods(key, recording)
        decision = await self._decide_and_do(key, body, recording, pods)
        return self._look_again(key, decision)

    async def _decide_and_do(
        self, key: RecordingKey, body: Json, recording: CloudRecording, pods: Mapping[str, Json]
    ) -> Decision:
        views = {name: PodView.of(pod) for name, pod in pods.items()}
        refusal: Refusal | None = None
        while True:
            decision = decide(recording, views, now=self._clock(), surroundings=self._surroundings(), refusal=refusal)
            if decision.hold:
                finalizers = [*body["metadata"].get("finalizers", []), DURABLE_FINALIZER]
                body = await self._recordings.set_finalizers(body, finalizers)
                recording = CloudRecording.model_validate(body)
            body = await self._statuses.write(body, before=recording.status, after=decision.status)
            self._versions[key] = body["metadata"]["resourceVersion"]
            recording = with_status(recording, decision.status)
            if refusal is not None:
                return decision
            refusal = await self._act(body, recording, pods, decision)
            if refusal is None:
                return decision

    async def _act(
        self, body: Json, recording: CloudRecording, pods: Mapping[str, Json], decision: Decision
    ) -> Refusal | None:
        """Does what was decided, in order; stops at a pod that the API server refuses and says why."""
        for action in decision.actions:
            refusal = await self._do(body, recording, pods, action)
            if refusal is not None:
                return refusal
        return None

    async def _do(
        self, body: Json, recording: CloudRecording, pods: Mapping[str, Json], action: Action
    ) -> Refusal | None:
        namespace, name = recording.metadata.namespace, recording.metadata.name
        match action:
            case CreatePod():
                return await self._create(recording, action)
            case AnnotatePod(pod=pod, annotations=annotations):
                await self._pods.annotate(namespace=namespace, name=pod.name, uid=pod.uid, annotations=annotations)
            case DeletePod(pod=pod, grace_seconds=grace):
                await self._pods.delete(namespace=namespace, name=pod.name, uid=pod.uid, grace_seconds=grace)
            case ReleasePod(pod=pod):
                await self._release(pods[pod.name])
            case ReleaseRecording():
                kept = [one for one in body["metadata"].get("finalizers", []) if one != DURABLE_FINALIZER]
                await self._recordings.set_finalizers(body, kept)
            case DeleteRecording():
                await self._recordings.delete(namespace=namespace, name=name, uid=recording.metadata.uid)
            case _:
                assert_never(action)
        return None

    async def _create(self, recording: CloudRecording, action: CreatePod) -> Refusal | None:
        surroundings, part = self._surroundings(), action.part
        pod = build_pod(
            recording,
            part,
            document=recording_document(recording, part, surroundings.settings),
            desired=desired_state(recording, recording.status, part, now=self._clock()),
            callback_ca=surroundings.callback_ca,
            settings=surroundings.settings,
        )
        claim = build_claim(recording, part)
        try:
            if claim is not None:
                await self._pods.create_claim(claim)
            await self._pods.create(pod)
        except (Refused, ForeignObjectError) as error:
            return Refusal(part=part.number, reason=_refusal_reason(error.message), message=error.message)
        logger.info("pod created", extra={"recording": recording.metadata.name, "pod": part.pod})
        return None

    async def _release(self, pod: Json) -> None:
        # A pod that was told to end just now has another version than the one that was read.
        metadata = pod["metadata"]
        live = await self._pods.read(namespace=metadata["namespace"], name=metadata["name"])
        if live is not None and live["metadata"]["uid"] == metadata["uid"]:
            await self._pods.remove_finalizer(pod=live, finalizer=SUMMARY_FINALIZER)

    async def _read_pods(self, key: RecordingKey, recording: CloudRecording) -> dict[str, Json]:
        """Every pod of the recording that matters: those of unfinished parts, and those that we still hold."""
        wanted = {part.pod for part in recording.status.parts if part.state not in parts.OVER} | self._held.of(key)
        found = {}
        for name in sorted(wanted):
            pod = await self._pods.read(namespace=key.namespace, name=name)
            if pod is not None and PodView.of(pod).owner_uid == recording.metadata.uid:
                found[name] = pod
        return found

    async def _release_orphans(self, key: RecordingKey) -> None:
        """Lets go of pods whose recording is gone: somebody took our finalizer off it by hand."""
        for name in self._held.of(key):
            pod = await self._pods.read(namespace=key.namespace, name=name)
            if pod is None or owner(pod) != (KIND, key.name):
                continue
            await self._pods.remove_finalizer(pod=pod, finalizer=SUMMARY_FINALIZER)

    async def _refuse(self, body: Json, error: ValidationError) -> None:
        before = CloudRecordingStatus.model_validate(body.get("status") or {})
        generation = body["metadata"].get("generation", 1)
        after = unreadable(before, error, generation=generation, now=self._clock())
        await self._statuses.write(body, before=before, after=after)

    def _look_again(self, key: RecordingKey, decision: Decision) -> float | None:
        due = decision.look_again.total_seconds() if decision.look_again is not None else None
        if finished(decision.status):
            self.forget(key)
            return due
        self.unfinished.add(key)
        # Spread, so that ten thousand recordings that began together are not all looked at together for ever.
        resync = RESYNC.total_seconds() * random.uniform(0.75, 1.0)  # noqa: S311
        return resync if due is None else min(due, resync)


def _refusal_reason(message: str) -> Reason:
    # Admission answers 403 for everything it refuses, and tells a quota by its words only.
    return Reason.QUOTA_EXCEEDED if "exceeded quota" in message else Reason.POD_REJECTED
