# SPDX-License-Identifier: Apache-2.0
"""The vocabulary of the status: condition types and the reasons that conditions, Events and metrics share."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from cloud_recording.api.base import OpenEnum


class ConditionType(OpenEnum):
    """The conditions of a CloudRecording; `CONDITIONS` says what each one tells."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    RECORDING = "Recording"
    UPLOADED = "Uploaded"
    BACKED_UP = "BackedUp"
    SUCCEEDED = "Succeeded"
    FINISHED = "Finished"


CONDITIONS: Final[Mapping[ConditionType, str]] = MappingProxyType(
    {
        ConditionType.READY: "The summary. True while the recording does what was asked of it and after it completed; "
        "False while it is being started, waits for something, or failed. Its reason is the STATUS column. Always "
        "present.",
        ConditionType.RECONCILING: "True while the operator or the recorder is on the way to what the spec asks for. "
        "Absent otherwise.",
        ConditionType.STALLED: "True when the recording failed or cannot go on without a person; its reason is the "
        "cause. Absent otherwise.",
        ConditionType.RECORDING: "True only while the recorder's last word is that it records and its pod is ready; "
        "Unknown when the recorder cannot be heard; False before, while paused and after.",
        ConditionType.UPLOADED: "True once every file of the recording is in the bucket, verified by the bucket's own "
        "answer.",
        ConditionType.BACKED_UP: "True when at least one file had to go to the backup store; False once all were "
        "brought home.",
        ConditionType.SUCCEEDED: "Unknown while the recording runs, then True or False for good.",
        ConditionType.FINISHED: "True once the recording is over and nothing more will happen, whether it succeeded or "
        "not: made for `kubectl wait --for=condition=Finished`.",
    }
)


class Reason(OpenEnum):
    """Every reason the operator writes; `REASONS` explains each."""

    PENDING = "Pending"
    WAITING_FOR_SECRET = "WaitingForSecret"  # noqa: S105 - a word of the status, no secret
    UNSCHEDULABLE = "Unschedulable"
    QUOTA_EXCEEDED = "QuotaExceeded"
    POD_REJECTED = "PodRejected"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    NOT_ALLOWED = "NotAllowed"
    CONNECTING = "Connecting"
    WAITING_FOR_USERS = "WaitingForUsers"
    RECORDING = "Recording"
    PAUSED = "Paused"
    RECONNECTING = "Reconnecting"
    RECORDER_NOT_READY = "RecorderNotReady"
    RESTARTING = "Restarting"
    STOPPING = "Stopping"
    DELETING = "Deleting"
    UPLOADING = "Uploading"
    UPLOADED = "Uploaded"
    BACKED_UP = "BackedUp"
    COMPLETED = "Completed"
    CHANNEL_IDLE = "ChannelIdle"
    NOTHING_RECORDED = "NothingRecorded"
    NO_USERS = "NoUsers"
    EVICTED = "Evicted"
    OUT_OF_MEMORY = "OutOfMemory"
    POD_LOST = "PodLost"
    NODE_LOST = "NodeLost"
    PARTS_EXHAUSTED = "PartsExhausted"
    UPLOAD_INCOMPLETE = "UploadIncomplete"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    DISCARDED = "Discarded"
    INVALID_SPEC = "InvalidSpec"
    CONNECT_ERROR = "ConnectError"
    DISCONNECTED = "Disconnected"
    INVALID_PARAMETER = "InvalidParameter"
    INVALID_OPERATION = "InvalidOperation"
    NO_RECORDED_DATA = "NoRecordedData"
    RECORDER_INIT = "RecorderInit"
    RECORDER_FAILED = "RecorderFailed"
    UPLOADER_INIT = "UploaderInit"
    UPLOADER_FAILED = "UploaderFailed"
    BACKUP_FAILED = "BackupFailed"
    RECORDER_EXIT = "RecorderExit"
    GENERAL_ERROR = "GeneralError"


class ReasonFacts(NamedTuple):
    """What a reason means to a person, and what to do about it; no remedy means that nothing needs to be done."""

    meaning: str
    remedy: str = ""


_SEE_ERROR: Final = "See the error table below and `status.lastError`."

