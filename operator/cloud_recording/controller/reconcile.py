# SPDX-License-Identifier: Apache-2.0
"""A pass over one recording: read live, decide, write the status once, act.

Nothing is remembered between passes that could not be lost: a pass that is cut off anywhere is made good by the next.
"""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime, timedelta
from typing import Final, assert_never

from pydantic import ValidationError

from cloud_recording.api.reasons import Reason
from cloud_recording.api.recording import DURABLE_FINALIZER, CloudRecording
from cloud_recording.api.wire import CALLBACK_CA_ANNOTATION, SUMMARY_FINALIZER
from cloud_recording.common.backoff import Backoff
from cloud_recording.common.json_types import Json
from cloud_recording.controller.held_objects import HeldObjects
from cloud_recording.controller.keyed_locks import KeyedLocks
from cloud_recording.controller.log_setup import logging_about
from cloud_recording.controller.recording_key import RecordingKey
from cloud_recording.controller.status_writer import StatusWriter, with_status
from cloud_recording.domain import names, parts
from cloud_recording.domain.decide import decide
from cloud_recording.domain.decision import (
    Action,
    AnnotatePod,
    CreatePod,
    Decision,
    DeleteClaim,
    DeleteEndedPod,
    DeletePod,
    DeleteRecording,
    ReleasePod,
    ReleaseRecording,
)
from cloud_recording.domain.invalid_spec import parse, with_invalid_spec
from cloud_recording.domain.observed_state import OperatorContext, PodRefusal
from cloud_recording.domain.pod_builder import build_claim, build_pod, build_template, owner_of_template
from cloud_recording.domain.pod_documents import desired_state_document, recording_document
from cloud_recording.domain.pod_view import PodView, recording_of, recording_uid_of
from cloud_recording.domain.summarize import finished
from cloud_recording.kube.errors import Conflict, NotFound, Refused
from cloud_recording.kube.pods import ForeignObjectError, Pods
from cloud_recording.kube.recordings import Recordings

logger = logging.getLogger(__name__)

ATTEMPTS: Final = 4
"""How often a pass starts over at once when somebody else wrote in between; after that it goes back to the queue."""

REFUSED: Final = Backoff(first_seconds=15.0, most_seconds=300.0)
"""How long a pod that the API server refuses is not asked for again: thousands over a quota must not ask together."""

RESYNC: Final = timedelta(minutes=10)
"""How often a recording that is not finished is looked at even if nothing is heard of it."""


class AnotherOperatorError(Exception):
    """Two installations of the operator work in one namespace; the queue's pauses keep them from racing each other."""

    message = (
        "another installation of the operator works in this namespace, too, and has the pod trust its own callback "
        "authority: uninstall one of them, or give each its own namespaces with `watchNamespaces`"
    )


