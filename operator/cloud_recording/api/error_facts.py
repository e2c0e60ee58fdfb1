# SPDX-License-Identifier: Apache-2.0
"""The recorder SDK's error codes: what each is called in a status, and what a person can do about it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from cloud_recording.api.reasons import Reason, Remedy
from cloud_recording.common.error_codes import RecordingErrorCode


class ErrorFacts(NamedTuple):
    """What `status.lastError` says about a code, besides the engine's own message."""

    reason: Reason
    meaning: str
    remedy: Remedy
    worth_repeating: bool = True
    """Another part may fare better; without it the same call has the same answer, as the SDK's table has it."""
    heals: bool = False
    """A bucket, key or network that somebody mends ends it, so that a rescue is tried again."""


_NEW_PART: Final = (
    "Nothing needs to be done at first: after a fatal error the operator starts a new part and keeps what was "
    "recorded. "
)

ERRORS: Final[Mapping[RecordingErrorCode, ErrorFacts]] = MappingProxyType(
    {
        RecordingErrorCode.CONNECT_ERROR: ErrorFacts(
            Reason.CONNECT_ERROR,
            "The channel refused the recorder or could not be reached.",
            Remedy(
                "Check the App ID's permission, the stream URLs or that of the LiveKit server, their credentials, and "
                "the network between the pod's node and the media server."
            ),
            heals=True,
        ),
        RecordingErrorCode.DISCONNECTED: ErrorFacts(
            Reason.DISCONNECTED,
            "The connection to everybody in the channel was lost, and could not be made again for a minute; unless "
            "somebody comes within `spec.recording.maxIdleSeconds`, the recording ends.",
            Remedy("Check the App ID's permission, the media server and the network between it and the pod's node."),
            heals=True,
        ),
        RecordingErrorCode.INVALID_PARAMETER: ErrorFacts(
            Reason.INVALID_PARAMETER,
            "The engine refused a value of the recording's configuration.",
            Remedy(
                "Correct the field that the message names and create the recording again; trying the same again cannot "
                "help."
            ),
            worth_repeating=False,
        ),
        RecordingErrorCode.INVALID_OPERATION: ErrorFacts(
            Reason.INVALID_OPERATION,
            "The engine was asked for something that its state does not allow.",
            Remedy("Create the recording again; if it happens again, report it with the pod's log."),
            worth_repeating=False,
        ),
        RecordingErrorCode.NO_USERS: ErrorFacts(
            Reason.NO_USERS,
            "Nobody came within `spec.recording.maxWaitSeconds`, or everybody had left for "
            "`spec.recording.maxIdleSeconds`, so the recorder left the channel.",
            Remedy(
                "If people were to be there, check that they publish to the URLs of `spec.channel.streams`, or in the "
                "room of `spec.channel.livekit`, and create the recording again, with longer times if they come late."
            ),
        ),
        RecordingErrorCode.NO_RECORDED_DATA: ErrorFacts(
            Reason.NO_RECORDED_DATA,
            "The recording ended without any media to keep.",
            Remedy(
                "Check that the participants sent audio or video of the kind that `spec.recording.streams` asks for."
            ),
            worth_repeating=False,
        ),
        RecordingErrorCode.RECORDER_INIT: ErrorFacts(
            Reason.RECORDER_INIT,
            "The recorder could not be set up, for example because its work volume is not writable, or as a room is to "
            "be recorded and LiveKit's client library is not in the recorder's image.",
            Remedy(_NEW_PART + "If it repeats, mend what the message names: the work volume, the node or the image."),
        ),
        RecordingErrorCode.RECORDER_FAILED: ErrorFacts(
            Reason.RECORDER_FAILED,
            "Something was not recorded, or not as it was asked for.",
            Remedy(
                "Mend what the message names, such as what a participant sends. After a fatal error the operator "
                "starts a new part and keeps what was recorded; if that repeats, check its log, memory and node."
            ),
        ),
        RecordingErrorCode.UPLOADER_INIT: ErrorFacts(
            Reason.UPLOADER_INIT,
            "The uploader could not be set up; recording goes on and the files wait on the work volume.",
            Remedy("Mend what the message and the condition `StorageReady` name; the upload goes on by itself."),
            heals=True,
        ),
        RecordingErrorCode.UPLOADER_FAILED: ErrorFacts(
            Reason.UPLOADER_FAILED,
            "The store did not take a file; recording goes on, the file waits on the work volume, or goes to the "
            "backup, and is tried again.",
            Remedy("Mend what the message and the condition `StorageReady` name; the upload goes on by itself."),
            heals=True,
        ),
        RecordingErrorCode.BACKUP_FAILED: ErrorFacts(
            Reason.BACKUP_FAILED,
            "The backup store did not take a file either; the file waits on the work volume.",
            Remedy(
                "Mend what the message names of `spec.backup`: its bucket or claim, its Secret or the network to it; "
                "it is tried again by itself."
            ),
            worth_repeating=False,
            heals=True,
        ),
        RecordingErrorCode.RECORDER_EXIT: ErrorFacts(
            Reason.RECORDER_EXIT,
            "The recorder process ended without having been asked to.",
            Remedy(
                "Nothing needs to be done at first: it is started again in its pod, and where that does not help in a "
                "new part; what was recorded is kept. If it repeats, check the pod's log, its memory limit and the "
                "node."
            ),
        ),
        RecordingErrorCode.GENERAL_ERROR: ErrorFacts(
            Reason.GENERAL_ERROR,
            "The engine failed for a reason it has no code for.",
            Remedy(_NEW_PART + "If it repeats, check the pod's log."),
        ),
    }
)


def error_facts(code: int) -> ErrorFacts:
    """The facts of any code an engine may send; one that the interface does not define counts as a general error."""
    try:
        return ERRORS[RecordingErrorCode(code)]
    except (KeyError, ValueError):
        return ERRORS[RecordingErrorCode.GENERAL_ERROR]
