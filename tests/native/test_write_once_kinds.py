# SPDX-License-Identifier: Apache-2.0
"""With `livePlaylist` false nothing is put twice under one key: in Google's buckets and Azure's containers, too."""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from tests.native.test_verified import PART, RECORDING_ID, _left, _rescue
from tests.native.test_write_once import (
    LARGE,
    MANIFEST,
    PLAYLIST,
    SLICES,
    SMALL,
    _check_all_are_listed,
    _end_after_two_more,
)
from tests.support.buckets import AnyBucket
from tests.support.recorder import Recorder
from tests.support.rtmp import RtmpServer
from tests.support.stores import AnyStore, any_store
from tests.support.waiting import await_true

Make = Callable[..., Any]
NO_KEYS = ("", "")


@pytest.fixture(scope="module", params=["GoogleCloudStorage", "AzureBlobStorage"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AnyStore]:
    with any_store(request.param, tmp_path_factory.mktemp("store")) as running:
        yield running


@pytest.fixture
def films(store: AnyStore, tmp_path: Path) -> AnyBucket:
    """A new bucket, which nobody has asked for anything."""
    store.files = {}
    store.use_the_key()
    return store.bucket(f"films-{hashlib.sha256(str(tmp_path).encode()).hexdigest()[:8]}")


def _once(store: AnyStore) -> dict[str, Any]:
    return {**store.document, "livePlaylist": False}


def _whole(store: AnyStore, films: AnyBucket) -> list[tuple[str, int]]:
    """Path and status of each put of an object at once, and of each that puts parts together; refused or not."""

    def is_whole(method: str, query: dict[str, list[str]]) -> bool:
        puts_all = method == "PUT" and "partNumber" not in query and query.get("comp") != ["block"]
        return puts_all or (method == "POST" and "uploadId" in query)

    return [
        (path, status)
        for method, path, query, status in store.requests()
        if f"/{films.name}/" in path and is_whole(method, parse_qs(query))
    ]


def _check_each_once(store: AnyStore, films: AnyBucket) -> None:
    taken = Counter(path for path, status in _whole(store, films) if status < 300)
    assert set(taken.values()) == {1}, taken


def _check_manifest(films: AnyBucket) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads(films.read(MANIFEST))
    for file in manifest["files"]:
        content = films.read(file["name"])
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file["size"], file["sha256"]), file
    return manifest


def test_each_file_is_put_once_though_the_recorder_dies_between_a_put_and_its_record(
    store: AnyStore, films: AnyBucket, alice: str, configuration: Make, record: Make
) -> None:
    """Promise: slices as they are closed, playlist and manifest at the end and not before; what a process put that
    died is known again."""
    document = {**configuration(alice, recordingId=RECORDING_ID, sliceSeconds=2), "storage": _once(store)}
    running: list[Recorder] = []

    def die_with_the_second_slice(method: str, path: str, _headers: Any) -> None:
        if running and (method, path[-3:]) == ("PUT", ".ts") and len(films.objects()) == 2:
            running.pop().process.kill()

    store.change_answers(die_with_the_second_slice)
    with record(document, keys=NO_KEYS, bucket=films.name) as killed:
        running.append(killed)
        killed.wait()
    store.change_answers(lambda *_: None)
    before = films.objects()
    assert {key[-3:] for key in before} == {".ts"}
    with record(document, keys=NO_KEYS, bucket=films.name) as recorder:
        _end_after_two_more(recorder, films, len(before))
    assert [status for _, status in _whole(store, films) if status >= 300] in ([412], [409]), "the store refused it"
    _check_each_once(store, films)
    _check_manifest(films)
    _check_all_are_listed(films)


def test_it_is_tried_by_what_leaves_nothing(
    store: AnyStore, films: AnyBucket, rtmp: RtmpServer, configuration: Make, record: Make
) -> None:
    """Promise: before anybody came it is known whether the store takes files, and nothing is there that stays."""
    document = {**configuration(rtmp.url("nobody")), "storage": _once(store)}
    with record(document, keys=NO_KEYS, bucket=films.name, idle="600") as recorder:
        of_trial = {"GoogleCloudStorage": "DELETE", "AzureBlobStorage": "PUT"}[store.vendor]
        await_true(lambda: any((asked[0], films.name in asked[1]) == (of_trial, True) for asked in store.requests()))
    assert _whole(store, films) == []
    assert films.objects() == []
    assert recorder.callbacks() == ["connecting"]


def _rescued(store: AnyStore, films: AnyBucket, slices: dict[str, bytes | int], built: Path, at: Path) -> str:
    """What a rescue says of these slices, whose recorder died before it had put any; nothing where all are there."""
    shutil.rmtree(at / "work", ignore_errors=True)
    directory = _left(at, store.endpoint, slices)
    begun, *rest = (directory / "index").read_text().splitlines()
    told = json.loads(begun)
    told["target"] |= {"kind": store.vendor, **store.account, "region": "", "bucket": films.name, "writeOnce": True}
    (directory / "index").write_text("\n".join([json.dumps(told), *rest, ""]))
    code, _most, reason = _rescue(built, at, **store.document)
    assert (code == 0) is (reason == "")
    return reason


@pytest.mark.parametrize("only_puts", [False, True], ids=["any key", "a key that only puts"])
def test_what_a_rescue_finds_there_is_delivered(
    only_puts: bool,  # noqa: FBT001 - as pytest gives parameters
    store: AnyStore,
    films: AnyBucket,
    built: Path,
    tmp_path: Path,
) -> None:
    """Promise: a rescue whose journal knows nothing of what an earlier one put, a large file included where it may
    look, puts nothing anew and comes to its end."""
    slices = dict(SLICES)
    if only_puts:
        store.use_a_key_that_only_puts(films)
        # Google takes no condition where parts are put together.
        del slices[LARGE]
    first: dict[str, bytes] = {}
    for _ in range(2):
        assert _rescued(store, films, slices, built, tmp_path) == ""
        contents = {key: films.read(key) for key in films.objects()}
        assert set(contents) == {*slices, PLAYLIST, MANIFEST}
        first = first or contents
        assert contents == first
        _check_each_once(store, films)
    _check_manifest(films)


def test_a_large_file_that_a_key_which_only_puts_cannot_look_for_is_no_delivery(
    store: AnyStore, films: AnyBucket, built: Path, tmp_path: Path
) -> None:
    """Promise: what Google refuses may be for the very file or not, and the right is named by which it is known;
    Azure's condition says that it is there."""
    assert _rescued(store, films, SLICES, built, tmp_path) == ""
    store.use_a_key_that_only_puts(films)
    reason = _rescued(store, films, SLICES, built, tmp_path)
    if store.vendor == "GoogleCloudStorage":
        assert "whether this very file is there already" in reason
        assert "storage.objects.get" in reason
    else:
        assert reason == ""
    _check_each_once(store, films)


def test_what_somebody_else_put_under_a_name_is_told(
    store: AnyStore, films: AnyBucket, built: Path, tmp_path: Path
) -> None:
    """Promise: other bytes are no delivery, and stay as they are."""
    assert _rescued(store, films, SLICES, built, tmp_path) == ""
    for name in (SMALL, LARGE):
        others: dict[str, bytes | int] = {**SLICES, name: b"something else" * (1 if name == SMALL else PART // 8)}
        assert "holds something else under this name" in _rescued(store, films, others, built, tmp_path)
        assert films.read(name) == SLICES[name]
    _check_each_once(store, films)
