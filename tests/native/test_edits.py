# SPDX-License-Identifier: Apache-2.0
"""A channel whose streams change while a program records it: what the bucket's manifest says of who was there."""

import json
import signal
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import m3u8

from tests.support.participants import participant
from tests.support.recorder import Recorder
from tests.support.rtmp import RtmpServer
from tests.support.s3 import Bucket
from tests.support.waiting import await_true


def _edit(recorder: Recorder, path: Path, streams: list[dict[str, Any]], *, occurrence: int) -> str:
    path.write_text(json.dumps({"streams": streams}))
    recorder.process.send_signal(signal.SIGHUP)
    return recorder.await_line("edited", occurrence=occurrence)


def _is_there(recorder: Recorder, uid: int, state: str) -> bool:
    told = [line for line in recorder.lines if line.startswith("status")][-1:]
    people = [one for line in told for one in json.loads(line.split(" ", 2)[2])["participants"]]
    return any(one["uid"] == uid and one["state"] == state for one in people)


def test_who_is_added_joins_who_is_removed_leaves_and_the_slices_go_on(
    alice: str,
    rtmp: RtmpServer,
    bucket: Bucket,
    configuration: Callable[..., Any],
    record: Callable[..., Any],
    tmp_path: Path,
) -> None:
    """Promise: one recording without a gap, whose manifest has everybody who was there, from when until when."""
    bob, document, edit = rtmp.url("edited-bob"), configuration(alice), tmp_path / "edit.json"
    first, second = {"uid": 1, "url": alice}, {"uid": 2, "url": bob, "name": "bob"}
    with participant(bob, log=tmp_path / "bob.log"), record(document, edit=str(edit), status="1") as recorder:
        recorder.await_line("started")
        assert _edit(recorder, edit, [first, first], occurrence=1).startswith("edited 432 streams[1].uid")
        assert _edit(recorder, edit, [first, second], occurrence=2).startswith("edited 0")
        await_true(lambda: _is_there(recorder, 2, "Joined"))
        assert _edit(recorder, edit, [second], occurrence=3).startswith("edited 0")
        await_true(lambda: _is_there(recorder, 1, "Left"))
        bucket.await_key(".ts")
        recorder.stop()
        assert recorder.wait() == 0
    stem = f"{recorder.recording_id}_room"
    manifest = json.loads(bucket.read(f"{stem}_manifest.json"))
    assert manifest["gaps"] == []
    assert [(person["uid"], person.get("name")) for person in manifest["participants"]] == [(1, None), (2, "bob")]
    (alice_was,), (bob_was,) = (person["presences"] for person in manifest["participants"])
    start, stop = (datetime.fromisoformat(manifest[name]) for name in ("startTime", "stopTime"))
    times = {name: datetime.fromisoformat(alice_was[name]) for name in ("joinTime", "leaveTime")}
    assert abs(times["joinTime"] - start) < timedelta(seconds=2)
    assert start < datetime.fromisoformat(bob_was["joinTime"]) < times["leaveTime"] < stop
    assert abs(datetime.fromisoformat(bob_was["leaveTime"]) - stop) < timedelta(seconds=1)
    segments = m3u8.loads(bucket.read(f"{stem}.m3u8").decode()).segments
    assert not any(segment.discontinuity for segment in segments[1:])
