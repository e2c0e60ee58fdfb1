# SPDX-License-Identifier: Apache-2.0
"""Which fields of a spec name keys of Secrets: those that pods mount, runners wait for and allow-lists cover."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from cloud_recording.api.channel import Stream
from cloud_recording.api.livekit import LiveKit
from cloud_recording.api.recording import CloudRecordingSpec
from cloud_recording.api.secret_refs import SecretKeyRef
from cloud_recording.api.storage import Storage


class NeededKey(NamedTuple):
    """A key of a Secret that the recording cannot do without, and the field that names it."""

    field: str
    ref: SecretKeyRef
    url_of: Stream | None = None
    """The participant whose URL it holds."""


def needed_keys(spec: CloudRecordingSpec) -> Iterator[NeededKey]:
    """Every key of a Secret that the spec names, in the order of its fields."""
    channel = spec.channel
    if channel.app_id_secret_ref:
        yield NeededKey("spec.channel.appIdSecretRef", channel.app_id_secret_ref)
    if channel.token_secret_ref:
        yield NeededKey("spec.channel.tokenSecretRef", channel.token_secret_ref)
    for index, stream in enumerate(channel.listed_streams):
        yield from _of_stream(stream, f"spec.channel.streams[{index}]")
    if channel.livekit:
        yield from _of_room(channel.livekit, "spec.channel.livekit")
    if channel.decryption:
        yield NeededKey("spec.channel.decryption.secretRef", channel.decryption.secret_ref)
    yield from keys_of_storage(spec.storage, "spec.storage")
    if spec.backup:
        yield from keys_of_storage(spec.backup, "spec.backup")


def _of_stream(stream: Stream, field: str) -> Iterator[NeededKey]:
    if stream.url_secret_ref:
        yield NeededKey(f"{field}.urlSecretRef", stream.url_secret_ref, url_of=stream)
    for index, header in enumerate(stream.headers or ()):
        if header.value_secret_ref:
            yield NeededKey(f"{field}.headers[{index}].valueSecretRef", header.value_secret_ref)
    if stream.ca_secret_ref:
        yield NeededKey(f"{field}.caSecretRef", stream.ca_secret_ref)


def _of_room(room: LiveKit, field: str) -> Iterator[NeededKey]:
    server = room.api_key_secret_ref
    if server:
        for key in (server.api_key_key, server.api_secret_key):
            yield NeededKey(f"{field}.apiKeySecretRef", SecretKeyRef(name=server.name, key=key))


def keys_of_storage(storage: Storage, field: str) -> Iterator[NeededKey]:
    """Every key of a Secret that the storage, which this field has, names."""
    if storage.ca_secret_ref:
        yield NeededKey(f"{field}.caSecretRef", storage.ca_secret_ref)
    if storage.credentials is None:
        return
    bucket = storage.credentials.secret_ref
    for key in bucket.keys if bucket else ():
        yield NeededKey(f"{field}.credentials.secretRef", key)
    for name, key in storage.credentials.lone_keys:
        yield NeededKey(f"{field}.credentials.{name}SecretRef", key)
