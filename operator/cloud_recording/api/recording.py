# SPDX-License-Identifier: Apache-2.0
"""The resource `CloudRecording`: what a person asks for, next to what is known of it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field

from cloud_recording.api.base import API_VERSION, RecordModel, SpecModel
from cloud_recording.api.channel import Channel
from cloud_recording.api.livekit import HEARD
from cloud_recording.api.media import Layout, RecordingOptions, StreamKinds
from cloud_recording.api.pod_options import PodOptions
from cloud_recording.api.rules import Rule, always, kubernetes
from cloud_recording.api.status import CloudRecordingStatus
from cloud_recording.api.storage import SAME_ENDPOINT, BackupStorage, Storage
from cloud_recording.api.work_volume import EmptyDirWork, WorkVolume

ONE_ACCOUNT: Final = (
    "must name one ServiceAccount in `storage`, `backup` and `pod`: a pod runs as one, whose identity opens its stores"
)
"""What two different names of accounts are told."""

KIND: Final = "CloudRecording"
PLURAL: Final = "cloudrecordings"

DURABLE_FINALIZER: Final = "cloudrecording.dev/durable"
DISCARD_ANNOTATION: Final = "cloudrecording.dev/discard"

DEFAULT_ENGINE: Final = "default"
"""Name under which the administrator's list always has an engine."""


class DesiredRecordingState(StrEnum):
    RECORDING = "Recording"
    PAUSED = "Paused"
    STOPPED = "Stopped"


class RestartPolicy(StrEnum):
    ON_FAILURE = "OnFailure"
    NEVER = "Never"


class Restart(SpecModel):
    """What happens when the recorder fails or its pod is lost."""

    policy: RestartPolicy = Field(
        default=RestartPolicy.ON_FAILURE,
        description="OnFailure: a new part goes on recording. Never: the recording fails.",
    )
    max_parts: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        default=None, description="Most parts that a recording may have; any number if left out."
    )


class EngineRef(SpecModel):
    """The library that records."""

    name: Annotated[str, Field(min_length=1, max_length=63)] = Field(
        default=DEFAULT_ENGINE,
        description="Name of a library in the administrator's list of engines.",
        json_schema_extra=kubernetes(fixed=True),
    )


def _has_recorded_source(spec: CloudRecordingSpec) -> bool:
    """Whether a room's sources have one of the kinds of media that are recorded."""
    room, kinds = spec.channel.livekit, spec.recording.streams
    if room is None or room.sources is None or kinds is StreamKinds.AUDIO_VIDEO:
        return True
    return any((source in HEARD) == (kinds is StreamKinds.AUDIO_ONLY) for source in room.sources)


def _differs(name: str, inner: str = "", *, absent: str = "") -> str:
    """In CEL, that `backup` has another value for the optional field than `storage`."""
    backup, storage = (
        f"(has(self.{store}.{name}) ? self.{store}.{name}{inner} : '{absent}')" for store in ("backup", "storage")
    )
    return f"{backup} != {storage}"


def _account(owner: str) -> str:
    """In CEL, the ServiceAccount that this optional field of the spec names, or nothing."""
    name = f"self.{owner}.serviceAccountName"
    return f"has(self.{owner}) && has({name}) ? {name} : ''"


_ACCOUNTS: Final = f"[{', '.join(_account(owner) for owner in ('storage', 'backup', 'pod'))}]"


