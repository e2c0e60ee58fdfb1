# SPDX-License-Identifier: Apache-2.0
"""What operator and runner tell each other: documents on the way down, callbacks and the summary on the way up.

Times on the wire that the engine states are milliseconds since the Unix epoch, UTC. Unknown fields are left out and
unknown callbacks are kept as such, so that an operator can be rolled back under a newer runner without jamming it.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self, get_args

from pydantic import Discriminator, Field, Tag, TypeAdapter

from cloud_recording.api.base import API_VERSION, Count, Message, OpenEnum, PreciseTime, RecordModel, Tail
from cloud_recording.api.channel import Stream
from cloud_recording.api.host_patterns import ANY_HOST
from cloud_recording.api.media import Layout
from cloud_recording.api.recording import CloudRecordingSpec, DesiredRecordingState
from cloud_recording.api.status import Amounts, FileName, Outcome, ParticipantState
from cloud_recording.api.storage import Storage, StoragePlace
from cloud_recording.common.callback_names import CallbackName

RECORDING_ANNOTATION: Final = "cloudrecording.dev/recording"
DESIRED_ANNOTATION: Final = "cloudrecording.dev/desired"
CALLBACK_CA_ANNOTATION: Final = "cloudrecording.dev/callback-ca"
SUMMARY_FINALIZER: Final = "cloudrecording.dev/summary"
CALLBACK_AUDIENCE: Final = "callbacks.cloudrecording.dev"
CALLBACK_PATH: Final = "/v1/callbacks"

TERMINATION_MESSAGE_BYTES: Final = 4096
"""What the kubelet keeps of a container's termination message."""

_LONGEST_LETTER_BYTES: Final = 6
"""A control character in JSON, which is longer than any letter in UTF-8."""

MAX_CALLBACKS_PER_REQUEST: Final = 100

RecordingId = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
Milliseconds = Count


class PartIdentity(RecordModel):
    """Which share of the recording a pod makes."""

    number: Annotated[int, Field(ge=0)]
    file_prefix: str = ""
    rescue: bool = False
    """Whether another pod recorded it, and what that left is to be delivered."""
    from_backup: bool = False
    """Whether that may be in the backup store alone, the journal included."""


class PartFiles(RecordModel):
    """What a part has in the store."""

    file_prefix: str = ""
    playlist: FileName


class MergeAnswer(RecordModel):
    """What a pod that makes one playlist over all parts says at its end, as its termination message."""

    playlist: FileName | None = None
    manifest: FileName | None = None
    mp4: FileName | None = None
    mp4_missing: Message | None = None
    """Why there is no MP4 beside the playlist, where one was asked for."""
    slices: Count = 0
    recorded_milliseconds: Milliseconds = 0
    cause: str = ""
    """Why there is none, in the engine's word or one of the operator's reasons."""
    message: Message = ""


class EngineLibrary(RecordModel):
    """The shared library that the recorder process loads."""

    name: str
    library_path: str


class RecordingDocument(RecordModel):
    """What a pod is to record: fixed for the pod's life, without any secret."""

    api_version: Literal["cloudrecording.dev/v1alpha1"] = API_VERSION
    namespace: str
    name: str
    uid: str
    recording_id: RecordingId
    part: PartIdentity
    spec: CloudRecordingSpec
    storage: Storage
    directory: str | None = None
    """Where the directory of `storage` is mounted, if that is one."""
    backup_directory: str | None = None
    """The same of the spec's `backup`."""
    storage_name: str | None = None
    """Name of the RecordingStorage that `storage` is from, if it is from one."""
    backup_name: str | None = None
    """The same of the spec's `backup`."""
    callback_url: str
    engine: EngineLibrary
    protocols: tuple[str, ...]
    allow_link_local: bool = False
    stream_hosts: tuple[str, ...] = (ANY_HOST,)
    """Where URLs of participants may lead, redirects too: one in a Secret is seen by the runner alone."""
    node_disk_free_percent: Count | None = None
    """What kubelets keep free of their nodes' disks by evicting pods; left out where they are as they come."""
    parts: tuple[PartFiles, ...] | None = None
    """Over what one playlist is to be made, in their order, where that is what the pod is for."""
    max_wait_seconds: Count | None = None
    """How long to wait for the first participant; left out where somebody has been in the channel already."""


