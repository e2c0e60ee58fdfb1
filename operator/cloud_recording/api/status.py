# SPDX-License-Identifier: Apache-2.0
"""What the status of a recording says. Counts are totals, lists are tails, times are UTC."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from cloud_recording.api.base import Count, GivenName, KeptModel, Message, OpenEnum, Tail, Time
from cloud_recording.api.reasons import ConditionType, Reason
from cloud_recording.api.rules import kubernetes
from cloud_recording.api.storage import StoragePlace

FileName = Annotated[str, Field(max_length=512)]
ObjectName = Annotated[str, Field(max_length=253)]


Ordinal = Annotated[int, Field(ge=0, le=2**31 - 1)]


MOST_PLAYLISTS: Final = 100


class ConditionStatus(OpenEnum):
    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(KeptModel):
    """One aspect of the state."""

    type: ConditionType = Field(description="Which aspect.")
    status: ConditionStatus = Field(description="Whether it holds.")
    observed_generation: Count = Field(description="Generation of the spec that this was said of.")
    last_transition_time: Time = Field(description="When `status` last changed.")
    reason: Reason = Field(description="Why, in one word for programs.")
    message: Message = Field(description="Why, in a sentence for people. May be empty.")


class Amounts(KeptModel):
    """How much was written, and where it is now."""

    written: Count = Field(default=0, description="Closed on the work volume so far.")
    uploaded: Count = Field(default=0, description="In `spec.storage`, verified by the store's answer.")
    backed_up: Count = Field(default=0, description="In the backup store and not yet brought home.")
    pending: Count = Field(default=0, description="On the work volume only.")


class Gap(KeptModel):
    """A span of time that is not in the recording."""

    start_time: Time = Field(description="First moment that is missing.")
    stop_time: Time | None = Field(default=None, description="First moment that is there again; absent while it lasts.")
    reason: Message = Field(description="Why it is missing.")


class ParticipantState(OpenEnum):
    CONNECTING = "Connecting"
    JOINED = "Joined"
    LEFT = "Left"
    REFUSED = "Refused"
    FAILED = "Failed"


class Participant(KeptModel):
    """Somebody in the channel, as the recorder sees them."""

    uid: Count = Field(description="Number of the participant.")
    name: GivenName | None = Field(default=None, description="Name of the participant.")
    identity: GivenName | None = Field(
        default=None,
        description="What a room calls the participant by: its identity, and for a shared screen `<identity>/screen`.",
    )
    state: ParticipantState = Field(
        description="Connecting: not there yet. Joined: media arrives. Left: media arrived before. Refused: the far "
        "end said no. Failed: what arrives cannot be used."
    )
    audio: bool = Field(default=False, description="Whether audio arrives.")
    video: bool = Field(default=False, description="Whether video arrives.")
    join_time: Time | None = Field(default=None, description="When the first media of the latest stay arrived.")
    leave_time: Time | None = Field(default=None, description="When the latest stay ended.")
    reason: Reason | None = Field(
        default=None,
        description="Why sound or picture of the participant is not recorded, where there is one word for it.",
    )
    message: Message | None = Field(default=None, description="What is wrong, if anything is.")


class PartState(OpenEnum):
    PLANNED = "Planned"
    PENDING = "Pending"
    STARTING = "Starting"
    CONNECTING = "Connecting"
    RECORDING = "Recording"
    PAUSED = "Paused"
    STOPPING = "Stopping"
    UPLOADING = "Uploading"
    AWAITING_RESCUE = "AwaitingRescue"
    RESCUING = "Rescuing"
    CONCLUDED = "Concluded"
    LOST = "Lost"


class Outcome(OpenEnum):
    """How a part ended, in the runner's own words; a lost part has none."""

    UPLOADED = "Uploaded"
    BACKED_UP = "BackedUp"
    IDLE = "Idle"
    FATAL = "Fatal"
    DISCARDED = "Discarded"
    INCOMPLETE = "Incomplete"
    DRAINED = "Drained"


