# SPDX-License-Identifier: Apache-2.0
"""What goes wrong is told by the callback and code that the interface has for it, with words that say what to do."""

import contextlib
import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import self_signed
from tests.support.participants import participant
from tests.support.ports import free_port
from tests.support.recorder import Recorder
from tests.support.rtmp import RtmpServer, rtmp_server
from tests.support.s3 import ACCESS_KEY, SECRET_KEY, Bucket, S3Server, s3_server
from tests.support.s3_proxy import S3Proxy, s3_proxy
from tests.support.waiting import await_true

Make = Callable[..., Any]


def test_nobody_ever_in_the_channel_ends_the_recording(
    rtmp: RtmpServer, bucket: Bucket, configuration: Make, record: Make
) -> None:
    """Promise: with nobody in the channel for max_idle_time the recorder leaves by itself, and ends as usual."""
    with record(configuration(rtmp.url("nobody")), idle="5") as recorder:
        assert recorder.wait() == 0
    name = f"{recorder.recording_id}_room.m3u8"
    expected = ["connecting", "recorder-failure 434", "stopped", f"uploaded {name}"]
    assert recorder.callbacks() == expected
    assert b"#EXTINF" not in bucket.read(name)


def test_everybody_leaving_the_channel_ends_the_recording(
    rtmp: RtmpServer, bucket: Bucket, configuration: Make, record: Make, tmp_path: Path
) -> None:
    """Promise: what was recorded before everybody left is uploaded."""
    url = rtmp.url("leaver")
    with participant(url, log=tmp_path / "leaver.log") as leaver, record(configuration(url), idle="5") as recorder:
        bucket.await_key(".ts")
        leaver.terminate()
        assert recorder.wait() == 0
    assert recorder.callbacks()[:4] == ["connecting", "started", "recorder-failure 434", "stopped"]
    assert recorder.callbacks()[-1].startswith("uploaded")
    assert b"#EXTINF" in bucket.read(f"{recorder.recording_id}_room.m3u8")


def test_a_connection_to_everybody_that_is_lost_for_good_is_told_once_and_ends_the_recording(
    bucket: Bucket, configuration: Make, record: Make, tmp_path: Path
) -> None:
    """Promise: a server that dies and does not come back is Disconnected, and a whole idle time later the recording
    ends with what was recorded."""
    with contextlib.ExitStack() as life:
        url = life.enter_context(rtmp_server(tmp_path / "rtmp")).url("alice")
        document = configuration(url, reconnectSeconds=2)
        with participant(url, log=tmp_path / "alice.log"), record(document, idle="5") as recorder:
            bucket.await_key(".ts")
            life.close()
            assert " 431 " in recorder.await_line("recorder-failure")
            told = time.monotonic()
            assert " 434 " in recorder.await_line("recorder-failure", occurrence=2)
            assert time.monotonic() - told > 4
            assert recorder.wait() == 0
    assert recorder.callbacks()[:5] == [
        *("connecting", "started", "recorder-failure 431", "recorder-failure 434", "stopped")
    ]
    assert recorder.callbacks()[-1].startswith("uploaded")


def test_whoever_comes_back_goes_on_in_the_same_recording_and_may_be_lost_again(
    bucket: Bucket, configuration: Make, record: Make, tmp_path: Path
) -> None:
    """Promise: a loss shows as Reconnecting at once and is no Disconnected, a return ends it, and there is no gap."""
    directory, log = tmp_path / "rtmp", tmp_path / "alice.log"
    url = RtmpServer(port := free_port()).url("alice")
    with record(configuration(url), idle="600", status="1") as recorder:
        for _ in (1, 2):
            with contextlib.ExitStack() as life:
                life.enter_context(rtmp_server(directory, port=port))
                with participant(url, log=log):
                    await_true(lambda: _is_joined(recorder))
                    life.close()
            await_true(lambda: _newest_status(recorder).get("state") == "Reconnecting")
            assert not _is_joined(recorder)
        recorder.stop()
        assert recorder.wait() == 0
    manifest = json.loads(bucket.read(f"{recorder.recording_id}_room_manifest.json"))
    assert "recorder-failure 431" not in recorder.callbacks()
    [presence] = manifest["participants"][0]["presences"]
    assert presence["returns"] == 1, "whoever is back within a minute was there all the time"
    assert manifest["gaps"] == []


def _newest_status(recorder: Recorder) -> dict[str, Any]:
    newest = [line for line in recorder.lines if line.startswith("status")][-1:]
    return next((json.loads(line.split(maxsplit=2)[2]) for line in newest), {})


def _is_joined(recorder: Recorder) -> bool:
    """Whether the newest status says that the one participant is in the channel."""
    participants = _newest_status(recorder).get("participants", [])
    return any(one["state"] == "Joined" for one in participants)