REASONS: Final[Mapping[Reason, ReasonFacts]] = MappingProxyType(
    {
        Reason.PENDING: ReasonFacts("The recorder's pod is decided on or created, and has not said anything yet."),
        Reason.WAITING_FOR_SECRET: ReasonFacts(
            "A Secret, or a key in it, that the spec names is not there; the message says which.",
            "Create it; the recording goes on by itself.",
        ),
        Reason.UNSCHEDULABLE: ReasonFacts(
            "No node has room for the pod; the message is the scheduler's.",
            "Make room, or create the recording with smaller `pod.resources` or other `pod.nodeSelector`.",
        ),
        Reason.QUOTA_EXCEEDED: ReasonFacts(
            "The namespace's ResourceQuota refuses the pod; the message is the API server's.",
            "Raise the quota or wait for other pods to end; the recording goes on by itself.",
        ),
        Reason.POD_REJECTED: ReasonFacts(
            "The API server or an admission policy refuses the pod; the message is its own.",
            "Change what the message names; the operator tries again by itself.",
        ),
        Reason.IMAGE_PULL_FAILED: ReasonFacts(
            "The node cannot get the recorder's image.",
            "Check the chart's `runnerImage` and `imagePullSecrets`.",
        ),
        Reason.NOT_ALLOWED: ReasonFacts(
            "The spec asks for something that the administrator did not allow, such as an engine, a service account, a "
            "priority class, a pod annotation or a URL's protocol; the message names it.",
            "Create the recording without it, or have the chart's values allow it.",
        ),
        Reason.CONNECTING: ReasonFacts("The recorder is joining the channel."),
        Reason.WAITING_FOR_USERS: ReasonFacts(
            "The recorder is in the channel and nobody has been seen there yet.",
            "Nothing, unless it lasts: then check that the participants publish to the URLs named in the spec.",
        ),
        Reason.RECORDING: ReasonFacts("Media is being recorded."),
        Reason.PAUSED: ReasonFacts(
            "`desiredState` is 'Paused' and the recorder has acknowledged it; the pause is a stated gap.",
            "Set `desiredState` to 'Recording' to go on.",
        ),
        Reason.RECONNECTING: ReasonFacts(
            "The connection to everybody in the channel broke, or the recorder died; it is trying to come back."
        ),
        Reason.RECORDER_NOT_READY: ReasonFacts(
            "The recorder's last word was that it records, but its pod is not ready now, so it is not known.",
            "Check the pod and its node.",
        ),
        Reason.RESTARTING: ReasonFacts("The recorder ended although it was to record; a new part is being started."),
        Reason.STOPPING: ReasonFacts("A stop was asked for and the recorder is leaving the channel."),
        Reason.DELETING: ReasonFacts(
            "The resource was deleted; it stays until what was recorded is in the bucket.",
            'To throw away what is not uploaded, set the annotation `cloudrecording.dev/discard: "true"`.',
        ),
        Reason.UPLOADING: ReasonFacts("Recording is over, or goes on; files are still on their way to the bucket."),
        Reason.UPLOADED: ReasonFacts("Every file is in the bucket."),
        Reason.BACKED_UP: ReasonFacts("Every file is durable, at least one of them in the backup store."),
        Reason.COMPLETED: ReasonFacts("The recording was stopped as desired and every file is durable."),
        Reason.CHANNEL_IDLE: ReasonFacts(
            "Everybody had left for `recording.maxIdleSeconds`, so the recording ended as it should."
        ),
        Reason.NOTHING_RECORDED: ReasonFacts("The recording was stopped before anything had been recorded."),
        Reason.NO_USERS: ReasonFacts(
            "Nobody ever joined within `recording.maxWaitSeconds`.",
            "Check that the participants publish to the URLs named in the spec, and create the recording again, with a "
            "longer `recording.maxWaitSeconds` if they come later.",
        ),
        Reason.EVICTED: ReasonFacts(
            "The node or an administrator put the pod out; a new part follows unless `restart` says otherwise.",
            "Check the node's memory and disk, and the priority of the pod.",
        ),
        Reason.OUT_OF_MEMORY: ReasonFacts(
            "The recorder used more memory than its limit and was ended.",
            "Create the recording with a higher `pod.resources.limits.memory`, or have the chart's default raised.",
        ),
        Reason.POD_LOST: ReasonFacts(
            "The recorder's pod is gone without its final report; a new part follows unless `restart` says otherwise.",
            "Check who deletes pods in the namespace, and the node.",
        ),
        Reason.NODE_LOST: ReasonFacts(
            "The pod's node has not been heard of for longer than the administrator's limit.",
            "Bring the node back or delete it.",
        ),
        Reason.PARTS_EXHAUSTED: ReasonFacts(
            "`restart.maxParts` parts have failed, or `restart.policy` is 'Never' and the only part failed.",
            "Look at `status.parts` and `status.lastError`, mend the cause and create a new recording.",
        ),
        Reason.UPLOAD_INCOMPLETE: ReasonFacts(
            "The recording is over and some files could not be brought to any store; the message counts them.",
            "Look at `status.lastError`. Files on a persistent volume are still there.",
        ),
        Reason.DEADLINE_EXCEEDED: ReasonFacts(
            "`uploadGraceSeconds` or `deletionDeadlineSeconds` ran out before everything was uploaded.",
            "Look at `status.lastError`; allow more time where the bucket is slow.",
        ),
        Reason.DISCARDED: ReasonFacts("What was not uploaded was thrown away, as the discard annotation asked."),
        Reason.INVALID_SPEC: ReasonFacts(
            "The spec contradicts itself or this version in a way that the API server could not see.",
            "Correct the field that the message names.",
        ),
        Reason.CONNECT_ERROR: ReasonFacts("Error 430.", _SEE_ERROR),
        Reason.DISCONNECTED: ReasonFacts("Error 431.", _SEE_ERROR),
        Reason.INVALID_PARAMETER: ReasonFacts("Error 432.", _SEE_ERROR),
        Reason.INVALID_OPERATION: ReasonFacts("Error 433.", _SEE_ERROR),
        Reason.NO_RECORDED_DATA: ReasonFacts("Error 435.", _SEE_ERROR),
        Reason.RECORDER_INIT: ReasonFacts("Error 436.", _SEE_ERROR),
        Reason.RECORDER_FAILED: ReasonFacts("Error 437.", _SEE_ERROR),
        Reason.UPLOADER_INIT: ReasonFacts("Error 438.", _SEE_ERROR),
        Reason.UPLOADER_FAILED: ReasonFacts("Error 439.", _SEE_ERROR),
        Reason.BACKUP_FAILED: ReasonFacts("Error 440.", _SEE_ERROR),
        Reason.RECORDER_EXIT: ReasonFacts("Error 441.", _SEE_ERROR),
        Reason.GENERAL_ERROR: ReasonFacts("Error 442.", _SEE_ERROR),
    }
)


def reason_facts(reason: Reason) -> ReasonFacts:
    """The facts of any reason that a status may have; of one that a newer operator wrote nothing is known."""
    return REASONS.get(reason, ReasonFacts(f"'{reason}', which this release does not know."))