class PartStorage(KeptModel):
    """Where a part's files go, and whether the store takes them."""

    place: StoragePlace | None = Field(default=None, description="Where they go, if that is a bucket.")
    claim_name: ObjectName | None = Field(
        default=None, description="Claim that they go to, if `spec.storage` is a directory."
    )
    storage_name: ObjectName | None = Field(
        default=None, description="RecordingStorage that the store is from, if `spec.storage` names one."
    )
    ready: bool | None = Field(
        default=None, description="Whether the store refuses nothing that is put; absent if untried."
    )
    reason: Reason | None = Field(default=None, description="Why it did not, in one word.")
    message: Message | None = Field(default=None, description="The same in a sentence.")
    time: Time | None = Field(default=None, description="Since when that is so.")

    def said(self, sentence: str) -> str:
        """The engine's sentence about the store, which names a directory by its path in the pod alone."""
        return sentence if self.claim_name is None else f"claim '{self.claim_name}': {sentence}"


class Pause(KeptModel):
    """Nothing is recorded at present."""

    reason: Message = Field(
        description="Paused: as the spec asks. WorkVolumeFull: until uploads have made room. NotInChannel: until the "
        "recorder is in its room again."
    )
    start_time: Time = Field(description="Since when.")
    milliseconds: Count | None = Field(
        default=None,
        description="How long it had lasted when the part was last heard of; it is no gap of the part's until it ends.",
    )


class MergeState(OpenEnum):
    MERGING = "Merging"
    MERGED = "Merged"
    GIVEN_UP = "GivenUp"


class Merge(KeptModel):
    """One playlist over all parts, and one MP4 if asked for: how far that is."""

    state: MergeState = Field(
        description="Merging: a pod is to put it, or does. Merged: it is in the store. GivenUp: there will be none."
    )
    newest_part: Ordinal = Field(description="Number of the newest part that it is over.")
    pods: Ordinal = Field(default=0, description="How many pods were made for it.")
    tries: Ordinal = Field(default=0, description="How many of them ended without it, since the newest part was over.")
    pod: ObjectName | None = Field(default=None, description="Name of the pod that makes it, if one is to be there.")
    pod_uid: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="UID of that pod, once it was seen."
    )
    begin_time: Time = Field(description="When it was begun, or begun anew without an MP4.")
    try_time: Time | None = Field(default=None, description="When the newest of the pods that failed was seen to.")
    playlist: FileName | None = Field(default=None, description="Name of the playlist, without the storage's prefix.")
    playlist_url: Annotated[str, Field(max_length=2048)] | None = Field(
        default=None, description="URL of the playlist; reading it may need credentials. None in a directory."
    )
    manifest: FileName | None = Field(default=None, description="Name of the manifest over all parts beside it.")
    mp4_seconds: Ordinal | None = Field(
        default=None,
        description="How long the pod may take for one MP4 over all parts, too. Absent where it is to make none.",
    )
    mp4: FileName | None = Field(default=None, description="Name of that MP4, once it is in the store.")
    mp4_url: Annotated[str, Field(max_length=2048)] | None = Field(
        default=None, description="URL of that MP4; reading it may need credentials. None in a directory."
    )
    mp4_missing: Message | None = Field(
        default=None, description="Why there is no MP4 over all parts, though one was asked for."
    )
    reason: Reason | None = Field(default=None, description="Why it is not there, in one word.")
    message: Message | None = Field(default=None, description="The same in a sentence.")


class Playlist(KeptModel):
    """A playlist that is in `spec.storage`."""

    part: Ordinal = Field(description="Number of the part whose slices it lists.")
    name: FileName = Field(description="Its name, without the storage's prefix.")
    url: Annotated[str, Field(max_length=2048)] | None = Field(
        default=None,
        description="Its URL in the bucket; reading it may need credentials. In a directory it has none.",
    )
    mp4: FileName | None = Field(default=None, description="Name of the part's MP4, once it is in the store.")
    mp4_url: Annotated[str, Field(max_length=2048)] | None = Field(default=None, description="URL of that MP4.")
    slices: Count | None = Field(
        default=None, description="How many slices of the part are in the store; absent where nobody counts them."
    )


