# SPDX-License-Identifier: Apache-2.0
"""The playlist's URL is where the engine puts the playlist."""

from __future__ import annotations

from typing import Any

import pytest

from cloud_recording.api.storage import Storage, StorageVendor
from cloud_recording.domain import playlist_url

CREDENTIALS = {"credentials": {"secretRef": {"name": "bucket"}}}
KEYS: dict[str, dict[str, Any]] = {
    "AzureBlobStorage": {
        "account": "examplefilms",
        "credentials": {"accountKeySecretRef": {"name": "account", "key": "accountKey"}},
    },
    "GoogleCloudStorage": {"credentials": {"serviceAccountKeySecretRef": {"name": "bucket", "key": "key.json"}}},
}


@pytest.mark.parametrize(
    ("storage", "expected"),
    [
        pytest.param(
            {"endpoint": "https://s3.example.com:9000/", "bucket": "films"},
            "https://s3.example.com:9000/films/sid_room%3D201.m3u8",
            id="any-s3-server-by-path",
        ),
        pytest.param(
            {
                "endpoint": "https://s3.example.com",
                "bucket": "films",
                "prefix": "a/b",
                "addressing": "VirtualHosted",
            },
            "https://films.s3.example.com/a/b/sid_room%3D201.m3u8",
            id="bucket-in-the-host-and-a-prefix",
        ),
        pytest.param(
            {"vendor": "AWS", "region": 4, "bucket": "films"},
            "https://films.s3.eu-west-1.amazonaws.com/sid_room%3D201.m3u8",
            id="the-sdks-number-of-a-region",
        ),
        pytest.param({"vendor": "Qiniu", "region": 0, "bucket": "films"}, None, id="a-host-only-the-engine-knows"),
        pytest.param(
            {"vendor": "GoogleCloudStorage", "bucket": "films", "prefix": "a/b"},
            "https://storage.googleapis.com/films/a/b/sid_room%3D201.m3u8",
            id="google",
        ),
        pytest.param(
            {"vendor": "GoogleCloudStorage", "bucket": "films", "endpoint": "https://gcs.example.com"},
            "https://gcs.example.com/films/sid_room%3D201.m3u8",
            id="google-at-an-endpoint",
        ),
        pytest.param(
            {"vendor": "AzureBlobStorage", "bucket": "films", "prefix": "a/b"},
            "https://examplefilms.blob.core.windows.net/films/a/b/sid_room%3D201.m3u8",
            id="azure",
        ),
        pytest.param(
            {"vendor": "AzureBlobStorage", "bucket": "films", "endpoint": "https://media.example.com/"},
            "https://media.example.com/films/sid_room%3D201.m3u8",
            id="azure-at-an-endpoint",
        ),
        *(
            pytest.param(
                {"vendor": "AzureBlobStorage", "bucket": "films", "endpoint": endpoint},
                f"{endpoint}/examplefilms/films/sid_room%3D201.m3u8",
                id=f"an-emulator-at-{endpoint}",
            )
            for endpoint in ("http://127.0.0.1:10000", "http://[::1]:10000", "http://azurite:10000")
        ),
        pytest.param({"directory": {"claimName": "films"}, "prefix": "a/b"}, None, id="a-directory-has-none"),
    ],
)
def test_url(storage: dict[str, Any], expected: str | None) -> None:
    keys = {} if "directory" in storage else KEYS.get(storage.get("vendor", ""), CREDENTIALS)
    assert playlist_url.url(Storage.model_validate({**storage, **keys}), "sid_room=201.m3u8") == expected


@pytest.mark.parametrize("vendor", StorageVendor)
def test_every_vendor_has_a_host_that_administrators_can_allow(vendor: StorageVendor) -> None:
    where: dict[str, Any] = {"vendor": vendor}
    if vendor is StorageVendor.S3:
        where["endpoint"] = "https://s3.example.com"
    elif vendor.speaks_s3:
        where["region"] = 0
    storage = {**where, "bucket": "films", **KEYS.get(vendor, CREDENTIALS)}
    assert "." in playlist_url.host(Storage.model_validate(storage))
