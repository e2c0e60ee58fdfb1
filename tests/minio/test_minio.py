# SPDX-License-Identifier: Apache-2.0
"""What MinIO has, and no other S3 server of the tests: an STS, a KMS, quotas, regions, hosts of buckets."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from tests.native.test_verified import PART, RECORDING_ID, STEM, _left
from tests.support.files import Files
from tests.support.minio import KMS_KEY, MinioServer
from tests.support.openid_provider import DISCOVERY, openid_provider
from tests.support.rtmp import RtmpServer
from tests.support.s3 import Bucket, running
from tests.support.waiting import await_true

Make = Callable[..., Any]

NO_KEYS: Final = ("", "")
IDLE: Final = {"idle": "600"}
LARGE: Final = f"{STEM}_20231114221320000.ts"
TAGS: Final = {"retention": "90 d", "a/b": "c+d"}


def _files(directory: Path, texts: dict[str, str]) -> dict[str, Any]:
    """The storage's fields for keys with these texts."""
    for name, text in texts.items():
        (directory / name).write_text(text)
    return {"credentialFiles": {name: str(directory / name) for name in texts}}


@pytest.mark.parametrize(
    ("encryption", "told"),
    [({"mode": "SSE-S3"}, "AES256"), ({"mode": "SSE-KMS", "kmsKeyId": KMS_KEY}, "aws:kms")],
    ids=["SSE-S3", "SSE-KMS"],
)
def test_every_object_is_encrypted_as_the_document_asks(
    encryption: dict[str, str], told: str, alice: str, bucket: Bucket, configuration: Make, record: Make, tmp_path: Path
) -> None:
    """Promise: with metadata, tags and a storage class beside it, in parts or whole, and it is proved all the same."""
    objects = {
        "metadata": {"team": "films & series"},
        "tags": TAGS,
        "storageClass": "REDUCED_REDUNDANCY",
        "serverSideEncryption": encryption,
    }
    _left(tmp_path, "http://127.0.0.1:9", {LARGE: os.urandom(2 * PART + 1)})
    with record(configuration(alice, recordingId=RECORDING_ID, storage={"objects": objects})) as recorder:
        bucket.await_keys(".ts", 3)
        recorder.stop()
        assert recorder.wait() == 0
    assert not [line for line in recorder.lines if line.startswith("uploader-failure")]
    files = Files(bucket, STEM)
    files.check_manifest()
    assert {file.get("verified", True) for file in files.manifest["files"]} == {True}
    for key in bucket.objects():
        said = bucket.client.head_object(Bucket=bucket.name, Key=key)
        assert said["ServerSideEncryption"] == told, key
        assert said["Metadata"] == objects["metadata"]
        assert said["StorageClass"] == "REDUCED_REDUNDANCY"
        tags = bucket.client.get_object_tagging(Bucket=bucket.name, Key=key)["TagSet"]
        assert {tag["Key"]: tag["Value"] for tag in tags} == TAGS


def test_a_bucket_that_encrypts_by_itself_takes_each_slice_once(
    alice: str, bucket: Bucket, configuration: Make, record: Make
) -> None:
    """Promise: what the bucket's own rule encrypts is proved, although no tag is a digest of it."""
    by_kms = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KMS_KEY}
    bucket.client.put_bucket_encryption(
        Bucket=bucket.name,
        ServerSideEncryptionConfiguration={"Rules": [{"ApplyServerSideEncryptionByDefault": by_kms}]},
    )
    bucket.client.put_bucket_versioning(Bucket=bucket.name, VersioningConfiguration={"Status": "Enabled"})
    with record(configuration(alice)) as recorder:
        bucket.await_keys(".ts", 2)
        recorder.stop()
        assert recorder.wait() == 0
    assert not [line for line in recorder.lines if line.startswith("uploader-failure")]
    Files(bucket, f"{recorder.recording_id}_room").check_manifest()
    versions = bucket.client.list_object_versions(Bucket=bucket.name)["Versions"]
    slices = [version["Key"] for version in versions if version["Key"].endswith(".ts")]
    assert len(slices) == len(set(slices))
    (first, *_) = slices
    assert bucket.client.head_object(Bucket=bucket.name, Key=first)["ServerSideEncryption"] == "aws:kms"


@pytest.mark.parametrize(
    ("objects", "words"),
    [
        ({"storageClass": "GLACIER"}, "has no such storage class: correct objects.storageClass"),
        (
            {"serverSideEncryption": {"mode": "SSE-KMS", "kmsKeyId": "no-such-key"}},
            "cannot use the KMS key: correct objects.serverSideEncryption.kmsKeyId",
        ),
    ],
    ids=["storage class", "KMS key"],
)
def test_what_it_does_not_have_is_told_before_anybody_came(
    objects: dict[str, Any], words: str, rtmp: RtmpServer, bucket: Bucket, configuration: Make, record: Make
) -> None:
    """Promise: the words name the field to correct."""
    with record(configuration(rtmp.url("nobody"), storage={"objects": objects}), **IDLE) as recorder:
        assert words in recorder.await_line("uploader-failure")
    assert bucket.objects() == []


