# SPDX-License-Identifier: Apache-2.0
"""What of a real LiveKit room is recorded, and how it is shown."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.livekit import LiveKitServer, publisher
from tests.support.room_recordings import LEFT, RIGHT, Film, of_room, recorded
from tests.support.s3 import Bucket

pytestmark = pytest.mark.usefixtures("livekit_client")


def of_part(document: dict[str, Any], livekit: LiveKitServer, **fields: Any) -> dict[str, Any]:
    """The document of the server's room, with further fields of `livekit`."""
    made = of_room(document, livekit)
    made["channels"][0]["livekit"].update(fields)
    return made


def test_what_is_not_wanted_of_a_room_is_not_asked_for(
    livekit: LiveKitServer,
    bucket: Bucket,
    configuration: Callable[..., Any],
    record: Callable[..., Any],
    tmp_path: Path,
) -> None:
    """Promise: an excluded person is no participant, and of no track that is not wanted a byte is sent."""
    log = tmp_path / "publishers.log"
    document = of_part(
        configuration(),
        livekit,
        identity="recorder",
        participants={"exclude": ["bob"]},
        sources=["Camera", "ScreenShare", "ScreenShareAudio"],
    )
    with (
        publisher(livekit, "room", "bob", log=log, colour="green", tone=880),
        publisher(livekit, "room", "alice", log=log) as alice,
    ):
        alice.tell("screen blue")
        with record(document) as recorder:
            recorder.await_line("started")
            bucket.await_keys(".ts", 1)
            recorder.stop()
            assert recorder.wait() == 0
        assert livekit.subscribed("recorder") == {alice.ask("track video"), alice.ask("track screen")}
    file, manifest = recorded(bucket, tmp_path / "bucket")
    assert {who["identity"] for who in manifest["participants"]} == {"alice", "alice/screen"}
    film = Film(file)
    assert sorted(film.colours(2, LEFT, RIGHT)) == ["blue", "red"]
    assert film.hears(1, 440, 880) == [False, False]
