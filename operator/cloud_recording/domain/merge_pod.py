# SPDX-License-Identifier: Apache-2.0
"""The pod that puts one playlist over a recording's parts: made as theirs are, so what holds for them holds for it.

It is built by the very function that builds those, of a recording that needs no volume of its own.
"""

from __future__ import annotations

from typing import Final

from cloud_recording.api.pod_options import PodOptions
from cloud_recording.api.recording import CloudRecording, DesiredRecordingState
from cloud_recording.api.settings import OperatorSettings
from cloud_recording.api.status import Merge, Part, PartStorage
from cloud_recording.api.wire import DesiredState, RecordingDocument
from cloud_recording.api.work_volume import EmptyDirWork, WorkVolume
from cloud_recording.common.json_types import Json
from cloud_recording.domain import names, parts
from cloud_recording.domain.merging import files_of
from cloud_recording.domain.one_shot_pod import ONE_SHOT_RESOURCES, one_shot_spec, without_usual_resources
from cloud_recording.domain.pod_builder import build_pod
from cloud_recording.domain.pod_documents import recording_document

DEADLINE_SECONDS: Final = 300
"""After this the kubelet ends it: counted from when it has seen the pod, with the pull of the image on a cold node."""


def build_merge_pod(recording: CloudRecording, merge: Merge, settings: OperatorSettings, *, template: Json) -> Json:
    """The pod that makes one playlist over the recording's parts."""
    stand_in, settings = _without_volume(recording), without_usual_resources(settings)
    place = parts.stored_place(recording.status)
    part = Part(number=merge.newest_part, pod=merge.pod or "", storage=PartStorage(place=place))
    pod = build_pod(
        stand_in,
        part,
        template=template,
        document=_document(recording, part, settings),
        desired=DesiredState.of_spec(recording.spec, generation=1, state=DesiredRecordingState.STOPPED),
        callback_ca="",
        settings=settings,
    )
    metadata = recording.metadata
    labels = {**pod["metadata"]["labels"], **names.merge_pod_labels(recording=metadata.name, uid=metadata.uid)}
    spec = one_shot_spec(pod["spec"], command="merge", deadline_seconds=DEADLINE_SECONDS)
    return {**pod, "metadata": {**pod["metadata"], "labels": labels}, "spec": spec}


def _without_volume(recording: CloudRecording) -> CloudRecording:
    """The recording with nothing to be kept in the pod, as what a part's claim holds is none of its business."""
    options = recording.spec.pod or PodOptions()
    changes = {
        "work": WorkVolume(empty_dir=EmptyDirWork()),
        "pod": options.model_copy(update={"resources": ONE_SHOT_RESOURCES}),
    }
    return recording.model_copy(update={"spec": recording.spec.model_copy(update=changes)})


def _document(recording: CloudRecording, part: Part, settings: OperatorSettings) -> RecordingDocument:
    document = recording_document(recording, part, settings)
    return document.model_copy(update={"parts": files_of(recording.status)})