class CloudRecordingSpec(SpecModel):
    """What to record, where to store it, and what the recording should be doing now."""

    model_config = ConfigDict(
        json_schema_extra=kubernetes(
            Rule(
                "!has(self.recording.video.maxResolutionUid) || !has(self.channel.streams) || "
                "self.channel.streams.exists(stream, stream.uid == self.recording.video.maxResolutionUid)",
                "must be the `uid` of a participant in `channel.streams`",
                lambda spec: (
                    spec.recording.video.max_resolution_uid is None
                    or spec.channel.streams is None
                    or any(stream.uid == spec.recording.video.max_resolution_uid for stream in spec.channel.streams)
                ),
                field=".recording.video.maxResolutionUid",
            ),
            Rule(
                "!has(self.recording.video.maxResolutionIdentity) || has(self.channel.livekit)",
                "must be left out unless the channel is a LiveKit room: only there participants have identities",
                lambda spec: spec.recording.video.max_resolution_identity is None or spec.channel.livekit is not None,
                field=".recording.video.maxResolutionIdentity",
            ),
            Rule(
                "self.recording.video.layout != 'Vertical' || has(self.recording.video.maxResolutionUid) || "
                "has(self.channel.livekit)",
                "must be set when `layout` is 'Vertical', but for a LiveKit room, where shared screens are large",
                lambda spec: (
                    spec.recording.video.layout is not Layout.VERTICAL
                    or spec.recording.video.max_resolution_uid is not None
                    or spec.channel.livekit is not None
                ),
                field=".recording.video.maxResolutionUid",
            ),
            Rule(
                "!has(self.recording.video.passthrough) || "
                "(has(self.channel.streams) && self.channel.streams.size() == 1)",
                "must be left out unless `channel.streams` has exactly one participant: only a single stream can be "
                "recorded as it is",
                lambda spec: spec.recording.video.passthrough is None or len(spec.channel.listed_streams) == 1,
                field=".recording.video.passthrough",
            ),
            Rule(
                "!has(self.recording.video.passthrough) || !has(self.channel.streams) || "
                "!has(oldSelf.channel.streams) || self.channel.streams == oldSelf.channel.streams",
                "must stay as it is beside `recording.video.passthrough`: a stream that is recorded as it is cannot be "
                "exchanged for another",
                always,
                field=".channel.streams",
            ),
            Rule(
                "!has(self.channel.livekit) || !has(self.channel.livekit.sources) || "
                "self.recording.streams == 'AudioVideo' || self.channel.livekit.sources.exists(source, "
                "(source in ['Microphone', 'ScreenShareAudio']) == (self.recording.streams == 'AudioOnly'))",
                "must have a source of the kind that `recording.streams` names: nothing would be recorded",
                _has_recorded_source,
                field=".channel.livekit.sources",
            ),
            Rule(
                f"!has(self.backup) || {_differs('vendor', absent='S3')} || {_differs('bucket')} || "
                f"{_differs('account')} || "
                f"{_differs('endpoint', SAME_ENDPOINT)} || {_differs('prefix')} || "
                f"{_differs('directory', '.claimName')} || {_differs('ref', '.name')}",
                "must be another place than `storage`",
                lambda spec: spec.backup is None or not spec.backup.is_same_place(spec.storage),
                field=".backup",
            ),
            Rule(
                f"{_ACCOUNTS}.all(one, one == '' || {_ACCOUNTS}.all(other, other == '' || other == one))",
                ONE_ACCOUNT,
                lambda spec: len(spec.service_accounts) <= 1,
            ),
        )
    )

    channel: Channel = Field(description="The channel to record.")
    recording: RecordingOptions = Field(
        default=RecordingOptions(), description="What is recorded of the channel, and how."
    )
    storage: Storage = Field(
        description="The store, a bucket or a directory, that takes the recording while it is made."
    )
    backup: BackupStorage | None = Field(
        default=None,
        description="A second store, which takes what `storage` does not while that fails. As soon as `storage` "
        "answers again it gets everything from there, under its own names; nothing in the backup is ever deleted. A "
        "recording whose `storage` still fails at the end is concluded in the backup (`BackedUp`). Another engine than "
        "the default one has no backup.",
        json_schema_extra=kubernetes(fixed=True),
    )
    desired_state: DesiredRecordingState = Field(
        default=DesiredRecordingState.RECORDING,
        description="What the recording should be doing. Paused leaves a stated gap. Stopped ends the recording for "
        "good: what was recorded is uploaded.",
        json_schema_extra=kubernetes(
            Rule(
                "oldSelf != 'Stopped' || self == 'Stopped'",
                "must stay 'Stopped': a stopped recording never records again; create a new one instead",
                always,
            )
        ),
    )
    max_duration_seconds: Annotated[int, Field(ge=1, le=2**31 - 1)] | None = Field(
        default=None, description="How long after its start the recording is stopped; never if left out."
    )
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = Field(
        default=None,
        description="How long after its end the resource is deleted; never if left out. Files in the store stay.",
    )
    restart: Restart = Field(default=Restart(), description="What happens when the recorder fails or its pod is lost.")
    work: WorkVolume = Field(
        default=WorkVolume(empty_dir=EmptyDirWork()),
        description="The volume on which slices wait for their upload.",
        json_schema_extra=kubernetes(fixed=True),
    )
    upload_grace_seconds: Annotated[int, Field(ge=0, le=86_400)] = Field(
        default=300,
        description="How long a pod that is told to end may go on uploading before it is ended, and how long one that "
        "has concluded its part in `backup` waits for `storage`, to bring everything there.",
    )
    deletion_deadline_seconds: Annotated[int, Field(ge=0, le=2_592_000)] = Field(
        default=3600,
        description="How long a deleted recording may wait for its upload. After that it is let go, and an Event names "
        "what was given up.",
    )
    engine: EngineRef = Field(default=EngineRef(), description="The library that records.")
    pod: PodOptions | None = Field(
        default=None,
        description="Metadata, resources and placement of the recorder's pods.",
        json_schema_extra=kubernetes(fixed=True),
    )

    @property
    def service_accounts(self) -> frozenset[str]:
        """The ServiceAccounts that its pods are to run as: more than one is none that a pod can have."""
        named = [owner.service_account_name for owner in (self.storage, self.backup, self.pod) if owner is not None]
        return frozenset(name for name in named if name is not None)

    @property
    def has_unresolved_store(self) -> bool:
        """Whether nothing is known of one of its stores but the name of a RecordingStorage."""
        return self.storage.is_unresolved or (self.backup is not None and self.backup.is_unresolved)


class ObjectMeta(RecordModel):
    """The part of an object's metadata that decisions are made from."""

    name: str
    namespace: str
    uid: str
    generation: int = 1
    resource_version: str = ""
    creation_timestamp: datetime
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    finalizers: tuple[str, ...] = ()


class CloudRecording(RecordModel):
    """A CloudRecording as the API server gives it."""

    api_version: Literal["cloudrecording.dev/v1alpha1"] = API_VERSION
    kind: Literal["CloudRecording"] = "CloudRecording"
    metadata: ObjectMeta
    spec: CloudRecordingSpec
    status: CloudRecordingStatus = CloudRecordingStatus()
