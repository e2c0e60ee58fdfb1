# SPDX-License-Identifier: Apache-2.0
"""The vocabulary of the status: condition types and the reasons that conditions, Events and metrics share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, replace
from enum import Enum
from types import MappingProxyType
from typing import Final, NamedTuple

from cloud_recording.api.base import OpenEnum
from cloud_recording.common.error_codes import RecordingErrorCode


class ConditionType(OpenEnum):
    """The conditions of a CloudRecording; `CONDITIONS` says what each one tells."""

    READY = "Ready"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    RECORDING = "Recording"
    STORAGE_READY = "StorageReady"
    UPLOADED = "Uploaded"
    BACKED_UP = "BackedUp"
    PLAYLIST_MERGED = "PlaylistMerged"
    SUCCEEDED = "Succeeded"
    FINISHED = "Finished"


CONDITIONS: Final[Mapping[ConditionType, str]] = MappingProxyType(
    {
        ConditionType.READY: "The summary. True while the recording does what was asked of it and after it completed; "
        "False while it is being started, waits for something, or failed. It stays True while the store fails and "
        "media is kept safe on the work volume. Its reason is the first word of the STATUS column. Always present.",
        ConditionType.RECONCILING: "True while the operator or the recorder is on the way to what the spec asks for. "
        "Absent otherwise.",
        ConditionType.STALLED: "True when the recording failed or cannot go on without a person; its reason is the "
        "cause. Absent otherwise.",
        ConditionType.RECORDING: "True only while the recorder's last word, a moment ago, is that it records, and its "
        "pod is ready (or began so recently that its first probe is still to come); Unknown when the recorder cannot "
        "be heard; False before, while paused and after.",
        ConditionType.STORAGE_READY: "True when the bucket, or directory, refuses nothing that is put, verified by "
        "its own answers; False since it refused, with the cause. It is tried before the first slice is there, with "
        "the very key and place. Absent before the trial. While it is False, its reason stands in the STATUS column, "
        "after a comma.",
        ConditionType.UPLOADED: "True once every file of the recording is in `spec.storage`, verified by the store's "
        "own answer.",
        ConditionType.BACKED_UP: "True when at least one file had to go to the backup store and is not in "
        "`spec.storage`; False while there is none. Absent where `spec.backup` asks for no backup.",
        ConditionType.PLAYLIST_MERGED: "True once one playlist over all parts is in `spec.storage`, which "
        "`status.playlist` then names; False while it is being made, and where there is none, with the reason: then "
        "`status.playlists` lists those of the parts. The message says why there is no MP4 over all parts, if one "
        "was asked for. Absent of a recording with one part.",
        ConditionType.SUCCEEDED: "Unknown while the recording runs, then True or False for good.",
        ConditionType.FINISHED: "True once the recording is over and nothing more will happen, whether it succeeded or "
        "not: made for `kubectl wait --for=condition=Finished`.",
    }
)


class Reason(OpenEnum):
    """Every reason the operator writes; `REASONS` says of each what it means and what follows from it."""

    PENDING = "Pending"
    WAITING_FOR_SECRET = "WaitingForSecret"  # noqa: S105 - a word of the status, no secret
    WAITING_FOR_STORAGE = "WaitingForStorage"
    SECRET_UNUSABLE = "SecretUnusable"  # noqa: S105 - likewise
    STREAMS_REFUSED = "StreamsRefused"
    ROOM_REFUSED = "RoomRefused"
    WAITING_FOR_VOLUME = "WaitingForVolume"
    UNSCHEDULABLE = "Unschedulable"
    QUOTA_EXCEEDED = "QuotaExceeded"
    POD_REJECTED = "PodRejected"
    NAMESPACE_TERMINATING = "NamespaceTerminating"
    IMAGE_PULL_FAILED = "ImagePullFailed"
    NOT_ALLOWED = "NotAllowed"
    CONNECTING = "Connecting"
    WAITING_FOR_USERS = "WaitingForUsers"
    RECORDING = "Recording"
    PAUSED = "Paused"
    RECONNECTING = "Reconnecting"
    DECRYPTION_FAILED = "DecryptionFailed"
    WORK_VOLUME_FULL = "WorkVolumeFull"
    RECORDER_NOT_READY = "RecorderNotReady"
    NOT_HEARD = "NotHeard"
    RESTARTING = "Restarting"
    STOPPING = "Stopping"
    DELETING = "Deleting"
    UPLOADING = "Uploading"
    UPLOADED = "Uploaded"
    BACKED_UP = "BackedUp"
    BACKUP_OVERDUE = "BackupOverdue"
    RESCUING = "Rescuing"
    MERGING = "Merging"
    MERGED = "Merged"
    NO_READ_RIGHT = "NoReadRight"
    PART_UNREADABLE = "PartUnreadable"
    MERGE_UNSUPPORTED = "MergeUnsupported"
    MERGE_FAILED = "MergeFailed"
    COMPLETED = "Completed"
    MAX_DURATION_REACHED = "MaxDurationReached"
    DELETED = "Deleted"
    CHANNEL_IDLE = "ChannelIdle"
    NOTHING_RECORDED = "NothingRecorded"
    NO_USERS = "NoUsers"
    POD_ENDED = "PodEnded"
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
    MP4_NOT_MADE = "MP4NotMade"
    FILE_LOST = "FileLost"
    FILE_DAMAGED = "FileDamaged"
    RECORDER_EXIT = "RecorderExit"
    GENERAL_ERROR = "GeneralError"
    WRITABLE = "Writable"
    PROBING = "Probing"
    PROBE_FAILED = "ProbeFailed"
    IN_USE = "InUse"
    NO_SUCH_BUCKET = "NoSuchBucket"
    NO_SUCH_DIRECTORY = "NoSuchDirectory"
    ACCESS_DENIED = "AccessDenied"
    INVALID_ACCESS_KEY = "InvalidAccessKey"
    SIGNATURE_DOES_NOT_MATCH = "SignatureDoesNotMatch"
    EXPIRED_TOKEN = "ExpiredToken"  # noqa: S105 - likewise
    CLOCK_SKEW = "ClockSkew"
    WRONG_REGION = "WrongRegion"
    STORAGE_FULL = "StorageFull"
    STORAGE_SERVER_ERROR = "StorageServerError"
    UPLOAD_REFUSED = "UploadRefused"
    UPLOAD_UNVERIFIED = "UploadUnverified"
    STORED_FILE_GONE = "StoredFileGone"
    STORAGE_HOST_UNKNOWN = "StorageHostUnknown"
    STORAGE_CONNECTION_REFUSED = "StorageConnectionRefused"
    STORAGE_UNREACHABLE = "StorageUnreachable"
    STORAGE_PROXY_FAILED = "StorageProxyFailed"
    STORAGE_CERTIFICATE_UNTRUSTED = "StorageCertificateUntrusted"
    STORAGE_TIMEOUT = "StorageTimeout"
    CREDENTIALS_UNREADABLE = "CredentialsUnreadable"
    IDENTITY_MISSING = "IdentityMissing"
    IDENTITY_REFUSED = "IdentityRefused"
    IDENTITY_UNREACHABLE = "IdentityUnreachable"
    WORK_VOLUME_UNREADABLE = "WorkVolumeUnreadable"
    STORAGE_CONFIGURATION_INVALID = "StorageConfigurationInvalid"
    STORAGE_FAILED = "StorageFailed"


class Remedy(NamedTuple):
    """What to do about a reason. A test tries what it says, so whatever it names is named here, too.

    `changes` are fields of this recording's spec that it asks to change, `creates` those of a new recording's, `values`
    those of the chart, `commands` whole command lines with NAME for the recording and POD for its pod.
    """

    text: str
    changes: tuple[str, ...] = ()
    creates: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()


NOTHING_TO_DO: Final = Remedy("")


class ResolvedBy(Enum):
    """What ends an error in `status.lastError`: `last_error` looks for it in what the part reports."""

    NOTHING = "nothing: it stays the last error"
    UPLOADS = "the store takes files again"
    BACKUP = "the backup store takes files again"
    SECRETS = "every Secret is there again"
    WORK_VOLUME = "the pause that the work volume brought about is over"
    CAPTURE = "media is recorded again"
    PARTICIPANTS = (
        "somebody is recorded again, or the recorder is in the room: an empty channel of streams proves nothing"
    )
    ENGINE = "the engine records and tells no error any more"


@dataclass(frozen=True)
class ReasonFacts:
    """What a reason means to a person, what to do about it, and all that the operator does because of it."""

    meaning: str
    remedy: Remedy = NOTHING_TO_DO
    """What to do about it, while nothing is stored."""
    _: KW_ONLY
    remedy_once_stored: Remedy | None = None
    """What instead, when a slice is in the store already and the storage's place cannot change any more."""
    remedy_of_directory: Remedy | None = None
    """What instead, where the store is a directory."""
    remedy_of_storage: Remedy | None = None
    """What instead, where it is the reason of a RecordingStorage; one without it is none there. `changes` are fields of
    that one's spec."""
    of_storages_alone: bool = False
    """It is a reason of RecordingStorages, and never one of recordings."""
    remedy_while_recording: Remedy | None = None
    """What instead, when it befalls a part that has begun to record."""
    as_asked: bool = False
    """The recording does what was asked of it: `Ready` is True."""
    stalls: bool = False
    """It cannot go on without a person: `Stalled` is True."""
    warns: bool = False
    """As the reason of `Ready` its Event is a warning, although the recording goes on."""
    told_by_ready: bool = False
    """As an error it has no Event: it becomes the reason of `Ready`, whose message says more."""
    nobody_there: bool = False
    """The channel is empty, so the recording ends: no part follows."""
    refused: bool = False
    """A part with it, which has not begun, is let in by nobody, and asks again by itself."""
    discards: bool = False
    """A part with it is waited for no longer: its pod is ended at once, whatever it has not uploaded."""
    resolved_by: ResolvedBy = ResolvedBy.NOTHING
    """What ends it as an error."""
    of_pod: bool = False
    """Though a store's files wait for it, it is the pod's own volume's trouble, or its node's."""
    is_recorder_cause: bool = False
    """The engine tells it by this word, as the cause of a recorder's failure whose code others have, too."""
    ends_merge: bool = False
    """The engine tells it by this word, as why there is no playlist over all parts; another try would not change it."""
    is_final: bool = False
    """The engine tells it by this word, as the cause of an upload's failure that is not tried again."""

    def remedy_text(self, *, stored: bool = False, directory: bool = False, named: str | None = None) -> str:
        """What to do about it, in words for a status, depending on whether a slice is in the store already, on whether
        that is a directory, and on whether it is from a RecordingStorage of this name."""
        if directory and self.remedy_of_directory:
            return self.remedy_of_directory.text
        if named is not None and not self.of_pod:
            return f"RecordingStorage '{named}': {self._text_of_storage(stored=stored)}"
        return self.remedy_once_stored.text if stored and self.remedy_once_stored else self.remedy.text

    def _text_of_storage(self, *, stored: bool) -> str:
        if self.remedy_of_storage is not None and not stored:
            return self.remedy_of_storage.text
        remedy = self.remedy_once_stored or self.remedy
        return remedy.text.replace("`spec.storage.", "`spec.")