@pytest.mark.usefixtures("bucket")
def test_a_stop_before_anything_was_recorded_says_so(rtmp: RtmpServer, configuration: Make, record: Make) -> None:
    """Promise: an empty recording is told as NoRecordedData, and still has its end."""
    with record(configuration(rtmp.url("nobody"))) as recorder:
        recorder.await_line("connecting")
        recorder.stop()
        assert recorder.wait() == 0
    assert recorder.callbacks()[:3] == ["connecting", "recorder-failure 435", "stopped"]


def test_a_channel_that_refuses_is_fatal(rtmp: RtmpServer, bucket: Bucket, configuration: Make, record: Make) -> None:
    """Promise: a channel that says no to every source is a ConnectError."""
    with record(configuration(rtmp.url("secret", application="locked"))) as recorder:
        assert recorder.wait() == 1
    assert recorder.callbacks() == ["connecting", "fatal 430"]
    assert not any(name.endswith(".ts") for name in bucket.objects())


@pytest.mark.parametrize(
    ("options", "fields"),
    [({"uid": "0"}, {}), ({"width": "641"}, {}), ({"bucket": ""}, {}), ({}, {"colour": "red"})],
    ids=["uid 0", "odd canvas", "no bucket", "unknown field"],
)
def test_an_invalid_parameter_is_refused_and_fatal(
    options: dict[str, str], fields: dict[str, str], rtmp: RtmpServer, configuration: Make, record: Make
) -> None:
    """Promise: StartCloudRecording returns InvalidParameter, and the callback says the same."""
    with record(configuration(rtmp.url("nobody"), **fields), **options) as recorder:
        assert recorder.wait() == 2
    assert recorder.callbacks() == ["fatal 432", "refused"]
    assert recorder.lines[-1] == "refused 432"


def test_an_unusable_work_volume_is_fatal_at_the_start(
    rtmp: RtmpServer, configuration: Make, record: Make, tmp_path: Path
) -> None:
    """Promise: a recorder that cannot write its files does not begin."""
    (tmp_path / "work").write_text("a file, not a directory")
    with record(configuration(rtmp.url("nobody"))) as recorder:
        assert recorder.wait() == 2
    assert recorder.callbacks()[0] == "fatal 436"


def test_a_work_volume_that_fails_later_is_fatal_and_what_was_recorded_is_kept(
    alice: str, bucket: Bucket, configuration: Make, record: Make
) -> None:
    """Promise: a write that fails while recording is RecorderFailed."""

    def limit_file_size() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))

    with record(configuration(alice, sliceSeconds=20), prepare=limit_file_size) as recorder:
        assert recorder.wait() == 1
    assert recorder.callbacks() == ["connecting", "started", "fatal 437"]
    # The bucket was tried with the playlist that was to be.
    assert bucket.objects() == [f"{recorder.recording_id}_room.m3u8"]


def test_a_wrong_key_is_told_and_heals_by_rotation(
    alice: str, bucket: Bucket, configuration: Make, record: Make, tmp_path: Path
) -> None:
    """Promise: a bucket's refusal stops neither capture nor the upload for good: a mended key is used at once."""
    files = {"accessKey": tmp_path / "access", "secretKey": tmp_path / "secret"}
    files["accessKey"].write_text(ACCESS_KEY)
    files["secretKey"].write_text("wrong")
    storage = {"credentialFiles": {name: str(path) for name, path in files.items()}}
    with record(configuration(alice, storage=storage)) as recorder:
        failure = recorder.await_line("uploader-failure")
        assert " 439 " in failure
        assert 'bucket "films"' in failure
        assert "correct the secret key" in failure
        files["secretKey"].write_text(SECRET_KEY)
        bucket.await_key(".ts")
        recorder.stop()
        assert recorder.wait() == 0
    assert sorted(recorder.callbacks()[:3]) == ["connecting", "started", "uploader-failure 439"]
    assert recorder.callbacks()[3:-1] == ["stopped"]


def test_an_unknown_key_is_told_from_a_wrong_one(alice: str, bucket: Bucket, configuration: Make, record: Make) -> None:
    """Promise: the message tells which of the two keys to correct."""
    assert bucket.objects() == []
    with record(configuration(alice), keys=("nobody", SECRET_KEY)) as recorder:
        assert "correct the access key" in recorder.await_line("uploader-failure")


def test_a_missing_bucket_is_told_and_heals_when_made(
    alice: str, s3: S3Server, configuration: Make, record: Make
) -> None:
    """Promise: nothing that was recorded before the bucket existed is lost."""
    with record(configuration(alice)) as recorder:
        assert "create it" in recorder.await_line("uploader-failure")
        bucket = s3.bucket("films")
        playlist = bucket.await_playlist()
        recorder.stop()
        assert recorder.wait() == 0
    slices = [key for key in bucket.objects() if key.endswith(".ts")]
    assert [line for line in bucket.read(playlist).decode().splitlines() if line.endswith(".ts")] == slices
    assert "#EXT-X-DISCONTINUITY" not in bucket.read(playlist).decode()


