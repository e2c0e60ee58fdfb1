# SPDX-License-Identifier: Apache-2.0
"""Whoever dies while a recording runs, it goes on, and the status stays true."""

from pathlib import Path

import m3u8
import pytest

from tests.support.media import SAMPLE_RATE, duration, sound
from tests.testbed.cluster_target import OPERATOR_NAMESPACE
from tests.testbed.scene import ALICE, Resource, Scene, condition, slices

DEPLOYMENT = "deployment/cloud-recording"


def test_an_operator_restart_changes_nothing_in_a_running_recording(scene: Scene) -> None:
    """G6, G4: the pod is not touched, and what happened meanwhile arrives afterwards."""
    scene.join(ALICE)
    scene.record("operator-restart", streams=[ALICE.stream()])
    before = scene.until_condition("operator-restart", "Recording", "True")
    kubectl = scene.target.kubectl
    kubectl("rollout", "restart", DEPLOYMENT, f"--namespace={OPERATOR_NAMESPACE}")
    kubectl("rollout", "status", DEPLOYMENT, f"--namespace={OPERATOR_NAMESPACE}", "--timeout=180s")
    scene.until("operator-restart", lambda seen: slices(seen) > slices(before), "slices are counted again")
    (pod,) = scene.pods_of("operator-restart")
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0
    scene.stop("operator-restart")
    finished = scene.finished("operator-restart")
    assert condition(finished, "Succeeded")["status"] == "True"
    assert finished["status"].get("gapSeconds", 0) == 0


def test_a_killed_recorder_records_again_in_the_same_pod(scene: Scene) -> None:
    """G2: closed slices survive; the gap is stated."""
    scene.join(ALICE)
    scene.record("recorder-killed", streams=[ALICE.stream()])
    scene.until("recorder-killed", lambda seen: slices(seen, "written") >= 1, "a slice is closed")
    (pod,) = scene.pods_of("recorder-killed")
    scene.exec(pod["metadata"]["name"], "python3", "-c", KILL_RECORDER)
    scene.until("recorder-killed", lambda seen: _parts(seen)[0].get("recorderRestarts", 0) == 1, "the crash is counted")
    before = slices(scene.get("recorder-killed"))
    scene.until("recorder-killed", lambda seen: slices(seen) >= before + 2, "slices are uploaded again")
    scene.stop("recorder-killed")
    finished = scene.finished("recorder-killed")
    assert condition(finished, "Succeeded")["status"] == "True"
    assert len(_parts(finished)) == 1
    assert finished["status"]["gaps"]
    with scene.bucket() as address:
        keys = scene.opened_bucket(address).objects(of=finished["status"]["recordingId"])
    in_bucket = [key for key in keys if key.endswith(".ts")]
    assert finished["status"]["slices"]["uploaded"] == len(in_bucket)


def test_a_deleted_pod_is_followed_by_a_second_part_and_both_become_one(scene: Scene, tmp_path: Path) -> None:
    """Promise: one playlist and one MP4 over both parts play to the end, and the status names them as those to play."""
    scene.join(ALICE)
    video = {"layout": "BestFit", "width": 640, "height": 360}
    scene.record("pod-deleted", streams=[ALICE.stream()], recording={"outputs": ["HLS", "MP4"], "video": video})
    scene.until("pod-deleted", lambda seen: slices(seen) >= 1, "a slice is uploaded")
    (pod,) = scene.pods_of("pod-deleted")
    scene.target.kubectl("delete", "pod", pod["metadata"]["name"], f"--namespace={scene.namespace}", "--wait=false")
    scene.until("pod-deleted", lambda seen: len(_parts(seen)) == 2, "a second part is planned")
    scene.until(
        "pod-deleted",
        lambda seen: _parts(seen)[-1].get("slices", {}).get("uploaded", 0) >= 1,
        "the second part uploads",
    )
    scene.stop("pod-deleted")
    finished = scene.finished("pod-deleted")
    assert condition(finished, "Succeeded")["status"] == "True"
    assert [part["filePrefix"] for part in _parts(finished)] == ["", "bak0_"]
    with scene.bucket() as address:
        recorded = finished["status"]["recordingId"]
        bucket = scene.opened_bucket(address)
        names = [key for key in bucket.objects(of=recorded) if key.endswith(".ts")]
        for key in bucket.objects(of=recorded):
            (tmp_path / key).write_bytes(bucket.read(key))
    assert any(name.startswith("bak0_") for name in names)
    assert any(name.startswith(recorded) for name in names)
    assert finished["status"]["slices"]["uploaded"] == len(names)
    assert condition(finished, "PlaylistMerged")["status"] == "True"
    whole = tmp_path / finished["status"]["playlist"]
    assert whole.name.endswith("_merged.m3u8")
    segments = m3u8.loads(whole.read_text()).segments
    assert sorted(segment.uri for segment in segments) == sorted(names)
    assert sum(segment.discontinuity for segment in segments) == 1
    played = len(sound(whole)) / SAMPLE_RATE
    assert played == pytest.approx(sum(segment.duration for segment in segments), abs=1.0)
    film = tmp_path / finished["status"]["mp4"]
    assert film.name == whole.with_suffix(".mp4").name
    one_by_one = [duration(tmp_path / part["mp4"]) for part in _parts(finished)]
    assert duration(film) == pytest.approx(sum(one_by_one), abs=0.2)


def test_a_drained_node_is_left_in_order_and_recording_goes_on_elsewhere(scene: Scene) -> None:
    """B2: `kubectl drain` takes the recorder's pod without `--force`, and what it recorded is uploaded."""
    scene.join(ALICE)
    scene.record("drained", streams=[ALICE.stream()], recording={"sliceSeconds": 2})
    recording = scene.until("drained", lambda seen: slices(seen) >= 1, "a slice is uploaded")
    node = _parts(recording)[0]["node"]
    ours = f"--pod-selector=cloudrecording.dev/recording-uid={recording['metadata']['uid']}"
    try:
        # A cluster of one node has no other place meanwhile.
        scene.target.kubectl("drain", node, ours, "--delete-emptydir-data", "--timeout=180s")
    finally:
        scene.target.kubectl("uncordon", node)
    moved = scene.until(
        "drained",
        lambda seen: _parts(seen)[-1].get("slices", {}).get("uploaded", 0) >= 1 and len(_parts(seen)) == 2,
        "the second part uploads",
    )
    first = _parts(moved)[0]
    assert (first["state"], first["outcome"], first["reason"]) == ("Concluded", "Drained", "PodEnded")
    assert "Eviction API" in first["message"]
    assert first["slices"]["uploaded"] == first["slices"]["written"]
    scene.stop("drained")
    finished = scene.finished("drained")
    assert condition(finished, "Succeeded")["status"] == "True"
    assert slices(finished) == slices(finished, "written")
    assert first["message"] in finished["status"]["gaps"][-1]["reason"]


def _parts(recording: Resource) -> list[Resource]:
    parts: list[Resource] = recording.get("status", {}).get("parts", [])
    return parts


# The image has no pkill; the recorder process is the one whose command line says so.
KILL_RECORDER = """
import os, pathlib, signal
for entry in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
    words = entry.read_bytes().split(b"\\0")
    if b"recorder" in words or b"cloud_recording.runner.recorder.main" in words:
        os.kill(int(entry.parent.name), signal.SIGKILL)
"""
