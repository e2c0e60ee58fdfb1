# SPDX-License-Identifier: Apache-2.0
"""The participants of a recording are edited while it records: the same pod goes on with others, without a gap."""

import json
from pathlib import Path

from tests.testbed.scene import ALICE, BOB, Resource, Scene, condition, slices

NAME = "edited"


def _there(recording: Resource) -> set[int]:
    return {one["uid"] for one in recording["status"].get("participants", []) if one["state"] == "Joined"}


def test_participants_are_added_and_removed_in_place(scene: Scene, tmp_path: Path) -> None:
    for who in (ALICE, BOB):
        scene.join(who)
    scene.record(NAME, streams=[ALICE.stream()])
    scene.until(NAME, lambda recording: slices(recording) >= 1 and _there(recording) == {1}, "alice is recorded")
    scene.patch(NAME, channel={"streams": [ALICE.stream(), BOB.stream()]})
    scene.until(NAME, lambda recording: _there(recording) == {1, 2}, "bob has joined")
    scene.patch(NAME, channel={"streams": [BOB.stream()]})
    scene.until(NAME, lambda recording: _there(recording) == {2}, "alice has left")
    before = slices(scene.get(NAME))
    scene.until(NAME, lambda recording: slices(recording) >= before + 1, "the slices go on")
    (pod,) = scene.pods_of(NAME)
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0
    scene.stop(NAME)
    status = scene.finished(NAME)["status"]
    assert condition({"status": status}, "Succeeded")["status"] == "True"
    assert status.get("gapCount", 0) == 0
    assert "lastError" not in status
    with scene.bucket() as address:
        files = scene.opened_bucket(address).download(tmp_path, of=status["recordingId"])
    (manifest,) = (json.loads(file.read_text()) for name, file in files.items() if name.endswith("_manifest.json"))
    assert {one["uid"]: len(one["presences"]) for one in manifest["participants"]} == {1: 1, 2: 1}
