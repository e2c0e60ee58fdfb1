# SPDX-License-Identifier: Apache-2.0
"""The CustomResourceDefinitions around the models' schemas: names, columns, sub-resources."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from cloud_recording.api.base import GROUP, VERSION
from cloud_recording.api.recording import KIND, PLURAL, CloudRecordingSpec
from cloud_recording.api.recording_storage import (
    STORAGE_KIND,
    STORAGE_PLURAL,
    RecordingStorageSpec,
    RecordingStorageStatus,
)
from cloud_recording.api.schema import (
    FIXED_OF_STORAGE_MESSAGE,
    FIXED_ONCE_STORED_MESSAGE,
    Schema,
    structural_schema,
)
from cloud_recording.api.status import CloudRecordingStatus
from cloud_recording.api.storage import FIXED_ONCE_STORED, Storage

_READY: Final = '.status.conditions[?(@.type=="Ready")]'

_DESCRIPTION: Final = (
    "A CloudRecording records one channel: one pod joins it, cuts what it hears and sees into slices, and uploads them "
    "to a bucket, or puts them into a directory, while it records. The status tells what is really there."
)

_STORAGE_DESCRIPTION: Final = (
    "A RecordingStorage is a store, a bucket or a directory, that is described once and used by many recordings of its "
    "namespace. Whether it takes files is tried by a pod that is made as recordings' pods are; recordings wait until "
    "it does."
)


def _column(name: str, kind: str, path: str, description: str, *, wide: bool = False) -> dict[str, Any]:
    return {
        "name": name,
        "type": kind,
        "jsonPath": path,
        "description": description,
        **({"priority": 1} if wide else {}),
    }


_COLUMNS: Final = [
    _column("Ready", "string", f"{_READY}.status", "Whether the recording does what was asked of it."),
    _column("Status", "string", ".status.display", "What it is doing, or why it is not, and what fails beside."),
    _column(
        "Progress",
        "integer",
        ".status.progressPercent",
        "Percentage of the files written so far that are in the store.",
    ),
    _column("Slices", "integer", ".status.slices.uploaded", "Slices in the store."),
    _column("Duration", "integer", ".status.recordedSeconds", "Seconds recorded."),
    _column("Age", "date", ".metadata.creationTimestamp", "Time since the resource was created."),
    _column("Playlist", "string", ".status.playlist", "Name of the playlist.", wide=True),
    _column("Pod", "string", ".status.parts[-1:].pod", "Pod of the newest part.", wide=True),
    _column("Recording ID", "string", ".status.recordingId", "ID that every file's name contains.", wide=True),
]

_STORAGE_COLUMNS: Final = [
    _column("Ready", "string", f"{_READY}.status", "Whether recordings can be stored there."),
    _column("Status", "string", ".status.display", "Why it is ready, or not."),
    _column("Bucket", "string", ".spec.bucket", "Name of the bucket, if it is one."),
    _column("Claim", "string", ".spec.directory.claimName", "Claim of the directory, if it is one."),
    _column("Age", "date", ".metadata.creationTimestamp", "Time since the resource was created."),
    _column("Prefix", "string", ".spec.prefix", "What every object's key begins with.", wide=True),
    _column("Endpoint", "string", ".spec.endpoint", "URL of the storage server.", wide=True),
    _column("Probed", "date", ".status.probeTime", "Time since the newest probe ended.", wide=True),
]


_NOTHING_STORED: Final = (
    "!has(self.status) || !has(self.status.slices) || !has(self.status.slices.uploaded) || "
    "self.status.slices.uploaded == 0"
)


def _fixed_once_stored_rules() -> list[Schema]:
    """The storage's place may change while nothing is stored there: a rule of the whole object, as the status knows.

    Where a change was taken that the recorder had to refuse, it can be taken back to where the files are.
    """
    rules = []
    for name in FIXED_ONCE_STORED:
        field = f"self.spec.storage.{name}"
        same = f"{field} == {field.replace('self', 'oldSelf', 1)}"
        if not Storage.model_fields[name].is_required():
            here, before = f"has({field})", f"has({field.replace('self', 'oldSelf', 1)})"
            same = f"({here} ? {before} && {same} : !{before})"
        place = "part.storage.place"
        there = f"has(part.storage) && has({place}) && has({place}.{name}) && {place}.{name} == {field}"
        back = f"has({field}) && has(self.status.parts) && self.status.parts.exists(part, {there})"
        # What holds with each write of a status comes first: to read a field the API server copies the schemas of all
        # of its neighbours, of which the status has the most.
        rule = f"{same} || {_NOTHING_STORED} || ({back})"
        rules.append({"rule": rule, "message": FIXED_ONCE_STORED_MESSAGE, "fieldPath": f".spec.storage.{name}"})
    return rules


def _recording_schema() -> Schema:
    schema = _object_schema(
        _DESCRIPTION,
        spec=structural_schema(CloudRecordingSpec, with_defaults=True),
        status=structural_schema(CloudRecordingStatus, with_defaults=False),
    )
    return {**schema, "x-kubernetes-validations": _fixed_once_stored_rules()}


def _storage_schema() -> Schema:
    return _object_schema(
        _STORAGE_DESCRIPTION,
        spec=structural_schema(RecordingStorageSpec, with_defaults=True, fixed_message=FIXED_OF_STORAGE_MESSAGE),
        status=structural_schema(RecordingStorageStatus, with_defaults=False),
    )


def _object_schema(description: str, *, spec: Schema, status: Schema) -> Schema:
    return {
        "type": "object",
        "description": description,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": "Version of this representation of the object."},
            "kind": {"type": "string", "description": "Kind of the object."},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status,
        },
    }


def cloud_recording_crd() -> dict[str, Any]:
    """The definition to apply; the same on every machine, so that a difference means that somebody changed a model."""
    selectable = [{"jsonPath": ".spec.channel.name"}, {"jsonPath": ".spec.desiredState"}]
    return _crd(
        KIND, PLURAL, short="crec", columns=_COLUMNS, schema=_recording_schema(), more={"selectableFields": selectable}
    )


def recording_storage_crd() -> dict[str, Any]:
    """The same of stores that recordings share."""
    return _crd(STORAGE_KIND, STORAGE_PLURAL, short="rstore", columns=_STORAGE_COLUMNS, schema=_storage_schema())


def _crd(
    kind: str,
    plural: str,
    *,
    short: str,
    columns: list[dict[str, Any]],
    schema: Schema,
    more: Mapping[str, Any] = MappingProxyType({}),
) -> dict[str, Any]:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": plural,
                "singular": kind.lower(),
                "shortNames": [short],
                "categories": ["recording"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": columns,
                    **more,
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }
