# SPDX-License-Identifier: Apache-2.0
"""The backup store takes what the bucket does not, and gives it back once the bucket answers again."""

import ctypes
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import m3u8
import pytest

from cloud_recording.runner.recorder.engine import Engine, EngineError, StartParameters
from tests.support.files import journal_line
from tests.support.s3 import ACCESS_KEY, SECRET_KEY, Bucket, S3Server, s3_server

Make = Callable[..., Any]
RECORDING_ID = "0123456789abcdef0123456789abcdef"
PLAYLIST = f"{RECORDING_ID}_room.m3u8"
MANIFEST = f"{RECORDING_ID}_room_manifest.json"


@pytest.fixture
def spare_server(tmp_path: Path) -> Iterator[S3Server]:
    with s3_server(tmp_path / "spare") as server:
        yield server


@pytest.fixture
def spare(spare_server: S3Server) -> Bucket:
    return spare_server.bucket("spare")


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "access").write_text(ACCESS_KEY)
    (tmp_path / "secret").write_text(SECRET_KEY)
    return {"accessKey": str(tmp_path / "access"), "secretKey": str(tmp_path / "secret")}


@pytest.fixture
def document(configuration: Make, alice: str, spare: Bucket, keys: dict[str, str]) -> dict[str, Any]:
    """A recording of one participant, whose backup store takes over after a second."""
    backup = {"endpoint": spare.server.endpoint, "bucket": spare.name, "credentialFiles": keys, "afterSeconds": 1}
    made: dict[str, Any] = configuration(alice, recordingId=RECORDING_ID, sliceSeconds=2, backup=backup)
    return made


def _slices(bucket: Bucket) -> list[str]:
    return [key for key in bucket.objects() if key.endswith(".ts")]


def _listed(bucket: Bucket, playlist: str = PLAYLIST) -> list[str]:
    return [segment.uri or "" for segment in m3u8.loads(bucket.read(playlist).decode()).segments]


def _late_playlist(bucket: Bucket) -> str:
    """The name of the one playlist that came home."""
    (name,) = [key for key in bucket.objects() if key.endswith("_0.m3u8")]
    return name


