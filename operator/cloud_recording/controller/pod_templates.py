# SPDX-License-Identifier: Apache-2.0
"""The PodTemplates that own recordings' pods and claims: made, handed over to a finished recording, or deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from cloud_recording.api.recording import DURABLE_FINALIZER, CloudRecording
from cloud_recording.api.settings import OperatorSettings
from cloud_recording.common.json_types import Json
from cloud_recording.controller.finalizer_index import FinalizerIndex
from cloud_recording.controller.recording_key import RecordingKey
from cloud_recording.domain import names
from cloud_recording.domain.pod_builder import build_template, owner_of_template
from cloud_recording.domain.pod_view import recording_of, recording_uid_of
from cloud_recording.kube.pods import Pods


class PodTemplates:
    """Knows which PodTemplates our finalizer holds, as far as they were seen since the operator began."""

    def __init__(self, pods: Pods) -> None:
        self._pods = pods
        self._finalizers = FinalizerIndex()
        self._made: dict[RecordingKey, Json] = {}

    async def of(self, recording: CloudRecording, settings: OperatorSettings) -> Json:
        """The recording's PodTemplate, made at the latest now; between refusals it is not asked for anew."""
        key = RecordingKey.of(recording)
        template = self._made.get(key)
        if template is None or recording_uid_of(template) != recording.metadata.uid:
            template = await self._pods.create_template(build_template(recording, settings))
            self._made[key] = template
            self._note(key, template)
        return template

    def forget(self, key: RecordingKey) -> None:
        """Drops what was remembered between refusals."""
        self._made.pop(key, None)

    async def hand_over(self, recording: CloudRecording) -> None:
        """Makes the PodTemplate the finished recording's own: from now on everything goes with the recording."""
        namespace = recording.metadata.namespace
        name = names.template_name(recording=recording.metadata.name, uid=recording.metadata.uid)
        owner = owner_of_template(recording)
        await self._pods.hand_over_template(namespace=namespace, name=name, finalizer=DURABLE_FINALIZER, owner=owner)
        self._finalizers.note(RecordingKey.of(recording), name, has_finalizer=False)

    async def delete_strays(self, key: RecordingKey, *, but: str | None) -> None:
        """Deletes the PodTemplates of recordings of this name that are gone, `but` not that of the one of this UID."""
        kept = but and names.template_name(recording=key.name, uid=but)
        for name in self._finalizers.of(key) - {kept}:
            await self._pods.delete_template(namespace=key.namespace, name=name, finalizer=DURABLE_FINALIZER)
            self._finalizers.note(key, name, has_finalizer=False)

    def forget_lost(self, lost: Callable[[RecordingKey], bool]) -> None:
        """Drops what was seen of these: another replica decides about them."""
        self._finalizers.forget(lost)

    async def left_behind(
        self, namespace: str | None, *, owns: Callable[[RecordingKey], bool]
    ) -> AsyncIterator[RecordingKey]:
        """Of these recordings those for which something is held: no watch tells of one that went in the meantime."""
        async for template in self._pods.templates(namespace=namespace, selector=names.TEMPLATE_SELECTOR):
            key = _held_for(template)
            if key is not None and owns(key):
                self._note(key, template)
                yield key

    def _note(self, key: RecordingKey, template: Json) -> None:
        self._finalizers.note(key, template["metadata"]["name"], has_finalizer=_held_for(template) is not None)


def _held_for(template: Json) -> RecordingKey | None:
    """The recording for which our finalizer holds the PodTemplate."""
    metadata = template["metadata"]
    recording = recording_of(template)
    if recording is None or DURABLE_FINALIZER not in metadata.get("finalizers", []):
        return None
    return RecordingKey(metadata["namespace"], recording)
