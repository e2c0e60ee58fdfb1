# SPDX-License-Identifier: Apache-2.0
"""A work volume that an outage of the bucket has filled: nothing is thrown away, and the status says so."""

from datetime import datetime, timedelta

from tests.testbed import pods
from tests.testbed.scene import BUCKET, Resource, Scene, condition, slices

FULL = "WorkVolumeFull"
KBPS = 8000


def test_a_full_work_volume_is_told_as_what_it_is_and_capture_goes_on_once_there_is_room(scene: Scene) -> None:
    """Promise (A1): Ready and Recording are False, the gap runs, the remedy is its own, and it ends by itself."""
    scene.target.kubectl.apply(pods.noise(name="noise", kbps=KBPS), namespace=scene.namespace)
    stream = {"uid": 1, "name": "noise", "url": f"rtmp://rtmp:{pods.RTMP_PORT}/live/noise"}
    picture = {"width": 640, "height": 360, "bitrateKbps": KBPS}
    scene.record(
        "full",
        streams=[stream],
        storage={"bucket": "nowhere"},
        recording={"sliceSeconds": 2, "video": picture},
        work={"emptyDir": {"sizeLimit": "64Mi"}},
    )
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
