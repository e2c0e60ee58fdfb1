# SPDX-License-Identifier: Apache-2.0
"""A field that names a key of a Secret is mounted, may be forbidden and is waited for: none is left out."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from cloud_recording.api.livekit import ApiKeySecretRef
from cloud_recording.api.needed_secrets import needed_keys
from cloud_recording.api.recording import CloudRecordingSpec
from cloud_recording.api.secret_refs import SecretKeyRef
from cloud_recording.api.storage import BucketSecretRef

REF = {"name": "s", "key": "k"}
SPEC = {
    "channel": {
        "name": "room",
        "uid": 1,
        "appIdSecretRef": REF,
        "tokenSecretRef": REF,
        "streams": [
            {"uid": 2, "urlSecretRef": REF, "caSecretRef": REF, "headers": [{"name": "X", "valueSecretRef": REF}]}
        ],
        "livekit": {"url": "wss://livekit.example.com", "apiKeySecretRef": {"name": "livekit"}},
        "decryption": {"mode": "SharedKey", "secretRef": REF},
    },
    "storage": {
        "endpoint": "https://s3.example.com",
        "bucket": "bucket",
        "caSecretRef": REF,
        "credentials": {"secretRef": {"name": "bucket"}},
    },
    "backup": {
        "endpoint": "https://s3.example.com",
        "bucket": "spare",
        "caSecretRef": REF,
        "credentials": {"secretRef": {"name": "spare"}},
    },
}
OTHER_KEYS = {
    "storage": {
        "vendor": "GoogleCloudStorage",
        "bucket": "bucket",
        "credentials": {"serviceAccountKeySecretRef": {"name": "bucket", "key": "key.json"}},
    },
    "backup": {
        "vendor": "GoogleCloudStorage",
        "bucket": "spare",
        "credentials": {"serviceAccountKeySecretRef": {"name": "spare", "key": "key.json"}},
    },
}
_OF_AZURE = {"vendor": "AzureBlobStorage", "account": "examplefilms"}
AZURES_KEYS = tuple(
    {
        store: {**_OF_AZURE, "bucket": store, "credentials": {f"{kind}SecretRef": {"name": store, "key": kind}}}
        for store in ("storage", "backup")
    }
    for kind in ("accountKey", "sasToken")
)


def models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in typing.get_args(annotation):
        yield from models_in(part)


def secret_fields(model: type[BaseModel], path: str) -> Iterator[str]:
    """Every field below the model that refers to a Secret, as a path without indices."""
    for name, field in model.model_fields.items():
        here = f"{path}.{field.alias or name}"
        for inner in models_in(field.annotation):
            if inner in {SecretKeyRef, BucketSecretRef, ApiKeySecretRef}:
                yield here
            else:
                yield from secret_fields(inner, here)


def test_every_field_that_names_a_secret_is_known() -> None:
    kinds: tuple[dict[str, Any], ...] = ({}, OTHER_KEYS, *AZURES_KEYS)
    specs = [CloudRecordingSpec.model_validate({**SPEC, **keys}) for keys in kinds]
    needed = [one for spec in specs for one in needed_keys(spec)]
    listed = [one.field.replace("[0]", "") for one in needed]
    assert set(listed) == set(secret_fields(CloudRecordingSpec, "spec"))
    assert {one.url_of.uid for one in needed if one.url_of} == {2}
