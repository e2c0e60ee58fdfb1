# SPDX-License-Identifier: Apache-2.0
"""The pod that puts one playlist, and one MP4 if asked for, over a recording's parts: made as theirs are, so what holds
for them holds for it.

It is built by the very function that builds those, of a recording that needs no volume of its own.
"""

from __future__ import annotations

from typing import Final

from cloud_recording.api.media import Output
from cloud_recording.api.pod_options import PodOptions
from cloud_recording.api.recording import CloudRecording, DesiredRecordingState
from cloud_recording.api.settings import OperatorSettings
from cloud_recording.api.status import Merge, Part, PartStorage
from cloud_recording.api.wire import DesiredState, RecordingDocument
from cloud_recording.api.work_volume import EmptyDirWork, WorkVolume
from cloud_recording.common.json_types import Json
from cloud_recording.domain import merged_mp4, names, parts
from cloud_recording.domain.merging import files_of
from cloud_recording.domain.one_shot_pod import ONE_SHOT_RESOURCES, one_shot_spec, without_usual_resources
from cloud_recording.domain.pod_builder import build_pod
from cloud_recording.domain.pod_documents import recording_document

DEADLINE_SECONDS: Final = 300
"""After this the kubelet ends it: counted from when it has seen the pod, with the pull of the image on a cold node.

An MP4 takes longer, by its size.
"""


def build_merge_pod(recording: CloudRecording, merge: Merge, settings: OperatorSettings, *, template: Json) -> Json:
    """The pod that makes one playlist over the recording's parts, and one MP4 where `merge` is to have one."""
    stand_in, settings = _without_volume(recording, merge), without_usual_resources(settings)
    place = parts.stored_place(recording.status)
    part = Part(number=merge.newest_part, pod=merge.pod or "", storage=PartStorage(place=place))
    pod = build_pod(
        stand_in,
        part,
        template=template,
        document=_document(stand_in, part, settings),
        desired=DesiredState.of_spec(recording.spec, generation=1, state=DesiredRecordingState.STOPPED),
        callback_ca="",
        settings=settings,
    )
    metadata = recording.metadata
    labels = {**pod["metadata"]["labels"], **names.merge_pod_labels(recording=metadata.name, uid=metadata.uid)}
    spec = one_shot_spec(pod["spec"], command="merge", deadline_seconds=DEADLINE_SECONDS + (merge.mp4_seconds or 0))
    return {**pod, "metadata": {**pod["metadata"], "labels": labels}, "spec": spec}


def _without_volume(recording: CloudRecording, merge: Merge) -> CloudRecording:
    """The recording with nothing to be kept in the pod, as what a part's claim holds is none of its business."""
    spec, status = recording.spec, recording.status
    with_mp4 = merge.mp4_seconds is not None
    work = EmptyDirWork(size_limit=f"{merged_mp4.disk_mebibytes(status)}Mi") if with_mp4 else EmptyDirWork()
    resources = merged_mp4.resources(status) if with_mp4 else ONE_SHOT_RESOURCES
    outputs = spec.recording.outputs if with_mp4 else (Output.HLS,)
    changes = {
        "work": WorkVolume(empty_dir=work),
        "recording": spec.recording.model_copy(update={"outputs": outputs}),
        "pod": (spec.pod or PodOptions()).model_copy(update={"resources": resources}),
    }
    return recording.model_copy(update={"spec": spec.model_copy(update=changes)})


def _document(recording: CloudRecording, part: Part, settings: OperatorSettings) -> RecordingDocument:
    document = recording_document(recording, part, settings)
    return document.model_copy(update={"parts": files_of(recording.status)})
