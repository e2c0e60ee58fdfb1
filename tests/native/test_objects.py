# SPDX-License-Identifier: Apache-2.0
"""What the document says of objects is with each of them, however it is put; what is not taken is told."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from tests.native.test_verified import PART, RECORDING_ID, STEM, _left
from tests.support.files import Files
from tests.support.google import google_server
from tests.support.rtmp import RtmpServer
from tests.support.s3 import Bucket, S3Server
from tests.support.s3_proxy import Asked, Headers, S3Proxy, s3_proxy

Make = Callable[..., Any]

NO_KEYS: Final = ("", "")
LARGE: Final = f"{STEM}_20231114221320000.ts"
CACHING: Final = "public, max-age=31536000, immutable"
METADATA: Final = {"team": "films & series", "cost-center": "17"}
TAGS: Final = {"retention": "90 d", "a/b": "c+d"}
KMS_KEY: Final = "arn:aws:kms:eu-central-1:111122223333:key/k"
LASTING: Final = (".ts", ".mp4")


def _encrypting(_method: str, _path: str, headers: Headers) -> None:
    """What a server that encrypts adds to each answer."""
    headers["x-amz-server-side-encryption"] = "aws:kms"


def _begun(proxy: S3Proxy) -> list[Asked]:
    """The requests that began an object."""
    return [
        asked
        for asked in proxy.asked
        if (asked.method == "PUT" and not asked.query) or (asked.method == "POST" and "uploads" in asked.query)
    ]


def _check_caching(key: str, headers: Mapping[str, str], *, live: bool) -> None:
    """What is put again under its name is not kept by anybody; what is not, is, as the document has it."""
    lasting = key.endswith(LASTING) or (key.endswith(".m3u8") and not live)
    assert headers["cache-control"] == (CACHING if lasting else "no-cache"), key


def test_every_object_of_s3_gets_what_the_document_says(
    alice: str, bucket: Bucket, s3: S3Server, configuration: Make, record: Make, tmp_path: Path
) -> None:
    """Promise: slices, also large ones in parts, playlists and manifest have it all, and live playlists no caching."""
    objects = {
        "metadata": METADATA,
        "tags": TAGS,
        "cacheControl": CACHING,
        "storageClass": "STANDARD_IA",
        "serverSideEncryption": {"mode": "SSE-KMS", "kmsKeyId": KMS_KEY},
    }
    _left(tmp_path, "http://127.0.0.1:9", {LARGE: os.urandom(PART + 1)})
    with s3_proxy(s3) as proxy:
        proxy.change = _encrypting
        storage = {"endpoint": proxy.endpoint, "objects": objects}
        with record(configuration(alice, recordingId=RECORDING_ID, storage=storage)) as recorder:
            bucket.await_keys(".ts", 3)
            recorder.stop()
            assert recorder.wait() == 0
    assert not [line for line in recorder.lines if line.startswith("uploader-failure")]
    begun = _begun(proxy)
    assert {asked.method for asked in begun if asked.path.endswith(LARGE)} == {"POST"}
    final = max(index for index, asked in enumerate(begun) if asked.path.endswith(".m3u8"))
    for index, asked in enumerate(begun):
        sent = asked.headers
        assert {name: sent[f"x-amz-meta-{name}"] for name in METADATA} == METADATA
        assert sent["x-amz-tagging"] == "a%2Fb=c%2Bd&retention=90+d"
        assert sent["x-amz-storage-class"] == "STANDARD_IA"
        assert sent["x-amz-server-side-encryption"] == "aws:kms"
        assert sent["x-amz-server-side-encryption-aws-kms-key-id"] == KMS_KEY
        _check_caching(asked.path, sent, live=index != final)
    # The server checks signatures, so it has what was signed.
    for key in bucket.objects():
        told = bucket.client.head_object(Bucket=bucket.name, Key=key)
        assert told["Metadata"] == METADATA
        _check_caching(key, {"cache-control": told["CacheControl"]}, live=False)
        tags = bucket.client.get_object_tagging(Bucket=bucket.name, Key=key)["TagSet"]
        assert {tag["Key"]: tag["Value"] for tag in tags} == TAGS
    Files(bucket, STEM).check_manifest()


def test_every_object_of_googles_gets_what_the_document_says(
    alice: str, configuration: Make, record: Make, tmp_path: Path
) -> None:
    """Promise: the same of metadata, caching, storage class and key, by Google's names for them."""
    key = "projects/p/locations/l/keyRings/r/cryptoKeys/k"
    objects = {"metadata": METADATA, "cacheControl": CACHING, "storageClass": "NEARLINE", "kmsKeyName": key}
    _left(tmp_path, "http://127.0.0.1:9", {LARGE: os.urandom(PART + 1)})
    with google_server(tmp_path / "google") as server:
        films = server.bucket("films")
        (tmp_path / "key").write_text(server.account().document())
        document = configuration(alice, recordingId=RECORDING_ID)
        document["storage"] = {
            "vendor": "GoogleCloudStorage",
            "endpoint": server.endpoint,
            "credentialFiles": {"serviceAccountKey": str(tmp_path / "key")},
            "objects": objects,
        }
        with record(document, keys=NO_KEYS) as recorder:
            films.await_playlist()
            assert server.begun[f"{STEM}.m3u8"]["cache-control"] == "no-cache"
            films.await_keys(".ts", 3)
            recorder.stop()
            assert recorder.wait() == 0
        assert set(server.begun) == set(films.objects())
        assert LARGE in server.begun
        for name, sent in server.begun.items():
            assert {one: sent[f"x-goog-meta-{one}"] for one in METADATA} == METADATA
            assert sent["x-goog-storage-class"] == "NEARLINE"
            assert sent["x-goog-encryption-kms-key-name"] == key
            _check_caching(name, sent, live=False)


