# SPDX-License-Identifier: Apache-2.0
"""Rooms of a real LiveKit server, with people who come, leave, and are gone from one moment to the next."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import media
from tests.support.livekit import API_KEY, LiveKitServer, publisher, token
from tests.support.recorder import position
from tests.support.room_recordings import (
    LEFT,
    RIGHT,
    WHOLE,
    Film,
    gap_seconds,
    joined,
    left,
    of_room,
    person,
    recorded,
    seconds,
)
from tests.support.s3 import Bucket
from tests.support.waiting import await_true

pytestmark = pytest.mark.usefixtures("livekit_client")

STALE = 2
"""Seconds: a status is a second old, or more on a busy machine."""


def test_a_room_is_recorded_with_who_comes_late_who_leaves_and_who_is_killed(
    livekit: LiveKitServer,
    bucket: Bucket,
    configuration: Callable[..., Any],
    record: Callable[..., Any],
    tmp_path: Path,
) -> None:
    """Promise: a room is a channel like any other; nobody in it has to be named, and the dead are gone in 4 s."""
    log = tmp_path / "publishers.log"
    document = of_room(configuration(), livekit)
    with publisher(livekit, "room", "alice", log=log), record(document, status="1") as recorder:
        recorder.await_line("started")
        alone = recorder.await_recorded(3)
        with publisher(livekit, "room", "7", log=log, colour="blue", tone=880) as bob:
            bob_came = position(recorder.await_status(joined("7")))
            bob_leaves = recorder.await_recorded(4)
            bob.tell("leave")
            bob_left = position(recorder.await_status(left("7")))
        with publisher(livekit, "room", "carol", log=log, colour="green", tone=1320) as carol:
            recorder.await_status(joined("carol"))
            killed = recorder.await_recorded(3)
            carol.kill()
            recorder.await_status(left("carol"))
        recorder.stop()
        assert recorder.wait() == 0
    callbacks = [line for line in recorder.callbacks() if not line.startswith("status ")]
    assert callbacks[:2] == ["connecting", "started"]
    assert callbacks[-1].startswith("uploaded")
    file, manifest = recorded(bucket, tmp_path / "bucket")
    uid, came, gone = seconds(manifest, "7")
    assert uid == 7
    assert alone < came < bob_came + STALE
    assert bob_leaves - STALE < gone < bob_left + STALE
    _, _, lost = seconds(manifest, "carol")
    assert 2 < lost - killed < 9
    middle = (came + gone) / 2
    film = Film(file)
    assert film.colours(middle, LEFT, RIGHT) == ["red", "blue"]
    assert film.hears(middle - 0.5, 440, 880) == [True, True]
    assert film.colours(came - 1) == ["red"]
    assert film.hears(came - 1.5, 440, 880) == [True, False]


def test_what_is_muted_is_not_shown_and_a_shared_screen_is_a_participant(
    livekit: LiveKitServer,
    bucket: Bucket,
    configuration: Callable[..., Any],
    record: Callable[..., Any],
    tmp_path: Path,
) -> None:
    """Promise: a mute is seen at once, and a screen has a place and an entry of its own. The token is the call's."""
    document = of_room(configuration(), livekit, identity="recorder", hidden=True)
    with (
        publisher(livekit, "talks", "alice", log=tmp_path / "publishers.log") as alice,
        record(document, channel="talks", token=token("talks", "recorder", hidden=True), status="1") as recorder,
    ):
        recorder.await_line("started")
        told, moments = {}, {}
        for command, seen in {
            "screen blue": joined("alice/screen"),
            "unshare": left("alice/screen"),
            "mute video": lambda status: not person(status, "alice")["video"],
            "unmute video": lambda status: person(status, "alice")["video"],
        }.items():
            told[command] = recorder.await_recorded(1)
            alice.tell(command)
            moments[command] = position(recorder.await_status(seen)) + 1
            recorder.await_recorded(2)
        recorder.stop()
        assert recorder.wait() == 0
    file, manifest = recorded(bucket, tmp_path / "bucket")
    _, came, gone = seconds(manifest, "alice/screen")
    assert told["screen blue"] - STALE < came < moments["screen blue"]
    assert told["unshare"] - STALE < gone < moments["unshare"]
    film = Film(file)
    assert film.colours(moments["screen blue"], LEFT, RIGHT) == ["red", "blue"]
    assert film.colours(moments["unshare"]) == ["red"]
    assert film.colours(moments["mute video"]) == ["black"]
    assert film.colours(moments["unmute video"]) == ["red"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"apiKey": API_KEY, "apiSecret": "not-the-secret-of-this-key-at-all"}, "API key with this secret (401)"),
        ({"token": token("room", "recorder", seconds=-60)}, "the token has expired"),
        ({"token": token("other", "recorder")}, 'the token is for the room "other"'),
        ({"token": token("room", "recorder", secret="not-the-secret-of-this-key-at-all")}, "accept the token (401)"),
    ],
)
def test_who_is_not_let_in_hears_why(
    fields: dict[str, Any],
    said: str,
    livekit: LiveKitServer,
    configuration: Callable[..., Any],
    record: Callable[..., Any],
    bucket: Bucket,  # noqa: ARG001
    tmp_path: Path,
) -> None:
    """Promise: what is wrong with a key or a token is told by name, at once, and neither is repeated."""
    with record(of_room(configuration(), livekit, **fields)) as recorder:
        recorder.await_line("fatal")
        recorder.wait()
    assert any(said in line for line in recorder.log())
    told = "\n".join([*recorder.lines, *recorder.log(), (tmp_path / "recorder.log").read_text()])
    assert not any(secret in told for secret in ("eyJ", "not-the-secret"))


