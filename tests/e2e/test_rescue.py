# SPDX-License-Identifier: Apache-2.0
"""A bucket that fails is told beside Recording, its place can be corrected, and what waits can be copied out;
what a pod left on a claim is delivered by another."""

import re
from functools import partial
from pathlib import Path

import pytest

from tests.testbed.scene import BOB, BUCKET, Resource, Scene, condition, slices

STORAGE_READY = "StorageReady"


@pytest.fixture(scope="module", autouse=True)
def _bob_is_there(scene: Scene) -> None:
    scene.join(BOB)


def test_a_wrong_bucket_is_told_at_once_copied_out_of_and_corrected(scene: Scene, tmp_path: Path) -> None:
    """Promise: media is kept safe meanwhile, `kubectl cp` gets it out, and a corrected bucket gets all of it."""
    scene.record("rescued", streams=[BOB.stream()], recording={"sliceSeconds": 2}, storage={"bucket": "nowhere"})
    failing = scene.until(
        "rescued",
        lambda seen: seen["status"].get("display") == "Recording,NoSuchBucket" and slices(seen, "pending") > 1,
        "the bucket's trouble stands beside Recording, and slices wait",
    )
    assert condition(failing, "Ready")["status"] == "True"
    assert 'bucket "nowhere"' in condition(failing, STORAGE_READY)["message"]
    pod, recording_id = failing["status"]["parts"][-1]["pod"], failing["status"]["recordingId"]
    namespace = f"--namespace={scene.namespace}"
    copy = str(tmp_path / "rescued" / recording_id)
    scene.target.kubectl("cp", f"{pod}:/var/lib/cloud-recording", copy, namespace)
    assert len(list((tmp_path / "rescued" / recording_id / recording_id).glob("*.ts"))) > 1
    assert scene.target.kubectl("logs", pod, namespace)

    scene.patch("rescued", storage={"bucket": "recordings"})
    healed = scene.until_condition("rescued", STORAGE_READY, "True")
    assert healed["status"]["lastError"]["resolvedTime"]
    scene.stop("rescued")
    ended = scene.finished("rescued")
    assert condition(ended, "Uploaded")["status"] == "True"
    assert slices(ended) == slices(ended, "written")
    assert ended["status"]["gapCount"] == 0
    reasons = {event["reason"]: event["type"] for event in scene.events_of("rescued")}
    assert (reasons["NoSuchBucket"], reasons["Writable"]) == ("Warning", "Normal")


def test_what_lost_pods_left_on_their_claims_is_delivered_by_others(scene: Scene) -> None:
    """Promise: one that was killed and one that ran out of time lose no closed slice, and nobody has to do anything."""
    scene.record(
        "claimed",
        streams=[BOB.stream()],
        recording={"sliceSeconds": 2},
        work={"persistentVolumeClaim": {"size": "1Gi"}},
        uploadGraceSeconds=1,
    )
    scene.until("claimed", lambda seen: slices(seen) > 0, "the bucket takes slices")
    scene.hide_bucket(BUCKET)
    try:
        for number, how in enumerate((["--grace-period=0", "--force"], [])):
            seen = scene.until("claimed", partial(_waits_for_some, number), f"slices of part {number} wait")
            pod = seen["status"]["parts"][number]["pod"]
            scene.target.kubectl("delete", "pod", pod, f"--namespace={scene.namespace}", "--wait=false", *how)
        scene.until("claimed", lambda seen: _waits(seen, 2) > 0, "a third part records")
        scene.until("claimed", lambda seen: _states(seen)[:2] == ["Rescuing"] * 2, "two pods deliver what is left")
        scene.stop("claimed")
        stuck = scene.until_condition("claimed", "Ready", "False", reason="Rescuing")
        assert re.search("what (the pod|is left) of part 0", condition(stuck, "Ready")["message"])
    finally:
        scene.show_bucket(BUCKET)
    ended = scene.finished("claimed")
    said = {kind: condition(ended, kind)["status"] for kind in ("Succeeded", "Uploaded")}
    assert said == {"Succeeded": "True", "Uploaded": "True"}
    assert _states(ended) == ["Concluded"] * 3
    assert [part["rescues"] for part in ended["status"]["parts"][:2]] == [1, 1]
    with scene.bucket() as address:
        files = scene.opened_bucket(address).objects(of=ended["status"]["recordingId"])
    stored = [name for name in files if name.endswith(".ts")]
    assert len(stored) == slices(ended) == slices(ended, "written")
    # One of each part, and the one over all of them.
    assert len([name for name in files if name.endswith(".m3u8")]) == 4
    assert ended["status"]["playlist"].endswith("_merged.m3u8")


def _waits_for_some(part: int, recording: Resource) -> bool:
    return _waits(recording, part) > 1


def _waits(recording: Resource, part: int) -> int:
    parts = recording["status"].get("parts", [])
    return int(parts[part]["slices"]["pending"]) if len(parts) > part else 0


def _states(recording: Resource) -> list[str]:
    return [part["state"] for part in recording["status"].get("parts", [])]
