# SPDX-License-Identifier: Apache-2.0
"""Parts that recorders left in a store become one: a playlist that plays across them, and a manifest over all."""

import ctypes
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import m3u8
import pytest

from tests.support.media import SAMPLE_RATE, duration, joined, packet_hashes, packets, sound, streams
from tests.support.s3 import ACCESS_KEY, SECRET_KEY, Bucket, S3Server
from tests.support.waiting import await_true

Make = Callable[..., Any]
RECORDING_ID = "0123456789abcdef0123456789abcdef"
STEM = f"{RECORDING_ID}_room"
MERGED = f"{STEM}_merged.m3u8"
MANIFEST = f"{STEM}_merged_manifest.json"
FILM = f"{STEM}_merged.mp4"
WITH_MP4 = {"outputs": ["HLS", "MP4"]}
PARTS = [{"filePrefix": ""}, {"filePrefix": "bak0_"}]


def _merge(library: Path, document: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    answer = ctypes.create_string_buffer(4096)
    code: int = ctypes.CDLL(str(library)).cr_merge(json.dumps(document).encode(), answer, len(answer))
    return code, json.loads(answer.value)


def _record_part(record: Make, document: dict[str, Any], prefix: str, **options: Any) -> None:
    fields = {"recordingId": RECORDING_ID, "filePrefix": prefix, "sliceSeconds": 2}
    options = {"seconds": "5", **options}
    with record({**document, **fields}, **options) as recorder:
        assert recorder.wait() == 0


def _keys(directory: Path) -> dict[str, str]:
    (directory / "access").write_text(ACCESS_KEY)
    (directory / "secret").write_text(SECRET_KEY)
    return {"accessKey": str(directory / "access"), "secretKey": str(directory / "secret")}


def _of_parts(document: dict[str, Any], bucket: str, endpoint: str, *, keys: dict[str, str]) -> dict[str, Any]:
    """The document of a merge of two parts in the bucket, out of that of a recording."""
    document["storage"]["credentialFiles"] = keys
    document["channels"][0]["name"] = "room"
    place = {"bucket": bucket, "vendor": "S3", "endpoint": endpoint, "region": "us-east-1", "pathStyle": True}
    return {**document, "recordingId": RECORDING_ID, "parts": PARTS, "place": place}


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, str]:
    return _keys(tmp_path)


@pytest.fixture
def of_bucket(configuration: Make, alice: str, bucket: Bucket, keys: dict[str, str]) -> dict[str, Any]:
    """The document of a merge of two parts in the bucket."""
    return _of_parts(configuration(alice), bucket.name, bucket.server.endpoint, keys=keys)


def _played_seconds(playlist: Path) -> float:
    """How much sound a player gets out of it, across whatever is between."""
    return len(sound(playlist)) / SAMPLE_RATE


def _check_film(directory: Path, answer: dict[str, Any]) -> None:
    """It has the packets of every slice of all parts in their order, decodes, and is as long as the manifest says.

    `directory` has what is in the store.
    """
    assert (answer["mp4"], answer.get("mp4Missing")) == (FILM, None)
    film = directory / FILM
    slices = [directory / name for name in _segments((directory / MERGED).read_text())]
    content = film.read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat")
    all_slices = joined(slices, directory / "joined.ts")
    in_slices = packet_hashes(all_slices, "-c:a", "copy", "-bsf:a", "aac_adtstoasc")
    assert packet_hashes(film, "-c:a", "copy") == in_slices
    command = ["ffmpeg", "-v", "error", "-xerror", "-i", str(film), "-f", "null", "-"]
    assert subprocess.run(command, capture_output=True, check=True).stderr == b""
    assert {kind["codec_type"] for kind in streams(film)} == {"audio", "video"}
    shown = [packet.pts for packet in packets(film, "video")]
    assert len(shown) == sum(len(packets(piece, "video")) for piece in slices)
    manifest = json.loads((directory / MANIFEST).read_text())
    (told,) = [file for file in manifest["files"] if file["name"] == FILM]
    names = {piece.name for piece in slices}
    recorded = sum(file["durationSeconds"] for file in manifest["files"] if file["name"] in names)
    assert told["startTime"] == manifest["startTime"]
    assert told["durationSeconds"] == pytest.approx(recorded, abs=0.001)
    assert told["durationSeconds"] == pytest.approx(answer["recordedMilliseconds"] / 1000, abs=0.001)
    assert duration(film) == pytest.approx(recorded, abs=0.1)


def _download(bucket: Bucket, directory: Path) -> Path:
    """Everything in the bucket, in a directory."""
    directory.mkdir()
    for key in bucket.objects():
        (directory / key).write_bytes(bucket.read(key))
    return directory


