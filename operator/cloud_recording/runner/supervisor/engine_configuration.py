# SPDX-License-Identifier: Apache-2.0
"""The JSON document that configures our engine for a pod: channel, storage, work volume. Secrets are paths in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from cloud_recording.api.channel import Header, Stream
from cloud_recording.api.livekit import LiveKit
from cloud_recording.api.regions import region_name
from cloud_recording.api.secret_refs import SecretKeyRef
from cloud_recording.api.storage import Addressing, BucketCredentials, Storage, StorageVendor
from cloud_recording.api.wire import RecordingDocument
from cloud_recording.runner.supervisor.mounted_secrets import MountedSecrets

_USUAL_REGION: Final = "us-east-1"
"""What requests to a server of one's own are signed with when nobody says otherwise."""
_CREDENTIAL_FILES: Final = ("accessKey", "secretKey", "sessionToken")
"""In the order of the Secret's keys, of which the last may be missing."""
_OF_A_POD: Final[Mapping[str, Any]] = {
    # The operator's deadlines hold.
    "finalUploadSeconds": None,
    # A process that is started after a crash finds there that everything was delivered; it goes with the pod or claim.
    "keepDirectory": True,
    # The process has nothing else to do with libav.
    "log": {"to": "StandardError", "libav": True},
}


