# SPDX-License-Identifier: Apache-2.0
"""The playlist's URL is where the engine puts the playlist."""

from __future__ import annotations

from typing import Any

import pytest

from cloud_recording.api.storage import Storage, StorageVendor
from cloud_recording.domain import playlist_url

CREDENTIALS = {"credentials": {"secretRef": {"name": "bucket"}}}


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
        pytest.param({"directory": {"claimName": "films"}, "prefix": "a/b"}, None, id="a-directory-has-none"),
    ],
)
def test_url(storage: dict[str, Any], expected: str | None) -> None:
    keys = {} if "directory" in storage else CREDENTIALS
    assert playlist_url.url(Storage.model_validate({**storage, **keys}), "sid_room=201.m3u8") == expected


@pytest.mark.parametrize("vendor", StorageVendor)
def test_every_vendor_has_a_host_that_administrators_can_allow(vendor: StorageVendor) -> None:
    where = {"endpoint": "https://s3.example.com"} if vendor is StorageVendor.S3 else {"vendor": vendor, "region": 0}
    assert "." in playlist_url.host(Storage.model_validate({**where, "bucket": "films", **CREDENTIALS}))