def _copied_part(films: Path, prefix: str) -> None:
    """The directory's first part once more, as a later part of this prefix."""
    for file in films.glob(f"{STEM}*"):
        content = file.read_bytes()
        (films / f"{prefix}{file.name}").write_bytes(
            content if file.suffix == ".ts" else content.replace(STEM.encode(), f"{prefix}{STEM}".encode())
        )


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
    """Promise: every slice of each part, in one playlist and one MP4, checksums of all; once more changes nothing."""
    for prefix in ("", "bak0_"):
        _record_part(record, configuration(alice), prefix)
    of_bucket |= WITH_MP4
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
    here = _download(bucket, tmp_path / "here")
    assert {kind["codec_type"] for kind in streams(here / MERGED)} == {"audio", "video"}
    _check_film(here, answer)
    assert bucket.content_type(FILM) == "video/mp4"
    assert bucket.client.head_object(Bucket=bucket.name, Key=FILM)["CacheControl"] == "no-cache"
    assert not list((tmp_path / "work").glob("*_merged"))
    assert _played_seconds(here / MERGED) == pytest.approx(answer["recordedMilliseconds"] / 1000, abs=0.5)


def test_a_part_that_was_killed_has_no_manifest_and_is_in_all_the_same(
    of_bucket: dict[str, Any],
    configuration: Make,
    alice: str,
    bucket: Bucket,
    record: Make,
    built: Path,
    tmp_path: Path,
) -> None:
    """Promise: what a lost pod had brought into the bucket is part of the whole; a slice that is gone is named."""
    for prefix in ("", "bak0_"):
        _record_part(record, configuration(alice), prefix)
    whole = _merge(built, of_bucket)[1]
    assert FILM not in bucket.objects()
    of_bucket |= WITH_MP4
    bucket.client.delete_object(Bucket=bucket.name, Key=f"{STEM}_manifest.json")
    listed = bucket.read(f"{STEM}.m3u8")
    first, _, _ = listed.partition(b".ts\n")
    bucket.client.put_object(Bucket=bucket.name, Key=f"{STEM}.m3u8", Body=first + b".ts\n")
    code, answer = _merge(built, {**of_bucket, "outputs": ["HLS"]})
    assert (code, answer["slices"]) == (0, whole["slices"]), "those are in, too, that the playlist was yet to list"
    assert answer["recordedMilliseconds"] == pytest.approx(whole["recordedMilliseconds"], abs=1)
    bucket.client.put_object(Bucket=bucket.name, Key=f"{STEM}.m3u8", Body=listed)
    code, answer = _merge(built, of_bucket)
    assert (code, answer["slices"]) == (0, whole["slices"])
    manifest = json.loads(bucket.read(MANIFEST))
    assert manifest["parts"][0]["manifest"] is None
    named = {file["name"] for file in manifest["files"]}
    slices = _segments(bucket.read(MERGED).decode())
    assert set(slices) < named
    _check_film(_download(bucket, tmp_path / "here"), answer)
    bucket.client.delete_object(Bucket=bucket.name, Key=slices[1])
    code, answer = _merge(built, of_bucket)
    reason = f"{slices[1]} is not where it was stored any more"
    assert (code, answer["playlist"], answer.get("mp4"), answer["mp4Missing"]) == (0, MERGED, None, reason)
    manifest = json.loads(bucket.read(MANIFEST))
    assert manifest["missing"] == [{"name": FILM, "reason": reason}]
    assert FILM not in {file["name"] for file in manifest["files"]}


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


def test_a_merge_that_is_killed_leaves_no_half_file_and_parts_of_another_size_no_mp4(
    configuration: Make, alice: str, record: Make, built: Path, tmp_path: Path
) -> None:
    """Promise: the next one makes all of it; where one MP4 cannot hold the parts, the first other slice is named."""
    films = tmp_path / "films"
    films.mkdir()
    document = {**configuration(alice), "storage": {"directory": str(films)}}
    _record_part(record, document, "", keys=("", ""), bucket="")
    _record_part(record, document, "bak1_", keys=("", ""), bucket="", width="320", height="180")
    _copied_part(films, "bak0_")
    document["channels"][0]["name"] = "room"
    document |= {"recordingId": RECORDING_ID, "parts": PARTS, **WITH_MP4}
    # Reading it waits for a writer: the MP4 is half made, and stays so.
    (last,) = sorted(films.glob("bak0_*.ts"))[-1:]
    content = last.read_bytes()
    last.unlink()
    os.mkfifo(last)
    code = "import ctypes, sys; ctypes.CDLL(sys.argv[1]).cr_merge(sys.argv[2].encode(), None, 0)"
    with subprocess.Popen([sys.executable, "-c", code, str(built), json.dumps(document)]) as killed:
        await_true((tmp_path / "work" / f"{RECORDING_ID}_merged" / f"{FILM}.partial").exists)
        killed.kill()
    last.unlink()
    last.write_bytes(content)
    assert not [*films.glob("*.mp4"), *films.glob(".*")]
    code_of, answer = _merge(built, document)
    assert code_of == 0
    _check_film(films, answer)
    assert not list((tmp_path / "work").glob("*_merged"))
    first = min(films.glob("bak1_*.ts")).name
    code_of, answer = _merge(built, {**document, "parts": [*PARTS, {"filePrefix": "bak1_"}]})
    assert (code_of, answer["playlist"]) == (0, MERGED)
    assert answer["mp4Missing"].startswith(f"from {first} on the recording has another codec, picture size")


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
