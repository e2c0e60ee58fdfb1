# SPDX-License-Identifier: Apache-2.0
"""Every way a recording can end says in the status how and why, and what to do about it."""

import pytest

from tests.testbed import pods
from tests.testbed.scene import ALICE, BOB, Scene, condition


@pytest.fixture(scope="module", autouse=True)
def _bob_is_there(scene: Scene) -> None:
    scene.join(BOB)


def test_a_channel_that_nobody_ever_joins_ends_as_no_users(scene: Scene) -> None:
    scene.record("nobody", streams=[ALICE.stream()], recording={"maxWaitSeconds": 5})
    ended = scene.finished("nobody")
    assert condition(ended, "Succeeded")["status"] == "False"
    assert condition(ended, "Succeeded")["reason"] == "NoUsers"
    assert ended["status"]["lastError"]["code"] == 434
    assert ended["status"]["lastError"]["remedy"]


def test_a_channel_that_everybody_left_ends_as_idle_and_keeps_what_was_recorded(scene: Scene) -> None:
    scene.join(ALICE)
    scene.record("left", streams=[ALICE.stream()], recording={"maxIdleSeconds": 5})
    scene.until_condition("left", "Recording", "True")
    scene.leave(ALICE)
    ended = scene.finished("left")
    assert condition(ended, "Succeeded")["status"] == "True"
    assert condition(ended, "Succeeded")["reason"] == "ChannelIdle"
    assert ended["status"]["slices"]["uploaded"] >= 1


def test_a_channel_that_refuses_everybody_stalls_and_ends_as_that_when_it_is_stopped(scene: Scene) -> None:
    url = f"rtmp://rtmp:{pods.RTMP_PORT}/locked/alice"
    scene.record("refused", streams=[{"uid": 1, "url": url}])
    stalled = scene.until_condition("refused", "Stalled", "True", reason="StreamsRefused")
    assert stalled["status"]["lastError"]["code"] == 430
    assert stalled["status"]["lastError"]["remedy"]
    scene.stop("refused")
    ended = scene.finished("refused")
    assert condition(ended, "Succeeded")["status"] == "False"
    assert condition(ended, "Succeeded")["reason"] == "ConnectError"
    assert len(ended["status"]["parts"]) == 1


def test_a_work_volume_that_cannot_be_written_is_a_fatal_error(scene: Scene) -> None:
    """The volume belongs to root and its files cannot be given to the recorder's group."""
    claim = {"persistentVolumeClaim": {"storageClassName": "unwritable", "size": "1Gi"}}
    scene.target.kubectl.apply(pods.unwritable_volume(f"unwritable-{scene.namespace}"))
    try:
        scene.record("unwritable", streams=[BOB.stream()], work=claim, restart={"policy": "Never"})
        ended = scene.finished("unwritable")
        assert condition(ended, "Succeeded")["status"] == "False"
        assert ended["status"]["lastError"]["code"] in {436, 437}
        assert "/var/lib/cloud-recording" in ended["status"]["lastError"]["message"]
    finally:
        scene.target.kubectl("delete", "crec", "unwritable", f"--namespace={scene.namespace}", "--ignore-not-found")
        scene.target.kubectl("delete", "pv", f"unwritable-{scene.namespace}", "--ignore-not-found", "--wait=false")


def test_one_bad_stream_harms_nobody_else(scene: Scene) -> None:
    """An unreachable stream and one that sends garbage are participants with a message; the recording goes on."""
    nobody_listens = {"uid": 7, "name": "unreachable", "url": "rtmp://127.0.0.1:9/live/x"}
    garbage = {"uid": 8, "name": "garbage", "url": f"http://garbage:{pods.FILES_PORT}/bash"}
    scene.target.kubectl.apply(*pods.file_server("garbage", directory="/usr/bin"), namespace=scene.namespace)
    scene.record("bad-streams", streams=[BOB.stream(), nobody_listens, garbage])
    scene.until(
        "bad-streams",
        lambda seen: {7, 8} <= {p["uid"] for p in seen["status"].get("participants", []) if p.get("message")},
        "both say what is wrong",
    )
    scene.until_condition("bad-streams", "Recording", "True")
    scene.stop("bad-streams")
    assert condition(scene.finished("bad-streams"), "Succeeded")["status"] == "True"


def test_a_deleted_recording_is_stopped_uploaded_and_gone(scene: Scene) -> None:
    scene.record("deleted", streams=[BOB.stream()])
    recording = scene.until_condition("deleted", "Recording", "True")
    scene.target.kubectl("delete", "crec", "deleted", f"--namespace={scene.namespace}", "--timeout=180s")
    with scene.bucket() as address:
        bucket = scene.opened_bucket(address)
        keys = bucket.objects(of=recording["status"]["recordingId"])
        (playlist,) = [key for key in keys if key.endswith(".m3u8")]
        assert bucket.read(playlist).decode().rstrip().endswith("#EXT-X-ENDLIST")
    selector = f"cloudrecording.dev/recording-uid={recording['metadata']['uid']}"
    scene.target.kubectl(
        "wait", "--for=delete", "pod", f"--selector={selector}", f"--namespace={scene.namespace}", "--timeout=120s"
    )