def test_a_live_playlist_is_kept_by_no_cache_whatever_the_document_says(
    rtmp: RtmpServer, bucket: Bucket, s3: S3Server, configuration: Make, record: Make
) -> None:
    """Promise: where nothing is said of objects, they get no headers but that."""
    with s3_proxy(s3) as proxy:
        storage = {"endpoint": proxy.endpoint}
        with record(configuration(rtmp.url("nobody"), storage=storage), idle="600"):
            bucket.await_key(".m3u8")
        (asked, *_) = _begun(proxy)
    assert asked.headers["cache-control"] == "no-cache"
    more = ("x-amz-meta-", "x-amz-tagging", "x-amz-storage-class", "x-amz-server-side-encryption")
    assert not [name for name in asked.headers if name.startswith(more)]


@pytest.mark.parametrize("mode", ["SSE-S3", "SSE-KMS"])
def test_a_server_that_does_not_encrypt_as_it_is_asked_to_is_told_before_anybody_came(
    mode: str, rtmp: RtmpServer, bucket: Bucket, configuration: Make, record: Make
) -> None:
    """Promise: encryption that is asked for is not left out unseen: this server knows no such header."""
    storage = {"objects": {"serverSideEncryption": {"mode": mode}}}
    with record(configuration(rtmp.url("nobody"), storage=storage), idle="600") as recorder:
        told = recorder.await_line("uploader-failure")
    assert "did not prove" in told
    assert "as serverSideEncryption asks" in told
    assert not [key for key in bucket.objects() if key.endswith(".ts")]


def test_a_key_that_may_put_but_not_tag_is_told_with_the_right_that_it_lacks(
    rtmp: RtmpServer, s3: S3Server, configuration: Make, record: Make
) -> None:
    """Promise: the trial puts with what objects get, so that a missing right is told before the first slice."""
    s3.bucket("films")
    with s3_proxy(s3) as proxy:
        proxy.refuse = lambda method, _path, _query: 403 if method == "PUT" else None
        storage = {"endpoint": proxy.endpoint, "objects": {"tags": TAGS}}
        with record(configuration(rtmp.url("nobody"), storage=storage), idle="600") as recorder:
            assert "s3:PutObjectTagging" in recorder.await_line("uploader-failure")
        assert "x-amz-tagging" in _begun(proxy)[0].headers
