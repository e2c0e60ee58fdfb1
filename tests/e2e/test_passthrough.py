# SPDX-License-Identifier: Apache-2.0
"""One stream as it is: what was sent is in the bucket, and a participant who comes back finds the same recorder."""

from pathlib import Path

import m3u8

from tests.support import media
from tests.testbed.scene import ALICE, Scene, condition, slices

NAME = "as-it-is"
CANVAS = {"width": 320, "height": 240}


def _joined(recording: dict[str, object]) -> bool:
    participants = recording.get("status", {}).get("participants", [])  # type: ignore[attr-defined]
    return any(one["state"] == "Joined" for one in participants)


def test_a_stream_is_recorded_as_it_is_and_its_absence_is_a_gap(scene: Scene, tmp_path: Path) -> None:
    scene.join(ALICE)
    scene.record(
        NAME, streams=[ALICE.stream()], recording={"video": {**CANVAS, "passthrough": {}}, "maxIdleSeconds": 600}
    )
    scene.until(NAME, lambda recording: slices(recording) >= 1, "a slice is uploaded while it records")
    scene.leave(ALICE)
    scene.until(NAME, lambda recording: not _joined(recording), "alice has left")
    scene.join(ALICE)
    scene.until(NAME, _joined, "alice is back")
    before = slices(scene.get(NAME))
    scene.until(NAME, lambda recording: slices(recording) >= before + 1, "what she sends now is uploaded")
    (pod,) = scene.pods_of(NAME)
    scene.stop(NAME)
    status = scene.finished(NAME)["status"]
    assert condition({"status": status}, "Succeeded")["status"] == "True"
    assert status["slices"]["uploaded"] == status["slices"]["written"]
    assert status["gapCount"] == 1
    assert "lastError" not in status or "resolvedTime" in status["lastError"]
    assert pod["spec"]["containers"][0]["resources"]["requests"]["cpu"] == "105m"
    with scene.bucket() as address:
        files = scene.opened_bucket(address).download(tmp_path, of=status["recordingId"])
    listed = m3u8.loads(files[status["playlist"]].read_text())
    assert listed.is_endlist
    assert {media.size(files[uri]) for uri in listed.segments.uri} == {(640, 360)}, (
        "her picture's size, not the canvas's"
    )
    assert media.hears(media.sound(files[listed.segments.uri[0]]), ALICE.tone_hz)
