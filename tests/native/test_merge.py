# SPDX-License-Identifier: Apache-2.0
"""Parts that recorders left in a store become one: a playlist that plays across them, and a manifest over all."""

import ctypes
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import m3u8
import pytest

from tests.support.media import SAMPLE_RATE, duration, joined, packet_hashes, packets, sound, streams
from tests.support.parts import RECORDING_ID, STEM
from tests.support.s3 import ACCESS_KEY, SECRET_KEY, Bucket, S3Server
from tests.support.waiting import await_true

MERGED = f"{STEM}_merged.m3u8"
MANIFEST = f"{STEM}_merged_manifest.json"
FILM = f"{STEM}_merged.mp4"
WITH_MP4 = {"outputs": ["HLS", "MP4"]}
PARTS = [{"filePrefix": ""}, {"filePrefix": "bak0_"}]
ROOM = {"name": "room", "streams": [{"uid": 1, "url": "rtmp://127.0.0.1:9/live/alice"}]}
OF_ROOM: dict[str, Any] = {"recordingId": RECORDING_ID, "channels": [ROOM], "parts": PARTS}


def _merge(library: Path, document: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    answer = ctypes.create_string_buffer(4096)
    code: int = ctypes.CDLL(str(library)).cr_merge(json.dumps(document).encode(), answer, len(answer))
    return code, json.loads(answer.value)


@pytest.fixture
def films(parts_of_room: Path, tmp_path: Path) -> Path:
    """A directory with all parts in it."""
    return shutil.copytree(parts_of_room, tmp_path / "films")


@pytest.fixture
def of_directory(films: Path, tmp_path: Path) -> dict[str, Any]:
    """The document of a merge of two of them."""
    return {**OF_ROOM, "storage": {"directory": str(films)}, "workDir": str(tmp_path / "work")}


@pytest.fixture
def of_empty_bucket(bucket: Bucket, tmp_path: Path) -> dict[str, Any]:
    """The document of a merge of two parts in the bucket, which has none."""
    return _of_parts(bucket, bucket.server.endpoint, tmp_path)


@pytest.fixture
def of_bucket(of_empty_bucket: dict[str, Any], bucket: Bucket, parts_of_room: Path) -> dict[str, Any]:
    """The same of a bucket that has them."""
    _put_all(bucket, parts_of_room)
    return of_empty_bucket


def _of_parts(bucket: Bucket, endpoint: str, directory: Path) -> dict[str, Any]:
    """The document of a merge of two parts in the bucket, with keys and work in the directory."""
    place = {"bucket": bucket.name, "vendor": "S3", "endpoint": endpoint, "region": "us-east-1", "pathStyle": True}
    storage = {"credentialFiles": _keys(directory, ACCESS_KEY, SECRET_KEY)}
    return {**OF_ROOM, "storage": storage, "place": place, "workDir": str(directory / "work")}


def _put_all(bucket: Bucket, films: Path) -> None:
    for file in films.iterdir():
        _put(bucket, file.name, file.read_bytes())


def _keys(directory: Path, access: str, secret: str) -> dict[str, str]:
    """Files with these keys in the directory, in place of those that are there."""
    (directory / "access").write_text(access)
    (directory / "secret").write_text(secret)
    return {"accessKey": str(directory / "access"), "secretKey": str(directory / "secret")}


def _put(bucket: Bucket, name: str, content: bytes) -> None:
    bucket.client.put_object(Bucket=bucket.name, Key=name, Body=content)


def _delete(bucket: Bucket, name: str) -> None:
    bucket.client.delete_object(Bucket=bucket.name, Key=name)


def _killed(text: str, slices: int) -> str:
    """The playlist as it is while so many slices are listed."""
    pieces = text.split(".ts\n")
    return ".ts\n".join([*pieces[:slices], ""]) if slices else text.partition("#EXT-X-PROGRAM-DATE-TIME")[0]


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


def _segments(text: str) -> list[str]:
    return [segment.uri or "" for segment in m3u8.loads(text).segments]


def _breaks(text: str) -> list[str]:
    """The slices that do not run on from the one before, each of which has its time stated."""
    broken = [segment for segment in m3u8.loads(text).segments if segment.discontinuity]
    assert all(segment.program_date_time for segment in broken)
    return [segment.uri or "" for segment in broken]


def test_parts_in_a_bucket_become_one(of_bucket: dict[str, Any], bucket: Bucket, built: Path, tmp_path: Path) -> None:
    """Promise: every slice of each part, in one playlist and one MP4, checksums of all; once more changes nothing."""
    of_bucket |= WITH_MP4
    code, answer = _merge(built, of_bucket)
    assert (code, answer["playlist"], answer["manifest"]) == (0, MERGED, MANIFEST)
    own = [_segments(bucket.read(f"{prefix}{STEM}.m3u8").decode()) for prefix in ("", "bak0_")]
    text = bucket.read(MERGED).decode()
    assert _segments(text) == own[0] + own[1]
    assert answer["slices"] == len(own[0] + own[1])
    segments = m3u8.loads(text).segments
    assert _breaks(text) == [own[1][0]]
    assert segments[len(own[0])].program_date_time > segments[0].program_date_time
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
    of_bucket: dict[str, Any], bucket: Bucket, built: Path, tmp_path: Path
) -> None:
    """Promise: what a lost pod had brought into the bucket is part of the whole; a slice that is gone is named."""
    whole = _merge(built, of_bucket)[1]
    assert FILM not in bucket.objects()
    of_bucket |= WITH_MP4
    _delete(bucket, f"{STEM}_manifest.json")
    listed = bucket.read(f"{STEM}.m3u8")
    for known in (1, 0):
        _put(bucket, f"{STEM}.m3u8", _killed(listed.decode(), known).encode())
        code, answer = _merge(built, {**of_bucket, "outputs": ["HLS"]})
        assert (code, answer["slices"]) == (0, whole["slices"]), "those are in, too, that the playlist was yet to list"
        assert answer["recordedMilliseconds"] == pytest.approx(whole["recordedMilliseconds"], abs=1)
    _put(bucket, f"{STEM}.m3u8", listed)
    code, answer = _merge(built, of_bucket)
    assert (code, answer["slices"]) == (0, whole["slices"])
    manifest = json.loads(bucket.read(MANIFEST))
    assert manifest["parts"][0]["manifest"] is None
    named = {file["name"] for file in manifest["files"]}
    slices = _segments(bucket.read(MERGED).decode())
    assert set(slices) < named
    _check_film(_download(bucket, tmp_path / "here"), answer)


