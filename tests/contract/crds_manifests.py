# SPDX-License-Identifier: Apache-2.0
"""Manifests of CloudRecordings and ways to change them by a path, for tables of what the API server accepts."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Mapping
from typing import Any, Final

Manifest = dict[str, Any]

REMOVED: Final = object()
"""The value of a change that takes the field away."""


def a_stream(uid: int = 1, **fields: object) -> Manifest:
    return {"uid": uid, "url": f"rtmp://media.example.com/live/{uid}", **fields}


def a_recording(changes: Mapping[str, object] | None = None) -> Manifest:
    """A valid manifest of the least fields, with each change's value put at the change's path below `spec`."""
    manifest: Manifest = {
        "apiVersion": "cloudrecording.dev/v1alpha1",
        "kind": "CloudRecording",
        "metadata": {"name": f"test-{secrets.token_hex(4)}", "namespace": "default"},
        "spec": {
            "channel": {"name": "room-1", "uid": 1000, "streams": [a_stream(1), a_stream(2)]},
            "storage": {
                "endpoint": "https://s3.example.com",
                "bucket": "recordings",
                "credentials": {"secretRef": {"name": "bucket-credentials"}},
            },
        },
    }
    return changed(manifest, changes or {})


def a_storage(changes: Mapping[str, object] | None = None) -> Manifest:
    """The same of a RecordingStorage."""
    manifest: Manifest = {
        "apiVersion": "cloudrecording.dev/v1alpha1",
        "kind": "RecordingStorage",
        "metadata": {"name": f"test-{secrets.token_hex(4)}", "namespace": "default"},
        "spec": {
            "endpoint": "https://s3.example.com",
            "bucket": "recordings",
            "prefix": "2026",
            "credentials": {"secretRef": {"name": "bucket-credentials"}},
        },
    }
    return changed(manifest, changes or {})


def changed(manifest: Manifest, changes: Mapping[str, object]) -> Manifest:
    """A copy with each value put at its dotted path below `spec`; a number in a path is an index."""
    result = copy.deepcopy(manifest)
    for path, value in changes.items():
        _put(result["spec"], path.split("."), value)
    return result


def _put(target: Any, path: list[str], value: object) -> None:
    step, *rest = path
    key: Any = int(step) if isinstance(target, list) else step
    if rest:
        if isinstance(target, dict):
            target.setdefault(key, {})
        _put(target[key], rest, value)
    elif value is REMOVED:
        del target[key]
    else:
        # What a later change goes into must not be the table's own.
        target[key] = copy.deepcopy(value)