@pytest.mark.parametrize("settings", [{"MINIO_KMS_SECRET_KEY": ""}])
def test_a_server_without_a_kms_is_told_before_anybody_came(
    rtmp: RtmpServer, bucket: Bucket, configuration: Make, record: Make
) -> None:
    """Promise: it says that it does not encrypt, and is not said to have trouble."""
    storage = {"objects": {"serverSideEncryption": {"mode": "SSE-S3"}}}
    with record(configuration(rtmp.url("nobody"), storage=storage), **IDLE) as recorder:
        assert "leave out of objects what it does not have" in recorder.await_line("uploader-failure")
    assert bucket.objects() == []


def test_a_bucket_over_its_quota_is_full(
    alice: str, s3: MinioServer, bucket: Bucket, configuration: Make, record: Make
) -> None:
    """Promise: the words say that it is full, and uploads go on once there is room."""
    s3.limit(bucket, 1000)
    with record(configuration(alice)) as recorder:
        assert "is full: raise its quota, or make room" in recorder.await_line("uploader-failure")
        s3.limit(bucket, 1 << 30)
        bucket.await_key(".ts")
        recorder.stop()
        assert recorder.wait() == 0


@pytest.mark.parametrize("settings", [{"MINIO_DOMAIN": "minio.test"}])
def test_a_bucket_has_a_host_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
    alice: str,
    s3: MinioServer,
    bucket: Bucket,
    configuration: Make,
    record: Make,
    tmp_path: Path,
) -> None:
    """Promise: without `pathStyle` its host has its name, also of a large file's parts. No name resolves here, so the
    server is asked as a proxy."""
    monkeypatch.setenv("http_proxy", s3.endpoint)
    content = os.urandom(PART + 1)
    _left(tmp_path, "http://127.0.0.1:9", {LARGE: content})
    storage = {"endpoint": f"http://minio.test:{s3.port}", "pathStyle": False}
    with record(configuration(alice, recordingId=RECORDING_ID, storage=storage)) as recorder:
        bucket.await_keys(".ts", 2)
        recorder.stop()
        assert recorder.wait() == 0
    assert not [line for line in recorder.lines if line.startswith("uploader-failure")]
    assert bucket.read(LARGE) == content


@pytest.mark.parametrize("settings", [{"MINIO_REGION": "eu-films-1"}])
def test_another_region_is_told_and_taken(alice: str, bucket: Bucket, configuration: Make, record: Make) -> None:
    """Promise: a server with a region of its own names it."""
    with record(configuration(alice)) as recorder:
        told = recorder.await_line("uploader-failure")
        assert "is in another region: correct the region" in told
        assert "eu-films-1" in told
    with record(configuration(alice, storage={"region": "eu-films-1"})) as recorder:
        bucket.await_key(".ts")
        recorder.stop()
        assert recorder.wait() == 0


def test_keys_of_the_sts_are_good_until_they_are_taken_back(
    alice: str, s3: MinioServer, bucket: Bucket, configuration: Make, record: Make, tmp_path: Path
) -> None:
    """Promise: keys for a while put with their session token, and others in their place heal what became of them."""
    s3.make_user(bucket, "films", "films-secret", "s3:PutObject")
    given = s3.session("films", "films-secret", DurationSeconds=900)
    with record(configuration(alice, storage=_files(tmp_path, given)), keys=NO_KEYS) as recorder:
        bucket.await_playlist()
        (tmp_path / "sessionToken").write_text(given["sessionToken"][:-5] + "AAAAA")
        assert "says that the credentials have expired: renew" in recorder.await_line("uploader-failure")
        _files(tmp_path, s3.session("films", "films-secret"))
        count = len(bucket.objects())
        await_true(lambda: len(bucket.objects()) > count)
        recorder.stop()
        assert recorder.wait() == 0


def test_a_role_for_a_web_identity_opens_the_bucket(
    monkeypatch: pytest.MonkeyPatch, alice: str, rtmp: RtmpServer, configuration: Make, record: Make, tmp_path: Path
) -> None:
    """Promise: a pod's own token is exchanged for keys at MinIO's STS, and what that refuses is told as its answer."""
    with openid_provider() as provider:
        settings = {
            "MINIO_IDENTITY_OPENID_CONFIG_URL": f"{provider.url}{DISCOVERY}",
            "MINIO_IDENTITY_OPENID_CLIENT_ID": "recorder",
            "MINIO_IDENTITY_OPENID_ROLE_POLICY": "readwrite",
        }
        with running(MinioServer(tmp_path / "minio", settings=settings)) as server:
            bucket = server.bucket("films")
            token = tmp_path / "token"
            token.write_text(provider.token("somebody-else"))
            monkeypatch.setenv("AWS_ROLE_ARN", server.role("recorder"))
            monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
            monkeypatch.setenv("AWS_ENDPOINT_URL_STS", server.endpoint)
            storage = {"endpoint": server.endpoint, "identity": "Environment"}
            with record(configuration(rtmp.url("nobody"), storage=storage), keys=NO_KEYS, **IDLE) as recorder:
                assert "identity is given no keys: let it assume the role" in recorder.await_line("uploader-failure")
                token.write_text(provider.token("recorder"))
                bucket.await_key(".m3u8")
            with record(configuration(alice, storage=storage), keys=NO_KEYS) as recorder:
                bucket.await_keys(".ts", 2)
                recorder.stop()
                assert recorder.wait() == 0
            assert not [line for line in recorder.lines if line.startswith("uploader-failure")]
