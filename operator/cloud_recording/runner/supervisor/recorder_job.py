# SPDX-License-Identifier: Apache-2.0
"""Turns the document of a part into the recorder process's job. Pure but for paths: no secret is read here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

from cloud_recording.api.bitrate import bitrate_kbps
from cloud_recording.api.channel import Channel, Stream
from cloud_recording.api.regions import region_number
from cloud_recording.api.secret_refs import SecretKeyRef
from cloud_recording.api.storage import Storage, StoragePlace
from cloud_recording.api.storage_place import at_place, place_of
from cloud_recording.api.wire import DesiredState, RecordingDocument
from cloud_recording.runner.control_protocol import Job, Mode, SecretText
from cloud_recording.runner.supervisor.engine_configuration import EngineConfiguration, place_json
from cloud_recording.runner.supervisor.mounted_secrets import MountedSecrets
from cloud_recording.runner.supervisor.published_numbers import UNENCRYPTED, number_of

_NO_APP: Final = "streams"
"""The interface wants an App ID in any case; channels made of streams have none, nor have rooms joined by a token."""


class JobBuilder:
    """Makes the jobs of one part, one for each recorder process."""

    def __init__(
        self, document: RecordingDocument, secrets: MountedSecrets, *, work: Path, scratch: Path | None = None
    ) -> None:
        """`scratch` is a directory on the node's disk; none without a node."""
        self._document = document
        self._secrets = secrets
        self._work = work
        self._configuration = EngineConfiguration(document, secrets, work=work, scratch=scratch)

    def job(
        self,
        mode: Mode,
        desired: DesiredState,
        place: StoragePlace | None = None,
        *,
        streams: Sequence[Stream] = (),
    ) -> Job:
        """The job for a recorder process that begins now with these participants, and whose files go to this place."""
        channel, storage = self._document.spec.channel, at_place(self._document.storage, place)
        token = channel.token_secret_ref
        app_id = channel.app_id_secret_ref or _api_key(channel)
        return Job(
            mode=mode,
            work_directory=str(self._work),
            recording_id=self._document.recording_id,
            channel_name=channel.name,
            app_id=self._text(app_id) if app_id else SecretText(value=channel.app_id or _NO_APP),
            token=self._text(token) if token else None,
            uid=channel.uid,
            access_key=self._key(storage, "access_key_key"),
            secret_key=self._key(storage, "secret_key_key"),
            decryption_secret=None,
            bucket=storage.bucket or "",
            numbers=self._numbers(storage, desired),
            configuration=self._configuration.as_json(
                storage, streams or channel.listed_streams, desired.max_resolution_identity
            )
            | self._delivered_to(mode, storage),
        )

    def _delivered_to(self, mode: Mode, storage: Storage) -> dict[str, Any]:
        """A rescue takes from the journal where files go, unless nothing is stored there; what has no place stays.

        A merge has no journal.
        """
        if mode is Mode.RECORD:
            return {}
        place = {"place": place_json(storage)} if place_of(storage) is not None else {}
        if mode is Mode.MERGE:
            return {**place, "parts": [part.model_dump(by_alias=True) for part in self._document.parts or ()]}
        return {**place, **({"fromBackup": True} if place and self._document.part.from_backup else {})}

    def streams_change(self, streams: Sequence[Stream]) -> list[dict[str, Any]]:
        """What an engine is told to have these participants."""
        return self._configuration.streams(streams)

    def storage_change(self, place: StoragePlace) -> dict[str, Any]:
        """What an engine is told to have the files go to this place."""
        return place_json(at_place(self._document.storage, place))

    def _numbers(self, storage: Storage, desired: DesiredState) -> dict[str, int]:
        spec = self._document.spec
        options, video = spec.recording, spec.recording.video
        region = None if storage.region is None else region_number(storage.effective_vendor, storage.region)
        return {
            "stream_types": number_of(options.streams),
            "decryption_mode": UNENCRYPTED,
            "channel_type": number_of(spec.channel.type),
            "audio_profile": number_of(options.audio_profile),
            "video_stream_type": number_of(options.video_stream),
            "max_idle_seconds": options.max_idle_seconds,
            "width": video.width,
            "height": video.height,
            "frames_per_second": video.frames_per_second,
            "bitrate_kbps": bitrate_kbps(video, spec.channel.type),
            "max_resolution_uid": desired.max_resolution_uid or 0,
            "layout": number_of(desired.layout),
            "vendor": number_of(storage.effective_vendor),
            "region": region or 0,
        }

    def _key(self, storage: Storage, which: Literal["access_key_key", "secret_key_key"]) -> SecretText:
        """A key of the bucket's, where it has such: a directory has none, nor what an identity or another key opens."""
        secret = storage.credentials.secret_ref if storage.credentials else None
        if secret is None:
            return SecretText(value="")
        return self._text(SecretKeyRef(name=secret.name, key=getattr(secret, which)))

    def _text(self, reference: SecretKeyRef) -> SecretText:
        return SecretText(path=str(self._secrets.path(reference)))


def _api_key(channel: Channel) -> SecretKeyRef | None:
    """A LiveKit server's API key, which engines are given as App ID."""
    server = channel.livekit.api_key_secret_ref if channel.livekit else None
    return SecretKeyRef(name=server.name, key=server.api_key_key) if server else None
