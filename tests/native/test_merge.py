# SPDX-License-Identifier: Apache-2.0
"""Parts that recorders left in a store become one: a playlist that plays across them, and a manifest over all."""

import ctypes
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import m3u8
import pytest

from tests.support.media import SAMPLE_RATE, sound, streams
from tests.support.s3 import ACCESS_KEY, SECRET_KEY, Bucket, S3Server

Make = Callable[..., Any]
RECORDING_ID = "0123456789abcdef0123456789abcdef"
STEM = f"{RECORDING_ID}_room"
MERGED = f"{STEM}_merged.m3u8"
MANIFEST = f"{STEM}_merged_manifest.json"
PARTS = [{"filePrefix": ""}, {"filePrefix": "bak0_"}]


def _merge(library: Path, document: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    answer = ctypes.create_string_buffer(4096)
    code: int = ctypes.CDLL(str(library)).cr_merge(json.dumps(document).encode(), answer, len(answer))
    return code, json.loads(answer.value)


def _record_part(record: Make, document: dict[str, Any], prefix: str, **options: Any) -> None:
    fields = {"recordingId": RECORDING_ID, "filePrefix": prefix, "sliceSeconds": 2}
    with record({**document, **fields}, seconds="5", **options) as recorder:
        assert recorder.wait() == 0


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "access").write_text(ACCESS_KEY)
    (tmp_path / "secret").write_text(SECRET_KEY)
    return {"accessKey": str(tmp_path / "access"), "secretKey": str(tmp_path / "secret")}


@pytest.fixture
def of_bucket(configuration: Make, alice: str, bucket: Bucket, keys: dict[str, str]) -> dict[str, Any]:
    """The document of a merge of two parts in the bucket."""
    document: dict[str, Any] = configuration(alice, recordingId=RECORDING_ID, parts=PARTS)
    document["storage"]["credentialFiles"] = keys
    document["channels"][0]["name"] = "room"
    place = {"bucket": bucket.name, "vendor": "S3", "endpoint": bucket.server.endpoint, "region": "us-east-1"}
    document["place"] = {**place, "pathStyle": True}
    return document


def _played_seconds(playlist: Path) -> float:
    """How much sound a player gets out of it, across whatever is between."""
    return len(sound(playlist)) / SAMPLE_RATE


def _segments(text: str) -> list[str]:
    return [segment.uri or "" for segment in m3u8.loads(text).segments]


def test_parts_in_a_bucket_become_one(
    of_bucket: dict[str, Any],
    configuration: Make,
    alice: str,
    bucket: Bucket,
    record: Make,
    built: Path,
    tmp_path: Path,
) -> None:
    """Promise: every slice of each part, a discontinuity between, checksums of all; once more changes nothing."""
    for prefix in ("", "bak0_"):
        _record_part(record, configuration(alice), prefix)
    code, answer = _merge(built, of_bucket)
    assert (code, answer["playlist"], answer["manifest"]) == (0, MERGED, MANIFEST)
    own = [_segments(bucket.read(f"{prefix}{STEM}.m3u8").decode()) for prefix in ("", "bak0_")]
    text = bucket.read(MERGED).decode()
    assert _segments(text) == own[0] + own[1]
    assert answer["slices"] == len(own[0] + own[1])
    segments = m3u8.loads(text).segments
    breaks = [index for index, segment in enumerate(segments) if segment.discontinuity]
    assert breaks == [len(own[0])]
    assert segments[breaks[0]].program_date_time > segments[0].program_date_time
    manifest = json.loads(bucket.read(MANIFEST))
    for file in manifest["files"]:
        content = bucket.read(file["name"])
        assert (file["size"], file["sha256"]) == (len(content), hashlib.sha256(content).hexdigest()), file
    assert [gap["reason"] for gap in manifest["gaps"]] == ["BetweenParts"]
    assert [part["filePrefix"] for part in manifest["parts"]] == ["", "bak0_"]
    assert len(manifest["participants"]) == 1
    before = {key: bucket.read(key) for key in bucket.objects()}
    assert _merge(built, of_bucket)[0] == 0
    assert {key: bucket.read(key) for key in bucket.objects()} == before
    for key in bucket.objects():
        (tmp_path / key).write_bytes(bucket.read(key))
    assert {kind["codec_type"] for kind in streams(tmp_path / MERGED)} == {"audio", "video"}
    assert _played_seconds(tmp_path / MERGED) == pytest.approx(answer["recordedMilliseconds"] / 1000, abs=0.5)