class DesiredState(RecordModel):
    """What the pod should be doing now; a new one replaces the old one whole."""

    generation: Count
    state: DesiredRecordingState
    layout: Layout
    max_resolution_uid: Annotated[int, Field(ge=0, le=2**32 - 1)] | None = None
    max_resolution_identity: str | None = None
    max_duration_seconds: Count | None = None
    upload_grace_seconds: Count
    credentials_generation: Count = 0
    storage: Storage | None = None
    """Where the files are to go, as far as that may still change; an operator of an earlier release says nothing."""
    streams: tuple[Stream, ...] | None = None
    """The channel's participants, once they may be others than in the pod's document."""

    @classmethod
    def of_spec(cls, spec: CloudRecordingSpec, *, generation: int, state: DesiredRecordingState) -> Self:
        """What a spec says of it; the rest depends on what happened before."""
        return cls(
            generation=generation,
            state=state,
            layout=spec.recording.video.layout,
            max_resolution_uid=spec.recording.video.max_resolution_uid,
            max_resolution_identity=spec.recording.video.max_resolution_identity,
            upload_grace_seconds=spec.upload_grace_seconds,
            # Annotations are small: a list that nobody can have edited is in the pod's document.
            streams=None if generation == 1 else spec.channel.streams,
        )


class EngineState(OpenEnum):
    IDLE = "Idle"
    CONNECTING = "Connecting"
    RECORDING = "Recording"
    RECONNECTING = "Reconnecting"
    PAUSED = "Paused"
    STOPPING = "Stopping"
    UPLOADING = "Uploading"
    UPLOADED = "Uploaded"
    BACKED_UP = "BackedUp"
    FAILED = "Failed"


class GapRecord(RecordModel):
    """Nothing is recorded from `start` up to `stop`."""

    start: Milliseconds
    stop: Milliseconds
    reason: Message = ""


class ParticipantRecord(RecordModel):
    """A participant as the engine sees it."""

    uid: Count
    name: str | None = None
    identity: str | None = None
    state: ParticipantState
    audio: bool = False
    video: bool = False
    join_time: Milliseconds | None = None
    leave_time: Milliseconds | None = None
    message: Message | None = None
    cause: str | None = None
    """Why sound or picture is not recorded, in one of the engine's words."""


class StorageRecord(RecordModel):
    """Whether the bucket takes what is put: the state is Untried, Ready or Failing, the cause one of the engine's."""

    state: str = ""
    since: Milliseconds | None = None
    cause: str | None = None
    message: Message = ""


class PauseRecord(RecordModel):
    """Nothing is recorded at present; the gap that it makes is listed once it is over."""

    reason: Message
    since: Milliseconds


class MP4State(OpenEnum):
    WANTED = "Wanted"
    DELIVERED = "Delivered"
    GIVEN_UP = "GivenUp"


class MP4Record(RecordModel):
    """What became of the MP4 that was asked for."""

    state: MP4State
    file: FileName | None = None
    reason: Message = ""


class TickLateness(RecordModel):
    """How late the composer's tick is, in microseconds."""

    p50: Count = 0
    p99: Count = 0


class EngineError(RecordModel):
    """An error in the engine's own words."""

    code: int
    message: Message = ""


class FileFigures(RecordModel):
    """What follows from a recording's files and their stores, so that whoever rescues them counts it anew."""

    playlist: str | None = None
    playlist_pending: bool = False
    """Whether that is put at the end, and was not yet."""
    start_time: Milliseconds | None = None
    stop_time: Milliseconds | None = None
    slices: Amounts = Amounts()
    bytes: Amounts = Amounts()
    progress_percent: Annotated[int, Field(ge=0, le=100)] = 0
    last_durable_slice_time: Milliseconds | None = None
    recorded_milliseconds: Milliseconds = 0
    pending_milliseconds: Milliseconds = 0
    volume_free_bytes: Count | None = None
    """None where nothing is recorded that would need room."""
    gap_milliseconds: Milliseconds = 0
    gap_count: Count = 0
    gaps: Tail[GapRecord] = ()
    storage: StorageRecord | None = None
    mp4: MP4Record | None = None


class Snapshot(FileFigures):
    """The engine's account of itself (`cr_status`): totals and tails, so that any one snapshot stands alone."""

    state: EngineState
    recording_id: RecordingId
    participants: Tail[ParticipantRecord] = ()
    participant_count: Count = 0
    somebody_joined: bool = False
    in_channel: bool | None = None
    """Whether the recorder is in the room, where the channel is one; not told where that is not known."""
    pause: PauseRecord | None = None
    work_volume_full: bool = False
    position_milliseconds: Milliseconds = 0
    tick_lateness_microseconds: TickLateness = TickLateness()
    last_error: EngineError | None = None