@pytest.mark.parametrize("key", ["that may list", "that gets and puts"])
def test_a_slice_behind_one_that_the_store_never_took_is_in_with_a_gap_before_it(
    key: str, of_bucket: dict[str, Any], bucket: Bucket, built: Path, tmp_path: Path
) -> None:
    """Promise: no slice of a lost pod that the bucket has is in no playlist, whether the key may list or not."""
    listed = bucket.read(f"{STEM}.m3u8").decode()
    own = _segments(listed)
    assert len(own) == 4
    _put(bucket, f"{STEM}.m3u8", _killed(listed, 1).encode())
    _delete(bucket, f"{STEM}_manifest.json")
    _delete(bucket, own[1])
    if key == "that gets and puts":
        bucket.server.make_user(bucket, "getter", "getter-secret", "s3:PutObject", "s3:GetObject")
        _keys(tmp_path, "getter", "getter-secret")
    code, answer = _merge(built, of_bucket)
    assert code == 0, answer
    text = bucket.read(MERGED).decode()
    later = _segments(bucket.read(f"bak0_{STEM}.m3u8").decode())
    assert _segments(text) == [own[0], *own[2:], *later]
    assert _breaks(text) == [own[2], later[0]]
    manifest = json.loads(bucket.read(MANIFEST))
    assert [gap["reason"] for gap in manifest["gaps"]] == ["NotRecorded", "BetweenParts"]


def test_a_slice_that_a_rule_of_the_bucket_removed_is_a_gap_and_in_no_playlist(
    of_bucket: dict[str, Any], bucket: Bucket, built: Path
) -> None:
    """Promise: the merged playlist lists nothing that players would not find, and the manifest says what is gone."""
    of_bucket |= WITH_MP4
    own = _segments(bucket.read(f"{STEM}.m3u8").decode())
    whole = _merge(built, of_bucket)[1]
    _delete(bucket, own[1])
    code, answer = _merge(built, of_bucket)
    assert (code, answer["slices"], answer.get("mp4")) == (0, whole["slices"] - 1, None)
    assert answer["mp4Missing"].startswith(f"{own[1]} is not where it was stored any more; {FILM} was made before")
    text = bucket.read(MERGED).decode()
    assert _segments(text)[:3] == [own[0], *own[2:]]
    assert _breaks(text)[0] == own[2]
    manifest = json.loads(bucket.read(MANIFEST))
    assert [gap["reason"] for gap in manifest["gaps"]] == ["FileLost", "BetweenParts"]
    assert {"name": own[1], "reason": "it is not where it was stored any more"} in manifest["missing"]
    assert own[1] not in {file["name"] for file in manifest["files"]}
    # Each part states whole milliseconds of its own.
    assert manifest["recordedMilliseconds"] == pytest.approx(answer["recordedMilliseconds"], abs=len(PARTS))


