# SPDX-License-Identifier: Apache-2.0
"""A part's document with every kind of secret in it, for tests."""

from __future__ import annotations

from typing import Any

RECORDING_ID = "0123456789abcdef0123456789abcdef"


def storage(**more: Any) -> dict[str, Any]:
    """A bucket on a server of one's own."""
    return {
        "vendor": "S3",
        "bucket": "recordings",
        "endpoint": "https://s3.example.com",
        "credentials": {"secretRef": {"name": "bucket"}},
        **more,
    }


def document(*, bucket: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """What the operator writes into recording.json."""
    where = bucket or storage()
    channel = {
        "name": "room 1",
        "uid": 7,
        "tokenSecretRef": {"name": "channel", "key": "token"},
        "streams": [
            {"uid": 11, "url": "rtsp://example.com/a", "name": "alice"},
            {"silenceSeconds": 5, "uid": 12, "urlSecretRef": {"name": "streams", "key": "bob"}},
        ],
    }
    return {
        "namespace": "studio",
        "name": "talk",
        "uid": "01234567-89ab-cdef-0123-456789abcdef",
        "recordingId": RECORDING_ID,
        "part": {"number": 1, "filePrefix": "bak0_"},
        "spec": {"channel": channel, "storage": where, **spec},
        "storage": where,
        "callbackURL": "https://operator.example.com:8443",
        "engine": {"name": "default", "libraryPath": "libagora-cloud-recording-client.so"},
        "protocols": ["rtmp", "rtsp"],
    }