def _of_code(code: RecordingErrorCode, *, resolved_by: ResolvedBy = ResolvedBy.NOTHING) -> ReasonFacts:
    return ReasonFacts(f"Error {code:d}.", SEE_ERROR, resolved_by=resolved_by)


_COPY: Final = "kubectl cp POD:/var/lib/cloud-recording rescued/ID"
_RESCUE: Final = (
    f"what waits on the work volume can be copied out of the running pod (`{_COPY}`; see 'Rescuing' in the operations "
    "guide)"
)
_WATCH_THE_DISK: Final = Remedy(
    "Nothing brings it back. Check the disk under the work volume, on the node that `kubectl describe pod POD` names.",
    commands=("kubectl describe pod POD",),
)
SEE_ERROR: Final = Remedy("See the error table below and `status.lastError`.")
_STREAMS: Final = Remedy(
    "Check that the participants publish to the URLs of `spec.channel.streams`, or in the room of "
    "`spec.channel.livekit`; create the recording again, with a longer `spec.recording.maxWaitSeconds` if they come "
    "late.",
    creates=("spec.channel.streams", "spec.channel.livekit", "spec.recording.maxWaitSeconds"),
)


def _of_storage(mend: str, *fields: str) -> Remedy:
    """What ends a RecordingStorage's trouble, by these fields of its spec, too."""
    correct = f", or correct {' or '.join(f'`{field}`' for field in fields)}" if fields else ""
    return Remedy(f"{mend}{correct}; it is tried again by itself.", changes=fields)