class Reconciler:
    """Brings recordings and their pods to where their specs want them."""

    def __init__(
        self,
        *,
        recordings: Recordings,
        pods: Pods,
        statuses: StatusWriter,
        context: Callable[[], OperatorContext],
        held: HeldObjects,
        locks: KeyedLocks[RecordingKey],
        clock: Callable[[], datetime],
    ) -> None:
        self._recordings = recordings
        self._pods = pods
        self._statuses = statuses
        self._context = context
        self._held = held
        self._templates = HeldObjects()
        self._template_of: dict[RecordingKey, Json] = {}
        self._refused: dict[RecordingKey, int] = {}
        self._published: dict[RecordingKey, tuple[str, str]] = {}
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
        self._template_of.pop(key, None)
        self._refused.pop(key, None)
        self._published.pop(key, None)
        self.unfinished.discard(key)

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
            await self._end_strays(key, but=None)
            return None
        await self._end_strays(key, but=body["metadata"]["uid"])
        parsed = parse(body)
        recording = parsed.recording
        over = finished(recording.status) or recording.metadata.deletion_timestamp is not None
        if parsed.spec_error is not None and not over:
            await self._refuse(body, recording, parsed.spec_error)
            return None
        pods = await self._read_pods(key, recording)
        decision = await self._decide_and_do(key, body, recording, pods)
        return self._requeue_after(key, decision)

    async def _decide_and_do(
        self, key: RecordingKey, body: Json, recording: CloudRecording, pods: Mapping[str, Json]
    ) -> Decision:
        views = {name: PodView.of(pod) for name, pod in pods.items()}
        refusal: PodRefusal | None = None
        while True:
            decision = decide(recording, views, now=self._clock(), context=self._context(), refusal=refusal)
            if decision.add_finalizer:
                finalizers = [*body["metadata"].get("finalizers", []), DURABLE_FINALIZER]
                body = await self._recordings.set_finalizers(body, finalizers)
                recording = parse(body).recording
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
    ) -> PodRefusal | None:
        """Does what was decided, in order; stops at a pod that the API server refuses and says why."""
        for action in decision.actions:
            refusal = await self._do(body, recording, pods, action)
            if refusal is not None:
                return refusal
        return None

    async def _do(
        self, body: Json, recording: CloudRecording, pods: Mapping[str, Json], action: Action
    ) -> PodRefusal | None:
        namespace, name = recording.metadata.namespace, recording.metadata.name
        match action:
            case CreatePod():
                return await self._create(recording, action)
            case AnnotatePod(pod=pod, annotations=annotations):
                await self._look_for_another(body, pod, annotations.get(CALLBACK_CA_ANNOTATION))
                await self._pods.annotate(namespace=namespace, name=pod.name, uid=pod.uid, annotations=annotations)
            case DeletePod(pod=pod, grace_seconds=grace):
                await self._pods.delete(namespace=namespace, name=pod.name, uid=pod.uid, grace_seconds=grace)
            case DeleteEndedPod(part=part) if part.pod_uid is not None:
                await self._pods.delete(namespace=namespace, name=part.pod, uid=part.pod_uid)
            case DeleteEndedPod():
                pass
            case DeleteClaim(part=part):
                await self._pods.delete_claim(namespace=namespace, name=part.pod, recording_uid=recording.metadata.uid)
            case ReleasePod(pod=pod):
                await self._release(pods[pod.name])
            case ReleaseRecording():
                await self._hand_over(recording)
                kept = [one for one in body["metadata"].get("finalizers", []) if one != DURABLE_FINALIZER]
                await self._recordings.set_finalizers(body, kept)
            case DeleteRecording():
                await self._recordings.delete(namespace=namespace, name=name, uid=recording.metadata.uid)
            case _:
                assert_never(action)
        return None

    async def _create(self, recording: CloudRecording, action: CreatePod) -> PodRefusal | None:
        context, part = self._context(), action.part
        try:
            template = await self._template(recording, context)
            claim = build_claim(recording, part, template=template)
            if claim is not None:
                await self._pods.create_claim(claim)
            pod = build_pod(
                recording,
                part,
                template=template,
                document=recording_document(recording, part, context.settings),
                desired=desired_state_document(
                    recording, recording.status, part, now=self._clock(), settings=context.settings
                ),
                callback_ca=context.callback_ca,
                settings=context.settings,
            )
            await self._pods.create(pod)
        except (Refused, ForeignObjectError) as error:
            reason = _refusal_reason(error.message)
            return PodRefusal(
                part=part.number, reason=reason, message=error.message, retry_after=self._pause(recording)
            )
        self._refused.pop(_key(recording), None)
        self._template_of.pop(_key(recording), None)
        logger.info("pod created", extra={"pod": part.pod})
        return None

    async def _look_for_another(self, body: Json, pod: PodView, authority: str | None) -> None:
        """Raises where somebody took away what this operator had told the pod: nobody does but another operator."""
        if authority is None:
            return
        key = RecordingKey(body["metadata"]["namespace"], body["metadata"]["name"])
        if self._published.get(key) == (pod.uid, authority):
            await self._statuses.warn(body, reason="AnotherOperator", message=AnotherOperatorError.message)
            raise AnotherOperatorError
        self._published[key] = (pod.uid, authority)

    def _pause(self, recording: CloudRecording) -> timedelta:
        key = _key(recording)
        self._refused[key] = self._refused.get(key, 0) + 1
        return timedelta(seconds=REFUSED.after(self._refused[key], spread=random.random()))  # noqa: S311

    async def _template(self, recording: CloudRecording, context: OperatorContext) -> Json:
        """The recording's PodTemplate, made at the latest now; between refusals it is not asked for anew."""
        key = _key(recording)
        template = self._template_of.get(key)
        if template is None or recording_uid_of(template) != recording.metadata.uid:
            template = await self._pods.create_template(build_template(recording, context.settings))
            self._template_of[key] = template
            self._note_template(template)
        return template

    async def _hand_over(self, recording: CloudRecording) -> None:
        namespace = recording.metadata.namespace
        name = names.template_name(recording=recording.metadata.name, uid=recording.metadata.uid)
        owner = owner_of_template(recording)
        await self._pods.hand_over_template(namespace=namespace, name=name, finalizer=DURABLE_FINALIZER, owner=owner)
        self._templates.note(_key(recording), name, held=False)

    async def _release(self, pod: Json) -> None:
        # A pod that was told to end just now has another version than the one that was read.
        metadata = pod["metadata"]
        live = await self._pods.read(namespace=metadata["namespace"], name=metadata["name"])
        if live is not None and live["metadata"]["uid"] == metadata["uid"]:
            await self._pods.remove_finalizer(pod=live, finalizer=SUMMARY_FINALIZER)

    async def _read_pods(self, key: RecordingKey, recording: CloudRecording | None) -> dict[str, Json]:
        """Every pod of the recording that matters: those of unfinished parts, and those that we still hold.

        A pod of a recording of this name that is gone is ended on the way. A recording goes before its pods only when
        somebody takes our finalizer off it by hand.
        """
        listed = recording.status.parts if recording is not None else ()
        wanted = {part.pod for part in listed if part.state not in parts.OVER} | self._held.of(key)
        uid = recording.metadata.uid if recording is not None else None
        found = {}
        for name in sorted(wanted):
            pod = await self._pods.read(namespace=key.namespace, name=name)
            view = PodView.of(pod) if pod is not None else None
            if pod is None or view is None or recording_of(pod) != key.name:
                continue
            if view.recording_uid == uid:
                found[name] = pod
            else:
                await self._pods.delete(namespace=key.namespace, name=name, uid=view.uid)
                await self._release(pod)
        return found

    def _note_template(self, template: Json) -> RecordingKey | None:
        metadata = template["metadata"]
        recording = recording_of(template)
        if recording is None or DURABLE_FINALIZER not in metadata.get("finalizers", []):
            return None
        key = RecordingKey(metadata["namespace"], recording)
        self._templates.note(key, metadata["name"], held=True)
        return key

    async def left_behind(self, namespace: str | None) -> AsyncIterator[RecordingKey]:
        """The recordings for which something is held: the watch does not tell of one that went in the meantime."""
        async for template in self._pods.templates(namespace=namespace, selector=names.TEMPLATE_SELECTOR):
            key = self._note_template(template)
            if key is not None:
                yield key

    async def _end_strays(self, key: RecordingKey, *, but: str | None) -> None:
        """Has the PodTemplates of recordings of this name go that are gone, `but` not the one of that UID."""
        kept = but and names.template_name(recording=key.name, uid=but)
        for name in self._templates.of(key) - {kept}:
            await self._pods.delete_template(namespace=key.namespace, name=name, finalizer=DURABLE_FINALIZER)
            self._templates.note(key, name, held=False)

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


def _key(recording: CloudRecording) -> RecordingKey:
    return RecordingKey(recording.metadata.namespace, recording.metadata.name)


def _refusal_reason(message: str) -> Reason:
    # Admission answers 403 for everything it refuses, and tells a quota by its words only.
    return Reason.QUOTA_EXCEEDED if "exceeded quota" in message else Reason.POD_REJECTED
