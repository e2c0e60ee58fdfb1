# SPDX-License-Identifier: Apache-2.0
"""Who of a LiveKit room is a participant of the recording, and from when until when."""

import json
import statistics
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.livekit import LiveKitServer, publisher
from tests.support.room_recordings import left, of_room, person, recorded
from tests.support.s3 import Bucket

pytestmark = pytest.mark.usefixtures("livekit_client")

SOUND_ALONE = "0"
"""Of the stream types, as the published interface numbers them."""

WAITS = "waits for a place: seventeen others are recorded"


def there(status: dict[str, Any]) -> set[str]:
    """Whom the library's status says to be recorded."""
    return {who["identity"] for who in status["participants"] if who["state"] == "Joined"}


def test_who_finds_all_places_taken_waits_by_name_and_is_recorded_once_somebody_leaves(
    livekit: LiveKitServer,
    bucket: Bucket,
    configuration: Callable[..., Any],
    record: Callable[..., Any],
    tmp_path: Path,
) -> None:
    """Promise: agents and callers have places as anybody who sends something, and who only looks on has none.

    Whoever waits and goes again was nobody.
    """
    log = tmp_path / "publishers.log"
    others = [f"p{number}" for number in range(14)]
    seventeen = {"alice", "agent", "caller", *others}
    with (
        publisher(livekit, "room", "viewer", log=log, colour="none", tone=0),
        publisher(livekit, "room", "agent", log=log, colour="none", kind="agent", beside=others),
        publisher(livekit, "room", "caller", log=log, colour="none", kind="sip"),
        publisher(livekit, "room", "alice", log=log, colour="none") as alice,
        record(of_room(configuration(), livekit), streams=SOUND_ALONE, status="1") as recorder,
    ):
        recorder.await_status(lambda status: there(status) == seventeen)
        people = livekit.ask("ListParticipants", "room")["participants"]
        kinds = {who["identity"]: who["kind"] for who in people if "kind" in who}
        assert {"agent": "AGENT", "caller": "SIP", "viewer": "STANDARD"}.items() <= kinds.items()
        with (
            publisher(livekit, "room", "zoe", log=log, colour="none"),
            publisher(livekit, "room", "yan", log=log, colour="none") as yan,
        ):
            full = recorder.await_status(lambda status: bool(person(status, "zoe") and person(status, "yan")))
            assert there(full) == seventeen
            for name in ("zoe", "yan"):
                assert (person(full, name)["state"], person(full, name)["message"]) == ("Connecting", WAITS)
            yan.tell("leave")
            recorder.await_status(lambda status: not person(status, "yan"))
            alice.tell("leave")
            changed = recorder.await_status(lambda status: left("alice")(status) and "zoe" in there(status))
            assert there(changed) == {"zoe", *seventeen} - {"alice"}
            assert person(changed, "zoe")["message"] == ""
            recorder.await_recorded(1)
            recorder.stop()
            assert recorder.wait() == 0
    assert sum(WAITS in line for line in recorder.log()) == 2
    _, manifest = recorded(bucket, tmp_path / "bucket")
    assert {who["identity"] for who in manifest["participants"]} == {"zoe", *seventeen}


def test_presences_are_from_the_first_packet_to_the_leaving(
    livekit: LiveKitServer,
    bucket: Bucket,
    configuration: Callable[..., Any],
    record: Callable[..., Any],
    tmp_path: Path,
) -> None:
    """Promise: the manifest's times are those of who comes and goes, by their own clock, to a tenth of a second."""
    log = tmp_path / "publishers.log"
    with (
        publisher(livekit, "room", "alice", log=log, colour="none"),
        record(of_room(configuration(), livekit), streams=SOUND_ALONE, status="1") as recorder,
    ):
        recorder.await_line("started")
        recorder.await_recorded(1)
        with publisher(livekit, "room", "bob", log=log, colour="none", stays=1) as bob:
            bob.tell("flit 6")
            bob.tell("leave")
            stays = json.loads(bob.ask("stays"))
        recorder.await_status(left("bob"))
        recorder.stop()
        assert recorder.wait() == 0
    _, manifest = recorded(bucket, tmp_path / "bucket")
    (bob_s,) = [who for who in manifest["participants"] if who["identity"] == "bob"]
    told = [
        [datetime.fromisoformat(presence[when]).timestamp() for when in ("joinTime", "leaveTime")]
        for presence in bob_s["presences"]
    ]
    assert len(told) == len(stays)
    for kind, event in enumerate(("joins", "leaves")):
        off = [manifest_s[kind] - own[kind] for manifest_s, own in zip(told, stays, strict=True)]
        print(f"{event}: {[round(1000 * each) for each in off]} ms after their own clock")
        # Of one that happened while the machine was busy nothing follows.
        assert abs(statistics.median(off)) <= 0.1, off