def test_parts_in_a_directory_become_one(of_directory: dict[str, Any], films: Path, built: Path) -> None:
    """Promise: of a directory as of a bucket."""
    code, answer = _merge(built, of_directory)
    assert (code, answer["playlist"]) == (0, MERGED), answer
    assert _played_seconds(films / MERGED) == pytest.approx(answer["recordedMilliseconds"] / 1000, abs=0.5)
    whole = (films / MERGED).read_text()
    (films / f"{STEM}_manifest.json").unlink()
    (films / f"{STEM}.m3u8").write_text(_killed((films / f"{STEM}.m3u8").read_text(), 1))
    assert _merge(built, of_directory)[0] == 0
    assert _segments((films / MERGED).read_text()) == _segments(whole)
    (films / f"bak0_{STEM}.m3u8").write_text("#EXTM3U\n#EXT-X-KEY:METHOD=NONE\n")
    code, answer = _merge(built, of_directory)
    assert (code, answer["cause"]) == (439, "PartUnreadable")
    assert answer["message"].startswith(f"bak0_{STEM}.m3u8 in directory {films} line 2: has a tag")


def test_a_merge_that_is_killed_leaves_no_half_file_and_the_next_makes_all_of_it(
    of_directory: dict[str, Any], films: Path, built: Path, tmp_path: Path
) -> None:
    """Promise: no file has the MP4's name before it is whole, and nothing of a killed merge stays."""
    of_directory |= WITH_MP4
    # Reading it waits for a writer: the MP4 is half made, and stays so.
    (last,) = sorted(films.glob("bak0_*.ts"))[-1:]
    content = last.read_bytes()
    last.unlink()
    os.mkfifo(last)
    code = "import ctypes, sys; ctypes.CDLL(sys.argv[1]).cr_merge(sys.argv[2].encode(), None, 0)"
    with subprocess.Popen([sys.executable, "-c", code, str(built), json.dumps(of_directory)]) as killed:
        await_true((tmp_path / "work" / f"{RECORDING_ID}_merged" / f"{FILM}.partial").exists)
        killed.kill()
    last.unlink()
    last.write_bytes(content)
    assert not [*films.glob("*.mp4"), *films.glob(".*")]
    code_of, answer = _merge(built, of_directory)
    assert code_of == 0
    _check_film(films, answer)
    assert not list((tmp_path / "work").glob("*_merged"))


def test_an_mp4_of_an_earlier_merge_is_named_only_where_it_has_the_slices_of_the_playlist(
    of_directory: dict[str, Any], films: Path, built: Path
) -> None:
    """Promise: what has the whole's name is the whole, or is told for what it is; why there is none names the slice."""
    assert _merge(built, of_directory)[1].get("mp4") is None
    of_directory |= WITH_MP4
    made = _merge(built, of_directory)[1]
    manifest = (films / MANIFEST).read_text()
    for again in ({"outputs": ["HLS"]}, {"workDir": "/proc/none"}):
        code, answer = _merge(built, {**of_directory, **again})
        assert (code, answer) == (0, made), "the same slices, whose MP4 is there"
        assert (films / MANIFEST).read_text() == manifest
    first = min(films.glob("bak1_*.ts")).name
    why = f"from {first} on the recording has another codec, picture size"
    with_third = {**of_directory, "parts": [*PARTS, {"filePrefix": "bak1_"}]}
    for stale in (True, False):
        code, answer = _merge(built, with_third)
        assert (code, answer["playlist"], answer.get("mp4")) == (0, MERGED, None)
        assert answer["mp4Missing"].startswith(why)
        assert (
            answer["mp4Missing"].endswith(f"{FILM} was made before, and may have other slices than the playlist")
            is stale
        )
        told = json.loads((films / MANIFEST).read_text())
        assert told["missing"] == [{"name": FILM, "reason": answer["mp4Missing"]}]
        assert FILM not in {file["name"] for file in told["files"]}
        (films / FILM).unlink(missing_ok=True)


def test_why_there_is_none_is_told_in_a_word_and_in_words(
    of_empty_bucket: dict[str, Any], s3: S3Server, bucket: Bucket, built: Path
) -> None:
    """Promise: each failure names the object, or the field, and what is wrong with it."""
    code, answer = _merge(built, of_empty_bucket)
    assert (code, answer["cause"]) == (439, "StoredFileGone")
    assert f"{STEM}.m3u8: bucket" in answer["message"]
    _put(bucket, f"{STEM}.m3u8", b"<html>")
    code, answer = _merge(built, of_empty_bucket)
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
        code, answer = _merge(built, {**of_empty_bucket, **changes})
        assert (code, answer["cause"]) == (432, "InvalidDocument"), changes
        assert words in answer["message"]
    s3.stop()
    code, answer = _merge(built, of_empty_bucket)
    assert (code, answer["cause"]) == (439, "StorageConnectionRefused")


def test_a_key_that_may_only_put_is_told_as_that(
    of_bucket: dict[str, Any], bucket: Bucket, built: Path, tmp_path: Path
) -> None:
    """Promise: nothing is made of what cannot be read, and the right that it takes is named."""
    _keys(tmp_path, *bucket.key_that_only_puts())
    code, answer = _merge(built, of_bucket)
    assert (code, answer["cause"]) == (439, "NoReadRight")
    assert answer["message"].startswith(f"{STEM}.m3u8: bucket")
    assert "s3:GetObject" in answer["message"]
    assert MERGED not in bucket.objects()
