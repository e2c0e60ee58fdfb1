# SPDX-License-Identifier: Apache-2.0
"""What holds of a bucket holds of each kind: delivery, its proof, refusals in words that help, and their mending."""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.native.test_verified import PART, RECORDING_ID, STEM, _left
from tests.support.buckets import AnyBucket
from tests.support.certificates import self_signed
from tests.support.google import google_server
from tests.support.recorder import Recorder
from tests.support.rtmp import RtmpServer
from tests.support.stores import KINDS, AnyStore, any_store
from tests.support.waiting import await_true

Make = Callable[..., Any]
NO_KEYS = ("", "")


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AnyStore]:
    with any_store(request.param, tmp_path / "store") as running:
        yield running


@pytest.fixture
def films(store: AnyStore) -> AnyBucket:
    return store.bucket("films")


@pytest.fixture
def recorded(configuration: Make, record: Make, store: AnyStore) -> Make:
    """Starts a recording of a participant into the store; fields of the storage as given."""

    def start(
        url: str, *, storage: dict[str, Any] | None = None, options: dict[str, str] | None = None, **fields: Any
    ) -> contextlib.AbstractContextManager[Recorder]:
        document = configuration(url, **fields)
        document["storage"] = {**store.document, **(storage or {})}
        started: contextlib.AbstractContextManager[Recorder] = record(document, keys=NO_KEYS, **(options or {}))
        return started

    return start


def _check(films: AnyBucket, recorder: Recorder, *, prefix: str = "") -> dict[str, Any]:
    """Returns the manifest, all of whose files are in the bucket as it says."""
    manifest: dict[str, Any] = json.loads(films.read(f"{prefix}{recorder.recording_id}_room_manifest.json"))
    for file in manifest["files"]:
        content = films.read(prefix + file["name"])
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file["size"], file["sha256"]), file
    return manifest


def test_a_recording_is_whole_in_its_bucket(alice: str, films: AnyBucket, recorded: Make) -> None:
    """Promise: slices, playlist, MP4 and manifest are there, verified, below the prefix, with their content types."""
    with recorded(alice, storage={"prefix": "2026/room"}, outputs=["HLS", "MP4"]) as recorder:
        films.await_keys(".ts", 2)
        recorder.stop()
        assert recorder.wait() == 0
    assert not [line for line in recorder.lines if line.startswith("uploader-failure")]
    manifest = _check(films, recorder, prefix="2026/room/")
    slices = [file for file in manifest["files"] if file["name"].endswith(".ts")]
    assert {file.get("verified", True) for file in slices} == {True}
    types = {Path(key).suffix: films.content_type(key) for key in films.objects()}
    assert types == {
        ".ts": "video/MP2T",
        ".m3u8": "application/x-mpegURL",
        ".json": "application/json",
        ".mp4": "video/mp4",
    }


def test_a_large_slice_is_put_in_parts(alice: str, films: AnyBucket, recorded: Make, tmp_path: Path) -> None:
    """Promise: whatever its size, a slice gets there as it is, with its content type."""
    name = f"{STEM}_20231114221320000.ts"
    content = os.urandom(2 * PART + 1)
    _left(tmp_path, "http://127.0.0.1:9", {name: content})
    with recorded(alice, recordingId=RECORDING_ID) as recorder:
        films.await_key(name)
        recorder.stop()
        assert recorder.wait() == 0
    assert films.read(name) == content
    assert films.content_type(name) == "video/MP2T"
    _check(films, recorder)


def test_a_missing_bucket_is_told_before_anybody_came_and_heals_when_made(
    rtmp: RtmpServer, store: AnyStore, recorded: Make
) -> None:
    """Promise: nobody has to record a slice to learn that the bucket is not there."""
    with recorded(rtmp.url("nobody"), options={"idle": "600"}) as recorder:
        told = recorder.await_line("uploader-failure")
        assert "does not exist: create " in told
        store.bucket("films").await_key(".m3u8")


def test_a_wrong_key_is_told_and_heals_by_rotation(
    alice: str, store: AnyStore, films: AnyBucket, recorded: Make
) -> None:
    """Promise: the words name what to mend, no secret, and a mended key is used at once."""
    store.use_a_wrong_key()
    with recorded(alice) as recorder:
        failure = recorder.await_line("uploader-failure")
        assert " 439 " in failure
        assert store.words["wrong"] in failure
        store.use_the_key()
        films.await_key(".ts")
        recorder.stop()
        assert recorder.wait() == 0
    assert recorder.callbacks()[-1].startswith("uploaded")


def test_a_key_that_is_none_is_told_and_heals(alice: str, store: AnyStore, films: AnyBucket, recorded: Make) -> None:
    """Promise: a Secret with a line break, or with something else in it, ends an attempt and no recording."""
    (name, *_) = store.files
    good = store.files[name].read_text()
    store.files[name].write_text("ses\name: {\x00")
    with recorded(alice) as recorder:
        failure = recorder.await_line("uploader-failure")
        assert "its keys cannot be read" in failure
        assert "ses" not in failure.split(name)[-1]
        store.files[name].write_text(good + "\n")
        films.await_key(".ts")
        recorder.stop()
        assert recorder.wait() == 0