class Summary(RecordModel):
    """A part's last word: counts, never lists, so that it fits the container's termination message."""

    recording_id: RecordingId
    part: Annotated[int, Field(ge=0)]
    outcome: Outcome
    code: int | None = None
    message: Message | None = None
    """Why it ended, where neither a stop nor the outcome says it; of an incomplete one, what is missing and why."""
    slices: Amounts = Amounts()
    bytes: Amounts = Amounts()
    recorded_milliseconds: Milliseconds = 0
    gap_milliseconds: Milliseconds = 0
    start_time: Milliseconds | None = None
    stop_time: Milliseconds | None = None
    last_sequence: Count = 0
    somebody_joined: bool = False
    nothing_left: bool = False
    """Whether everything that the part ever had on its work volume is in a store."""
    mp4: MP4Record | None = None
    backup_playlist: FileName | None = None
    """Name of the playlist in the backup store, where not everything came to the bucket."""

    def termination_message(self) -> str:
        """JSON of at most 4,096 bytes: a message that is too long in bytes loses its end."""
        summary = self
        while True:
            text = summary.model_dump_json(by_alias=True, exclude_none=True)
            excess = len(text.encode()) - TERMINATION_MESSAGE_BYTES
            if excess <= 0 or not summary.message:
                return text
            # So few letters that the next round never finds too many gone, and at least one, so that it ends.
            shortened = summary.message[: -max(1, excess // _LONGEST_LETTER_BYTES)]
            summary = summary.model_copy(update={"message": shortened})


ABSENT: Final = "is not there"


class MissingSecret(RecordModel):
    """A key of a Secret that a field of the spec names and that is not mounted yet, is empty, or cannot be used."""

    secret_name: str
    key: str
    field: str
    problem: str = ABSENT
    """What is wrong with it, in the words that follow its name."""
    unusable: bool = False
    """Whether it is there, and what it holds cannot be used."""
    participant: str = ""
    """Whose URL it holds, in words."""

    def sentence(self) -> str:
        """What is wrong with which key, and who names it."""
        by = self.participant or f"`{self.field}`"
        if self.problem == ABSENT:
            return f"Secret '{self.secret_name}' with the key '{self.key}', named by {by}, {ABSENT}"
        return f"key '{self.key}' of Secret '{self.secret_name}', named by {by}, {self.problem}"


class CallbackBase(RecordModel):
    """What every callback carries; `sequence` counts from 1 in each pod and survives the runner's restarts."""

    sequence: Annotated[int, Field(ge=1)]
    time: PreciseTime
    snapshot: Snapshot | None = None


class RunnerStarted(CallbackBase):
    type: Literal[CallbackName.RUNNER_STARTED] = CallbackName.RUNNER_STARTED
    runner_version: str
    engine_name: str
    engine_extended: bool


class RunnerTerminating(CallbackBase):
    """The kubelet asked the pod's container to end while nothing else had ended the part: capture stops, and what is
    left is uploaded. At a node's shutdown nothing else says so before the pod is over: nobody deletes it."""

    type: Literal[CallbackName.RUNNER_TERMINATING] = CallbackName.RUNNER_TERMINATING


class WaitingForSecret(CallbackBase):
    type: Literal[CallbackName.WAITING_FOR_SECRET] = CallbackName.WAITING_FOR_SECRET
    missing: Annotated[tuple[MissingSecret, ...], Field(min_length=1)]


class SecretsComplete(CallbackBase):
    type: Literal[CallbackName.SECRETS_COMPLETE] = CallbackName.SECRETS_COMPLETE


class SecretsGone(CallbackBase):
    """Secrets that are not mounted any more while the part is at work; none when all are there again."""

    type: Literal[CallbackName.SECRETS_GONE] = CallbackName.SECRETS_GONE
    missing: tuple[MissingSecret, ...] = ()


class RecordingConnecting(CallbackBase):
    type: Literal[CallbackName.CONNECTING] = CallbackName.CONNECTING


class RecordingRefused(CallbackBase):
    """Nobody can be recorded: every participant is refused, by its server or by our rules, or the recorder by a room.
    The part tries again."""

    type: Literal[CallbackName.REFUSED] = CallbackName.REFUSED
    code: int
    message: Message = ""
    room: bool = False
    """Whether it is a room's server, or the way to it, that refuses the recorder."""


class RecordingStarted(CallbackBase):
    type: Literal[CallbackName.STARTED] = CallbackName.STARTED


class RecordingStopped(CallbackBase):
    type: Literal[CallbackName.STOPPED] = CallbackName.STOPPED


class RecordingUploaded(CallbackBase):
    type: Literal[CallbackName.UPLOADED] = CallbackName.UPLOADED
    file_name: str


class RecordingBackedUp(CallbackBase):
    type: Literal[CallbackName.BACKED_UP] = CallbackName.BACKED_UP
    file_name: str


class RecordingUploadingProgress(CallbackBase):
    type: Literal[CallbackName.UPLOADING_PROGRESS] = CallbackName.UPLOADING_PROGRESS
    progress_percent: Annotated[int, Field(ge=0, le=100)]
    playlist: str


class RecorderFailure(CallbackBase):
    type: Literal[CallbackName.RECORDER_FAILURE] = CallbackName.RECORDER_FAILURE
    code: int
    message: Message = ""
    cause: str | None = None
    """Why, in the engine's word, where it tells; later failures and recoveries do not change it."""
    fact: Message = ""
    """The cause in words, without a way out."""


class UploaderFailure(CallbackBase):
    type: Literal[CallbackName.UPLOADER_FAILURE] = CallbackName.UPLOADER_FAILURE
    code: int
    message: Message = ""
    cause: str | None = None
    """Why, in the engine's word, where it tells; later failures and recoveries do not change it."""
    fact: Message = ""
    """The cause in words, without a way out."""


class RecordingFatalError(CallbackBase):
    type: Literal[CallbackName.FATAL_ERROR] = CallbackName.FATAL_ERROR
    code: int
    message: Message = ""


class RecorderExited(CallbackBase):
    type: Literal[CallbackName.RECORDER_EXITED] = CallbackName.RECORDER_EXITED
    exit_code: int | None = None
    signal: int | None = None
    restarts: Count
    message: Message = ""


class SnapshotTaken(CallbackBase):
    type: Literal[CallbackName.SNAPSHOT] = CallbackName.SNAPSHOT


class DesiredStateApplied(CallbackBase):
    type: Literal[CallbackName.DESIRED_STATE_APPLIED] = CallbackName.DESIRED_STATE_APPLIED
    generation: Count


class StorageChanged(CallbackBase):
    """The files go to this place from now on."""

    type: Literal[CallbackName.STORAGE_CHANGED] = CallbackName.STORAGE_CHANGED
    place: StoragePlace


class EditRefused(CallbackBase):
    type: Literal[CallbackName.EDIT_REFUSED] = CallbackName.EDIT_REFUSED
    field: str
    message: Message


class Finished(CallbackBase):
    type: Literal[CallbackName.FINISHED] = CallbackName.FINISHED
    summary: Summary


class UnknownCallback(CallbackBase):
    """A callback of a newer runner: it is acknowledged, and its snapshot counts."""

    type: str


KnownCallback = Annotated[
    RunnerStarted
    | RunnerTerminating
    | WaitingForSecret
    | SecretsComplete
    | SecretsGone
    | RecordingConnecting
    | RecordingRefused
    | RecordingStarted
    | RecordingStopped
    | RecordingUploaded
    | RecordingBackedUp
    | RecordingUploadingProgress
    | RecorderFailure
    | UploaderFailure
    | RecordingFatalError
    | RecorderExited
    | SnapshotTaken
    | DesiredStateApplied
    | StorageChanged
    | EditRefused
    | Finished,
    Field(discriminator="type"),
]

_KNOWN_TYPES: Final = frozenset(model.model_fields["type"].default for model in get_args(get_args(KnownCallback)[0]))


def _callback_tag(value: object) -> str:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return "known" if kind in _KNOWN_TYPES else "unknown"


Callback = Annotated[
    Annotated[KnownCallback, Tag("known")] | Annotated[UnknownCallback, Tag("unknown")], Discriminator(_callback_tag)
]

CALLBACK: Final[TypeAdapter[Callback]] = TypeAdapter(Callback)
"""Parses one callback of unknown type."""


class CallbackRequest(RecordModel):
    """Callbacks of one pod in the order of their sequence."""

    pod_uid: Annotated[str, Field(min_length=1, max_length=64)]
    after: Count | None = None
    """The highest sequence that was acknowledged before; a runner of an earlier release says nothing."""
    callbacks: Annotated[tuple[Callback, ...], Field(min_length=1, max_length=MAX_CALLBACKS_PER_REQUEST)]


class CallbackResponse(RecordModel):
    """What the status contains, and how soon more of it is wanted."""

    acknowledged: Count
    """The highest sequence that the status contains, or that changes it no more: it needs not be sent again.

    One below the request's `after` says that nothing of the request was taken, as the status is one of before: the
    runner is to send again what it has kept of everything beyond.
    """
    figures_seconds: Annotated[float, Field(gt=0)] | None = None
    """For how long the runner is asked to keep figures to itself, if it is; anything else is sent at once."""