class EngineConfiguration:
    """What a part's document means to the engine, on this node."""

    def __init__(
        self, document: RecordingDocument, secrets: MountedSecrets, *, work: Path, scratch: Path | None
    ) -> None:
        """`scratch` is a directory on the node's disk; none without a node."""
        self._document = document
        self._secrets = secrets
        self._work = work
        self._scratch = scratch

    def as_json(self, storage: Storage, streams: Sequence[Stream], large: str | None = None) -> dict[str, Any]:
        """The configuration of a part with these participants, whose files go to this storage.

        `large` is the identity of who is seen large in a room.
        """
        document = self._document
        prefix = {"filePrefix": document.part.file_prefix} if document.part.file_prefix else {}
        return {
            "recordingId": document.recording_id,
            **prefix,
            "workDir": str(self._work),
            **self._work_bytes(),
            **self._max_wait(),
            "fit": document.spec.recording.video.fit.value,
            "outputs": [output.value for output in document.spec.recording.outputs],
            **self._work_volume(),
            "sliceSeconds": document.spec.recording.slice_seconds,
            "protocols": list(document.protocols),
            "allowLinkLocal": document.allow_link_local,
            "allowedHosts": list(document.stream_hosts),
            "storage": self._storage(storage, document.directory),
            **self._backup(),
            **_OF_A_POD,
            "channels": [{"name": document.spec.channel.name, **self._people(streams, large), **self._passthrough()}],
        }

    def _work_bytes(self) -> dict[str, int]:
        """The kubelet's limit on an emptyDir, which the volume itself does not show: beyond it the pod is evicted."""
        empty_dir = self._document.spec.work.empty_dir
        return {"workBytes": empty_dir.size_limit_bytes} if empty_dir else {}

    def _max_wait(self) -> dict[str, int]:
        seconds = self._document.max_wait_seconds
        return {} if seconds is None else {"maxWaitSeconds": seconds}

    def _work_volume(self) -> dict[str, str | int]:
        """Whether the kubelet evicts by the disk that the volume lies on, as some claims do, too."""
        if self._scratch is None or self._work.stat().st_dev != self._scratch.stat().st_dev:
            return {}
        kept_free = self._document.node_disk_free_percent
        known = {} if kept_free is None else {"nodeDiskFreePercent": kept_free}
        return {"workVolume": "NodeDisk", **known}

    def _passthrough(self) -> dict[str, Any]:
        asked = self._document.spec.recording.video.passthrough
        return {} if asked is None else {"passthrough": asked.model_dump(by_alias=True, exclude_none=True)}

    def _people(self, streams: Sequence[Stream], large: str | None) -> dict[str, Any]:
        """Where participants come from."""
        room = self._document.spec.channel.livekit
        return {"streams": self.streams(streams)} if room is None else {"livekit": self._room(room, large)}

    def _room(self, room: LiveKit, large: str | None) -> dict[str, Any]:
        """What is secret is read at each join, as it is then: the job has the key and the token of its beginning."""
        server, channel = room.api_key_secret_ref, self._document.spec.channel
        optional = {
            "apiKeyFile": self._file(SecretKeyRef(name=server.name, key=server.api_key_key) if server else None),
            "apiSecretFile": self._file(SecretKeyRef(name=server.name, key=server.api_secret_key) if server else None),
            "tokenFile": self._file(channel.token_secret_ref),
            "sharedKeyFile": self._file(channel.decryption.secret_ref if channel.decryption else None),
            "room": room.room,
            "identity": room.identity,
            "maxResolutionIdentity": large,
            "participants": room.participants.model_dump(mode="json", exclude_none=True) if room.participants else None,
            "sources": [source.value for source in room.sources] if room.sources else None,
        }
        set_ones = {name: value for name, value in optional.items() if value is not None}
        return {"url": room.url, **set_ones, "hidden": room.hidden}

    def _file(self, secret: SecretKeyRef | None) -> str | None:
        return str(self._secrets.path(secret)) if secret else None

    def streams(self, streams: Sequence[Stream]) -> list[dict[str, Any]]:
        """Participants, as engines read them."""
        return list(self._streams(streams))

    def _streams(self, streams: Sequence[Stream]) -> Iterator[dict[str, Any]]:
        for stream in streams:
            secret = stream.url_secret_ref
            source = {"urlFile": str(self._secrets.path(secret))} if secret else {"url": stream.url}
            optional = {
                "name": stream.name,
                "headers": [self._header(header) for header in stream.headers] if stream.headers else None,
                "caFile": str(self._secrets.path(stream.ca_secret_ref)) if stream.ca_secret_ref else None,
                "certificateSha256": stream.certificate_sha256,
            }
            set_ones = {name: value for name, value in optional.items() if value is not None}
            yield {"uid": stream.uid, **source, **set_ones, "silenceSeconds": stream.silence_seconds}

    def _header(self, header: Header) -> dict[str, str | None]:
        secret = header.value_secret_ref
        value = {"valueFile": str(self._secrets.path(secret))} if secret else {"value": header.value}
        return {"name": header.name, **value}

    def _backup(self) -> dict[str, Any]:
        backup = self._document.spec.backup
        if backup is None:
            return {}
        where = {"vendor": backup.effective_vendor.value, "bucket": backup.bucket} if backup.bucket else {}
        store = self._storage(backup, self._document.backup_directory)
        return {"backup": {**store, **where, "afterSeconds": backup.after_seconds}}

    def _storage(self, storage: Storage, directory: str | None) -> dict[str, Any]:
        """The store; `directory` is where that of the spec is mounted."""
        if storage.bucket is None:
            prefix = {"prefix": storage.prefix} if storage.prefix else {}
            return {"directory": directory, **prefix}
        optional = {
            "prefix": storage.prefix,
            "caFile": str(self._secrets.path(storage.ca_secret_ref)) if storage.ca_secret_ref else None,
            "livePlaylist": storage.live_playlist,
            "objects": storage.objects.model_dump(mode="json", by_alias=True, exclude_none=True)
            if storage.objects
            else None,
        }
        vendor = {} if storage.effective_vendor.speaks_s3 else {"vendor": storage.effective_vendor.value}
        return {
            **vendor,
            **_reached(storage),
            **{name: value for name, value in optional.items() if value is not None},
            **self._opened_by(storage),
        }

    def _opened_by(self, storage: Storage) -> dict[str, Any]:
        if storage.credentials is None:
            acts_as = storage.google_service_account
            return {
                "identity": "Instance" if storage.instance_identity else "Environment",
                **({"googleServiceAccount": acts_as} if acts_as else {}),
            }
        return {"credentialFiles": dict(self._credential_files(storage.credentials))}

    def _credential_files(self, credentials: BucketCredentials) -> Iterator[tuple[str, str]]:
        bucket = credentials.secret_ref
        for name, key in zip(_CREDENTIAL_FILES, bucket.keys if bucket else (), strict=False):
            yield name, str(self._secrets.path(key))
        for name, key in credentials.lone_keys:
            yield name, str(self._secrets.path(key))


def place_json(storage: Storage) -> dict[str, Any]:
    """Where files go, as engines read it."""
    return {"bucket": storage.bucket, "vendor": storage.effective_vendor.value, **_reached(storage)}


def _reached(storage: Storage) -> dict[str, Any]:
    """How requests get to the bucket."""
    optional = {
        "account": storage.account,
        "endpoint": storage.endpoint,
        "region": _region(storage),
        "proxyUrl": storage.proxy_url,
    }
    addressing = {"pathStyle": storage.effective_addressing is Addressing.PATH}
    return {
        **{name: value for name, value in optional.items() if value is not None},
        **(addressing if storage.effective_vendor.speaks_s3 else {}),
    }


def _region(storage: Storage) -> str | None:
    if storage.region is not None:
        return region_name(storage.effective_vendor, storage.region)
    return _USUAL_REGION if storage.effective_vendor is StorageVendor.S3 else None
