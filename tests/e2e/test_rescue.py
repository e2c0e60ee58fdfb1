# SPDX-License-Identifier: Apache-2.0
"""A bucket that fails is told beside Recording, its place can be corrected, and what waits can be copied out."""

from pathlib import Path

import pytest

from tests.testbed.scene import BOB, Scene, condition, slices

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
