# SPDX-License-Identifier: Apache-2.0
"""The CustomResourceDefinition around the models' schemas: names, columns, sub-resources."""

from __future__ import annotations

from typing import Any, Final

from cloud_recording.api.base import GROUP, VERSION
from cloud_recording.api.recording import KIND, PLURAL, CloudRecordingSpec
from cloud_recording.api.schema import FIXED_ONCE_STORED_MESSAGE, Schema, structural_schema
from cloud_recording.api.status import CloudRecordingStatus
from cloud_recording.api.storage import Storage, StoragePlace

_READY: Final = '.status.conditions[?(@.type=="Ready")]'

_DESCRIPTION: Final = (
    "A CloudRecording records one channel: one pod joins it, cuts what it hears and sees into slices, and uploads them "
    "to a bucket, or puts them into a directory, while it records. The status tells what is really there."
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


_NOTHING_STORED: Final = (
    "!has(self.status) || !has(self.status.slices) || !has(self.status.slices.uploaded) || "
    "self.status.slices.uploaded == 0"
)


def _fixed_once_stored_rules() -> list[Schema]:
    """The storage's place may change while nothing is stored there: a rule of the whole object, as the status knows.

    Where a change was taken that the recorder had to refuse, it can be taken back to where the files are.
    """
    rules = []
    for name in StoragePlace.model_fields:
        field = f"self.spec.storage.{name}"
        same = f"{field} == {field.replace('self', 'oldSelf', 1)}"
        if not Storage.model_fields[name].is_required():
            here, before = f"has({field})", f"has({field.replace('self', 'oldSelf', 1)})"
            same = f"{here} == {before} && (!{here} || {same})"
        place = "part.storage.place"
        there = f"has(part.storage) && has({place}) && has({place}.{name}) && {place}.{name} == {field}"
        back = f"has({field}) && has(self.status.parts) && self.status.parts.exists(part, {there})"
        rule = f"{_NOTHING_STORED} || ({same}) || ({back})"
        rules.append({"rule": rule, "message": FIXED_ONCE_STORED_MESSAGE, "fieldPath": f".spec.storage.{name}"})
    return rules


def _object_schema() -> Schema:
    return {
        "type": "object",
        "description": _DESCRIPTION,
        "required": ["spec"],
        "x-kubernetes-validations": _fixed_once_stored_rules(),
        "properties": {
            "apiVersion": {"type": "string", "description": "Version of this representation of the object."},
            "kind": {"type": "string", "description": "Kind of the object."},
            "metadata": {"type": "object"},
            "spec": structural_schema(CloudRecordingSpec, with_defaults=True),
            "status": structural_schema(CloudRecordingStatus, with_defaults=False),
        },
    }


def cloud_recording_crd() -> dict[str, Any]:
    """The definition to apply; the same on every machine, so that a difference means that somebody changed a model."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["crec"],
                "categories": ["recording"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": _COLUMNS,
                    "selectableFields": [{"jsonPath": ".spec.channel.name"}, {"jsonPath": ".spec.desiredState"}],
                    "schema": {"openAPIV3Schema": _object_schema()},
                }
            ],
        },
    }
