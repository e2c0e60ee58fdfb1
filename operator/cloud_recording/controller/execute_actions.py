# SPDX-License-Identifier: Apache-2.0
"""Does what was decided about a recording and its pods, in order, and logs what was done."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final, assert_never

from cloud_recording.api.reasons import Reason
from cloud_recording.api.recording import DURABLE_FINALIZER, CloudRecording
from cloud_recording.api.status import Merge, Part
from cloud_recording.api.wire import CALLBACK_CA_ANNOTATION, SUMMARY_FINALIZER
from cloud_recording.common.backoff import Backoff
from cloud_recording.common.json_types import Json
from cloud_recording.controller.known_recordings import KnownRecordings
from cloud_recording.controller.pod_templates import PodTemplates
from cloud_recording.controller.recording_key import RecordingKey
from cloud_recording.controller.status_writer import StatusWriter
from cloud_recording.domain.decision import (
    Action,
    AnnotatePod,
    CreateMergePod,
    CreatePod,
    DeleteClaim,
    DeleteEndedPod,
    DeletePod,
    DeleteRecording,
    ReleasePod,
    ReleaseRecording,
)
from cloud_recording.domain.merge_pod import build_merge_pod
from cloud_recording.domain.names import claim_name
from cloud_recording.domain.observed_state import OperatorContext, PodRefusal, refusal_reason
from cloud_recording.domain.pod_builder import build_claim, build_pod
from cloud_recording.domain.pod_documents import desired_state_document, recording_document
from cloud_recording.domain.pod_view import PodView
from cloud_recording.kube.errors import InternalError, Refused, level_of
from cloud_recording.kube.pods import ForeignObjectError, Pods

logger = logging.getLogger(__name__)

REFUSAL_BACKOFF: Final = Backoff(first_seconds=15.0, most_seconds=300.0)
"""How long a pod that the API server refuses is not asked for again: thousands over a quota must not ask together."""

TROUBLE_BACKOFF: Final = Backoff(first_seconds=1.0, most_seconds=60.0)
"""The same where nobody refused it: a webhook that does not answer is back in a moment, or is down for everybody."""


class AnotherOperatorError(Exception):
    """Two installations of the operator work in one namespace; the queue's pauses keep them from racing each other."""

    message = (
        "another installation of the operator works in this namespace, too, and has the pod trust its own callback "
        "authority: uninstall one of them, or give each its own namespaces with `watchNamespaces`"
    )


class ActionExecutor:
    """Carries decisions out against the API server."""

    def __init__(
        self,
        *,
        recordings: KnownRecordings,
        pods: Pods,
        templates: PodTemplates,
        statuses: StatusWriter,
        context: Callable[[], OperatorContext],
        clock: Callable[[], datetime],
    ) -> None:
        self._recordings = recordings
        self._pods = pods
        self._templates = templates
        self._statuses = statuses
        self._context = context
        self._clock = clock
        self._refusals: dict[RecordingKey, int] = {}
        self._published: dict[RecordingKey, tuple[str, str]] = {}

    def forget(self, key: RecordingKey) -> None:
        """Drops what is remembered of a recording that is over or gone."""
        self._templates.forget(key)
        self._refusals.pop(key, None)
        self._published.pop(key, None)

    async def execute(self, body: Json, recording: CloudRecording, actions: tuple[Action, ...]) -> PodRefusal | None:
        """Does everything in order; stops at a pod that the API server refuses and says why."""
        for action in actions:
            try:
                refusal = await self._do(body, recording, action)
            except (Refused, InternalError) as error:
                # It is tried again by the queue, which tells the log alone.
                message = f"{_words_of(action)} is refused: {error.message}"
                await self._statuses.warn(body, reason=rejection_of(action), message=message)
                raise
            if refusal is not None:
                return refusal
        return None

    async def _do(self, body: Json, recording: CloudRecording, action: Action) -> PodRefusal | None:
        metadata = recording.metadata
        namespace = metadata.namespace
        match action:
            case CreatePod() | CreateMergePod():
                return await self._create_for(recording, action)
            case AnnotatePod(pod=pod, annotations=annotations):
                await self._look_for_another(body, pod, annotations.get(CALLBACK_CA_ANNOTATION))
                await self._pods.annotate(namespace=namespace, name=pod.name, uid=pod.uid, annotations=annotations)
                logger.info("pod annotated", extra={"pod": pod.name, "annotations": sorted(annotations)})
            case DeletePod(pod=pod, grace_seconds=grace):
                await self._pods.delete(namespace=namespace, name=pod.name, uid=pod.uid, grace_seconds=grace)
                logger.info("pod told to end", extra={"pod": pod.name, "grace_seconds": grace})
            case DeleteEndedPod(part=part):
                if part.pod_uid is not None:
                    await self._pods.delete(namespace=namespace, name=part.pod, uid=part.pod_uid)
            case DeleteClaim(part=part):
                name = claim_name(recording=metadata.name, uid=metadata.uid, part=part.number)
                await self._pods.delete_claim(namespace=namespace, name=name, recording_uid=metadata.uid)
                logger.info("claim deleted, as nothing is left on it", extra={"claim": name})
            case ReleasePod(pod=pod):
                await self.release(namespace, pod)
                logger.info("pod let go of", extra={"pod": pod.name})
            case ReleaseRecording():
                await self._templates.hand_over(recording)
                kept = [one for one in body["metadata"].get("finalizers", []) if one != DURABLE_FINALIZER]
                await self._recordings.set_finalizers(body, kept)
                logger.info("recording let go of")
            case DeleteRecording():
                await self._recordings.delete(RecordingKey.of(recording), uid=metadata.uid)
                logger.info("recording deleted, as its time to live is over")
            case _:
                assert_never(action)
        return None

    async def release(self, namespace: str, pod: PodView) -> None:
        """Takes our finalizer off the pod."""
        # A pod that was told to end just now has another version than the one that was read.
        live = await self._pods.read(namespace=namespace, name=pod.name)
        if live is not None and live["metadata"]["uid"] == pod.uid:
            await self._pods.remove_finalizer(pod=live, finalizer=SUMMARY_FINALIZER)

    async def _create_for(self, recording: CloudRecording, action: CreatePod | CreateMergePod) -> PodRefusal | None:
        if isinstance(action, CreatePod):
            return await self._create(recording, action.part)
        return await self._create_merge(recording, action.merge)

    async def _create(self, recording: CloudRecording, part: Part) -> PodRefusal | None:
        context, key = self._context(), RecordingKey.of(recording)
        try:
            template = await self._templates.of(recording, context.settings)
            claim = build_claim(recording, part, template=template)
            if claim is not None:
                await self._pods.create_claim(claim)
            await self._pods.create(self._pod(recording, part, template=template, context=context))
        except (Refused, ForeignObjectError) as error:
            return self._refused(key, part.number, part.pod, error, REFUSAL_BACKOFF)
        except InternalError as error:
            return self._refused(key, part.number, part.pod, error, TROUBLE_BACKOFF)
        self._refusals.pop(key, None)
        self._templates.forget(key)
        logger.info("pod created", extra={"pod": part.pod})
        return None

    async def _create_merge(self, recording: CloudRecording, merge: Merge) -> PodRefusal | None:
        settings = self._context().settings
        try:
            template = await self._templates.of(recording, settings)
            await self._pods.create(build_merge_pod(recording, merge, settings, template=template))
        except (Refused, ForeignObjectError, InternalError) as error:
            backoff = TROUBLE_BACKOFF if isinstance(error, InternalError) else REFUSAL_BACKOFF
            return self._refused(RecordingKey.of(recording), None, merge.pod or "", error, backoff)
        self._refusals.pop(RecordingKey.of(recording), None)
        logger.info("pod created", extra={"pod": merge.pod})
        return None

    def _pod(self, recording: CloudRecording, part: Part, *, template: Json, context: OperatorContext) -> Json:
        settings = context.settings
        return build_pod(
            recording,
            part,
            template=template,
            document=recording_document(recording, part, settings),
            desired=desired_state_document(recording, recording.status, part, now=self._clock(), settings=settings),
            callback_ca=context.callback_ca,
            settings=settings,
        )

    def _refused(
        self,
        key: RecordingKey,
        part: int | None,
        pod: str,
        error: Refused | InternalError | ForeignObjectError,
        backoff: Backoff,
    ) -> PodRefusal:
        failures = self._refusals[key] = self._refusals.get(key, 0) + 1
        seconds = backoff.after(failures, spread=random.random())  # noqa: S311
        reason, message = reason_of_refusal(error), error.message
        fields = {"pod": pod, "reason": reason.value, "error": message, "seconds": round(seconds, 1)}
        logger.log(level_of(error), "pod refused by the API server, asking again", extra=fields)
        return PodRefusal(part=part, reason=reason, message=message, retry_after=timedelta(seconds=seconds))

    async def _look_for_another(self, body: Json, pod: PodView, authority: str | None) -> None:
        """Raises where somebody took away what this operator had written on the pod: only another operator does."""
        if authority is None:
            return
        key = RecordingKey(body["metadata"]["namespace"], body["metadata"]["name"])
        if self._published.get(key) == (pod.uid, authority):
            await self._statuses.warn(body, reason="AnotherOperator", message=AnotherOperatorError.message)
            raise AnotherOperatorError
        self._published[key] = (pod.uid, authority)


def rejection_of(action: Action) -> str:
    """The reason of the Event that says that this is refused."""
    return "ChangeRejected" if isinstance(action, ReleaseRecording | DeleteRecording) else Reason.POD_REJECTED.value


def reason_of_refusal(error: Refused | InternalError | ForeignObjectError) -> Reason:
    """Why the API server takes no pod, of a recording or of a RecordingStorage."""
    if isinstance(error, Refused) and error.namespace_ends:
        return Reason.NAMESPACE_TERMINATING
    return refusal_reason(error.message)


def _words_of(action: Action) -> str:
    match action:
        case AnnotatePod(pod=pod):
            return f"to tell pod '{pod.name}' what it should do"
        case DeletePod(pod=pod):
            return f"the end of pod '{pod.name}'"
        case ReleasePod(pod=pod):
            return f"to let go of pod '{pod.name}'"
        case CreateMergePod(merge=merge):
            return f"what is to be done about pod '{merge.pod}'"
        case CreatePod(part=part) | DeleteEndedPod(part=part) | DeleteClaim(part=part):
            return f"what is to be done about pod '{part.pod}'"
        case ReleaseRecording() | DeleteRecording():
            return "to let go of the recording"
        case _:
            assert_never(action)
