# SPDX-License-Identifier: Apache-2.0
"""What of a real LiveKit room is recorded, and how it is shown."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import media
from tests.support.livekit import LiveKitServer, publisher
from tests.support.recorder import Recorder
from tests.support.room_recordings import LEFT, RIGHT, WHOLE, Film, of_room, recorded
from tests.support.s3 import Bucket
from tests.support.stereo_signalling import stereo_signalling
from tests.support.waiting import await_true

pytestmark = pytest.mark.usefixtures("livekit_client")


TOP = media.Region(0.3, 0.01, 0.4, 0.08)
"""What a picture of 16:9 that is seen whole leaves of a canvas of 4:3."""
SMALL = media.Region(0.04, 0.8, 0.18, 0.14)
"""Float's first small region."""
UPPER, LOWER = media.Region(0.45, 0.1, 0.1, 0.3), media.Region(0.45, 0.6, 0.1, 0.3)
"""What a picture that stands upright fills, too."""
SMALLEST = "320x180"
"""Of the pictures of 960x540 that come in several sizes."""
LOW = "1"
"""The video stream type, as the published interface numbers it."""


def of_part(document: dict[str, Any], livekit: LiveKitServer, **fields: Any) -> dict[str, Any]:
    """The document of the server's room, with further fields of `livekit`."""
    made = of_room(document, livekit)
    made["channels"][0]["livekit"].update(fields)
    return made


def sizes(recorder: Recorder) -> list[str]:
    """Of the pictures that came from alice's camera, one after the other; her screen's are 1280x720."""
    told = [line.rpartition(" ")[2] for line in recorder.log() if 'the pictures of "alice" are ' in line]
    return [size for size in told if size != "1280x720"]


def test_what_is_not_wanted_is_not_asked_for_and_a_screen_leads_and_is_seen_whole(
    livekit: LiveKitServer,
    bucket: Bucket,
    configuration: Callable[..., Any],
    record: Callable[..., Any],
    tmp_path: Path,
) -> None:
    """Promise: an excluded person is no participant, and of no track that is not wanted a byte is sent.

    In Float a screen fills the canvas, but not beyond it, and gives its place back when it ends. Of simulcast
    those pictures are sent that fit where somebody is shown.
    """
    log = tmp_path / "publishers.log"
    document = of_part(
        configuration(log={"level": "Debug"}),
        livekit,
        identity="recorder",
        participants={"exclude": ["bob"]},
        sources=["Camera", "ScreenShare", "ScreenShareAudio"],
    )
    with (
        publisher(livekit, "room", "bob", log=log, colour="green", tone=880),
        publisher(livekit, "room", "alice", log=log, simulcast=True) as alice,
    ):
        alice.tell("screen blue")
        wanted = {alice.ask("track video"), alice.ask("track screen")}
        with record(document, layout="0", height="480") as recorder:
            recorder.await_line("started")
            bucket.await_keys(".ts", 1)
            await_true(lambda: sizes(recorder)[-1:] not in ([], ["960x540"]))
            alice.tell("unshare")
            await_true(lambda: any("left: " in line for line in recorder.log()))
            await_true(lambda: sizes(recorder)[-1:] == ["960x540"])
            # The one that is open, and one that shows how it is then.
            bucket.await_keys(".ts", 1 + len(bucket.await_keys(".ts", 1)))
            recorder.stop()
            assert recorder.wait() == 0
        assert livekit.subscribed("recorder") == wanted
    file, manifest = recorded(bucket, tmp_path / "bucket")
    assert {who["identity"] for who in manifest["participants"]} == {"alice", "alice/screen"}
    film = Film(file)
    assert film.colours(2, TOP, media.Region(0.3, 0.3, 0.4, 0.4), SMALL) == ["black", "blue", "red"]
    assert film.colours(film.length - 0.5, TOP, WHOLE) == ["red", "red"]
    assert film.hears(1, 440, 880) == [False, False]


