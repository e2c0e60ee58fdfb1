# SPDX-License-Identifier: Apache-2.0
"""A bucket that goes away: what it does not take is in the backup, and the status always says where files are."""

from pathlib import Path

import m3u8
import pytest

from tests.testbed.scene import ALICE, BUCKET, SPARE, Resource, Scene, condition, slices

ENDS, WAITS = "is-brought-home", "comes-home"
_RECORDING = {"sliceSeconds": 5, "video": {"width": 320, "height": 240}}


@pytest.fixture(scope="module")
def away(scene: Scene) -> None:
    """Two recordings whose bucket went away while they recorded, both stopped: one waits for it, the other does not."""
    scene.join(ALICE)
    for name, grace in ((ENDS, 5), (WAITS, 3600)):
        scene.record(
            name,
            streams=[ALICE.stream()],
            recording=_RECORDING,
            backup={**scene.place(SPARE), "afterSeconds": 5},
            uploadGraceSeconds=grace,
        )
    for name in (ENDS, WAITS):
        scene.until(name, lambda recording: slices(recording) >= 1, "the bucket takes slices")
    scene.hide_bucket(BUCKET)
    for name in (ENDS, WAITS):
        scene.until(name, lambda recording: slices(recording, "backedUp") >= 2, "the backup takes what it does not")
        scene.stop(name)


def _part(recording: Resource) -> Resource:
    part: Resource = recording["status"]["parts"][0]
    return part


def _amounts(recording: Resource) -> tuple[int, int, int]:
    amounts = recording["status"]["slices"]
    return amounts["written"], amounts["uploaded"], amounts["backedUp"]


@pytest.mark.usefixtures("away")
def test_a_recording_is_concluded_in_the_backup_and_never_said_to_be_uploaded(scene: Scene, tmp_path: Path) -> None:
    """Its pod has ended, and with it what lay in its emptyDir: another one waits for the bucket."""
    finished = scene.until(
        ENDS, lambda seen: _part(seen)["state"] == "Rescuing" and "heardTime" in _part(seen), "heard"
    )
    said = {kind: condition(finished, kind)["status"] for kind in ("Succeeded", "Uploaded", "BackedUp", "StorageReady")}
    assert said == {"Succeeded": "Unknown", "Uploaded": "False", "BackedUp": "True", "StorageReady": "False"}
    assert condition(finished, "Ready")["reason"] == "BackedUp"
    assert condition(finished, "StorageReady")["reason"] == "NoSuchBucket"
    assert _part(finished)["pod"].endswith("-p0-r1")
    assert finished["status"]["lastError"]["reason"] == "NoSuchBucket"
    written, uploaded, backed_up = _amounts(finished)
    assert (written, "pending" in finished["status"]["slices"]) == (uploaded + backed_up, True)
    assert finished["status"]["slices"]["pending"] == 0
    (playlist,) = finished["status"]["backupPlaylists"]
    with scene.bucket() as address:
        spare = scene.opened_bucket(address, SPARE)
        files = spare.download(tmp_path, of=finished["status"]["recordingId"])
    listed = m3u8.loads(files[playlist["name"]].read_text())
    assert listed.is_endlist
    assert len(listed.segments) == backed_up
    assert {segment.uri for segment in listed.segments} <= set(files)
    assert playlist["url"].endswith(f"/{SPARE}/{playlist['name']}")
    assert "BackedUp" in {event["reason"] for event in scene.events_of(ENDS)}


@pytest.mark.usefixtures("away")
@pytest.mark.parametrize("name", [WAITS, ENDS])
def test_a_recording_comes_home_as_soon_as_the_bucket_is_back(scene: Scene, tmp_path: Path, name: str) -> None:
    """Promise: by the pod that recorded it while that waits, else by one that the operator makes."""
    if name == WAITS:
        waiting = scene.until_condition(name, "Ready", "False", reason="BackedUp")
        assert condition(waiting, "Finished")["status"] == "False"
        assert condition(waiting, "Uploaded")["status"] == "False"
        scene.show_bucket(BUCKET)
    finished = scene.finished(name)
    said = {kind: condition(finished, kind)["status"] for kind in ("Succeeded", "Uploaded", "BackedUp", "StorageReady")}
    assert said == {"Succeeded": "True", "Uploaded": "True", "BackedUp": "False", "StorageReady": "True"}
    assert condition(finished, "Ready")["reason"] == "Completed"
    assert finished["status"]["backupPlaylists"] == []
    assert "resolvedTime" in finished["status"]["lastError"]
    written, uploaded, backed_up = _amounts(finished)
    assert (uploaded, backed_up) == (written, 0)
    with scene.bucket() as address:
        files = scene.opened_bucket(address).download(tmp_path, of=finished["status"]["recordingId"])
    listed = m3u8.loads(files[finished["status"]["playlist"]].read_text())
    assert listed.is_endlist
    assert len(listed.segments) == written
    assert {segment.uri for segment in listed.segments} <= set(files)