def _wrong_place(meaning: str, mend: str, *fields: str) -> ReasonFacts:
    """A trouble that another place ends while nothing is stored, and that only the bucket's owner ends afterwards."""
    named = " or ".join(f"`{field}`" for field in fields)
    return ReasonFacts(
        meaning,
        remedy_of_storage=_of_storage(
            mend, *(field.replace("spec.storage.", "spec.") for field in fields if field != _BUCKET)
        ),
        remedy=Remedy(f"{mend}, or correct {named}: it may change while no slice is stored.", changes=fields),
        remedy_once_stored=Remedy(
            f"{mend}. Its place can change no more, as slices are there; {_RESCUE}.", commands=(_COPY,)
        ),
    )


def _wrong_key(meaning: str, mend: str) -> ReasonFacts:
    where = "in the Secret that `spec.storage.credentials` names"
    of_storage = _of_storage(f"{mend} in the Secret that `spec.credentials` names")
    return ReasonFacts(meaning, Remedy(f"{mend} {where}; the next attempt uses it."), remedy_of_storage=of_storage)


def _passing(meaning: str, mend: str, *, of_directory: str | None = None) -> ReasonFacts:
    """A trouble that ends where it is; `of_directory` is what ends it there, if that is something else."""
    directory = None if of_directory is None else _until(of_directory)
    return ReasonFacts(
        meaning, _until(mend), remedy_of_directory=directory, remedy_of_storage=_of_storage(_either(mend, of_directory))
    )


def _either(mend: str, of_directory: str | None) -> str:
    return mend if of_directory is None else f"{mend}. In a directory: {of_directory[0].lower()}{of_directory[1:]}"


def _until(mend: str) -> Remedy:
    return Remedy(f"{mend}; until then files wait on the work volume, or go to `spec.backup`.")


_BUCKET: Final = "spec.storage.bucket"
_ENDPOINT: Final = "spec.storage.endpoint"
_REGION: Final = "spec.storage.region"

_BIND: Final = "Bind the ServiceAccount"
_WITHOUT_KEYS: Final = "'Without keys' in the operations guide"
_RIGHT_TO_PUT: Final = (
    "`s3:PutObject`, with tags `s3:PutObjectTagging`, with SSE-KMS `kms:GenerateDataKey` and `kms:Decrypt`; of Google "
    "Cloud Storage the role Storage Object User; of Azure a SAS token's rights to create and write"
)
_LET_THROUGH: Final = (
    "Start the proxy, have it let pods through to the store without a login and, where it has TLS, show a certificate "
    "of an authority that the store's is verified by"
)
_LET_WRITE: Final = (
    "Let user or group 65532, which recorders run as, write in the claim's volume, and have that take writes"
)