@pytest.mark.parametrize("codec", ["VP8", "VP9", "H264", "AV1"])
def test_pictures_of_every_codec_are_recorded(
    codec: str,
    livekit: LiveKitServer,
    bucket: Bucket,
    configuration: Callable[..., Any],
    record: Callable[..., Any],
    tmp_path: Path,
) -> None:
    """Promise: whatever people's clients send is seen as it was sent."""
    log = tmp_path / "publishers.log"
    with publisher(livekit, "room", "alice", log=log, colour="red/blue", codec=codec):
        with record(of_room(configuration(), livekit)) as recorder:
            recorder.await_line("started")
            bucket.await_keys(".ts", 1)
            recorder.stop()
            assert recorder.wait() == 0
        people = livekit.ask("ListParticipants", "room")["participants"]
        assert f"video/{codec}" in {track["mime_type"] for who in people for track in who["tracks"]}
    film = Film(recorded(bucket, tmp_path / "bucket")[0])
    assert film.colours(film.length - 1, LEFT, RIGHT) == ["red", "blue"]


def test_a_phone_that_is_turned_is_seen_upright(
    livekit: LiveKitServer,
    bucket: Bucket,
    configuration: Callable[..., Any],
    record: Callable[..., Any],
    tmp_path: Path,
) -> None:
    """Promise: pictures are turned as they say that they are to be."""
    log = tmp_path / "publishers.log"
    with (
        publisher(livekit, "room", "alice", log=log, colour="red/blue", rotation=90),
        record(of_room(configuration(), livekit)) as recorder,
    ):
        recorder.await_line("started")
        bucket.await_keys(".ts", 1)
        recorder.stop()
        assert recorder.wait() == 0
    film = Film(recorded(bucket, tmp_path / "bucket")[0])
    assert film.colours(film.length - 1, UPPER, LOWER) == ["red", "blue"]


STEREO = "2"
"""The audio profile of two channels, as the published interface numbers it."""


def test_what_is_left_stays_left_and_who_has_one_channel_is_heard_on_both_sides(
    livekit: LiveKitServer,
    bucket: Bucket,
    configuration: Callable[..., Any],
    record: Callable[..., Any],
    tmp_path: Path,
) -> None:
    """Promise: a microphone with two channels is heard as it is, and nobody else on one side alone."""
    log = tmp_path / "publishers.log"
    with (
        stereo_signalling(livekit) as url,
        publisher(livekit, "room", "alice", log=log, colour="none", right_tone=880, url=url),
        publisher(livekit, "room", "bob", log=log, colour="none", tone=1320),
    ):
        with record(of_room(configuration(), livekit), profile=STEREO) as recorder:
            recorder.await_line("started")
            bucket.await_keys(".ts", 2)
            recorder.stop()
            assert recorder.wait() == 0
        people = livekit.ask("ListParticipants", "room")["participants"]
        assert {who["identity"]: track.get("stereo", False) for who in people for track in who["tracks"]} == {
            "alice": True,
            "bob": False,
        }
    file, _ = recorded(bucket, tmp_path / "bucket")
    heard = media.sound(file, channels=2)[-3 * media.SAMPLE_RATE :]
    sides = [heard[:, [side]] for side in range(2)]
    assert [[media.hears(side, tone) for tone in (440, 880, 1320)] for side in sides] == [
        [True, False, True],
        [False, True, True],
    ]


def test_of_several_sizes_the_smallest_is_sent_where_that_is_asked_for(
    livekit: LiveKitServer,
    bucket: Bucket,
    configuration: Callable[..., Any],
    record: Callable[..., Any],
    tmp_path: Path,
) -> None:
    """Promise: `videoStream: Low` costs no more than the smallest pictures, however large they are shown."""
    document = of_room(configuration(log={"level": "Debug"}), livekit)
    with (
        publisher(livekit, "room", "alice", log=tmp_path / "publishers.log", simulcast=True),
        record(document, **{"video-stream": LOW}) as recorder,
    ):
        recorder.await_line("started")
        bucket.await_keys(".ts", 2)
        assert sizes(recorder)[-1:] == [SMALLEST]
        recorder.stop()
        assert recorder.wait() == 0
    film = Film(recorded(bucket, tmp_path / "bucket")[0])
    assert film.colours(film.length - 1) == ["red"]
