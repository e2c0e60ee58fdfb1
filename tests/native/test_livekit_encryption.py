# SPDX-License-Identifier: Apache-2.0
"""Rooms that are encrypted end to end: in clear with the right key, by name without it, and never as noise."""

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.livekit import LiveKitServer, publisher
from tests.support.recorder import Recorder
from tests.support.room_recordings import LEFT, RIGHT, Film, left, of_room, recorded, seconds
from tests.support.s3 import Bucket
from tests.support.waiting import await_true

pytestmark = pytest.mark.usefixtures("livekit_client")

OTHER_KEY = "it is encrypted end to end with another key than the recorder's"
NO_KEY = "it is encrypted end to end, and the recorder was given no key"

QUIET = 0.003
"""Less than codecs and the beginning of a tone leave beside it; what is not decrypted is ten times as loud."""


def messages(recorder: Recorder) -> dict[str, str]:
    """What is wrong with whom, by identity."""
    return {who["identity"]: who["message"] for who in recorder.statuses()[-1]["participants"]}


def causes(recorder: Recorder) -> dict[str, str | None]:
    """Why somebody is not recorded, in one word, by identity."""
    return {who["identity"]: who.get("cause") for who in recorder.statuses()[-1]["participants"]}


def test_who_has_another_key_is_told_by_name_and_recorded_once_the_key_is_mended(
    livekit: LiveKitServer,
    bucket: Bucket,
    configuration: Callable[..., Any],
    record: Callable[..., Any],
    tmp_path: Path,
) -> None:
    """Promise: a wrong key harms nobody else and is silence, not noise; a mended file is used without another join."""
    key = tmp_path / "key"
    key.write_text("wrong\n")
    document = of_room(configuration(sliceSeconds=2), livekit)
    document["channels"][0]["livekit"]["sharedKeyFile"] = str(key)
    log = tmp_path / "publishers.log"
    with (
        publisher(livekit, "room", "bob", log=log, colour="blue", tone=880),
        publisher(livekit, "room", "alice", log=log, shared_key="right"),
        record(document, status="1") as recorder,
    ):
        recorder.await_line("started")
        bucket.await_keys(".ts", 1)
        assert OTHER_KEY in messages(recorder)["alice"]
        assert messages(recorder)["bob"] == ""
        assert causes(recorder) == {"alice": "DecryptionFailed", "bob": None}
        key.write_text("right\n")
        await_true(lambda: messages(recorder)["alice"] == "")
        assert causes(recorder) == {"alice": None, "bob": None}
        assert recorder.statuses()[-1]["lastError"] is None
        bucket.await_keys(".ts", len(bucket.await_keys(".ts", 1)) + 2)
        recorder.stop()
        assert recorder.wait() == 0
    told = [line for line in recorder.lines if line.startswith("recorder-failure")]
    assert len(told) == 2
    assert all("437" in line and "(alice): the " in line and OTHER_KEY in line for line in told)
    assert {cause["cause"] for cause in recorder.statuses()[-1]["failureCauses"]} == {"DecryptionFailed"}
    file, manifest = recorded(bucket, tmp_path / "bucket")
    film = Film(file)
    assert seconds(manifest, "alice")[1] < 3, "who cannot be decrypted is in the room all the same"
    assert sorted(film.colours(1.5, LEFT, RIGHT)) == ["black", "blue"]
    assert film.hears(0.5, 440, 880) == [False, True]
    assert film.noise(0, 3, 440, 880) < QUIET
    assert sorted(film.colours(film.length - 1, LEFT, RIGHT)) == ["blue", "red"]
    assert film.hears(film.length - 2, 440, 880) == [True, True]
    assert film.noise(0, film.length - 1, 440, 880) < QUIET


def test_the_call_s_secret_decrypts_a_room_and_without_one_it_is_told_by_name(
    livekit: LiveKitServer,
    bucket: Bucket,
    configuration: Callable[..., Any],
    record: Callable[..., Any],
    tmp_path: Path,
) -> None:
    """Promise: the published interface's mode and secret are a room's shared key; no key is no silent black film.

    The error is over with whom it was about, and is one again when they come back.
    """
    ids = ["0123456789abcdef" * 2, "fedcba9876543210" * 2]
    documents = [{**of_room(configuration(), livekit), "recordingId": recording_id} for recording_id in ids]
    with contextlib.ExitStack() as stack:
        alice = stack.enter_context(
            publisher(livekit, "room", "alice", log=tmp_path / "publishers.log", shared_key="right words")
        )
        with_key = stack.enter_context(record(documents[0], decryption="1", secret="right words"))
        with_key.await_line("started")
        without = stack.enter_context(record(documents[1], uid="2", status="1"))
        assert NO_KEY in without.await_line(f"recorder-failure {ids[1]} 437", occurrence=2)
        bucket.await_keys(".ts", 1)
        alice.tell("flit 1")
        assert NO_KEY in without.await_line(f"recorder-failure {ids[1]} 437", occurrence=4), "it is so again"
        assert without.await_status(lambda status: status["lastError"] is not None)
        alice.tell("leave")
        without.await_status(lambda status: left("alice")(status) and status["lastError"] is None)
        for recorder in (with_key, without):
            recorder.stop()
            assert recorder.wait() == 0
    assert not any(line.startswith("recorder-failure") for line in with_key.lines)
    file, _ = recorded(bucket, tmp_path / "bucket", recording_id=ids[0])
    film = Film(file)
    assert film.colours(1) == ["red"]
    assert film.hears(1, 440) == [True]
    assert film.noise(0, film.length - 1, 440) < QUIET
    everything = "\n".join([*with_key.lines, *with_key.log(), (tmp_path / "recorder.log").read_text()])
    assert "right words" not in everything
