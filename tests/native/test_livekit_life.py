# SPDX-License-Identifier: Apache-2.0
"""What becomes of a recording when its LiveKit room, or the recorder's place in it, does not last.

The server makes no rooms by itself, so each test says when there is one, and for how long.
"""

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import media
from tests.support.livekit import API_KEY, API_SECRET, LiveKitServer, livekit_server, publisher, token
from tests.support.recorder import Recorder, recorder
from tests.support.room_recordings import (
    LEFT,
    RIGHT,
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

Document = Callable[..., dict[str, Any]]

MIDDLE = media.Region(0.45, 0.1, 0.1, 0.8)
"""All of it shows a picture that stands upright, too."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveKitServer]:
    with livekit_server(tmp_path_factory.mktemp("livekit"), auto_create=False) as server:
        yield server


@pytest.fixture
def room(tmp_path: Path) -> str:
    """The name of a room that no other test has."""
    return tmp_path.name


@pytest.fixture
def document(configuration: Document, running: LiveKitServer) -> Document:
    """Makes the document of a channel that is a room of the server."""

    def make(**fields: Any) -> dict[str, Any]:
        return of_room(configuration(**fields), running)

    return make


@pytest.fixture
def people(running: LiveKitServer, room: str, tmp_path: Path) -> Callable[..., Any]:
    """Starts somebody in the room."""
    return lambda identity, **fields: publisher(running, room, identity, log=tmp_path / "publishers.log", **fields)


def await_log(recorder: Recorder, words: str, *, times: int = 1) -> None:
    """Returns once the recording's log says so, this often."""
    await_true(lambda: sum(words in line for line in recorder.log()) >= times)


def await_slices(bucket: Bucket, more: int) -> None:
    """Returns once so many more slices are in the bucket."""
    bucket.await_keys(".ts", sum(key.endswith(".ts") for key in bucket.objects()) + more)


def failures(recorder: Recorder) -> list[str]:
    """What OnRecorderFailure told: code and words."""
    lines = [line.split(" ", 2) for line in recorder.lines]
    return [line[2] for line in lines if line[0] == "recorder-failure"]


def test_a_room_that_nobody_makes_is_asked_for_until_nobody_is_waited_for_any_more(
    document: Document, record: Callable[..., Any], room: str, bucket: Bucket
) -> None:
    """Promise: a server that makes no rooms by itself is no error of the recording: nobody came."""
    with record(document(maxWaitSeconds=4), channel=room) as recorder:
        assert recorder.wait() == 0
    missing, nobody = failures(recorder)
    assert missing.startswith("430 the recorder is not in the channel: the room does not exist, and the LiveKit server")
    assert nobody.startswith("434 nobody came to the channel within 4 s: ")
    assert "the room does not exist" in nobody
    assert not [key for key in bucket.objects() if key.endswith(".ts")]


def test_a_token_that_expires_while_the_room_is_waited_for_is_told(
    document: Document, record: Callable[..., Any], room: str, running: LiveKitServer, bucket: Bucket
) -> None:
    """Promise: who can no longer be let in hears that it is the token, and not that there is no room."""
    made = document(maxWaitSeconds=60)
    made["channels"][0]["livekit"] = {"url": running.url, "token": token(room, "recorder", seconds=4)}
    with record(made, channel=room) as recorder:
        recorder.await_line("fatal")
        recorder.wait()
    assert any("the channel refuses the recorder: the token has expired" in line for line in recorder.log())
    assert "the room does not exist" in failures(recorder)[0]
    assert not any("nobody came" in told for told in failures(recorder))
    assert not [key for key in bucket.objects() if key.endswith(".ts")]


def test_an_empty_room_is_left_when_nobody_came(
    document: Document, record: Callable[..., Any], room: str, running: LiveKitServer, bucket: Bucket
) -> None:
    """Promise: who is alone in a room waits as long as in any channel, and tells nothing but that."""
    running.ask("CreateRoom", room)
    with record(document(maxWaitSeconds=3), channel=room) as recorder:
        assert recorder.wait() == 0
    assert failures(recorder) == ["434 nobody came to the channel within 3 s"]
    assert not [key for key in bucket.objects() if key.endswith(".ts")]


def test_a_room_that_the_server_closes_behind_the_last_one_counts_as_empty(
    document: Document,
    record: Callable[..., Any],
    people: Callable[..., Any],
    room: str,
    running: LiveKitServer,
    bucket: Bucket,
    tmp_path: Path,
) -> None:
    """Promise: idle is who has nobody to record, whether the server keeps the room or not."""
    running.ask("CreateRoom", room, departure_timeout=1)
    with record(document(), channel=room, idle="8") as recorder:
        with people("alice") as alice:
            recorder.await_line("started")
            bucket.await_keys(".ts", 1)
            alice.tell("leave")
            empty = time.monotonic()
        assert recorder.wait() == 0
        lasted = time.monotonic() - empty
    assert 7 < lasted < 20
    assert failures(recorder)[0].endswith("the room was closed, as nobody was in it")
    assert failures(recorder)[-1] == "434 nobody was in the channel for 8 s"
    file, manifest = recorded(bucket, tmp_path / "bucket")
    assert Film(file).colours(1) == ["red"]
    assert manifest["gaps"] == []


def test_a_room_that_is_made_late_and_deleted_and_made_again_is_one_recording(
    document: Document,
    record: Callable[..., Any],
    people: Callable[..., Any],
    room: str,
    running: LiveKitServer,
    bucket: Bucket,
    tmp_path: Path,
) -> None:
    """Promise: the recorder is back as soon as the room is, and only the time in between is a gap."""
    with record(document(maxWaitSeconds=60), channel=room) as recorder:
        await_true(lambda: any("the room does not exist" in told for told in failures(recorder)))
        running.ask("CreateRoom", room)
        with people("alice"):
            recorder.await_line("started")
            await_slices(bucket, 1)
            running.ask("DeleteRoom", room)
            await_true(lambda: any("the room was deleted" in told for told in failures(recorder)))
        running.ask("CreateRoom", room)
        with people("bob", colour="blue", tone=880):
            await_log(recorder, "joined participant", times=2)
            await_slices(bucket, 1)
            recorder.stop()
            assert recorder.wait() == 0
    file, manifest = recorded(bucket, tmp_path / "bucket")
    assert {who["identity"] for who in manifest["participants"]} == {"alice", "bob"}
    _, alice_came, alice_left = seconds(manifest, "alice")
    _, bob_came, bob_left = seconds(manifest, "bob")
    # Whether alice is seen to leave before the room is gone depends on the order in which the server says so; where she
    # is, nobody was there to be missed.
    assert {gap["reason"] for gap in manifest["gaps"]} <= {"NotInChannel"}
    assert sum(map(gap_seconds, manifest["gaps"])) < bob_came - alice_left
    film = Film(file)
    assert film.colours((alice_came + alice_left) / 2) == ["red"]
    assert film.colours((bob_came + bob_left) / 2) == ["blue"]


@pytest.mark.parametrize("cause", ["an administrator", "a double"])
def test_a_recorder_that_is_thrown_out_ends_and_does_not_come_back(  # noqa: PLR0917 # what happens, and to whom
    cause: str,
    document: Document,
    record: Callable[..., Any],
    people: Callable[..., Any],
    room: str,
    running: LiveKitServer,
    bucket: Bucket,
    tmp_path: Path,
) -> None:
    """Promise: who has the recorder leave is obeyed at once; what was recorded until then is whole."""
    running.ask("CreateRoom", room)
    with people("alice"), record(document(), channel=room) as recorder:
        recorder.await_line("started")
        bucket.await_keys(".ts", 1)
        (identity,) = set(running.identities(room)) - {"alice"}
        if cause == "a double":
            with people(identity, colour="none", tone=0):
                assert recorder.wait() == 0
                assert sorted(running.identities(room)) == sorted(["alice", identity])
        else:
            running.ask("RemoveParticipant", room, identity=identity)
            assert recorder.wait() == 0
            assert running.identities(room) == ["alice"]
    said = {
        "an administrator": "the recorder was removed from the room",
        "a double": "somebody with the recorder's identity has joined the room, and takes its place",
    }
    assert failures(recorder) == [f"431 the recording ends: {said[cause]}"]
    assert [line.split()[0] for line in recorder.callbacks()[-2:]] == ["stopped", "uploaded"]
    file, _ = recorded(bucket, tmp_path / "bucket")
    assert Film(file).colours(1) == ["red"]


def test_who_died_before_the_recorder_came_is_nobody(
    document: Document,
    record: Callable[..., Any],
    people: Callable[..., Any],
    room: str,
    running: LiveKitServer,
    bucket: Bucket,
    tmp_path: Path,
) -> None:
    """Promise: the server lists the dead for twenty seconds; in the recording they have no place, and no time."""
    running.ask("CreateRoom", room)
    with people("alice"), people("bob", colour="blue", tone=880) as bob:
        running.await_tracks(room, "bob")
        bob.kill()
        with record(document(), channel=room, status="1") as recorder:
            recorder.await_line("started")
            recorder.await_recorded(3)
            assert "bob" in running.identities(room), "the server has noticed already"
            bucket.await_keys(".ts", 2)
            recorder.stop()
            assert recorder.wait() == 0
    assert not any(joined("bob")(status) or left("bob")(status) for status in recorder.statuses())
    file, manifest = recorded(bucket, tmp_path / "bucket")
    assert [who["identity"] for who in manifest["participants"]] == ["alice"]
    film = Film(file)
    for tenth in range(10, int(film.length * 10), 5):
        assert film.colours(tenth / 10, LEFT, RIGHT) == ["red", "red"], tenth / 10


def test_a_room_of_nobody_but_the_dead_is_empty(
    document: Document,
    record: Callable[..., Any],
    people: Callable[..., Any],
    room: str,
    running: LiveKitServer,
    bucket: Bucket,
) -> None:
    """Promise: nothing is recorded, and nobody is said to have been there, as only the server believes in them."""
    running.ask("CreateRoom", room)
    with people("alice") as alice:
        running.await_tracks(room, "alice")
        alice.kill()
        with record(document(maxWaitSeconds=6), channel=room) as recorder:
            recorder.await_line("recorder-failure")
            assert "alice" in running.identities(room), "the server has noticed already"
            assert recorder.wait() == 0
    assert failures(recorder) == ["434 nobody came to the channel within 6 s"]
    assert not [key for key in bucket.objects() if key.endswith(".ts")]


def test_who_speaks_again_after_having_been_muted_was_there_all_the_time(
    document: Document,
    record: Callable[..., Any],
    people: Callable[..., Any],
    room: str,
    running: LiveKitServer,
    bucket: Bucket,
    tmp_path: Path,
) -> None:
    """Promise: nothing comes of who is muted, and that is no broken connection when it ends."""
    running.ask("CreateRoom", room)
    with people("alice", colour="none") as alice, record(document(), channel=room, status="1") as recorder:
        recorder.await_line("started")
        recorder.await_recorded(1)
        alice.tell("mute audio")
        recorder.await_status(lambda status: not person(status, "alice")["audio"])
        recorder.await_recorded(6)
        alice.tell("unmute audio")
        recorder.await_status(lambda status: person(status, "alice")["audio"])
        recorder.await_recorded(3)
        recorder.stop()
        assert recorder.wait() == 0
    assert not any("connection" in line for line in recorder.log())
    (alice_s,) = recorded(bucket, tmp_path / "bucket")[1]["participants"]
    assert [presence.get("returns", 0) for presence in alice_s["presences"]] == [0]


def test_whoever_is_in_the_room_again_before_the_recorder_is_recorded(
    document: Document,
    record: Callable[..., Any],
    people: Callable[..., Any],
    room: str,
    running: LiveKitServer,
    bucket: Bucket,
    tmp_path: Path,
) -> None:
    """Promise: after a server that was started again, also those who came back first are seen and heard."""
    running.ask("CreateRoom", room)
    with record(document(reconnectSeconds=300), channel=room) as recorder:
        with people("alice"):
            bucket.await_keys(".ts", 1)
            running.kill()
        await_true(lambda: any("the recorder is not in the channel" in told for told in failures(recorder)))
        recorder.process.send_signal(signal.SIGSTOP)
        running.start()
        running.ask("CreateRoom", room)
        with people("alice", colour="blue", tone=880):
            await_true(lambda: "alice" in running.identities(room))
            recorder.process.send_signal(signal.SIGCONT)
            await_log(recorder, "INFO in the channel", times=2)
            await_slices(bucket, 2)
            recorder.stop()
            assert recorder.wait() == 0
    file, manifest = recorded(bucket, tmp_path / "bucket")
    (gap,) = manifest["gaps"]
    assert gap["reason"] == "NotInChannel"
    film = Film(file)
    assert film.colours(1) == ["red"]
    assert film.colours(film.length - 1) == ["blue"]
    assert film.hears_last(880)


def test_a_server_that_is_gone_for_longer_than_the_client_library_tries_is_joined_again(
    document: Document,
    record: Callable[..., Any],
    people: Callable[..., Any],
    room: str,
    running: LiveKitServer,
    bucket: Bucket,
    tmp_path: Path,
) -> None:
    """Promise: however long the server is gone, the recording goes on by itself, and the gap is stated."""
    running.ask("CreateRoom", room)
    with record(document(reconnectSeconds=300), channel=room) as recorder:
        with people("alice"):
            bucket.await_keys(".ts", 1)
            running.kill()
            gone = time.monotonic()
        # It tries for half a minute; then the recorder does.
        await_true(lambda: any("the LiveKit server cannot be reached" in told for told in failures(recorder)))
        running.start()
        running.ask("CreateRoom", room)
        with people("alice", colour="blue"):
            await_log(recorder, "reconnected")
            away = time.monotonic() - gone
            await_slices(bucket, 2)
            recorder.stop()
            assert recorder.wait() == 0
    assert recorder.callbacks().count("started") == 1
    file, manifest = recorded(bucket, tmp_path / "bucket")
    (alice,) = manifest["participants"]
    # Whoever is back within a minute has not left, but came again.
    assert [presence.get("returns", 0) for presence in alice["presences"]] in ([1], [0, 0])
    (gap,) = manifest["gaps"]
    assert gap["reason"] == "NotInChannel"
    # It begins when nobody was heard any more, and ends when the recorder is in the room again.
    assert away - 8 < gap_seconds(gap) < away
    film = Film(file)
    assert film.colours(1) == ["red"]
    assert film.colours(film.length - 1) == ["blue"]


@pytest.mark.parametrize("kind", ["a token", "an API key"])
def test_what_lets_the_recorder_in_may_expire_and_be_mended_while_the_server_is_away(  # noqa: PLR0917 # as above
    kind: str,
    document: Document,
    record: Callable[..., Any],
    people: Callable[..., Any],
    room: str,
    running: LiveKitServer,
    bucket: Bucket,
    tmp_path: Path,
) -> None:
    """Promise: an hour later a token has expired, or a key is another: told by name, and mended by the file alone."""
    key, secret, ready = (tmp_path / name for name in ("key", "secret", "token"))
    key.write_text(f"{API_KEY}\n")
    secret.write_text(f"{API_SECRET}\n")
    ready.write_text(token(room, "recorder", seconds=20))
    files = {"tokenFile": str(ready)} if kind == "a token" else {"apiKeyFile": str(key), "apiSecretFile": str(secret)}
    made = document(reconnectSeconds=600)
    made["channels"][0]["livekit"] = {"url": running.url, **files}
    running.ask("CreateRoom", room)
    with record(made, channel=room) as recorder:
        with people("alice"):
            bucket.await_keys(".ts", 1)
            running.kill()
        # The client library tries for half a minute, with a token that the server renewed.
        away = {"a token": "the token has expired", "an API key": "the LiveKit server cannot be reached"}
        await_true(lambda: any(away[kind] in told for told in failures(recorder)))
        secret.write_text("not-the-secret-of-this-key-at-all\n")
        running.start()
        running.ask("CreateRoom", room)
        said = {"a token": "the token has expired", "an API key": "does not accept the API key with this secret (401)"}
        await_true(lambda: any(said[kind] in told for told in failures(recorder)))
        with people("alice", colour="blue"):
            secret.write_text(f"{API_SECRET}\n")
            ready.write_text(token(room, "recorder"))
            await_log(recorder, "reconnected")
            await_slices(bucket, 2)
            recorder.stop()
            assert recorder.wait() == 0
    assert recorder.callbacks().count("started") == 1
    file, manifest = recorded(bucket, tmp_path / "bucket")
    (gap,) = manifest["gaps"]
    assert gap["reason"] == "NotInChannel"
    film = Film(file)
    assert (film.colours(1), film.colours(film.length - 1)) == (["red"], ["blue"])


def test_those_who_flit_in_and_out_leave_whole_who_stays(
    document: Document,
    record: Callable[..., Any],
    people: Callable[..., Any],
    room: str,
    running: LiveKitServer,
    bucket: Bucket,
    tmp_path: Path,
) -> None:
    """Promise: twenty joins and leaves in some ten seconds cost nobody else anything, and each is in the manifest."""
    running.ask("CreateRoom", room)
    with people("alice"), record(document(), channel=room, status="1") as recorder:
        recorder.await_line("started")
        with people("bob", colour="blue", tone=880) as bob, people("carol", colour="green", tone=1320) as carol:
            for flitting in (bob, carol):
                flitting.begin("flit 10")
            for flitting in (bob, carol):
                flitting.await_done()
            for there in ("bob", "carol"):
                recorder.await_status(joined(there))
            for flitting in (bob, carol):
                flitting.tell("leave")
        for gone in ("bob", "carol"):
            recorder.await_status(left(gone))
        recorder.await_recorded(2)
        recorder.stop()
        assert recorder.wait() == 0
    file, manifest = recorded(bucket, tmp_path / "bucket")
    assert {who["identity"] for who in manifest["participants"]} == {"alice", "bob", "carol"}
    (alice,) = [who for who in manifest["participants"] if who["identity"] == "alice"]
    assert len(alice["presences"]) == 1
    assert not any("no place" in line for line in recorder.log())
    assert manifest["gaps"] == []
    film = Film(file)
    assert film.colours(film.length - 1) == ["red"]
    assert all(film.hears(at, 440)[0] for at in range(1, int(film.length) - 1))


def test_a_camera_whose_pictures_change_their_size_each_second_is_shown_all_the_time(
    document: Document,
    record: Callable[..., Any],
    people: Callable[..., Any],
    room: str,
    running: LiveKitServer,
    bucket: Bucket,
    tmp_path: Path,
) -> None:
    """Promise: a size is fitted into its region from its first picture on; and two recorders do not see each other."""
    running.ask("CreateRoom", room)
    other = tmp_path / "other"
    other.mkdir()
    second = document(workDir=str(other / "work"))
    with people("alice") as alice, record(document(), channel=room, status="1") as first:
        first.await_line("started")
        options = {"--bucket": "films", "--channel": room}
        with recorder(second, directory=other, options=options) as beside:
            beside.await_line("started")
            for width, height in [(320, 180), (360, 640), (1280, 720), (64, 48), (642, 358), (640, 360)]:
                alice.tell(f"size {width} {height}")
                first.await_recorded(1)
            for each in (first, beside):
                each.stop()
                assert each.wait() == 0
    for each in (first, beside):
        file, manifest = recorded(bucket, tmp_path / "bucket", recording_id=each.recording_id)
        assert [who["identity"] for who in manifest["participants"]] == ["alice"]
        film = Film(file)
        assert {film.colours(tenth / 10, MIDDLE)[0] for tenth in range(10, int(film.length * 10) - 5)} == {"red"}


def test_a_still_screen_and_silence_are_not_taken_for_a_broken_connection(
    document: Document,
    record: Callable[..., Any],
    people: Callable[..., Any],
    room: str,
    running: LiveKitServer,
    bucket: Bucket,
    tmp_path: Path,
) -> None:
    """Promise: gone is whose connection broke, not who has nothing to show or to say."""
    running.ask("CreateRoom", room)
    with (
        people("alice", colour="none") as alice,
        people("bob", colour="none", tone=0) as bob,
        record(document(), channel=room, status="1") as recorder,
    ):
        recorder.await_line("started")
        alice.tell("hush")
        bob.tell("screen blue")
        recorder.await_status(joined("bob/screen"))
        recorder.await_recorded(1)
        bob.tell("still")
        recorder.await_recorded(12)
        recorder.stop()
        assert recorder.wait() == 0
    assert not any("nothing comes any more" in line for line in recorder.log())
    file, manifest = recorded(bucket, tmp_path / "bucket")
    assert [len(who["presences"]) for who in manifest["participants"]] == [1, 1]
    film = Film(file)
    assert film.colours(film.length - 1, RIGHT) == ["blue"]