_STORAGE_FACTS: Final[Mapping[Reason, ReasonFacts]] = {
    Reason.NO_SUCH_BUCKET: _wrong_place(
        "There is no bucket of this name at the endpoint, or in Azure's `account`.",
        "Create the bucket",
        _BUCKET,
        _ENDPOINT,
    ),
    Reason.NO_SUCH_DIRECTORY: _passing(
        "The directory that takes the files is not there.", "Create it, or mount what is to be there"
    ),
    Reason.ACCESS_DENIED: ReasonFacts(
        "The access key or role, or the recorder's user in a directory, may not put files there.",
        Remedy(
            f"Let the key, or the identity's role, put objects ({_RIGHT_TO_PUT}) under `spec.storage.prefix`, or put "
            "another key into the Secret that `spec.storage.credentials` names."
        ),
        remedy_of_directory=_until(_LET_WRITE),
        remedy_of_storage=_of_storage(
            _either(
                f"Let the key, or the identity's role, put objects ({_RIGHT_TO_PUT}) under `spec.prefix`, or put "
                "another key into the Secret that `spec.credentials` names",
                _LET_WRITE,
            )
        ),
    ),
    Reason.INVALID_ACCESS_KEY: _wrong_key("The server does not know the access key.", "Correct the access key"),
    Reason.SIGNATURE_DOES_NOT_MATCH: _wrong_key(
        "The secret key does not belong to the access key, or a key or token of Azure's not to the account.",
        "Correct the secret key, or Azure's key or token,",
    ),
    Reason.EXPIRED_TOKEN: _wrong_key("The credentials have expired.", "Renew the keys"),
    Reason.CLOCK_SKEW: replace(
        _passing("The node's clock and the server's are too far apart.", "Set the node's clock"), of_pod=True
    ),
    Reason.WRONG_REGION: _wrong_place(
        "The bucket is in another region.", "Make the bucket answer in the region that is named", _REGION, _ENDPOINT
    ),
    Reason.STORAGE_FULL: _passing(
        "The bucket has reached its quota, or the directory's volume is full.",
        "Raise its quota, or make room",
        of_directory="Enlarge the claim, or make room in its volume",
    ),
    Reason.STORAGE_SERVER_ERROR: _passing(
        "The storage server says that it has trouble of its own.", "Wait, or ask who runs it"
    ),
    Reason.UPLOAD_REFUSED: _passing(
        "The storage server refuses the file with words of its own.",
        "Mend what its words name, such as the key or its rights, or ask who runs it",
    ),
    Reason.UPLOAD_UNVERIFIED: _passing(
        "The store's answer does not prove that it holds what was sent.",
        "Ask who runs it",
        of_directory="Check the disk of the claim's volume",
    ),
    Reason.STORED_FILE_GONE: _passing("The store has lost a file that it held.", "Put it back"),
    Reason.STORAGE_HOST_UNKNOWN: _wrong_place(
        "The endpoint's host name, which Azure's `account` is a part of, does not resolve.",
        "Mend the name's DNS record",
        _ENDPOINT,
        _REGION,
    ),
    Reason.STORAGE_CONNECTION_REFUSED: _wrong_place(
        "Nothing listens at the endpoint's port.", "Start the storage server", _ENDPOINT
    ),
    Reason.STORAGE_UNREACHABLE: _wrong_place(
        "The endpoint cannot be reached.", "Mend the network, or the policy, between the pod and it", _ENDPOINT
    ),
    Reason.STORAGE_PROXY_FAILED: ReasonFacts(
        "The store is not reached through the proxy that `proxyURL` names: it is not there, has no certificate that is "
        "trusted, or does not let the pod through; the message has its address and why.",
        Remedy(
            f"{_LET_THROUGH}, or correct `spec.storage.proxyURL`, which may change at any time; until then files wait "
            "on the work volume, or go to `spec.backup`.",
            changes=("spec.storage.proxyURL",),
        ),
        remedy_of_storage=_of_storage(_LET_THROUGH, "spec.proxyURL"),
    ),
    Reason.STORAGE_CERTIFICATE_UNTRUSTED: ReasonFacts(
        "The endpoint's certificate is not one that the recorder trusts.",
        Remedy(
            "Have the certificate's authority in the Secret that `spec.storage.caSecretRef` names, where there is one, "
            f"or correct `{_ENDPOINT}`: it may change while no slice is stored.",
            changes=(_ENDPOINT,),
        ),
        remedy_once_stored=Remedy(
            "Have the certificate's authority in the Secret that `spec.storage.caSecretRef` names, where there is one, "
            f"or give the server a certificate that is trusted; {_RESCUE}.",
            commands=(_COPY,),
        ),
        remedy_of_storage=_of_storage(
            "Have the certificate's authority in the Secret that `spec.caSecretRef` names, or give the server a "
            "certificate that is trusted",
            "spec.endpoint",
        ),
    ),
    Reason.STORAGE_TIMEOUT: replace(
        _wrong_place(
            "The endpoint, or the directory's volume, does not answer in time.",
            "Mend the network, or ask who runs the server",
            _ENDPOINT,
        ),
        remedy_of_directory=_until("Check the disk of the claim's volume, or the network that it is on"),
        remedy_of_storage=_of_storage(
            _either(
                "Mend the network, or ask who runs the server",
                "Check the disk of the claim's volume, or the network that it is on",
            )
        ),
    ),
    Reason.CREDENTIALS_UNREADABLE: _wrong_key(
        "The bucket's keys cannot be read in the pod.",
        "Have the keys that are named, whole and as the store hands them out,",
    ),
    Reason.IDENTITY_MISSING: ReasonFacts(
        "Nothing gives the pod an identity that opens the bucket: when it began its ServiceAccount was bound to no "
        "role, or the identity's token is not there.",
        Remedy(
            f"{_BIND} that `spec.storage.serviceAccountName` names to a role ({_WITHOUT_KEYS}), and create the "
            "recording again: a pod has its identity from its beginning.",
        ),
        remedy_once_stored=Remedy(
            f"{_BIND} that `spec.storage.serviceAccountName` names to a role ({_WITHOUT_KEYS}): the next pod has it; "
            f"{_RESCUE}.",
            commands=(_COPY,),
        ),
        remedy_of_storage=_of_storage(f"{_BIND} that `spec.serviceAccountName` names to a role ({_WITHOUT_KEYS})"),
    ),
    Reason.IDENTITY_REFUSED: _passing(
        "Whoever gives out keys for the pod's identity refuses them, so that the bucket was not asked; the message has "
        "their words.",
        "Have the role that the message names trust the ServiceAccount, on GKE have the pod run where the metadata "
        "server gives out its own identity, and the storage name the Google service account that it acts as, if any "
        f"({_WITHOUT_KEYS}); or give the node an instance profile or service account",
    ),
    Reason.IDENTITY_UNREACHABLE: _passing(
        "Whoever gives out keys for the pod's identity does not answer, so that the bucket was not asked.",
        "Mend the network, or the policy, between the pod and the address that the message names",
    ),
    Reason.WORK_VOLUME_UNREADABLE: replace(
        _passing("A file on the work volume cannot be read.", "Check the volume and its node"), of_pod=True
    ),
    Reason.STORAGE_CONFIGURATION_INVALID: _wrong_place(
        "The storage cannot be used as the spec configures it.", "Mend what the message names", _ENDPOINT, _REGION
    ),
    Reason.STORAGE_FAILED: _passing("The store cannot be written to.", "Mend what the message names"),
}