class BackupPlaylist(KeptModel):
    """A playlist that is in the backup store."""

    part: Ordinal = Field(description="Number of the part, some of whose slices it lists.")
    name: FileName = Field(description="Its name, without the backup's prefix.")
    url: Annotated[str, Field(max_length=2048)] | None = Field(
        default=None, description="Its URL in the backup store; reading it may need credentials."
    )


class Part(KeptModel):
    """One pod's share of the recording."""

    number: Ordinal = Field(description="Number of the part, from 0.")
    pod: ObjectName = Field(description="Name of the pod.")
    pod_uid: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="UID of the pod, once it is created; callbacks of any other pod are not heard."
    )
    node: ObjectName | None = Field(default=None, description="Node that the pod runs on.")
    file_prefix: Annotated[str, Field(max_length=64)] = Field(
        default="", description="What the names of the part's files begin with; empty for part 0."
    )
    state: PartState = Field(
        default=PartState.PLANNED,
        description="What the part was last known to do. Planned: its pod was not seen yet. Pending: its pod has not "
        "started. Starting: the recorder waits for its Secrets. AwaitingRescue: its pod is over, and what it left on "
        "its claim or in the backup store is to be delivered by another. Rescuing: that pod is at work. Concluded: its "
        "final summary is counted. Lost: no summary will come.",
    )
    reason: Reason | None = Field(default=None, description="Why the part waits, or how it ended, in one word.")
    message: Message | None = Field(default=None, description="The same in a sentence.")
    lost: bool = Field(default=False, description="Whether the pod that recorded it ended without its final report.")
    rescues: Ordinal = Field(default=0, description="How many pods were made to deliver what the part's own left.")
    rescue_time: Time | None = Field(default=None, description="When the newest of them was made.")
    rescue_message: Message | None = Field(default=None, description="What the rescue waits for, if for anything.")
    missing_secrets: Message | None = Field(
        default=None, description="Secrets that are gone while the recorder is at work, if any are."
    )
    pod_ready: bool = Field(default=False, description="Whether the pod is ready.")
    ready_time: Time | None = Field(
        default=None, description="When the pod was first seen ready since its container was started last."
    )
    running_time: Time | None = Field(default=None, description="When the pod's container was started last.")
    heard_time: Time | None = Field(default=None, description="When the part was last heard of.")
    engine_extended: bool | None = Field(
        default=None, description="Whether the recorder's library offers more than the published interface."
    )
    storage: PartStorage | None = Field(
        default=None, description="Where the part's files go, and whether the store takes them."
    )
    pause: Pause | None = Field(default=None, description="Why nothing is recorded at present, while that is so.")
    outcome: Outcome | None = Field(default=None, description="How the part ended, by its own account.")
    error_code: Annotated[int, Field(ge=0, le=65535)] | None = Field(
        default=None, description="The recorder SDK's number of the error that ended the part."
    )
    sequence: Count = Field(default=0, description="Number of the newest callback that this status contains.")
    desired_generation: Count | None = Field(
        default=None, description="Newest generation of the spec whose changes the part has taken over."
    )
    offset_seconds: Count = Field(
        default=0, description="How much of `spec.maxDurationSeconds` was over when the part began."
    )
    create_time: Time | None = Field(default=None, description="When the pod was created.")
    start_time: Time | None = Field(default=None, description="When the part began to record.")
    stop_time: Time | None = Field(default=None, description="When the part stopped recording.")
    end_time: Time | None = Field(default=None, description="When the pod ended.")
    playlist: FileName | None = Field(default=None, description="Name of the part's playlist.")
    mp4: FileName | None = Field(default=None, description="Name of the part's MP4, once it is in the store.")
    mp4_missing: Message | None = Field(default=None, description="Why the part has no MP4, though one was asked for.")
    backup_playlist: FileName | None = Field(
        default=None,
        description="Name of the part's playlist in the backup store, while not all of its files are in "
        "`spec.storage`.",
    )
    stays_in_backup: bool = Field(
        default=False,
        description="Whether what is in the backup store alone stays there, as there is no journal by which it could "
        "come home.",
    )
    slices: Amounts = Field(default=Amounts(), description="Slices of the part.")
    bytes: Amounts = Field(default=Amounts(), description="Bytes of the part's slices.")
    recorded_milliseconds: Count = Field(default=0, description="Length of the part's media.")
    gap_milliseconds: Count = Field(default=0, description="Length of the part's gaps.")
    pending_milliseconds: Count = Field(default=0, description="Length of the media that is on the work volume alone.")
    volume_free_bytes: Count | None = Field(
        default=None,
        description="What may still be written on the work volume before recording pauses; 0 once it has for that.",
    )
    gap_count: Count = Field(default=0, description="Number of the part's gaps.")
    somebody_joined: bool = Field(
        default=False, description="Whether anybody was in the channel while the part recorded."
    )
    in_channel: bool | None = Field(
        default=None,
        description="Whether the recorder is in the room, whoever else is; absent where the channel is none, or that "
        "is not known yet.",
    )
    nothing_left: bool = Field(
        default=False, description="Whether the part ended with nothing on its work volume that is in no store."
    )
    recorder_restarts: Ordinal = Field(
        default=0, description="How often the recorder process was started again inside the pod."
    )
    runner_restarts: Ordinal = Field(default=0, description="How often the pod's container was started again.")


