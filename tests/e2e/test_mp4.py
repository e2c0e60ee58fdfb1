# SPDX-License-Identifier: Apache-2.0
"""An MP4 beside the slices: the status names it once it is in the bucket, and it is the whole recording."""

from pathlib import Path

import pytest

from tests.support import media
from tests.testbed.scene import ALICE, Scene, condition, slices

NAME = "with-mp4"


def test_the_status_names_the_mp4_which_is_the_whole_recording(scene: Scene, tmp_path: Path) -> None:
    scene.join(ALICE)
    scene.record(NAME, streams=[ALICE.stream()], recording={"outputs": ["HLS", "MP4"], "sliceSeconds": 5})
    recording = scene.until(NAME, lambda recording: slices(recording) >= 3, "slices are uploaded while it records")
    assert "mp4" not in recording["status"], "it is made after the stop"
    scene.stop(NAME)
    finished = scene.finished(NAME)
    status = finished["status"]
    assert condition(finished, "Uploaded")["status"] == "True"
    assert status["mp4"] == status["playlist"].replace(".m3u8", ".mp4")
    assert status["mp4URL"] == status["playlistURL"].replace(".m3u8", ".mp4")
    (listed,) = status["playlists"]
    assert (listed["mp4"], listed["mp4URL"]) == (status["mp4"], status["mp4URL"])
    with scene.bucket() as address:
        bucket = scene.opened_bucket(address)
        film = bucket.download(tmp_path, of=status["recordingId"])[status["mp4"]]
        assert bucket.content_type(status["mp4"]) == "video/mp4"
    seconds = len(media.packets(film, "video")) / 15
    assert seconds == pytest.approx(status["recordedSeconds"], abs=1.1)
    assert media.hears(media.sound(film), ALICE.tone_hz)