STORAGE_REASONS: Final = frozenset(_STORAGE_FACTS)
"""Why `StorageReady` is False: the words that the engine's snapshot has for it."""

REASONS: Final[Mapping[Reason, ReasonFacts]] = MappingProxyType(
    {
        Reason.PENDING: ReasonFacts("The recorder's pod is decided on or created, and has not said anything yet."),
        Reason.WAITING_FOR_SECRET: ReasonFacts(
            "A Secret, or a key in it, that the spec names is not there or is empty; the message says which.",
            Remedy("Create it; the recording goes on by itself."),
            remedy_of_storage=_of_storage("Create it"),
            remedy_while_recording=Remedy(
                "Bring it back. To throw away what is not uploaded, delete the recording and set its annotation "
                '`cloudrecording.dev/discard: "true"`.'
            ),
            warns=True,
            resolved_by=ResolvedBy.SECRETS,
        ),
        Reason.WAITING_FOR_STORAGE: ReasonFacts(
            "The RecordingStorage that `spec.storage.ref` or `spec.backup.ref` names is not there, is being deleted, "
            "or is not ready; the message says which, and why, in its words.",
            Remedy(
                "Create or mend the RecordingStorage, as its own message says: `kubectl describe rstore`; the "
                "recording goes on by itself once it is ready.",
                commands=("kubectl describe rstore",),
            ),
            warns=True,
        ),
        Reason.SECRET_UNUSABLE: ReasonFacts(
            "What a Secret holds cannot be used, for every participant: a URL that is none, or one that is not "
            "allowed. The message names Secret, key and participant.",
            Remedy("Correct the Secret; the recording goes on by itself."),
            warns=True,
            stalls=True,
        ),
        Reason.STREAMS_REFUSED: ReasonFacts(
            "Every participant is refused, by its server or by the rules for what a recorder may reach, whatever a "
            "name leads to, and nothing was recorded before. The message says why for each, and which Secret holds its "
            "URL.",
            Remedy(
                "Correct the Secret, or what the message names elsewhere: the name's DNS record, the server's rights "
                "or certificate. The recording goes on by itself: it is tried again as soon as a Secret of it changes, "
                "else after pauses that grow to five minutes."
            ),
            warns=True,
            stalls=True,
            told_by_ready=True,
            refused=True,
            resolved_by=ResolvedBy.PARTICIPANTS,
        ),
        Reason.ROOM_REFUSED: ReasonFacts(
            "The LiveKit server does not let the recorder into the room, or the rules for what a recorder may reach "
            "do not let it go there, and nothing was recorded before. The message says why, and which Secret holds "
            "the API key or the token.",
            Remedy(
                "Correct the Secret, or what the message names elsewhere: the server's rights, the DNS record of its "
                "name. The recording goes on by itself: it is tried again as soon as a Secret of it changes, else "
                "after pauses that grow to five minutes. Where `spec.channel.livekit` names another server or room "
                "than was meant, create the recording again.",
                creates=("spec.channel.livekit",),
            ),
            warns=True,
            stalls=True,
            told_by_ready=True,
            refused=True,
            resolved_by=ResolvedBy.PARTICIPANTS,
        ),
        Reason.WAITING_FOR_VOLUME: ReasonFacts(
            "A claim that the pod mounts, that of `spec.storage.directory`, `spec.backup.directory` or `spec.work`, is "
            "not there or has no volume; the message is the scheduler's.",
            Remedy(
                "Create the claim that the message names, or see what keeps it without a volume: `kubectl describe "
                "pvc`; the recording goes on by itself.",
                commands=("kubectl describe pvc",),
            ),
            remedy_of_storage=Remedy(
                "Create the claim that the message names, or see what keeps it without a volume: `kubectl describe "
                "pvc`; it is tried again by itself.",
                commands=("kubectl describe pvc",),
            ),
            warns=True,
        ),
        Reason.UNSCHEDULABLE: ReasonFacts(
            "No node has room for the pod; the message is the scheduler's.",
            Remedy(
                "Make room, or create the recording again with smaller `spec.pod.resources` or another "
                "`spec.pod.nodeSelector`.",
                creates=("spec.pod.resources", "spec.pod.nodeSelector"),
            ),
            remedy_of_storage=_of_storage("Make room"),
            warns=True,
        ),
        Reason.QUOTA_EXCEEDED: ReasonFacts(
            "The namespace's ResourceQuota refuses the pod; the message is the API server's.",
            Remedy("Raise the quota or wait for other pods to end; the recording goes on by itself."),
            remedy_of_storage=_of_storage("Raise the quota or wait for other pods to end"),
            warns=True,
        ),
        Reason.POD_REJECTED: ReasonFacts(
            "The API server or an admission policy refuses the pod or a change of it, or an admission webhook does not "
            "answer; the message is the API server's own.",
            Remedy("Change what the message names; the operator tries again by itself."),
            remedy_of_storage=_of_storage("Change what the message names"),
            warns=True,
        ),
        Reason.NAMESPACE_TERMINATING: ReasonFacts(
            "The namespace is being deleted, so that no pod can be made in it; what a pod that was there had not "
            "uploaded within `spec.uploadGraceSeconds` is given up.",
            Remedy(
                "Nothing can be made in the namespace any more. Delete recordings before their namespace, which waits "
                "for their uploads, or give them a longer `spec.uploadGraceSeconds`.",
                creates=("spec.uploadGraceSeconds",),
            ),
            remedy_of_storage=NOTHING_TO_DO,
            discards=True,
        ),
        Reason.IMAGE_PULL_FAILED: ReasonFacts(
            "The node cannot get the recorder's image.",
            Remedy(
                "Check the chart's `image`, `runner.image` and `runner.imagePullSecrets`.",
                values=("image", "runner.image", "runner.imagePullSecrets"),
            ),
            remedy_of_storage=Remedy(
                "Check the chart's `image`, `runner.image` and `runner.imagePullSecrets`; it is tried again by itself.",
                values=("image", "runner.image", "runner.imagePullSecrets"),
            ),
            warns=True,
        ),
        Reason.NOT_ALLOWED: ReasonFacts(
            "The spec asks for something that the administrator did not allow, such as an engine, a service account, a "
            "priority class, a pod annotation or a URL's protocol; the message names it.",
            Remedy(
                "Create the recording again without it, or have the chart's `allowed` or `engines` allow it.",
                values=("allowed", "engines"),
            ),
            remedy_of_storage=Remedy(
                "Create another RecordingStorage without it, or have the chart's `allowed` allow it.",
                values=("allowed",),
            ),
            warns=True,
            stalls=True,
        ),
        Reason.CONNECTING: ReasonFacts("The recorder is joining the channel."),
        Reason.WAITING_FOR_USERS: ReasonFacts(
            "The recorder is in the channel and nobody has been seen there yet.",
            Remedy("Nothing, unless it lasts: then check that the participants publish to their URLs, or in the room."),
        ),
        Reason.RECORDING: ReasonFacts("Media is being recorded.", as_asked=True),
        Reason.PAUSED: ReasonFacts(
            "`spec.desiredState` is 'Paused' and the recorder has acknowledged it; the pause is a stated gap.",
            Remedy("Set `spec.desiredState` to 'Recording' to go on.", changes=("spec.desiredState",)),
            as_asked=True,
        ),
        Reason.DECRYPTION_FAILED: ReasonFacts(
            "Somebody in the room encrypts end to end, and the recorder has no key or another one: they are recorded "
            "without sound and picture. As the reason of `Ready` nothing at all is decrypted.",
            Remedy(
                "Correct the key in the Secret that `spec.channel.decryption.secretRef` names: the recorder tries it "
                "again every 10 s, once the kubelet has mounted it anew, which takes it about a minute. Where the spec "
                "has no `spec.channel.decryption`, create the recording again with it; where one person alone has "
                "another key, have them join with that of the others.",
                creates=("spec.channel.decryption",),
            ),
            warns=True,
            resolved_by=ResolvedBy.ENGINE,
            is_recorder_cause=True,
        ),
        Reason.WORK_VOLUME_FULL: ReasonFacts(
            "Nothing is recorded: the work volume is nearly full of slices that the store has not taken, or the "
            "node's disk of other things, and what is recorded is not thrown away. The gap goes on until there is "
            "room.",
            Remedy(
                "Mend what `StorageReady` tells; capture goes on by itself once uploads have made room. Where no slice "
                "waits, make room on the node's disk, or, where its kubelet lets it fill up further, have the chart's "
                "`runner.nodeDiskFreePercent` say so. Next time, a larger `spec.work` bridges a longer outage.",
                creates=("spec.work",),
                values=("runner.nodeDiskFreePercent",),
            ),
            warns=True,
            resolved_by=ResolvedBy.WORK_VOLUME,
            is_recorder_cause=True,
        ),
        Reason.RECONNECTING: ReasonFacts(
            "The connection to everybody in the channel broke, or the recorder died; it is trying to come back."
        ),
        Reason.RECORDER_NOT_READY: ReasonFacts(
            "The recorder's last word was that it records, but its pod is not ready now, so it is not known.",
            Remedy("Check the pod and its node: `kubectl describe pod POD`.", commands=("kubectl describe pod POD",)),
            warns=True,
        ),
        Reason.NOT_HEARD: ReasonFacts(
            "The recorder's pod runs, and nothing was heard of it for longer than it is ever silent; whether it "
            "records is not known.",
            Remedy(
                "Check that the pod can reach the operator's callback service (NetworkPolicy, DNS), and its log: "
                "`kubectl logs POD`. What happens meanwhile is kept in the pod and told afterwards.",
                commands=("kubectl logs POD",),
            ),
            warns=True,
        ),
        Reason.RESTARTING: ReasonFacts(
            "The recorder ended although it was to record; a new part is being started.",
            warns=True,
        ),
        Reason.STOPPING: ReasonFacts("The recorder is leaving the channel; the message says why."),
        Reason.DELETING: ReasonFacts(
            "The resource was deleted; it stays until what was recorded is in the store.",
            Remedy(
                "To throw away what is not uploaded: `kubectl annotate crec NAME cloudrecording.dev/discard=true`.",
                commands=("kubectl annotate crec NAME cloudrecording.dev/discard=true",),
            ),
        ),
        Reason.UPLOADING: ReasonFacts("Files are on their way to the store."),
        Reason.UPLOADED: ReasonFacts("Every file is in `spec.storage`."),
        Reason.BACKED_UP: ReasonFacts(
            "Every file is durable, at least one of them in the backup store and not in `spec.storage`.",
            Remedy(
                "Mend what `StorageReady` names: `spec.storage` then gets everything by itself. Of a recording that "
                "has finished, copy from the backup store what `spec.storage` lacks ('When the bucket fails' in the "
                "operations guide)."
            ),
        ),
        Reason.BACKUP_OVERDUE: ReasonFacts(
            "The recording has ended, and for more than five minutes files of it have been in the backup store alone. "
            "A pod waits for `spec.storage` and then brings everything there.",
            Remedy(
                "Mend what `StorageReady` names; the message says what else is waited for. What a store that is gone "
                "for good lacks is in the backup store, by the manifest there ('When the bucket fails' in the "
                "operations guide)."
            ),
            warns=True,
        ),
        Reason.RESCUING: ReasonFacts(
            "A pod of the recording ended before everything was uploaded, and another delivers what it left on its "
            "claim, as soon as that can be mounted. The message says what is waited for.",
            Remedy(
                "Do what the message says, if it names a node. To throw away what is not uploaded: delete the "
                "recording, and `kubectl annotate crec NAME cloudrecording.dev/discard=true`.",
                commands=("kubectl annotate crec NAME cloudrecording.dev/discard=true",),
            ),
            warns=True,
        ),
        Reason.MERGING: ReasonFacts(
            "Everything that was recorded is where it belongs, and a pod puts one playlist over all parts beside it."
        ),
        Reason.MERGED: ReasonFacts("One playlist over all parts is in `spec.storage`."),
        Reason.NO_READ_RIGHT: ReasonFacts(
            "There is no playlist over all parts, as the access key, or the recorder's user in a directory, may put "
            "files and not read them.",
            Remedy(
                "Play `status.playlists` one after the other. Next time, let the key get objects (`s3:GetObject`) "
                "under `spec.storage.prefix`."
            ),
            ends_merge=True,
        ),
        Reason.PART_UNREADABLE: ReasonFacts(
            "There is no playlist over all parts, as what the store has in the place of a part's playlist or manifest "
            "is not what its recorder put there; the message names it.",
            Remedy("Look at the object that the message names, and play `status.playlists` one after the other."),
            ends_merge=True,
        ),
        Reason.MERGE_UNSUPPORTED: ReasonFacts(
            "There is no playlist over all parts, as the recorder's library makes none, or there are more parts than "
            "`status.playlists` lists.",
            Remedy("Play `status.playlists` one after the other."),
        ),
        Reason.MERGE_FAILED: ReasonFacts(
            "There is no playlist over all parts, as the pods that were to make it could not; the message says why.",
            Remedy("Mend what the message names, for the next recording; play `status.playlists` one after the other."),
        ),
        Reason.COMPLETED: ReasonFacts("The recording was stopped as desired and every file is durable."),
        Reason.MAX_DURATION_REACHED: ReasonFacts(
            "The recording ended as `spec.maxDurationSeconds` was over, and every file is durable."
        ),
        Reason.DELETED: ReasonFacts("The recording ended as it was deleted, and every file is durable."),
        Reason.CHANNEL_IDLE: ReasonFacts(
            "Everybody had left for `spec.recording.maxIdleSeconds`, so the recording ended as it should.",
            nobody_there=True,
        ),
        Reason.NOTHING_RECORDED: ReasonFacts("The recording was stopped before anything had been recorded."),
        Reason.NO_USERS: ReasonFacts(
            "Nobody ever joined within `spec.recording.maxWaitSeconds`.",
            _STREAMS,
            told_by_ready=True,
            nobody_there=True,
        ),
        Reason.POD_ENDED: ReasonFacts(
            "The pod was told to end, by a drain, an eviction, its node or somebody; a new part follows unless "
            "`spec.restart` says otherwise.",
        ),
        Reason.EVICTED: ReasonFacts(
            "The node or an administrator put the pod out; a new part follows unless `spec.restart` says otherwise.",
            Remedy("Check the node's memory and disk, and the priority of the pod."),
            resolved_by=ResolvedBy.CAPTURE,
        ),
        Reason.OUT_OF_MEMORY: ReasonFacts(
            "The recorder used more memory than its limit and was ended.",
            Remedy(
                "Create the recording again with a higher memory limit in `spec.pod.resources`, or have the chart's "
                "`runner.resources` raised.",
                creates=("spec.pod.resources",),
                values=("runner.resources",),
            ),
            resolved_by=ResolvedBy.CAPTURE,
        ),
        Reason.POD_LOST: ReasonFacts(
            "The recorder's pod is gone without its final report; a new part follows unless `spec.restart` says "
            "otherwise.",
            Remedy("Check who deletes pods in the namespace, and the node."),
            resolved_by=ResolvedBy.CAPTURE,
        ),
        Reason.NODE_LOST: ReasonFacts(
            "Neither the kubelet of the pod's node nor the recorder there was heard of for longer than the "
            "administrator's limit, a minute by default; a new part follows unless `spec.restart` says otherwise.",
            Remedy(
                "Bring the node back, or, if it is shut down for good, give it the out-of-service taint ('Rescuing' in "
                "the operations guide): Kubernetes then lets go of its claims, and what is left on them is delivered."
            ),
            resolved_by=ResolvedBy.CAPTURE,
        ),
        Reason.PARTS_EXHAUSTED: ReasonFacts(
            "`spec.restart.maxParts` parts have failed, or `spec.restart.policy` is 'Never' and the only part failed.",
            Remedy("Look at `status.parts` and `status.lastError`, mend the cause and create a new recording."),
        ),
        Reason.UPLOAD_INCOMPLETE: ReasonFacts(
            "The recording is over and some files could not be brought to any store; the message counts them.",
            Remedy("Look at `status.lastError`. Files on a persistent volume are still there."),
        ),
        Reason.DEADLINE_EXCEEDED: ReasonFacts(
            "`spec.uploadGraceSeconds` or `spec.deletionDeadlineSeconds` ran out before everything was uploaded.",
            Remedy("Look at `status.lastError`; allow more time where the store is slow."),
            discards=True,
        ),
        Reason.DISCARDED: ReasonFacts(
            "What was not uploaded was thrown away, as the discard annotation asked.", discards=True
        ),
        Reason.INVALID_SPEC: ReasonFacts(
            "The spec contradicts itself or this version in a way that the API server could not see.",
            Remedy("Correct the field that the message names, or create the recording again where it is fixed."),
            warns=True,
            stalls=True,
        ),
        Reason.CONNECT_ERROR: _of_code(RecordingErrorCode.CONNECT_ERROR, resolved_by=ResolvedBy.PARTICIPANTS),
        Reason.DISCONNECTED: _of_code(RecordingErrorCode.DISCONNECTED, resolved_by=ResolvedBy.PARTICIPANTS),
        Reason.INVALID_PARAMETER: _of_code(RecordingErrorCode.INVALID_PARAMETER),
        Reason.INVALID_OPERATION: _of_code(RecordingErrorCode.INVALID_OPERATION),
        Reason.NO_RECORDED_DATA: _of_code(RecordingErrorCode.NO_RECORDED_DATA),
        Reason.RECORDER_INIT: _of_code(RecordingErrorCode.RECORDER_INIT),
        Reason.RECORDER_FAILED: _of_code(RecordingErrorCode.RECORDER_FAILED, resolved_by=ResolvedBy.ENGINE),
        Reason.UPLOADER_INIT: _of_code(RecordingErrorCode.UPLOADER_INIT, resolved_by=ResolvedBy.UPLOADS),
        Reason.UPLOADER_FAILED: _of_code(RecordingErrorCode.UPLOADER_FAILED, resolved_by=ResolvedBy.UPLOADS),
        Reason.BACKUP_FAILED: _of_code(RecordingErrorCode.BACKUP_FAILED, resolved_by=ResolvedBy.BACKUP),
        Reason.MP4_NOT_MADE: ReasonFacts(
            "No MP4 was made of a part, or over all parts, though one was asked for; slices and playlists are "
            "complete.",
            Remedy(
                "Make it of the playlist by another program, or create the next recording as the message advises: with "
                "a larger `spec.work`, or with a key that may also get objects.",
                creates=("spec.work",),
            ),
            is_final=True,
        ),
        Reason.FILE_LOST: ReasonFacts(
            "A slice was gone from the work volume before the store had it; the recording has a gap there, and the "
            "rest goes on.",
            _WATCH_THE_DISK,
            is_final=True,
        ),
        Reason.FILE_DAMAGED: ReasonFacts(
            "A slice on the work volume is not what was written; the recording has a gap there, and what was found is "
            "stored beside it, as the message names it.",
            _WATCH_THE_DISK,
            is_final=True,
        ),
        Reason.RECORDER_EXIT: _of_code(RecordingErrorCode.RECORDER_EXIT, resolved_by=ResolvedBy.CAPTURE),
        Reason.GENERAL_ERROR: _of_code(RecordingErrorCode.GENERAL_ERROR),
        Reason.WRITABLE: ReasonFacts(
            "The store refuses nothing that is put, verified by its own answers.", remedy_of_storage=NOTHING_TO_DO
        ),
        Reason.PROBING: ReasonFacts(
            "The store is being tried by a pod that is made as recordings' pods are.",
            remedy_of_storage=NOTHING_TO_DO,
            of_storages_alone=True,
        ),
        Reason.PROBE_FAILED: ReasonFacts(
            "The pod that was to try the store ended without an answer; the message says how.",
            remedy_of_storage=_of_storage("Check what the message names, and the nodes"),
            of_storages_alone=True,
        ),
        Reason.IN_USE: ReasonFacts(
            "The RecordingStorage was deleted, and recordings that are not over name it; the message says which.",
            remedy_of_storage=Remedy(
                "Wait until they are over, or stop or delete them: `kubectl get crec` lists them.",
                commands=("kubectl get crec",),
            ),
            of_storages_alone=True,
        ),
        **{reason: replace(facts, resolved_by=ResolvedBy.UPLOADS) for reason, facts in _STORAGE_FACTS.items()},
    }
)


RECORDER_CAUSES: Final = frozenset(reason for reason, facts in REASONS.items() if facts.is_recorder_cause)
MERGE_CAUSES: Final = frozenset(reason for reason, facts in REASONS.items() if facts.ends_merge)
FINAL_FAILURES: Final = frozenset(reason for reason, facts in REASONS.items() if facts.is_final)


def reason_facts(reason: Reason) -> ReasonFacts:
    """The facts of any reason that a status may have; of one that a newer operator wrote nothing is known."""
    return REASONS.get(reason, ReasonFacts(f"'{reason}', which this release does not know."))