class EarlierParts(KeptModel):
    """Totals of the parts that are no longer listed."""

    count: Count = Field(default=0, description="Number of those parts.")
    slices: Amounts = Field(default=Amounts(), description="Their slices.")
    bytes: Amounts = Field(default=Amounts(), description="Bytes of their slices.")
    recorded_milliseconds: Count = Field(default=0, description="Length of their media.")
    gap_milliseconds: Count = Field(default=0, description="Length of their gaps.")
    gap_count: Count = Field(default=0, description="Number of their gaps.")
    somebody_joined: bool = Field(default=False, description="Whether anybody was in the channel during one of them.")


class LastError(KeptModel):
    """The newest error, and the way out. It stays after the cause is gone, with the time when that was."""

    code: Annotated[int, Field(ge=0, le=65535)] | None = Field(
        default=None, description="The recorder SDK's number of the error; none for errors outside the engine."
    )
    reason: Reason = Field(description="The error in one word for programs.")
    message: Message = Field(description="What happened, in the words of whoever saw it.")
    remedy: Message = Field(description="What to do about it.")
    time: Time = Field(description="When it happened.")
    resolved_time: Time | None = Field(
        default=None, description="Since when its cause is gone; absent while it may still be there."
    )


class CloudRecordingStatus(KeptModel):
    """What is known about the recording. Written by the operator alone."""

    observed_generation: Count | None = Field(
        default=None, description="Generation of the spec that this status was made from."
    )
    acknowledged_generation: Count | None = Field(
        default=None, description="Newest generation of the spec whose changes the recorder has taken over."
    )
    display: Annotated[str, Field(max_length=128)] | None = Field(
        default=None,
        description="What the STATUS column shows: the reason of Ready, and after a comma that of StorageReady while "
        "that is False, such as 'Recording,AccessDenied'.",
    )
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16)] = Field(
        default=(),
        description="The recording's state in conditions; see the table of conditions.",
        json_schema_extra=kubernetes(list_map_keys=("type",)),
    )
    recording_id: Annotated[str, Field(pattern="^[0-9a-f]{32}$", max_length=32)] | None = Field(
        default=None, description="The recording's ID, which every file's name contains (the SDK's `sid`)."
    )
    playlist: FileName | None = Field(
        default=None,
        description="Name of the playlist to play, without the storage's prefix: that of the newest part, once it is "
        "in the store with a slice in it, and in the end the one over all parts, where that could be made.",
    )
    playlist_url: Annotated[str, Field(max_length=2048)] | None = Field(
        default=None,
        description="URL of that playlist; reading it may need credentials. None in a directory, where `playlist` is a "
        "file below `prefix` on the claim's volume.",
    )
    playlists: Annotated[tuple[Playlist, ...], Field(max_length=MOST_PLAYLISTS)] = Field(
        default=(),
        description="Every part's playlist, in order: played one after the other they are the whole recording. Of more "
        "than 100 the newest.",
        json_schema_extra=kubernetes(list_map_keys=("part",)),
    )
    merge: Merge | None = Field(
        default=None,
        description="One playlist over all parts, and one MP4 if asked for: how far that is. Absent "
        "while the recording goes on for the first time, and of one part; of one that went on after it, what was made "
        "of the parts up to `newestPart`.",
    )
    backup_playlists: Annotated[tuple[BackupPlaylist, ...], Field(max_length=MOST_PLAYLISTS)] = Field(
        default=(),
        description="Playlists in the backup store, of parts that had to be concluded there. Each lists the slices "
        "beside it; the part's manifest there says in which store each file is.",
        json_schema_extra=kubernetes(list_map_keys=("part",)),
    )
    mp4: FileName | None = Field(
        default=None,
        description="Name of the MP4 to play, without the storage's prefix, once it is in the store, verified: the one "
        "over all parts where that is there, else the newest part's. `playlists` names those of the parts.",
    )
    mp4_url: Annotated[str, Field(max_length=2048)] | None = Field(
        default=None, description="URL of that MP4; reading it may need credentials. None in a directory."
    )
    progress_percent: Annotated[int, Field(ge=0, le=100)] | None = Field(
        default=None, description="Share of the files written so far that are in the store, verified."
    )
    slices: Amounts | None = Field(default=None, description="Slices of all parts.")
    bytes: Amounts | None = Field(default=None, description="Bytes of the slices of all parts.")
    pending_seconds: Count | None = Field(
        default=None, description="Length of the media that is on work volumes alone, and in no store."
    )
    volume_free_bytes: Count | None = Field(
        default=None,
        description="What may still be written on the work volume before recording pauses; 0 once it has for that, "
        "absent while nothing is recorded.",
    )
    volume_lasts_seconds: Count | None = Field(
        default=None,
        description="For how long that lasts at the bit rate so far, if no store takes anything meanwhile.",
    )
    start_time: Time | None = Field(default=None, description="When the first media was recorded.")
    completion_time: Time | None = Field(default=None, description="When the recording was finished.")
    last_durable_slice_time: Time | None = Field(
        default=None, description="End of the newest slice up to which everything recorded is in a store."
    )
    recorded_seconds: Count | None = Field(default=None, description="Length of the recorded media of all parts.")
    gap_seconds: Count | None = Field(default=None, description="Length of all gaps.")
    gap_count: Count | None = Field(default=None, description="Number of all gaps.")
    gaps: Tail[Gap] = Field(
        default=(), description="The newest gaps.", json_schema_extra=kubernetes(list_type="atomic")
    )
    participant_count: Count | None = Field(default=None, description="Number of participants joined now.")
    participants: Tail[Participant] = Field(
        default=(),
        description="Participants, those whose state changed last.",
        json_schema_extra=kubernetes(list_map_keys=("uid",)),
    )
    parts: Tail[Part] = Field(
        default=(),
        description="The newest parts; a recording has more than one when a pod was lost or replaced.",
        json_schema_extra=kubernetes(list_map_keys=("number",)),
    )
    earlier_parts: EarlierParts | None = Field(
        default=None, description="Totals of the parts that are no longer listed."
    )
    last_error: LastError | None = Field(default=None, description="The newest error, and the way out.")
