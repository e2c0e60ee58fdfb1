# SPDX-License-Identifier: Apache-2.0
"""With `livePlaylist` false nothing is put twice under one key: on a real bucket that lets nobody replace an object."""

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.native.test_merge import PARTS, WITH_MP4, _merge, _of_parts, _put_all
from tests.native.test_verified import PART, RECORDING_ID, STEM, _left, _rescue
from tests.support.buckets import AnyBucket
from tests.support.files import Files
from tests.support.recorder import Recorder
from tests.support.rtmp import RtmpServer
from tests.support.s3 import Bucket, S3Server
from tests.support.s3_proxy import Asked, Headers, S3Proxy, s3_proxy
from tests.support.waiting import await_true

Make = Callable[..., Any]
PLAYLIST = f"{STEM}.m3u8"
MANIFEST = f"{STEM}_manifest.json"
SMALL, LARGE = (f"{STEM}_2023111422{minute}20000.ts" for minute in (13, 14))
CONTENT = b"a slice" * 1000
SLICES: dict[str, bytes | int] = {SMALL: CONTENT, LARGE: b"a larger slice!!" * (PART // 16 + 1)}


@pytest.fixture
def locked(s3: S3Server) -> Bucket:
    """A bucket whose objects are retained by default."""
    return s3.locked_bucket("films")


@pytest.fixture
def proxy(s3: S3Server) -> Iterator[S3Proxy]:
    with s3_proxy(s3) as proxy:
        yield proxy


def _once(proxy: S3Proxy) -> dict[str, Any]:
    return {"endpoint": proxy.endpoint, "livePlaylist": False}


def _whole(proxy: S3Proxy) -> list[Asked]:
    """The puts of objects at once, refused or not."""
    return [asked for asked in list(proxy.asked) if (asked.method, asked.query) == ("PUT", "")]


def _check_each_once(proxy: S3Proxy) -> None:
    taken = Counter(asked.path for asked in _whole(proxy) if asked.status == 200)
    assert set(taken.values()) == {1}, taken
    assert not [asked for asked in proxy.asked if asked.method == "DELETE" and "uploadId" not in asked.query]


def _check_sums(proxy: S3Proxy) -> None:
    """Object Lock takes nothing without a checksum or an MD5."""
    puts = [asked for asked in list(proxy.asked) if asked.method == "PUT"]
    assert puts
    assert all("x-amz-checksum-sha256" in asked.headers for asked in puts)
    assert all(asked.headers["if-none-match"] == "*" for asked in _whole(proxy))


def _end_after_two_more(recorder: Recorder, bucket: AnyBucket, slices: int) -> None:
    """Stops it once two slices have come to those: until then there is nothing else, and nothing fails."""
    bucket.await_keys(".ts", slices + 2)
    assert {key[-3:] for key in bucket.objects()} == {".ts"}
    recorder.stop()
    assert recorder.wait() == 0
    assert recorder.callbacks()[-1].startswith("uploaded")
    assert not [line for line in recorder.lines if line.startswith("uploader-failure")]


def _check_all_are_listed(bucket: AnyBucket) -> None:
    """The playlist is ended, and has all that is there but itself and the manifest."""
    segments = bucket.read(PLAYLIST).decode()
    assert segments.count("#EXTINF") == len(bucket.objects()) - 2
    assert segments.endswith("#EXT-X-ENDLIST\n")


def test_a_locked_bucket_gets_each_file_once_though_the_recorder_dies_between_a_put_and_its_record(
    alice: str, locked: Bucket, proxy: S3Proxy, configuration: Make, record: Make
) -> None:
    """Promise: slices as they are closed, playlist and manifest at the end and not before, and no key twice: what the
    bucket has from a process that died is known again by its checksum."""
    document = configuration(alice, recordingId=RECORDING_ID, sliceSeconds=2, storage=_once(proxy))
    running: list[Recorder] = []

    def die_with_the_second_slice(method: str, path: str, _headers: Headers) -> None:
        if running and method == "PUT" and path.endswith(".ts") and len(proxy.puts(".ts")) == 1:
            running.pop().process.kill()

    proxy.change = die_with_the_second_slice
    with record(document) as killed:
        running.append(killed)
        killed.wait()
    assert {key[-3:] for key in locked.objects()} == {".ts"}
    before = len(locked.objects())
    with record(document) as recorder:
        _end_after_two_more(recorder, locked, before)
    refusals = [asked.status for asked in _whole(proxy) if asked.status != 200]
    assert refusals in ([400], [412]), "the bucket refused what the process that died had put"
    _check_each_once(proxy)
    _check_sums(proxy)
    Files(locked, STEM).check_manifest()
    _check_all_are_listed(locked)


def test_a_bucket_is_tried_by_what_leaves_nothing(
    rtmp: RtmpServer, locked: Bucket, proxy: S3Proxy, configuration: Make, record: Make
) -> None:
    """Promise: before anybody came it is known whether the bucket takes files, and nothing is there that stays."""
    with record(configuration(rtmp.url("nobody"), storage=_once(proxy)), idle="600"):
        await_true(lambda: any(asked.method == "DELETE" for asked in list(proxy.asked)), seconds=60)
    assert [asked.method for asked in proxy.asked] == ["GET", "POST", "PUT", "DELETE"]
    assert locked.objects() == []
    assert "Uploads" not in locked.client.list_multipart_uploads(Bucket=locked.name)


def test_a_bucket_that_refuses_is_told_before_anybody_came(
    rtmp: RtmpServer, locked: Bucket, proxy: S3Proxy, configuration: Make, record: Make
) -> None:
    proxy.refuse = lambda *_: 403
    with record(configuration(rtmp.url("nobody"), storage=_once(proxy)), idle="600") as recorder:
        assert "denies access" in recorder.await_line("uploader-failure")
    assert locked.objects() == []


def _left_once(tmp_path: Path, proxy: S3Proxy) -> None:
    """What a recorder left that died before it had put anything."""
    shutil.rmtree(tmp_path / "work", ignore_errors=True)
    directory = _left(tmp_path, proxy.endpoint, SLICES)
    index = (directory / "index").read_text().splitlines()
    begun = json.loads(index[0])
    begun["target"]["writeOnce"] = True
    (directory / "index").write_text("\n".join([json.dumps(begun), *index[1:], ""]))


def _versions(bucket: Bucket) -> dict[str, tuple[str, Any]]:
    return {entry["Key"]: (entry["ETag"], entry["LastModified"]) for entry in bucket.listing()}


def test_what_a_rescue_finds_in_a_locked_bucket_is_delivered(
    built: Path, locked: Bucket, proxy: S3Proxy, tmp_path: Path
) -> None:
    """Promise: a rescue whose journal knows nothing of what an earlier one put, large files included, puts nothing anew
    and comes to its end; the playlist is there once."""
    for _ in range(2):
        _left_once(tmp_path, proxy)
        code, _most, reason = _rescue(built, tmp_path)
        assert code == 0, reason
        Files(locked, STEM).check_manifest()
        assert set(locked.objects()) == {SMALL, LARGE, PLAYLIST, MANIFEST}
        _check_each_once(proxy)
        first = locals().get("first") or _versions(locked)
    assert _versions(locked) == first
    _check_sums(proxy)


def _putter(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    access, secret = bucket.key_that_only_puts()
    monkeypatch.setattr("tests.native.test_verified.ACCESS_KEY", access)
    monkeypatch.setattr("tests.native.test_verified.SECRET_KEY", secret)


def test_a_key_that_only_puts_takes_the_stores_word_that_a_file_is_there(
    built: Path, bucket: Bucket, proxy: S3Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise: where the condition of a put is not met, as AWS says it, the file is there; the manifest says of each
    slice that nothing was proved."""
    _putter(bucket, monkeypatch)
    monkeypatch.setitem(SLICES, LARGE, b"not so large")
    _left_once(tmp_path, proxy)
    assert _rescue(built, tmp_path)[0] == 0
    there = set(bucket.objects())
    proxy.refuse = lambda method, path, query: (
        412 if method == "PUT" and not query and path.rpartition("/")[2] in there else None
    )
    bucket.client.delete_object(Bucket=bucket.name, Key=MANIFEST)
    there.remove(MANIFEST)
    _left_once(tmp_path, proxy)
    code, _most, reason = _rescue(built, tmp_path)
    assert code == 0, reason
    files = json.loads(bucket.read(MANIFEST))["files"]
    assert [file["verified"] for file in files if file["name"].endswith(".ts")] == [False, False]


def test_a_key_that_only_puts_is_told_what_the_store_would_be_asked(
    built: Path, locked: Bucket, proxy: S3Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise: a refusal that may be for the very file, as of a lock, is no delivery, and names the right it takes."""
    _putter(locked, monkeypatch)
    locked.client.put_object(Bucket=locked.name, Key=SMALL, Body=CONTENT)
    # Servers that look at the put's condition first say that it is the file.
    proxy.refuse = lambda method, path, _query: 400 if method == "PUT" and path.endswith(SMALL) else None
    _left_once(tmp_path, proxy)
    code, _most, reason = _rescue(built, tmp_path)
    assert code != 0
    assert "whether this very file is there already" in reason
    assert "s3:GetObject" in reason


def test_what_somebody_else_put_under_a_name_is_told(
    built: Path, locked: Bucket, proxy: S3Proxy, tmp_path: Path
) -> None:
    """Promise: other bytes are no delivery."""
    locked.client.put_object(Bucket=locked.name, Key=SMALL, Body=b"something else")
    _left_once(tmp_path, proxy)
    code, _most, reason = _rescue(built, tmp_path)
    assert code != 0
    assert "holds something else under this name" in reason
    assert locked.read(SMALL) == b"something else"


def _merging(locked: Bucket, proxy: S3Proxy, tmp_path: Path) -> dict[str, Any]:
    """The document of a merge of two parts in the bucket."""
    document = _of_parts(locked, proxy.endpoint, tmp_path)
    return {**document, "storage": {**document["storage"], "livePlaylist": False}}


def test_each_set_of_parts_is_merged_under_a_name_of_its_own(
    built: Path, locked: Bucket, proxy: S3Proxy, tmp_path: Path
) -> None:
    """Promise: merging the same parts again puts nothing, and with another part nothing in place of what is there."""
    for prefix in ("", "bak0_"):
        shutil.rmtree(tmp_path / "work", ignore_errors=True)
        directory = _left(tmp_path, proxy.endpoint, {f"{prefix}{SMALL}": CONTENT + prefix.encode()})
        text = (directory / "index").read_text()
        text = text.replace('"filePrefix": ""', f'"filePrefix": "{prefix}"').replace('"stem": "', f'"stem": "{prefix}')
        (directory / "index").unlink()
        (directory / f"{prefix}index").write_text(text.replace('"pathStyle"', '"writeOnce": true, "pathStyle"'))
        code, _most, reason = _rescue(built, tmp_path)
        assert code == 0, reason
    document = _merging(locked, proxy, tmp_path)
    names = []
    for parts in (PARTS, PARTS, PARTS[:1]):
        code, answer = _merge(built, {**document, "parts": parts})
        assert code == 0, answer
        names.append((answer["playlist"], answer["manifest"]))
    assert names[0] == names[1]
    assert len({name for pair in names for name in pair}) == 4
    for playlist, manifest in names:
        assert playlist.startswith(f"{STEM}_merged_")
        assert json.loads(locked.read(manifest))["files"][0]["name"] == playlist
    _check_each_once(proxy)


def test_the_mp4_over_all_parts_is_put_once_and_one_that_failed_before_is_not_in_its_way(
    built: Path, locked: Bucket, proxy: S3Proxy, parts_of_room: Path, tmp_path: Path
) -> None:
    """Promise: a merge that is done again finds what an earlier one put, and a manifest says nothing that changes."""
    _put_all(locked, parts_of_room)
    document = {**_merging(locked, proxy, tmp_path), **WITH_MP4}
    code, answer = _merge(built, {**document, "workDir": str(tmp_path / "access")})
    assert code == 0
    assert "Not a directory" in answer["mp4Missing"]
    first, second = (_merge(built, document) for _ in range(2))
    assert first == second
    code, answer = first
    assert (code, answer["mp4"]) == (0, answer["playlist"].replace(".m3u8", ".mp4"))
    assert locked.read(answer["mp4"])[4:8] == b"ftyp"
    assert "missing" not in json.loads(locked.read(answer["manifest"]))
    _check_each_once(proxy)