def test_a_key_that_may_only_put_passes_the_trial(
    rtmp: RtmpServer, store: AnyStore, films: AnyBucket, recorded: Make
) -> None:
    """Promise: the trial needs no right but that of uploads."""
    store.use_a_key_that_only_puts(films)
    with recorded(rtmp.url("nobody"), options={"idle": "600"}) as recorder:
        assert films.await_keys(".m3u8", 1) == [f"{recorder.recording_id}_room.m3u8"]
    assert recorder.callbacks() == ["connecting"]


def test_an_outage_is_told_once_and_loses_nothing(
    alice: str, store: AnyStore, films: AnyBucket, recorded: Make, tmp_path: Path
) -> None:
    """Promise: a store that goes away and comes back is one failure, and the recording has no gap."""
    with recorded(alice) as recorder:
        films.await_playlist()
        store.stop()
        assert "refuses connections" in recorder.await_line("uploader-failure")
        await_true(lambda: len(list((tmp_path / "work").rglob("*.ts"))) > 3)
        store.start()
        films.await_keys(".ts", 4)
        recorder.stop()
        assert recorder.wait() == 0
    assert recorder.callbacks().count("uploader-failure 439") == 1
    assert _check(films, recorder)["gaps"] == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_server_of_an_unknown_authority_is_told_and_trusted_when_named(
    kind: str, alice: str, configuration: Make, record: Make, tmp_path: Path
) -> None:
    """Promise: TLS is verified, against the system's authorities and the configured file."""
    certificate, key = self_signed(tmp_path)
    with any_store(kind, tmp_path / "store", tls=(certificate, key)) as store:
        films = store.bucket("films")
        document = {**configuration(alice), "storage": store.document}
        with record(document, keys=NO_KEYS) as recorder:
            assert "no trusted TLS connection" in recorder.await_line("uploader-failure")
        document["storage"] = {**store.document, "caFile": str(certificate)}
        with record(document, keys=NO_KEYS) as recorder:
            films.await_key(".ts")
            recorder.stop()
            assert recorder.wait() == 0
        assert not [line for line in recorder.lines if line.startswith("uploader-failure")]


def test_a_backup_store_of_any_kind_takes_what_the_bucket_does_not_and_gives_it_back(
    alice: str, store: AnyStore, configuration: Make, record: Make, bucket: AnyBucket, s3: Any
) -> None:
    """Promise: slices come home from it once the bucket answers again."""
    spare = store.bucket("spare")
    document = configuration(alice, sliceSeconds=2, backup={**store.backup, "bucket": "spare", "afterSeconds": 1})
    with record(document) as recorder:
        bucket.await_playlist()
        s3.stop()
        spare.await_keys(".ts", 2)
        s3.start()
        count = len(bucket.objects())
        await_true(lambda: len(bucket.objects()) >= count + 3)
        recorder.stop()
        assert recorder.wait() == 0
    assert {key for key in spare.objects() if key.endswith(".ts")} <= set(bucket.objects())


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "S3"])
def test_a_key_without_rights_is_told_with_the_role_that_it_lacks(
    kind: str, alice: str, configuration: Make, record: Make, tmp_path: Path
) -> None:
    """Promise: the words are those of the store's own kind."""
    with any_store(kind, tmp_path / "store") as store:
        store.use_a_key_that_may_not_put(store.bucket("films"))
        with record({**configuration(alice), "storage": store.document}, keys=NO_KEYS) as recorder:
            failure = recorder.await_line("uploader-failure")
    assert 'bucket "films"' in failure
    assert store.words["denied"] in failure


@pytest.mark.parametrize("size", [1000, 2 * PART + 1], ids=["a small one", "one in parts"])
def test_what_google_states_otherwise_is_put_again(
    size: int, alice: str, configuration: Make, record: Make, tmp_path: Path
) -> None:
    """Promise: a digest of something else is told, the slice stays on the volume, and is put until it is right."""
    name = f"{STEM}_20231114221320000.ts"
    directory = _left(tmp_path, "http://127.0.0.1:9", {name: size})
    content = (directory / name).read_bytes()
    with google_server(tmp_path / "google") as server:
        films = server.bucket("films")
        (tmp_path / "key").write_text(server.account().document())
        storage = {
            "vendor": "GoogleCloudStorage",
            "endpoint": server.endpoint,
            "credentialFiles": {"serviceAccountKey": str(tmp_path / "key")},
        }

        def wrong(method: str, path: str, headers: dict[str, str]) -> None:
            if path.endswith(name) and "x-goog-hash" in headers and method != "GET":
                headers["x-goog-hash"] = "crc32c=AAAAAA=="

        server.change = wrong
        document = {**configuration(alice, recordingId=RECORDING_ID), "storage": storage}
        with record(document, keys=NO_KEYS) as recorder:
            assert "did not prove" in recorder.await_line("uploader-failure")
            assert (directory / name).exists()
            server.change = lambda *_: None
            await_true(lambda: not (directory / name).exists())
            recorder.stop()
            assert recorder.wait() == 0
        assert films.read(name) == content
        _check(films, recorder)
