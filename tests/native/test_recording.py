# SPDX-License-Identifier: Apache-2.0
"""A recording by a C++ program, from live sources into a real bucket: its callbacks, its files, and what they say."""

import hashlib
import itertools
import json
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import m3u8
import pytest

from tests.support import media
from tests.support.participants import participant
from tests.support.rtmp import RtmpServer
from tests.support.s3 import Bucket

SLICE_SECONDS = 4


def test_a_channel_becomes_slices_a_playlist_and_a_manifest(
    alice: str,
    rtmp: RtmpServer,
    bucket: Bucket,
    configuration: Callable[..., Any],
    record: Callable[..., Any],
    tmp_path: Path,
) -> None:
    """Promise: every callback comes once and in order, and the bucket then holds exactly what the playlist lists."""
    bob = rtmp.url("bob")
    document = configuration(alice, bob, storage={"prefix": "meetings/2026"})
    with participant(bob, log=tmp_path / "bob.log", colour="blue", tone=880), record(document) as recorder:
        recorder.await_line("started")
        recording_id = recorder.recording_id
        live = bucket.read(bucket.await_playlist()).decode()
        bucket.await_key(live.strip().splitlines()[-1])
        recorder.stop()
        assert recorder.wait() == 0
    playlist_name = f"{recording_id}_room.m3u8"
    assert recorder.callbacks() == ["connecting", "started", "stopped", f"uploaded {playlist_name}"]
    assert "#EXT-X-ENDLIST" not in live

    final = bucket.read(f"meetings/2026/{playlist_name}").decode()
    assert final.startswith(live)
    playlist = m3u8.loads(final)
    names = [segment.uri for segment in playlist.segments]
    manifest_name = f"{recording_id}_room_manifest.json"
    assert bucket.objects() == sorted(f"meetings/2026/{name}" for name in [*names, playlist_name, manifest_name])
    _check_playlist(playlist, final)
    _check_manifest(bucket, "meetings/2026/", json.loads(bucket.read(f"meetings/2026/{manifest_name}")))
    assert bucket.content_type(f"meetings/2026/{playlist_name}") == "application/x-mpegURL"
    assert {bucket.content_type(f"meetings/2026/{name}") for name in names} == {"video/MP2T"}

    bucket.download(tmp_path / "bucket")
    slices = [tmp_path / "bucket" / "meetings" / "2026" / name for name in names]
    recorded = media.joined(slices, tmp_path / "all.ts")
    assert sorted(stream["codec_name"] for stream in media.streams(recorded)) == ["aac", "h264"]
    assert not (tmp_path / "work" / recording_id).exists()


def _check_playlist(playlist: m3u8.M3U8, text: str) -> None:
    assert (playlist.version, playlist.media_sequence, playlist.target_duration) == (3, 0, SLICE_SECONDS)
    assert playlist.is_endlist
    assert "#EXT-X-ALLOW-CACHE:YES" in text
    assert [segment.duration for segment in playlist.segments[:-1]] == [SLICE_SECONDS] * (len(playlist.segments) - 1)
    assert all(len(line.rstrip(",").split(".")[1]) == 6 for line in text.splitlines() if line.startswith("#EXTINF"))
    first_slice = text.index(playlist.segments[0].uri)
    for kind in ("AUDIO", "VIDEO"):
        assert 0 < text.index(f"#EXT-X-AGORA-TRACK-EVENT:EVENT=START,TRACK_TYPE={kind},TIME=2") < first_slice


def _check_manifest(bucket: Bucket, prefix: str, manifest: dict[str, Any]) -> None:
    slices = [file for file in manifest["files"] if file["name"].endswith(".ts")]
    for file in manifest["files"]:
        content = bucket.read(prefix + file["name"])
        assert (file["size"], file["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    spans = [(_time(file["startTime"]), file["durationSeconds"]) for file in slices]
    for (start, seconds), (following, _) in itertools.pairwise(spans):
        assert abs(start + timedelta(seconds=seconds) - following) <= timedelta(milliseconds=2)
    assert manifest["gaps"] == []
    assert _time(manifest["startTime"]) == spans[0][0]
    assert sorted(person["uid"] for person in manifest["participants"]) == [1, 2]
    assert all(person["presences"] for person in manifest["participants"])


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_progress_is_told_about_once_a_minute(
    alice: str, bucket: Bucket, configuration: Callable[..., Any], record: Callable[..., Any]
) -> None:
    """Promise: while recording, how many per cent of the files are in the bucket is told each minute."""
    with record(configuration(alice)) as recorder:
        started = time.monotonic()
        _, _, percent, playlist = recorder.await_line("progress").split()
        assert time.monotonic() - started > 30
        assert 0 < int(percent) <= 100
        assert playlist in bucket.objects()


@pytest.mark.parametrize(
    ("channel", "safe"),
    [
        ("two words", "two=20words"),
        ("a/b#?%", "a=2Fb=23=3F=25"),
        ("会议🎥", "=E4=BC=9A=E8=AE=AE=F0=9F=8E=A5"),
        ("..", ".."),
        ("a\tb\nc\x7f", "a=09b=0Ac=7F"),
        ("会" * 21 + "x", "=E4=BC=9A" * 21 + "x"),
    ],
    ids=["spaces", "what URLs reserve", "any script", "dots", "control characters", "64 bytes"],
)
def test_any_channel_name_becomes_a_safe_key_that_the_playlist_repeats(
    channel: str,
    safe: str,
    alice: str,
    bucket: Bucket,
    configuration: Callable[..., Any],
    record: Callable[..., Any],
) -> None:
    """Promise: whatever a channel is called, its files have one name in bucket, playlist and callback."""
    with record(configuration(alice), channel=channel) as recorder:
        bucket.await_key(".ts")
        recorder.stop()
        assert recorder.wait() == 0
    name = f"{recorder.recording_id}_{safe}.m3u8"
    assert recorder.callbacks()[-1] == f"uploaded {name}"
    playlist = m3u8.loads(bucket.read(name).decode())
    assert {segment.uri for segment in playlist.segments} == {key for key in bucket.objects() if key.endswith(".ts")}
