# SPDX-License-Identifier: Apache-2.0
"""The pod that tries a RecordingStorage: made as a recording's pod is, so that what holds for it holds for them.

It is built by the very function that builds those, of a recording that nobody asked for, and differs in what it runs,
in what it needs, and in whom it belongs to.
"""

from __future__ import annotations

from typing import Final

from cloud_recording.api.base import API_VERSION
from cloud_recording.api.channel import Channel, Stream
from cloud_recording.api.host_patterns import ANY_HOST
from cloud_recording.api.media import RecordingOptions, StreamKinds
from cloud_recording.api.pod_options import PodOptions
from cloud_recording.api.recording import CloudRecording, CloudRecordingSpec, DesiredRecordingState
from cloud_recording.api.recording_storage import STORAGE_KIND, RecordingStorage, as_inline
from cloud_recording.api.settings import OperatorSettings
from cloud_recording.api.status import Part
from cloud_recording.api.storage import Storage
from cloud_recording.api.wire import DesiredState, RecordingDocument
from cloud_recording.common.json_types import Json
from cloud_recording.domain import names
from cloud_recording.domain.one_shot_pod import ONE_SHOT_RESOURCES, one_shot_spec, without_usual_resources
from cloud_recording.domain.pod_builder import build_pod
from cloud_recording.domain.pod_documents import recording_document

CHANNEL: Final = "probe"
DEADLINE_SECONDS: Final = 900
"""After this the kubelet ends it: counted from when it has seen the pod, with the pull of the image on a cold node."""

_NOBODY: Final = Stream(uid=1, url="rtmp://127.0.0.1/probe")
"""The probe connects its engine to itself: nobody is recorded."""


def storage_of(storage: RecordingStorage) -> Storage:
    """The store as a recording would have it written out."""
    return as_inline(Storage(), storage.spec)


def probe_object(storage: RecordingStorage) -> str | None:
    """The one object that every probe of this store puts, without the prefix; none where nothing is put twice."""
    if storage.spec.is_write_once:
        return None
    return f"{names.recording_id(storage.metadata.uid)}_{CHANNEL}.m3u8"


def build_probe_pod(storage: RecordingStorage, settings: OperatorSettings) -> Json:
    """The pod that tries the RecordingStorage as it is now."""
    metadata, settings = storage.metadata, without_usual_resources(settings)
    recording, part = _stand_in(storage), Part(number=0, pod=_name(storage))
    pod = build_pod(
        recording,
        part,
        template={"metadata": {"name": metadata.name, "uid": metadata.uid}},
        document=_document(recording, part, settings),
        desired=DesiredState.of_spec(recording.spec, generation=1, state=DesiredRecordingState.RECORDING),
        callback_ca="",
        settings=settings,
    )
    spec = one_shot_spec(pod["spec"], command="probe", deadline_seconds=DEADLINE_SECONDS)
    return {**pod, "metadata": _metadata(storage, pod, settings), "spec": spec}


def _stand_in(storage: RecordingStorage) -> CloudRecording:
    spec = CloudRecordingSpec(
        channel=Channel(name=CHANNEL, uid=1000, streams=(_NOBODY,)),
        recording=RecordingOptions(streams=StreamKinds.AUDIO_ONLY),
        storage=storage_of(storage),
        pod=PodOptions(resources=ONE_SHOT_RESOURCES),
    )
    return CloudRecording(metadata=storage.metadata, spec=spec)


def _document(recording: CloudRecording, part: Part, settings: OperatorSettings) -> RecordingDocument:
    document = recording_document(recording, part, settings)
    # What participants' URLs may be is no matter here: the only one leads to the probe itself.
    return document.model_copy(update={"protocols": ("rtmp",), "stream_hosts": (ANY_HOST,)})


def _name(storage: RecordingStorage) -> str:
    return names.probe_pod_name(storage=storage.metadata.name, uid=storage.metadata.uid)


def _metadata(storage: RecordingStorage, pod: Json, settings: OperatorSettings) -> Json:
    metadata, made = storage.metadata, pod["metadata"]
    own = {
        **settings.runner.pod_annotations,
        **{name: value for name, value in made["annotations"].items() if name != names.RECORDING_NAME_ANNOTATION},
        names.STORAGE_NAME_ANNOTATION: metadata.name,
        names.STORAGE_GENERATION_ANNOTATION: str(metadata.generation),
    }
    owner = {"apiVersion": API_VERSION, "kind": STORAGE_KIND, "name": metadata.name, "uid": metadata.uid}
    return {
        "name": made["name"],
        "namespace": made["namespace"],
        "labels": {
            **settings.runner.pod_labels,
            **names.probe_pod_labels(storage=metadata.name, uid=metadata.uid),
            **names.identity_labels(storage.spec),
        },
        "annotations": own,
        "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": False}],
    }
