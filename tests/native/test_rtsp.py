# SPDX-License-Identifier: Apache-2.0
"""RTSP sources: GStreamer's server plays the participant, which shares no code with the recorder."""

import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import m3u8
import pytest

from tests.support import media
from tests.support.media import Region
from tests.support.ports import await_listener, free_port
from tests.support.processes import running
from tests.support.s3 import Bucket

PROGRAM = Path(__file__).parents[1] / "testbed" / "rtsp-server"
TONE_HZ = 880


@dataclass(frozen=True)
class RtspServer:
    """A running server and the URL of what it serves."""

    process: subprocess.Popen[bytes]
    port: int

    def url(self, name: str) -> str:
        return f"rtsp://127.0.0.1:{self.port}/{name}"


@pytest.fixture
def rtsp(tmp_path: Path) -> Iterator[RtspServer]:
    port = free_port()
    command = ["/usr/bin/python3", str(PROGRAM), str(port), "0xff0000ff", str(TONE_HZ)]
    with running(command, log=tmp_path / "rtsp.log") as process:
        await_listener(port)
        yield RtspServer(process, port)


def test_an_rtsp_source_is_recorded_through_a_freeze(
    rtsp: RtspServer,
    bucket: Bucket,
    configuration: Callable[..., Any],
    record: Callable[..., Any],
    tmp_path: Path,
) -> None:
    """Promise: what an RTSP server sends is in the recording, and its freezing leaves no hole in the time line."""
    with record(configuration(rtsp.url("live"))) as recorder:
        recorder.await_line("started")
        bucket.await_key(".ts")
        rtsp.process.send_signal(signal.SIGSTOP)
        written = len(bucket.await_keys(".ts", 1))
        bucket.await_keys(".ts", written + 1)
        rtsp.process.send_signal(signal.SIGCONT)
        bucket.await_keys(".ts", written + 3)
        recorder.stop()
        assert recorder.wait() == 0
        playlist = bucket.read(f"{recorder.recording_id}_room.m3u8").decode()
    bucket.download(tmp_path / "bucket")
    names = [segment.uri for segment in m3u8.loads(playlist).segments]
    recorded = media.joined([tmp_path / "bucket" / name for name in names], tmp_path / "all.ts")
    assert media.breaks(media.packets(recorded, "video"), tolerance=0.002) == []
    assert media.breaks(media.packets(recorded, "audio"), tolerance=0.002) == []
    first = media.pictures(recorded, per_second=1)[2]
    assert media.colour(first, Region(0.25, 0.4, 0.5, 0.2)) == "blue"
    assert media.hears(media.sound(recorded, start=1.5, seconds=1), TONE_HZ)


@pytest.mark.usefixtures("bucket")
def test_an_rtsp_server_that_says_401_refuses(
    rtsp: RtspServer, configuration: Callable[..., Any], record: Callable[..., Any]
) -> None:
    """Promise: a channel that says no to every source is a ConnectError, by RTSP too."""
    with record(configuration(rtsp.url("locked"))) as recorder:
        assert recorder.wait() == 1
    assert recorder.callbacks() == ["connecting", "fatal 430"]
