# SPDX-License-Identifier: Apache-2.0
"""A single stream recorded as it is, from a live source into a real bucket, and played in a browser."""

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import media
from tests.support.browser import check_played, play
from tests.support.files import Files, check_with_ffmpeg
from tests.support.participants import participant
from tests.support.ports import free_udp_port
from tests.support.processes import running
from tests.support.rtmp import RtmpServer
from tests.support.s3 import Bucket

Make = Callable[..., Any]
SLICE_SECONDS = 2
LONGEST_SECONDS = 4


def _passed_through(configuration: Make, url: str) -> dict[str, Any]:
    document: dict[str, Any] = configuration(url, sliceSeconds=SLICE_SECONDS)
    document["channels"][0]["passthrough"] = {"longestSliceSeconds": LONGEST_SECONDS}
    return document


@contextlib.contextmanager
def _publisher(url: str, *coding: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Somebody whose pictures are encoded with these arguments."""
    picture = ["-re", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=15"]
    sound = ["-re", "-f", "lavfi", "-i", "sine=frequency=880:sample_rate=44100"]
    codecs = ["-pix_fmt", "yuv420p", *coding, "-c:a", "aac", "-ac", "1", "-f", "flv"]
    command = ["ffmpeg", "-nostdin", "-loglevel", "warning", *picture, *sound, *codecs, url]
    with running(command, log=log) as process:
        yield process


def _whole(files: Files, directory: Path) -> Path:
    """The recording as the bucket has it, its slices put together."""
    recorded = files.download(directory / "bucket").parent
    return media.joined([recorded / piece.name for piece in files.slices], directory / "all.ts")


def test_a_stream_that_comes_back_is_passed_through_into_the_bucket(
    rtmp: RtmpServer, bucket: Bucket, configuration: Make, record: Make, tmp_path: Path
) -> None:
    """Promise: the bucket gets what was sent; a publisher's absence is a stated gap that players get over."""
    url = rtmp.url(f"passed-{tmp_path.name}")
    document = _passed_through(configuration, url)
    document["channels"][0]["streams"][0]["silenceSeconds"] = 3
    with record(document) as recorder:
        with participant(url, log=tmp_path / "alice.log"):
            bucket.await_keys(".ts", 3)
        before = len(bucket.await_quiet(".ts"))
        with participant(url, log=tmp_path / "alice.log"):
            bucket.await_keys(".ts", before + 2)
            recorder.stop()
            assert recorder.wait() == 0
    files = Files(bucket, f"{recorder.recording_id}_room")
    files.check_playlist(slice_seconds=LONGEST_SECONDS)
    files.check_manifest()
    assert files.discontinuities == 1
    assert [reason.split(":")[0] for reason in files.reasons()] == ["the participant was away"]
    playlist = files.download(tmp_path / "bucket")
    check_with_ffmpeg(playlist, restarted=True)
    first = playlist.parent / files.slices[0].name
    # What is composed has a key frame each five seconds.
    assert sum(packet.key for packet in media.packets(first, "video")) == SLICE_SECONDS
    check_played(play(bucket, f"{files.stem}.m3u8", directory=tmp_path), files)


@pytest.mark.parametrize("sent_to", ["srt://127.0.0.1:{}?mode=listener", "udp://127.0.0.1:{}?pkt_size=1316"])
def test_a_stream_without_a_server_is_passed_through(
    sent_to: str, bucket: Bucket, configuration: Make, record: Make, tmp_path: Path
) -> None:
    """Promise: MPEG-TS by SRT and UDP is copied without a hole, from its first key frame."""
    sent_to = sent_to.format(free_udp_port())
    sender = participant(sent_to, log=tmp_path / "sender.log", tone=880)
    with sender, record(_passed_through(configuration, sent_to.split("?")[0])) as recorder:
        bucket.await_keys(".ts", 3)
        recorder.stop()
        assert recorder.wait() == 0
    assert not [line for line in recorder.callbacks() if "failure" in line]
    files = Files(bucket, f"{recorder.recording_id}_room")
    files.check_playlist(slice_seconds=LONGEST_SECONDS)
    files.check_manifest()
    assert (files.discontinuities, files.reasons()) == (0, [])
    whole = _whole(files, tmp_path)
    pictures = media.packets(whole, "video")
    # What is composed has a key frame each five seconds.
    assert [packet.key for packet in pictures[::15]] == [True] * len(pictures[::15])
    assert media.breaks(pictures, tolerance=0.002) == []
    assert media.breaks(media.packets(whole, "audio"), tolerance=0.002) == []
    assert media.hears(media.sound(whole, start=1, seconds=1), 880)
    check_played(play(bucket, f"{files.stem}.m3u8", directory=tmp_path), files)


def test_a_stream_without_key_frames_is_cut_at_the_bound_and_plays_to_its_end(
    rtmp: RtmpServer, bucket: Bucket, configuration: Make, record: Make, tmp_path: Path
) -> None:
    """Promise: no slice is longer than the playlist declares, nothing is lost, and players go on across such cuts."""
    url = rtmp.url(f"rare-{tmp_path.name}")
    coding = ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "0", "-g", "100000", "-b:v", "600k"]
    publisher = _publisher(url, *coding, log=tmp_path / "publisher.log")
    with publisher, record(_passed_through(configuration, url)) as recorder:
        bucket.await_keys(".ts", 3)
        recorder.stop()
        assert recorder.wait() == 0
    files = Files(bucket, f"{recorder.recording_id}_room")
    files.check_playlist(slice_seconds=LONGEST_SECONDS)
    files.check_manifest()
    assert files.discontinuities == 0
    assert all(piece.seconds > LONGEST_SECONDS - 1 for piece in files.slices[:-1])
    pictures = media.packets(_whole(files, tmp_path), "video")
    assert [packet.key for packet in pictures].count(True) == 1
    assert media.breaks(pictures, tolerance=0.002) == []
    check_played(play(bucket, f"{files.stem}.m3u8", directory=tmp_path), files)


def test_what_cannot_be_passed_through_is_transcoded_and_the_reason_told(
    rtmp: RtmpServer, bucket: Bucket, configuration: Make, record: Make, tmp_path: Path
) -> None:
    """Promise: a stream that players of HLS could not decode is recorded all the same, and the program hears why."""
    url = rtmp.url(f"old-{tmp_path.name}")
    publisher = _publisher(url, "-c:v", "flv1", "-b:v", "600k", log=tmp_path / "publisher.log")
    with publisher, record(_passed_through(configuration, url)) as recorder:
        assert "only H.264 is copied" in recorder.await_line("recorder-failure")
        bucket.await_keys(".ts", 2)
        recorder.stop()
        assert recorder.wait() == 0
    files = Files(bucket, f"{recorder.recording_id}_room")
    files.check_playlist(slice_seconds=LONGEST_SECONDS)
    files.check_manifest()
    recorded = files.download(tmp_path / "bucket").parent
    codecs = sorted(stream["codec_name"] for stream in media.streams(recorded / files.slices[0].name))
    assert codecs == ["aac", "h264"]