def _await(condition: Callable[[], bool], *, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _check_manifest(manifest: dict[str, Any], *, bucket: Bucket, backup: Bucket) -> None:
    for file in manifest["files"]:
        content = (backup if file.get("store") == "backup" else bucket).read(file["name"])
        assert (file["size"], file["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())


def test_a_recording_that_the_bucket_does_not_take_ends_backed_up_and_comes_home_later(
    document: dict[str, Any], s3: S3Server, bucket: Bucket, spare: Bucket, record: Make, tmp_path: Path
) -> None:
    """Promise: one end is told, each store's playlist lists what is beside it, and coming home overwrites nothing."""
    document["outputs"] = ["HLS", "MP4"]
    with record(document) as recorder:
        live = bucket.read(bucket.await_playlist())
        s3.stop()
        spare.await_keys(".ts", 2)
        recorder.stop()
        assert recorder.wait() == 0
    assert recorder.callbacks() == [
        *("connecting", "started", "uploader-failure 439", "stopped"),
        f"backed-up {PLAYLIST}",
    ]
    away = _slices(spare)
    assert _listed(spare) == away
    assert spare.read(PLAYLIST).endswith(b"#EXT-X-ENDLIST\n")
    work = tmp_path / "work" / RECORDING_ID
    assert not {path.name for path in work.glob("*.ts")} & set(away)

    s3.start()
    _check_manifest(json.loads(spare.read(MANIFEST)), bucket=bucket, backup=spare)
    before = {key: bucket.read(key) for key in bucket.objects()}
    assert before[PLAYLIST].startswith(live)
    assert not set(before) & set(away)
    with record(document) as mover:
        assert mover.wait() == 0
    late = _late_playlist(bucket)
    assert late.startswith(f"{RECORDING_ID}_room_")
    assert mover.callbacks() == ["stopped", f"uploaded {late}"]
    assert {key: bucket.read(key) for key in before} == before
    assert _listed(bucket, late) == _slices(bucket)
    assert set(_slices(bucket)) == {*away, *(key for key in before if key.endswith(".ts"))}
    manifest = json.loads(bucket.read(MANIFEST))
    assert manifest["files"][0]["name"] == late
    assert f"{RECORDING_ID}_room.mp4" in {file["name"] for file in manifest["files"]}
    assert not list(work.glob("*.ts"))
    assert manifest["gaps"] == []
    assert not any("store" in file for file in manifest["files"])
    _check_manifest(manifest, bucket=bucket, backup=spare)


def test_a_bucket_that_heals_while_recording_gets_everything(
    document: dict[str, Any], s3: S3Server, bucket: Bucket, spare: Bucket, record: Make
) -> None:
    """Promise: an outage that ends before the recording does leaves an ordinary recording in the bucket."""
    with record(document) as recorder:
        bucket.await_playlist()
        s3.stop()
        away = set(spare.await_keys(".ts", 2))
        s3.start()
        _await(lambda: away <= set(_slices(bucket)))
        recorder.stop()
        assert recorder.wait() == 0
    assert recorder.callbacks()[-2:] == ["stopped", f"uploaded {PLAYLIST}"]
    listed = _listed(bucket)
    assert listed == _slices(bucket)
    assert away <= set(listed)
    assert m3u8.loads(bucket.read(PLAYLIST).decode()).is_endlist
    assert b"#EXT-X-DISCONTINUITY\n" not in bucket.read(PLAYLIST)


def test_a_killed_recorder_goes_on_with_what_it_had_backed_up(
    document: dict[str, Any], s3: S3Server, bucket: Bucket, spare: Bucket, record: Make
) -> None:
    """Promise: after kill -9 in an outage, what is backed up, on the volume and yet to come is one recording."""
    s3.stop()
    with record(document) as killed:
        spare.await_keys(".ts", 2)
        killed.process.kill()
        killed.wait()
    assert sorted(killed.callbacks()) == ["connecting", "started", "uploader-failure 439"]
    with record(document) as resumed:
        resumed.await_line("started")
        count = len(_slices(spare))
        spare.await_keys(".ts", count + 1)
        s3.start()
        _await(lambda: set(_slices(spare)) <= set(_slices(bucket)))
        resumed.stop()
        assert resumed.wait() == 0
    assert resumed.callbacks()[-1] == f"uploaded {PLAYLIST}"
    assert _listed(bucket) == _slices(bucket)
    manifest = json.loads(bucket.read(MANIFEST))
    assert [gap["reason"] for gap in manifest["gaps"]] == ["RecorderRestarted"]
    _check_manifest(manifest, bucket=bucket, backup=spare)


def test_with_both_stores_down_nothing_is_lost(  # noqa: PLR0917 - two stores, and who records into them
    document: dict[str, Any],
    s3: S3Server,
    bucket: Bucket,
    spare_server: S3Server,
    spare: Bucket,
    record: Make,
    tmp_path: Path,
    built: Path,
) -> None:
    """Promise: a backup store that refuses, too, is BackupFailed; what neither takes waits, and a rescue needs both."""
    s3.stop()
    spare_server.stop()
    work = tmp_path / "work" / RECORDING_ID
    with record(document) as killed:
        assert " 440 the backup store: bucket " in killed.await_line("uploader-failure", occurrence=2)
        _await(lambda: len(list(work.glob("*.ts"))) > 2)
        killed.stop()
        killed.await_line("stopped")
        killed.process.kill()
        killed.wait()
    failures = ["uploader-failure 439", "uploader-failure 440"]
    assert sorted(killed.callbacks()[:4]) == ["connecting", "started", *failures]
    left = sorted(path.name for path in work.glob("*.ts"))

    spare_server.start()
    with record(document) as resumed:
        assert resumed.wait() == 0
    assert resumed.callbacks() == ["stopped", "uploader-failure 439", f"backed-up {PLAYLIST}"]
    assert _slices(spare) == left

    storage = {"credentialFiles": document["backup"]["credentialFiles"]}
    home = {"workDir": document["workDir"], "storage": storage}
    code, reason = _rescue(built, home)
    assert code == 432
    assert "backup: is left out" in reason
    assert _rescue(built, {**home, "backup": document["backup"]})[0] == 439
    s3.start()
    lost = spare.read(left[0])
    spare.client.delete_object(Bucket=spare.name, Key=left[0])
    code, reason = _rescue(built, {**home, "backup": document["backup"]})
    assert code == 440
    assert f"put it back ({left[0]}: NoSuchKey" in reason
    spare.client.put_object(Bucket=spare.name, Key=left[0], Body=lost)
    # As a mover that was killed between naming the playlist and putting it leaves the journal.
    late = f"{RECORDING_ID}_room_1560234766073_0.m3u8"
    with (work / "index").open("a") as journal:
        journal.write(journal_line({"record": "ComingHome", "playlist": late}))
    assert _rescue(built, {**home, "backup": document["backup"]}) == (0, "")
    assert _late_playlist(bucket) == late
    assert _listed(bucket, late) == left == _slices(bucket)


def _rescue(library: Path, document: dict[str, Any]) -> tuple[int, str]:
    reason = ctypes.create_string_buffer(1024)
    code: int = ctypes.CDLL(str(library)).cr_rescue(json.dumps(document).encode(), reason, len(reason))
    return code, reason.value.decode()


def test_where_room_gets_scarce_the_backup_takes_over_and_nothing_pauses(
    document: dict[str, Any], s3: S3Server, bucket: Bucket, spare: Bucket, built: Path
) -> None:
    """Promise: whatever `afterSeconds` says, capture pauses only where the backup store takes nothing either."""
    s3.stop()
    document["backup"]["afterSeconds"] = 86_400
    document["workBytes"] = 600_000
    engine = Engine(str(built))
    recorder = engine.create_recorder(json.dumps(document))
    recorder.start(_start_parameters())
    _await(lambda: _snapshot(engine)["slices"]["pending"] >= 1)
    waits = _snapshot(engine)
    assert waits["pendingMilliseconds"] > 1000
    assert 0 < waits["volumeFreeBytes"] < 480_000
    # More than would ever have room at once.
    _await(lambda: _snapshot(engine)["bytes"]["written"] > 900_000)
    s3.start()
    recorder.stop()
    _await(lambda: _snapshot(engine)["state"] == "Uploaded")
    snapshot = _snapshot(engine)
    assert (snapshot["gapCount"], snapshot["pendingMilliseconds"]) == (0, 0)
    assert "volumeFreeBytes" not in {name for name, value in snapshot.items() if value is not None}
    away, all_slices = _slices(spare), _slices(bucket)
    assert away
    assert away == all_slices[: len(away)], "the oldest went there"
    assert len(all_slices) == snapshot["slices"]["written"]
    recorder.release(cancel=False)
    assert engine.wait_drained(timeout_seconds=120)
    assert "RECORDER_FAILURE" not in [callback.type.name for callback in recorder.callbacks()]


def test_the_snapshot_tells_where_every_slice_is_until_a_released_recorder_has_brought_all_home(
    document: dict[str, Any], s3: S3Server, bucket: Bucket, spare: Bucket, built: Path
) -> None:
    """Promise: written is exactly uploaded, backed up and pending; Release(false) leaves the way home to a drainer."""
    s3.stop()
    engine = Engine(str(built))
    recorder = engine.create_recorder(json.dumps(document))
    recorder.start(_start_parameters())
    spare.await_keys(".ts", 2)
    recorder.stop()
    _await(lambda: _snapshot(engine)["state"] == "BackedUp")
    snapshot = _snapshot(engine)
    away = _slices(spare)
    assert snapshot["slices"] == {"written": len(away), "uploaded": 0, "backedUp": len(away), "pending": 0}
    assert snapshot["bytes"]["backedUp"] == sum(len(spare.read(key)) for key in away)
    assert snapshot["progressPercent"] == 0
    recorder.release(cancel=False)
    assert not engine.wait_drained(timeout_seconds=0)
    s3.start()
    assert engine.wait_drained(timeout_seconds=120)
    assert _slices(bucket) == away == _listed(bucket, _late_playlist(bucket))
    told = [callback.type.name for callback in recorder.callbacks()]
    assert sorted(told[:3]) == ["CONNECTING", "STARTED", "UPLOADER_FAILURE"]
    assert told[3:] == ["STOPPED", "BACKED_UP"]


def test_what_was_concluded_in_the_backup_comes_home_although_its_disk_is_gone(
    document: dict[str, Any], s3: S3Server, bucket: Bucket, spare: Bucket, built: Path
) -> None:
    """Promise: the journal is there as well, decides neither what nor where, and the rescue counts what it brought."""
    s3.stop()
    engine = Engine(str(built))
    recorder = engine.create_recorder(json.dumps(document))
    recorder.start(_start_parameters())
    spare.await_keys(".ts", 2)
    recorder.stop()
    _await(lambda: _snapshot(engine)["state"] == "BackedUp")
    recorder.release(cancel=True)
    assert engine.wait_drained(timeout_seconds=60)
    away = _slices(spare)
    shutil.rmtree(Path(document["workDir"]) / RECORDING_ID)

    place = {"bucket": bucket.name, "vendor": "AWS", "endpoint": bucket.server.endpoint, "region": "us-east-1"}
    home = {**document, "fromBackup": True, "place": {**place, "pathStyle": True}}
    home["channels"] = [{**document["channels"][0], "name": "room"}]
    home["storage"] = {"credentialFiles": document["backup"]["credentialFiles"]}
    with pytest.raises(EngineError, match="the backup store: has no journal 'bak0_") as absent:
        engine.rescue(json.dumps({**home, "filePrefix": "bak0_"}))
    assert absent.value.code == 435
    with pytest.raises(EngineError) as refused:
        engine.rescue(json.dumps(home))
    assert refused.value.code == 439
    assert _snapshot(engine)["storage"]["state"] == "Failing"
    s3.start()
    engine.rescue(json.dumps(home))
    assert _slices(bucket) == away == _listed(bucket, _late_playlist(bucket))
    snapshot = _snapshot(engine)
    assert snapshot["state"] == "Uploaded"
    assert snapshot["slices"] == {"written": len(away), "uploaded": len(away), "backedUp": 0, "pending": 0}


def _snapshot(engine: Engine) -> dict[str, Any]:
    snapshot: dict[str, Any] = json.loads(engine.status(RECORDING_ID) or "{}")
    written = snapshot["slices"]["written"]
    assert written == sum(snapshot["slices"][place] for place in ("uploaded", "backedUp", "pending"))
    return snapshot


def _start_parameters() -> StartParameters:
    return StartParameters(
        app_id="app",
        channel_name="room",
        token=None,
        uid=99,
        secret=None,
        bucket="films",
        access_key=ACCESS_KEY,
        secret_key=SECRET_KEY,
        stream_types=2,
        decryption_mode=0,
        channel_type=0,
        audio_profile=0,
        video_stream_type=0,
        max_idle_seconds=30,
        width=64,
        height=64,
        frames_per_second=15,
        bitrate_kbps=500,
        max_resolution_uid=0,
        layout=1,
        vendor=1,
        region=0,
    )
