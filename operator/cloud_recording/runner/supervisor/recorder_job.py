# SPDX-License-Identifier: Apache-2.0
"""Turns the document of a part into the recorder process's job, and says which secrets that needs. Pure but for paths.

Secrets are named by the file they are mounted at and never read here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cloud_recording.api.bitrate import bitrate_kbps
from cloud_recording.api.channel import ChannelType, Header
from cloud_recording.api.media import AudioProfile, Layout, StreamKinds, VideoStream
from cloud_recording.api.needed_secrets import needed_keys
from cloud_recording.api.phrases import participant
from cloud_recording.api.regions import region_name, region_number
from cloud_recording.api.secret_refs import SecretKeyRef
from cloud_recording.api.storage import Addressing, Storage, StoragePlace, StorageVendor
from cloud_recording.api.storage_place import at_place
from cloud_recording.api.wire import ABSENT, DesiredState, MissingSecret, RecordingDocument
from cloud_recording.runner.control_protocol import Job, Mode, SecretText
from cloud_recording.runner.supervisor.stream_urls import objection

_VENDORS: Final[Mapping[StorageVendor, int]] = {
    StorageVendor.QINIU: 0,
    StorageVendor.AWS: 1,
    StorageVendor.ALIYUN: 2,
    # The interface knows no other vendors; the engine's configuration names the endpoint.
    StorageVendor.S3: 1,
}
_UNENCRYPTED: Final = 0
_USUAL_REGION: Final = "us-east-1"
"""What requests to a server of one's own are signed with when nobody says otherwise."""
_NO_APP: Final = "streams"
"""The interface wants an App ID in any case; channels made of streams have none."""
_OF_A_POD: Final[Mapping[str, Any]] = {
    # The operator's deadlines hold.
    "finalUploadSeconds": None,
    # A process that is started after a crash finds there that everything was delivered; it goes with the pod or claim.
    "keepDirectory": True,
    # The process has nothing else to do with libav.
    "log": {"to": "StandardError", "libav": True},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class NeededSecret:
    """A key of a Secret, the field of the spec that names it, and the file it is mounted at."""

    name: str
    key: str
    field: str
    path: Path
    participant: str = ""
    """Whose URL it holds, in words."""

    def problem(self) -> str:
        """Why there is nothing to be had from it; nothing where there is."""
        try:
            return "" if self.path.stat().st_size > 0 else "is empty"
        except OSError:
            return ABSENT

    def version(self) -> tuple[int, int] | None:
        """Another one once it was mounted anew; None where it is not there."""
        try:
            stat = self.path.stat()
        except OSError:
            return None
        return stat.st_ino, stat.st_mtime_ns

    def as_missing(self, problem: str, *, unusable: bool = False) -> MissingSecret:
        """What the status says meanwhile."""
        return MissingSecret(
            secret_name=self.name,
            key=self.key,
            field=self.field,
            problem=problem,
            unusable=unusable,
            participant=self.participant,
        )


class Assignment:
    """What one pod has to do, next to where its secrets are mounted."""

    def __init__(self, document: RecordingDocument, *, secrets: Path, work: Path, scratch: Path | None = None) -> None:
        """`scratch` is a directory on the node's disk; none without a node."""
        self._document = document
        self._secrets = secrets
        self._work = work
        self._scratch = scratch

    def needed_secrets(self) -> Iterator[NeededSecret]:
        """Every secret that the recording cannot do without, in the order of the spec's fields."""
        for field, ref, stream in needed_keys(self._document.spec):
            yield NeededSecret(
                name=ref.name,
                key=ref.key,
                field=field,
                path=self._path(ref),
                participant=participant(stream.uid, stream.name) if stream else "",
            )

    def missing_secrets(self) -> tuple[MissingSecret, ...]:
        """The needed secrets that are not to be had, each key once; else, if no participant has a URL that can be
        used, those that hold them."""
        found = ((need, need.problem()) for need in self.needed_secrets())
        missing = {(need.name, need.key): need.as_missing(problem) for need, problem in found if problem}
        return tuple(missing.values()) or self._unusable()

    def secret_versions(self) -> tuple[tuple[int, int] | None, ...]:
        """What tells needed secrets from what they were before, without reading them."""
        return tuple(need.version() for need in self.needed_secrets())

    def _unusable(self) -> tuple[MissingSecret, ...]:
        document, needs = self._document, list(self.needed_secrets())
        urls = [need for need in needs if need.participant]
        if len(urls) < len(document.spec.channel.streams):
            return ()
        objections = {need: self._objection(need) for need in urls}
        if not all(objections.values()):
            return ()
        return tuple(need.as_missing(objection, unusable=True) for need, objection in objections.items())

    def _objection(self, need: NeededSecret) -> str:
        document = self._document
        text = need.path.read_text(encoding="utf-8", errors="replace").strip()
        return objection(text, protocols=document.protocols, allow_link_local=document.allow_link_local)

    def job(self, mode: Mode, desired: DesiredState, place: StoragePlace | None = None) -> Job:
        """The job for a recorder process that begins now, and whose files go to this place."""
        channel, storage = self._document.spec.channel, at_place(self._document.storage, place)
        bucket = storage.credentials.secret_ref
        token = channel.token_secret_ref
        app_id = channel.app_id_secret_ref
        return Job(
            mode=mode,
            work_directory=str(self._work),
            recording_id=self._document.recording_id,
            channel_name=channel.name,
            app_id=self._text(app_id) if app_id else SecretText(value=channel.app_id or _NO_APP),
            token=self._text(token) if token else None,
            uid=channel.uid,
            access_key=self._text(SecretKeyRef(name=bucket.name, key=bucket.access_key_key)),
            secret_key=self._text(SecretKeyRef(name=bucket.name, key=bucket.secret_key_key)),
            decryption_secret=None,
            bucket=storage.bucket,
            numbers=self._numbers(storage, desired),
            configuration=self._configuration(storage) | self._rescued_to(mode, storage),
        )

    @staticmethod
    def _rescued_to(mode: Mode, storage: Storage) -> dict[str, Any]:
        """A rescue takes from the journal where files go, unless nothing is stored there."""
        return {"place": place_document(storage)} if mode is Mode.RESCUE else {}

    def move(self, place: StoragePlace) -> dict[str, Any]:
        """What an engine is told to have the files go to this place."""
        return place_document(at_place(self._document.storage, place))

    def _numbers(self, storage: Storage, desired: DesiredState) -> dict[str, int]:
        spec = self._document.spec
        options, video = spec.recording, spec.recording.video
        region = None if storage.region is None else region_number(storage.vendor, storage.region)
        return {
            "stream_types": list(StreamKinds).index(options.streams),
            "decryption_mode": _UNENCRYPTED,
            "channel_type": list(ChannelType).index(spec.channel.type),
            "audio_profile": list(AudioProfile).index(options.audio_profile),
            "video_stream_type": list(VideoStream).index(options.video_stream),
            "max_idle_seconds": options.max_idle_seconds,
            "width": video.width,
            "height": video.height,
            "frames_per_second": video.frames_per_second,
            "bitrate_kbps": bitrate_kbps(video, spec.channel.type),
            "max_resolution_uid": desired.max_resolution_uid or 0,
            "layout": list(Layout).index(desired.layout),
            "vendor": _VENDORS[storage.vendor],
            "region": region or 0,
        }

    def _configuration(self, storage: Storage) -> dict[str, Any]:
        document = self._document
        prefix = {"filePrefix": document.part.file_prefix} if document.part.file_prefix else {}
        return {
            "recordingId": document.recording_id,
            **prefix,
            "workDir": str(self._work),
            **self._work_bytes(),
            **self._max_wait(),
            "fit": document.spec.recording.video.fit.value,
            **self._work_volume(),
            "sliceSeconds": document.spec.recording.slice_seconds,
            "protocols": list(document.protocols),
            "allowLinkLocal": document.allow_link_local,
            "allowedHosts": list(document.stream_hosts),
            "storage": self._storage(storage),
            **_OF_A_POD,
            "channels": [{"name": document.spec.channel.name, "streams": list(self._streams())}],
        }

    def _work_bytes(self) -> dict[str, int]:
        """The kubelet's limit on an emptyDir, which the volume itself does not show: beyond it the pod is evicted."""
        empty_dir = self._document.spec.work.empty_dir
        return {"workBytes": empty_dir.size_limit_bytes} if empty_dir else {}

    def _max_wait(self) -> dict[str, int]:
        seconds = self._document.max_wait_seconds
        return {} if seconds is None else {"maxWaitSeconds": seconds}

    def _work_volume(self) -> dict[str, str]:
        """Whether the kubelet evicts by the disk that the volume lies on, as some claims do, too."""
        if self._scratch is None or self._work.stat().st_dev != self._scratch.stat().st_dev:
            return {}
        return {"workVolume": "NodeDisk"}

    def _streams(self) -> Iterator[dict[str, Any]]:
        for stream in self._document.spec.channel.streams:
            secret = stream.url_secret_ref
            source = {"urlFile": str(self._path(secret))} if secret else {"url": stream.url}
            optional = {
                "name": stream.name,
                "headers": [self._header(header) for header in stream.headers] if stream.headers else None,
                "caFile": str(self._path(stream.ca_secret_ref)) if stream.ca_secret_ref else None,
                "certificateSha256": stream.certificate_sha256,
            }
            given = {name: value for name, value in optional.items() if value is not None}
            yield {"uid": stream.uid, **source, **given, "silenceSeconds": stream.silence_seconds}

    def _header(self, header: Header) -> dict[str, str | None]:
        secret = header.value_secret_ref
        value = {"valueFile": str(self._path(secret))} if secret else {"value": header.value}
        return {"name": header.name, **value}

    def _storage(self, storage: Storage) -> dict[str, Any]:
        bucket = storage.credentials.secret_ref
        optional = {
            "endpoint": storage.endpoint,
            "region": _region(storage),
            "prefix": storage.prefix,
            "caFile": str(self._path(storage.ca_secret_ref)) if storage.ca_secret_ref else None,
        }
        return {
            **{name: value for name, value in optional.items() if value is not None},
            "pathStyle": storage.effective_addressing is Addressing.PATH,
            "credentialFiles": {
                "accessKey": str(self._secrets / bucket.name / bucket.access_key_key),
                "secretKey": str(self._secrets / bucket.name / bucket.secret_key_key),
            },
        }

    def _text(self, reference: SecretKeyRef) -> SecretText:
        return SecretText(path=str(self._path(reference)))

    def _path(self, reference: SecretKeyRef) -> Path:
        return self._secrets / reference.name / reference.key


def place_document(storage: Storage) -> dict[str, Any]:
    """Where files go, as engines read it."""
    optional = {"endpoint": storage.endpoint, "region": _region(storage)}
    return {
        "bucket": storage.bucket,
        "vendor": storage.vendor.value,
        "pathStyle": storage.effective_addressing is Addressing.PATH,
        **{name: value for name, value in optional.items() if value is not None},
    }


def _region(storage: Storage) -> str | None:
    if storage.region is not None:
        return region_name(storage.vendor, storage.region)
    return _USUAL_REGION if storage.vendor is StorageVendor.S3 else None