def test_a_server_that_is_started_again_is_joined_again(
    livekit: LiveKitServer,
    bucket: Bucket,
    configuration: Callable[..., Any],
    record: Callable[..., Any],
    tmp_path: Path,
) -> None:
    """Promise: a server's restart is an interruption, told as that, and the recording goes on by itself."""
    log = tmp_path / "publishers.log"
    with record(of_room(configuration(reconnectSeconds=120), livekit)) as recorder:
        with publisher(livekit, "room", "alice", log=log):
            recorder.await_line("started")
            bucket.await_keys(".ts", 1)
            livekit.kill()
        await_true(lambda: any("reconnecting" in line for line in recorder.log()))
        livekit.start()
        with publisher(livekit, "room", "bob", log=log, colour="blue", tone=880):
            await_true(lambda: any("reconnected" in line for line in recorder.log()))
            await_true(lambda: sum("joined" in line for line in recorder.log()) > 1)
            # The one that was open, and one in which bob alone is seen.
            bucket.await_keys(".ts", 2 + len(bucket.await_keys(".ts", 1)))
            recorder.stop()
            assert recorder.wait() == 0
    _, manifest = recorded(bucket, tmp_path / "bucket")
    assert {who["identity"] for who in manifest["participants"]} == {"alice", "bob"}
    last = max((tmp_path / "bucket").glob("*.ts"))
    assert "blue" in {media.colour(picture, WHOLE) for picture in media.pictures(last, per_second=5)}


def test_a_room_that_everybody_has_left_ends_the_recording(
    livekit: LiveKitServer,
    configuration: Callable[..., Any],
    record: Callable[..., Any],
    bucket: Bucket,
    tmp_path: Path,
) -> None:
    """Promise: nobody in the room is idle time, like in any channel, and what was recorded is there."""
    with record(of_room(configuration(), livekit), idle="3") as recorder:
        with publisher(livekit, "room", "alice", log=tmp_path / "publishers.log") as alice:
            recorder.await_line("started")
            bucket.await_keys(".ts", 1)
            alice.tell("leave")
        assert recorder.wait() == 0
    assert "recorder-failure 434" in recorder.callbacks()
    file, _ = recorded(bucket, tmp_path / "bucket")
    assert Film(file).colours(1) == ["red"]


def test_without_the_client_library_the_start_says_how_to_get_it(
    configuration: Callable[..., Any],
    record: Callable[..., Any],
    bucket: Bucket,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Promise: the start is refused, and its words name the file and where it may be."""
    monkeypatch.setenv("CLOUD_RECORDING_LIVEKIT_LIBRARY", str(tmp_path / "liblivekit_ffi.so"))
    document = configuration()
    document["channels"] = [{"livekit": {"url": "ws://127.0.0.1:9", "apiSecret": "secret"}}]
    with record(document) as recorder:
        assert recorder.wait() != 0
    (refused,) = [line for line in recorder.log() if "StartCloudRecording is refused" in line]
    assert "liblivekit_ffi.so of the PyPI package livekit" in refused


def test_a_recorder_that_is_killed_is_back_in_the_room_with_the_same_participants(
    livekit: LiveKitServer,
    bucket: Bucket,
    configuration: Callable[..., Any],
    record: Callable[..., Any],
    tmp_path: Path,
) -> None:
    """Promise: another process with the same ID goes on under the same identity, and nobody counts twice.

    The room's name is longer than a channel's may be.
    """
    room = "Wöchentliche Runde " * 10
    document = {**of_room(configuration(), livekit), "recordingId": "0123456789abcdef" * 2}
    document["channels"][0]["livekit"]["room"] = room
    with publisher(livekit, room, "alice", log=tmp_path / "publishers.log"):
        with record(document) as recorder:
            recorder.await_line("started")
            bucket.await_keys(".ts", 1)
        with record(document) as recorder:
            recorder.await_line("started")
            bucket.await_keys(".ts", 1 + len(bucket.await_keys(".ts", 1)))
            recorder.stop()
            assert recorder.wait() == 0
    _, manifest = recorded(bucket, tmp_path / "bucket")
    assert [who["identity"] for who in manifest["participants"]] == ["alice"]
    (gap,) = manifest["gaps"]
    assert gap_seconds(gap) < 6
