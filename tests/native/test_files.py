# SPDX-License-Identifier: Apache-2.0
"""What a recording leaves in the bucket: files named, listed and told of as the interface says, for any player."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.browser import check_played, play
from tests.support.files import Files, check_with_ffmpeg
from tests.support.s3 import Bucket, S3Server
from tests.support.waiting import await_true

Make = Callable[..., Any]
SLICE_SECONDS = 2


def test_a_paused_recording_is_valid_for_strict_players_and_plays_in_a_browser(
    alice: str, bucket: Bucket, configuration: Make, record: Make, tmp_path: Path
) -> None:
    """Promise: names, tags, slices and manifest are to the letter, and hls.js plays across the pause to the end."""
    with record(configuration(alice, sliceSeconds=SLICE_SECONDS)) as recorder:
        bucket.await_keys(".ts", 2)
        recorder.process.send_signal(signal.SIGUSR2)
        before = len(bucket.await_quiet(".ts"))
        recorder.process.send_signal(signal.SIGUSR2)
        bucket.await_keys(".ts", before + 2)
        recorder.stop()
        assert recorder.wait() == 0
    files = Files(bucket, f"{recorder.recording_id}_room")
    files.check_playlist(slice_seconds=SLICE_SECONDS)
    files.check_manifest()
    assert files.discontinuities == 1
    assert files.reasons() == ["Paused"]
    check_with_ffmpeg(files.download(tmp_path / "bucket"))
    played = play(bucket, f"{files.stem}.m3u8", directory=tmp_path)
    check_played(played, files)
    assert (played.discontinuities, played.targetSeconds) == (1, SLICE_SECONDS)


def test_the_playlist_of_the_oddest_channel_name_plays_over_http(
    alice: str, bucket: Bucket, configuration: Make, record: Make, tmp_path: Path
) -> None:
    """Promise: names in the playlist are URLs as they stand, whatever the channel is called."""
    channel = "../会议 🎥/#?%25&=\\\n"
    prefix = "rooms/2026"
    document = configuration(alice, sliceSeconds=SLICE_SECONDS, storage={"prefix": prefix})
    with record(document, channel=channel) as recorder:
        bucket.await_keys(".ts", 2)
        recorder.stop()
        assert recorder.wait() == 0
    safe = "..=2F=E4=BC=9A=E8=AE=AE=20=F0=9F=8E=A5=2F=23=3F=2525=26=3D=5C=0A"
    files = Files(bucket, f"{recorder.recording_id}_{safe}", prefix=f"{prefix}/")
    assert recorder.callbacks()[-1] == f"uploaded {files.stem}.m3u8"
    files.check_playlist(slice_seconds=SLICE_SECONDS)
    files.check_manifest()
    assert files.manifest["channel"] == channel
    check_played(play(bucket, f"{prefix}/{files.stem}.m3u8", directory=tmp_path), files)


def test_a_slice_that_was_lost_is_a_stated_gap_that_players_get_over(
    alice: str, s3: S3Server, bucket: Bucket, configuration: Make, record: Make, tmp_path: Path
) -> None:
    """Promise: a slice that vanished or was damaged before its upload is told, stated, and marked in the playlist."""
    with record(configuration(alice, sliceSeconds=SLICE_SECONDS)) as recorder:
        bucket.await_keys(".ts", 1)
        s3.stop()
        directory = tmp_path / "work" / recorder.recording_id
        await_true(lambda: len(list(directory.glob("*.ts"))) >= 6)
        closed = sorted(directory.glob("*.ts"))[:-1]
        closed[1].unlink()
        closed[3].write_bytes(b"x")
        s3.start()
        bucket.await_key(closed[4].name)
        recorder.stop()
        assert recorder.wait() == 0
    told = [
        line for line in recorder.lines if line.startswith("uploader-failure") and "the recording has a gap" in line
    ]
    assert [file.name in line for file, line in zip((closed[1], closed[3]), told, strict=True)] == [True, True]
    files = Files(bucket, f"{recorder.recording_id}_room")
    files.check_playlist(slice_seconds=SLICE_SECONDS)
    files.check_manifest()
    assert files.reasons() == ["FileLost", "FileDamaged"]
    assert files.discontinuities == 2
    check_with_ffmpeg(files.download(tmp_path / "bucket"), restarted=True)
    check_played(play(bucket, f"{files.stem}.m3u8", directory=tmp_path), files)