def test_a_part_that_was_killed_has_no_manifest_and_is_in_all_the_same(
    of_bucket: dict[str, Any], configuration: Make, alice: str, bucket: Bucket, record: Make, built: Path
) -> None:
    """Promise: what a lost pod had brought into the bucket is part of the whole."""
    for prefix in ("", "bak0_"):
        _record_part(record, configuration(alice), prefix)
    whole = _merge(built, of_bucket)[1]
    bucket.client.delete_object(Bucket=bucket.name, Key=f"{STEM}_manifest.json")
    code, answer = _merge(built, of_bucket)
    assert (code, answer["slices"]) == (0, whole["slices"])
    manifest = json.loads(bucket.read(MANIFEST))
    assert manifest["parts"][0]["manifest"] is None
    named = {file["name"] for file in manifest["files"]}
    assert set(_segments(bucket.read(MERGED).decode())) < named


def test_parts_in_a_directory_become_one(
    configuration: Make, alice: str, record: Make, built: Path, tmp_path: Path
) -> None:
    """Promise: of a directory as of a bucket."""
    films = tmp_path / "films"
    films.mkdir()
    document = configuration(alice)
    document["storage"] = {"directory": str(films)}
    for prefix in ("", "bak0_"):
        _record_part(record, document, prefix, keys=("", ""), bucket="")
    document["channels"][0]["name"] = "room"
    code, answer = _merge(built, {**document, "recordingId": RECORDING_ID, "parts": PARTS})
    assert (code, answer["playlist"]) == (0, MERGED), answer
    assert _played_seconds(films / MERGED) == pytest.approx(answer["recordedMilliseconds"] / 1000, abs=0.5)
    (films / f"bak0_{STEM}.m3u8").write_text("#EXTM3U\n#EXT-X-KEY:METHOD=NONE\n")
    code, answer = _merge(built, {**document, "recordingId": RECORDING_ID, "parts": PARTS})
    assert (code, answer["cause"]) == (439, "PartUnreadable")
    assert answer["message"].startswith(f"bak0_{STEM}.m3u8 in directory {films} line 2: has a tag")


def test_why_there_is_none_is_told_in_a_word_and_in_words(
    of_bucket: dict[str, Any], s3: S3Server, bucket: Bucket, built: Path
) -> None:
    """Promise: each failure names the object, or the field, and what is wrong with it."""
    code, answer = _merge(built, of_bucket)
    assert (code, answer["cause"]) == (439, "StoredFileGone")
    assert f"{STEM}.m3u8: bucket" in answer["message"]
    bucket.client.put_object(Bucket=bucket.name, Key=f"{STEM}.m3u8", Body=b"<html>")
    code, answer = _merge(built, of_bucket)
    assert (code, answer["cause"]) == (439, "PartUnreadable")
    assert "is no playlist" in answer["message"]
    refused: list[tuple[dict[str, Any], str]] = [
        ({"parts": []}, "parts: is required"),
        ({"parts": [*PARTS, {"filePrefix": "bak0_"}]}, "parts[2].filePrefix: another part has it already"),
        ({"parts": [{"playlist": "../other.m3u8"}]}, "is no playlist of the part"),
        ({"place": None}, "place: is required"),
        ({"recordingId": None}, "recordingId: is required"),
    ]
    for changes, words in refused:
        code, answer = _merge(built, {**of_bucket, **changes})
        assert (code, answer["cause"]) == (432, "InvalidDocument"), changes
        assert words in answer["message"]
    s3.stop()
    code, answer = _merge(built, of_bucket)
    assert (code, answer["cause"]) == (439, "StorageConnectionRefused")


def test_a_key_that_may_only_put_is_told_as_that(
    of_bucket: dict[str, Any],
    configuration: Make,
    alice: str,
    bucket: Bucket,
    record: Make,
    built: Path,
    tmp_path: Path,
) -> None:
    """Promise: nothing is made of what cannot be read, and the right that it takes is named."""
    _record_part(record, configuration(alice), "")
    access, secret = bucket.key_that_only_puts()
    (tmp_path / "access").write_text(access)
    (tmp_path / "secret").write_text(secret)
    code, answer = _merge(built, {**of_bucket, "parts": PARTS[:1]})
    assert (code, answer["cause"]) == (439, "NoReadRight")
    assert answer["message"].startswith(f"{STEM}.m3u8: bucket")
    assert "s3:GetObject" in answer["message"]
    assert MERGED not in bucket.objects()
