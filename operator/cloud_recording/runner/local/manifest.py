# SPDX-License-Identifier: Apache-2.0
"""Reads a CloudRecording and its Secrets from files, for recordings without a cluster.

No API server checks such a manifest, so its rules are checked here; each message names the field. Those that only a
cluster has, as they protect it from its users or secrets from its readers, are not asked for: the recording runs with
the rights of whoever started it.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloud_recording.api.base import API_VERSION
from cloud_recording.api.recording import KIND, CloudRecordingSpec, DesiredRecordingState
from cloud_recording.api.rules import violations
from cloud_recording.api.storage import ClaimDirectory, Storage

Secrets = Mapping[str, Mapping[str, bytes]]


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
    directory: Path | None = None
    """What stands for the claim of the spec's `storage`, if it names one."""


OUTPUT: Final = Storage(directory=ClaimDirectory(claim_name="output"))
"""What `storage` is where files go to a directory of this machine: a claim, which that directory stands for."""


def load(
    files: Sequence[Path], *, name: str | None = None, begun: bool = False, directory: Path | None = None
) -> Manifest:
    """The recording of the files, by its name where there are several; only one that has `begun` may be stopped.

    A `directory` takes the place of its `storage`.
    """
    documents = [document for file in files for document in _documents(file)]
    recording = _parsed(_chosen([item for item in documents if item.get("kind") == KIND], name))
    secrets = dict(_secret(item) for item in documents if item.get("kind") == "Secret")
    return _checked(recording, secrets, begun=begun, directory=directory)


def of_document(document: Mapping[str, Any], secrets: Secrets, *, directory: Path) -> Manifest:
    """The recording of a document that was made here; its files go to the directory."""
    return _checked(_parsed(document), secrets, begun=True, directory=directory)


def _checked(recording: _Recording, secrets: Secrets, *, begun: bool, directory: Path | None) -> Manifest:
    faults = [f"{field}: {message}" for field, message in violations(recording.spec, "spec")]
    if recording.spec.desired_state is DesiredRecordingState.STOPPED and not begun:
        faults.append("spec.desiredState: is Stopped, so there is nothing to record")
    faults.extend(_claims(recording.spec, directory))
    if faults:
        raise ManifestError("\n".join(faults))
    metadata = recording.metadata
    return Manifest(
        name=metadata.name,
        namespace=metadata.namespace,
        spec=recording.spec if directory is None else recording.spec.model_copy(update={"storage": OUTPUT}),
        secrets=secrets,
        directory=directory,
    )


def _claims(spec: CloudRecordingSpec, directory: Path | None) -> Iterator[str]:
    """Claims and RecordingStorages, which only a cluster has."""
    if spec.storage.ref is not None and directory is None:
        yield (
            "spec.storage.ref: is a RecordingStorage of a cluster; write the store out here, or say with -o DIRECTORY "
            "where the files go"
        )
    if spec.backup is not None and spec.backup.ref is not None:
        yield "spec.backup.ref: is a RecordingStorage of a cluster; write the store out here, or leave `backup` out"
    if spec.storage.directory is not None and directory is None:
        yield "spec.storage.directory: is a claim of a cluster; say with -o DIRECTORY where the files go here"
    if spec.backup is not None and spec.backup.directory is not None:
        yield "spec.backup.directory: is a claim of a cluster; leave `backup` out here, or name a bucket"


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
        # Strict as the API server is: a number in quotes is none. Dates are YAML's, and in nothing that is read here.
        return _Recording.model_validate_json(json.dumps(document, default=str), strict=True)
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
