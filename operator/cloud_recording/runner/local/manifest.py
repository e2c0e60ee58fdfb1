# SPDX-License-Identifier: Apache-2.0
"""Reads a CloudRecording and its Secrets from files, for recordings without a cluster.

Nobody else checks such a manifest, so what the API server would refuse and the recorder cannot do without is checked
here; each message names the field. What protects a cluster from its users (schemes, link-local addresses) is not asked
for: the recording runs with the rights of whoever started it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloud_recording.api.base import API_VERSION
from cloud_recording.api.channel import Stream
from cloud_recording.api.media import SHORT_SIDE, Layout
from cloud_recording.api.recording import KIND, CloudRecordingSpec, DesiredRecordingState
from cloud_recording.api.regions import REGIONS
from cloud_recording.api.storage import StorageVendor

Secrets = Mapping[str, Mapping[str, bytes]]

_CHANNEL_NAME_BYTES: Final = 64


class ManifestError(Exception):
    """The manifest cannot be recorded; each line of the text names a field or a file, and the way out."""


class _Metadata(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str = Field(min_length=1)
    namespace: str = "default"


class _Recording(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    metadata: _Metadata
    spec: CloudRecordingSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One recording and the Secrets that were in the files."""

    name: str
    namespace: str
    spec: CloudRecordingSpec
    secrets: Secrets


def load(files: Sequence[Path], *, name: str | None = None, begun: bool = False) -> Manifest:
    """The recording of the files, by its name where there are several; only one that has `begun` may be stopped."""
    documents = [document for file in files for document in _documents(file)]
    recording = _parsed(_chosen([item for item in documents if item.get("kind") == KIND], name))
    secrets = dict(_secret(item) for item in documents if item.get("kind") == "Secret")
    faults = [*_spec_faults(recording.spec)]
    if recording.spec.desired_state is DesiredRecordingState.STOPPED and not begun:
        faults.append("spec.desiredState: is Stopped, so there is nothing to record")
    if faults:
        raise ManifestError("\n".join(faults))
    metadata = recording.metadata
    return Manifest(name=metadata.name, namespace=metadata.namespace, spec=recording.spec, secrets=secrets)


def _documents(file: Path) -> Iterator[dict[str, Any]]:
    try:
        documents = list(yaml.safe_load_all(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise ManifestError(f"{file}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ManifestError(f"{file}: is no YAML: {error}") from error
    for document in documents:
        if isinstance(document, dict):
            yield document
        elif document is not None:
            raise ManifestError(f"{file}: holds something that is no Kubernetes object")


def _chosen(recordings: Sequence[dict[str, Any]], name: str | None) -> dict[str, Any]:
    names = [str((recording.get("metadata") or {}).get("name")) for recording in recordings]
    if name is not None:
        recordings = [recording for recording, known in zip(recordings, names, strict=True) if known == name]
    if len(recordings) == 1:
        return recordings[0]
    if not names:
        raise ManifestError(f"no {KIND} in the files")
    if not recordings:
        raise ManifestError(f"no {KIND} is named {name!r}; there are: {', '.join(names)}")
    raise ManifestError(f"there are several of kind {KIND}; choose one with --name: {', '.join(names)}")


def _parsed(document: Mapping[str, Any]) -> _Recording:
    if document.get("apiVersion") != API_VERSION:
        raise ManifestError(f"apiVersion: must be {API_VERSION!r}")
    try:
        return _Recording.model_validate(document)
    except ValidationError as error:
        lines = [f"{_path(fault['loc'])}: {fault['msg']}" for fault in error.errors(include_url=False)]
        raise ManifestError("\n".join(lines)) from error


def _path(location: Sequence[int | str]) -> str:
    """A field as people write it: `spec.channel.streams[0].uid`."""
    steps = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    return steps.removeprefix(".")


def _secret(document: Mapping[str, Any]) -> tuple[str, dict[str, bytes]]:
    """A Secret's name and content; `stringData` wins over `data`, as in the API server."""
    name = str((document.get("metadata") or {}).get("name"))
    try:
        data = {
            str(key): base64.b64decode(str(value), validate=True) for key, value in (document.get("data") or {}).items()
        }
    except (ValueError, binascii.Error) as error:
        raise ManifestError(f"Secret {name!r}: `data` holds something that is no base64; use `stringData`") from error
    plain = {str(key): str(value).encode() for key, value in (document.get("stringData") or {}).items()}
    return name, {**data, **plain}


def _spec_faults(spec: CloudRecordingSpec) -> Iterator[str]:
    """What the types alone do not say."""
    yield from _channel_faults(spec)
    yield from _video_faults(spec)
    yield from _storage_faults(spec)


def _channel_faults(spec: CloudRecordingSpec) -> Iterator[str]:
    channel = spec.channel
    if len(channel.name.encode()) > _CHANNEL_NAME_BYTES:
        yield f"spec.channel.name: must be at most {_CHANNEL_NAME_BYTES} bytes long in UTF-8"
    if channel.app_id is not None and channel.app_id_secret_ref is not None:
        yield "spec.channel: must have at most one of `appId` and `appIdSecretRef`"
    uids = [stream.uid for stream in channel.streams]
    if channel.uid in uids:
        yield "spec.channel.uid: must differ from the `uid` of every participant in `streams`"
    for index, stream in enumerate(channel.streams):
        if (stream.url is None) == (stream.url_secret_ref is None):
            yield f"spec.channel.streams[{index}]: must have exactly one of `url` and `urlSecretRef`"
        yield from (f"spec.channel.streams[{index}]{fault}" for fault in _access_faults(stream))
        if stream.uid in uids[:index]:
            yield f"spec.channel.streams[{index}].uid: another participant has it already"


def _access_faults(stream: Stream) -> Iterator[str]:
    if stream.ca_secret_ref is not None and stream.certificate_sha256 is not None:
        yield ": must have at most one of `caSecretRef` and `certificateSha256`"
    for index, header in enumerate(stream.headers or ()):
        if (header.value is None) == (header.value_secret_ref is None):
            yield f".headers[{index}]: must have exactly one of `value` and `valueSecretRef`"


def _video_faults(spec: CloudRecordingSpec) -> Iterator[str]:
    video = spec.recording.video
    for name, side in (("width", video.width), ("height", video.height)):
        if side % 2:
            yield f"spec.recording.video.{name}: must be even: video is coded in blocks of two by two pixels"
    if min(video.width, video.height) > SHORT_SIDE:
        yield f"spec.recording.video: one of `width` and `height` must be at most {SHORT_SIDE}"
    large = video.max_resolution_uid
    if video.layout is Layout.VERTICAL and large is None:
        yield "spec.recording.video.maxResolutionUid: must be set when `layout` is 'Vertical'"
    if large is not None and large not in {stream.uid for stream in spec.channel.streams}:
        yield "spec.recording.video.maxResolutionUid: must be the `uid` of a participant in `channel.streams`"


def _storage_faults(spec: CloudRecordingSpec) -> Iterator[str]:
    storage = spec.storage
    if storage.vendor is StorageVendor.S3 and storage.endpoint is None:
        yield "spec.storage.endpoint: is needed when `vendor` is 'S3'"
    if storage.vendor is not StorageVendor.S3 and storage.region is None and storage.endpoint is None:
        yield f"spec.storage.region: it or `endpoint` is needed when `vendor` is '{storage.vendor}'"
    if isinstance(storage.region, int) and storage.region not in range(len(REGIONS.get(storage.vendor, ()))):
        yield f"spec.storage.region: '{storage.vendor}' has no region of the number {storage.region}; use its name"