def test_an_outage_is_told_once_and_loses_nothing(
    alice: str, s3: S3Server, bucket: Bucket, configuration: Make, record: Make, tmp_path: Path
) -> None:
    """Promise: a server that goes away and comes back is one failure, and the recording has no gap."""
    with record(configuration(alice)) as recorder:
        bucket.await_playlist()
        s3.stop()
        assert "refuses connections" in recorder.await_line("uploader-failure")
        # The newest is still being written; by then there were several attempts at the first.
        await_true(lambda: len(list((tmp_path / "work").rglob("*.ts"))) > 3)
        s3.start()
        count = len(bucket.objects())
        await_true(lambda: len(bucket.objects()) >= count + 2)
        recorder.stop()
        assert recorder.wait() == 0
    assert recorder.callbacks().count("uploader-failure 439") == 1
    playlist = bucket.read(bucket.await_playlist()).decode()
    assert "#EXT-X-DISCONTINUITY" not in playlist


def test_what_lists_slices_is_refused_once_and_for_as_long_as_it_is_though_slices_are_taken(
    alice: str, s3: S3Server, bucket: Bucket, configuration: Make, record: Make
) -> None:
    """Promise: what the bucket takes beside what it refuses neither ends the failure nor has it told again."""
    with (
        s3_proxy(s3) as proxy,
        record(configuration(alice, storage={"endpoint": proxy.endpoint}), status="1") as recorder,
    ):
        bucket.await_playlist()
        _refuse(proxy, ".m3u8")
        recorder.await_line("uploader-failure")
        told, taken = len(recorder.lines), len(proxy.puts(".ts"))
        await_true(lambda: len(proxy.puts(".ts")) >= taken + 3)
        healths = [json.loads(line.split(maxsplit=2)[2])["storage"] for line in recorder.lines[told:] if "{" in line]
        assert {(health["state"], health["cause"]) for health in healths} == {("Failing", "AccessDenied")}
        _refuse(proxy, "_manifest.json")
        await_true(lambda: _newest_status(recorder)["storage"]["state"] == "Ready")
        recorder.stop()
        recorder.await_line("uploader-failure", occurrence=2)
        taken = len(proxy.puts(".m3u8"))
        await_true(lambda: len(proxy.puts(".m3u8")) >= taken + 3)
        _refuse(proxy)
        assert recorder.wait() == 0
    assert recorder.callbacks().count("uploader-failure 439") == 2
    assert bucket.read(f"{recorder.recording_id}_room_manifest.json")


def _refuse(proxy: S3Proxy, *suffixes: str) -> None:
    """Has the bucket deny files with these names, as a key's policy would, and take all others."""
    proxy.refuse = lambda method, path, _query: 403 if method == "PUT" and path.endswith(suffixes) else None


@pytest.mark.usefixtures("bucket")
def test_a_server_of_an_unknown_authority_is_told_and_trusted_when_named(
    alice: str, configuration: Make, record: Make, tmp_path: Path
) -> None:
    """Promise: TLS is verified, against the system's authorities and the configured file."""
    certificate, key = self_signed(tmp_path)
    with s3_server(tmp_path / "tls-s3", tls=(certificate, key)) as server:
        bucket = server.bucket("films")
        with record(configuration(alice, storage={"endpoint": server.endpoint})) as recorder:
            assert "no trusted TLS connection" in recorder.await_line("uploader-failure")
        trusting = {"endpoint": server.endpoint, "caFile": str(certificate)}
        with record(configuration(alice, storage=trusting)) as recorder:
            bucket.await_key(".ts")
            recorder.stop()
            assert recorder.wait() == 0
        assert not any(line.startswith("uploader-failure") for line in recorder.lines)


@pytest.mark.usefixtures("bucket")
def test_an_unusable_storage_configuration_is_told(alice: str, configuration: Make, record: Make) -> None:
    """Promise: an upload that cannot even begin is UploaderInit, and does not stop the recording."""
    with record(configuration(alice, storage={"caFile": "/nowhere/ca.pem"})) as recorder:
        failure = recorder.await_line("uploader-failure")
        assert " 438 " in failure
        assert "caFile /nowhere/ca.pem" in failure
        recorder.await_line("started")


@pytest.mark.usefixtures("bucket")
def test_a_host_without_an_address_is_told(alice: str, configuration: Make, record: Make) -> None:
    """Promise: a mistyped endpoint is told as such."""
    with record(configuration(alice, storage={"endpoint": "http://s3.invalid"})) as recorder:
        assert "does not resolve" in recorder.await_line("uploader-failure")
