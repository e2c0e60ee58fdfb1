# SPDX-License-Identifier: Apache-2.0
"""A work volume that an outage of the bucket fills: a backup takes over before; without one nothing is thrown away."""

from datetime import datetime, timedelta
from typing import Any

from tests.testbed import pods
from tests.testbed.scene import BUCKET, SPARE, Resource, Scene, condition, slices

FULL = "WorkVolumeFull"
KBPS = 8000


def _record(scene: Scene, name: str, **spec: Any) -> None:
    """Records a megabyte a second onto a small work volume, whose bucket does not exist."""
    scene.target.kubectl.apply(pods.noise(name="noise", kbps=KBPS), namespace=scene.namespace)
    scene.record(
        name,
        streams=[{"uid": 1, "name": "noise", "url": f"rtmp://rtmp:{pods.RTMP_PORT}/live/noise"}],
        storage={"bucket": "nowhere"},
        recording={"sliceSeconds": 2, "video": {"width": 640, "height": 360, "bitrateKbps": KBPS}},
        work={"emptyDir": {"sizeLimit": "64Mi"}},
        **spec,
    )


def test_before_the_work_volume_is_full_the_backup_takes_over_and_nothing_pauses(scene: Scene) -> None:
    """Promise: whatever `backup.afterSeconds` says; the status tells what waits, and for how long there is room."""
    _record(scene, "spilt", backup={**scene.place(SPARE), "afterSeconds": 86_400})
    scene.until("spilt", lambda seen: seen["status"].get("pendingSeconds", 0) > 0, "something waits")
    waits = scene.until("spilt", lambda seen: bool(seen["status"].get("volumeLastsSeconds")), "the room is told")
    status = waits["status"]
    assert status["volumeFreeBytes"] < 52 << 20
    assert status["volumeLastsSeconds"] < 120
    assert "The work volume has room for" in condition(waits, "StorageReady")["message"]
    # More than ever has room at once: the volume has 64 MiB.
    scene.until("spilt", lambda seen: seen["status"]["bytes"]["written"] > 66 << 20, "the backup makes room")
    scene.patch("spilt", storage={"bucket": BUCKET})
    scene.stop("spilt")
    ended = scene.finished("spilt")
    assert condition(ended, "Uploaded")["status"] == "True"
    assert (ended["status"]["gapCount"], ended["status"]["pendingSeconds"]) == (0, 0)
    assert FULL not in {event["reason"] for event in scene.events_of("spilt")}
    with scene.bucket() as address:
        kept = scene.opened_bucket(address, SPARE).objects(of=ended["status"]["recordingId"])
    assert [name for name in kept if name.endswith(".ts")]


def test_a_full_work_volume_is_told_as_what_it_is_and_capture_goes_on_once_there_is_room(scene: Scene) -> None:
    """Promise (A1): Ready and Recording are False, the gap runs, the remedy is its own, and it ends by itself."""
    _record(scene, "full")
    full = scene.until_condition("full", "Ready", "False", reason=FULL)
    assert full["status"]["display"] == f"{FULL},NoSuchBucket"
    assert (condition(full, "Recording")["status"], condition(full, "Recording")["reason"]) == ("False", FULL)
    pod = full["status"]["parts"][0]["pod"]
    assert (
        f"the work volume of pod '{pod}' is nearly full, so nothing is recorded" in condition(full, "Ready")["message"]
    )
    assert f"{slices(full, 'pending')} slices are still to be uploaded" in condition(full, "Ready")["message"]
    assert condition(full, "StorageReady")["reason"] == "NoSuchBucket"
    longer = scene.until("full", lambda seen: _gap_seconds(seen) > _gap_seconds(full), "the gap goes on")
    running = longer["status"]["gaps"][-1]
    assert running["reason"] == FULL
    assert "stopTime" not in running
    error = longer["status"]["lastError"]
    assert (error["reason"], error["code"]) == (FULL, 437)
    assert error["remedy"].startswith("Mend what `StorageReady` tells; capture goes on by itself")

    scene.patch("full", storage={"bucket": BUCKET})
    scene.until_condition("full", "Recording", "True")
    again = scene.until("full", lambda seen: "stopTime" in (_gaps(seen) or [{}])[-1], "the gap is over")
    over = _gaps(again)[-1]
    # It is told from the order to pause on while it runs, and from the end of the last slice on once it is over.
    starts = [datetime.fromisoformat(gap["startTime"]) for gap in (over, running)]
    assert (abs(starts[0] - starts[1]) <= timedelta(seconds=1), over["reason"]) == (True, FULL)
    assert over["stopTime"] > over["startTime"]
    assert again["status"]["lastError"]["resolvedTime"]
    scene.stop("full")
    ended = scene.finished("full")
    assert condition(ended, "Succeeded")["status"] == "True"
    assert slices(ended) == slices(ended, "written")
    assert len(ended["status"]["parts"]) == 1
    assert FULL in {event["reason"] for event in scene.events_of("full") if event["type"] == "Warning"}


def _gaps(recording: Resource) -> list[Resource]:
    gaps: list[Resource] = recording["status"].get("gaps", [])
    return gaps


def _gap_seconds(recording: Resource) -> int:
    return int(recording["status"].get("gapSeconds", 0))
