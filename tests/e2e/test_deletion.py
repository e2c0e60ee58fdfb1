# SPDX-License-Identifier: Apache-2.0
"""Whatever a recording is deleted together with, what it recorded comes to the bucket first."""

import json
from pathlib import Path

import pytest

from tests.testbed import pods
from tests.testbed.scene import BOB, Scene, condition, slices


@pytest.fixture(scope="module", autouse=True)
def _bob_is_there(scene: Scene) -> None:
    scene.join(BOB)


def test_a_recording_that_is_deleted_together_with_its_secret_is_delivered_all_the_same(
    scene: Scene, tmp_path: Path
) -> None:
    """Promise (B3): the keys in memory are good for the rest, and who looks is told what is gone and the ways out."""
    name, here = "pruned", f"--namespace={scene.namespace}"
    manifest = scene.manifest(
        name,
        streams=[BOB.stream()],
        storage={"bucket": "made-at-last", "credentials": {"secretRef": {"name": "pruned-key"}}},
        recording={"sliceSeconds": 2},
    )
    key = pods.bucket_credentials(
        name="pruned-key", access_key=scene.credentials.access_key, secret_key=scene.credentials.secret_key
    )
    for file, content in (("recording.yaml", manifest), ("key.yaml", key)):
        (tmp_path / file).write_text(json.dumps(content))
    (tmp_path / "kustomization.yaml").write_text(json.dumps({"resources": ["recording.yaml", "key.yaml"]}))
    scene.target.kubectl("apply", f"--kustomize={tmp_path}", here)
    recording = scene.until(name, lambda seen: slices(seen, "pending") > 1, "slices wait for the bucket")

    scene.target.kubectl("delete", f"--kustomize={tmp_path}", here, "--wait=false")
    robbed = scene.until(
        name,
        lambda seen: "'pruned-key'" in condition(seen, "Ready").get("message", ""),
        "the Secret that is gone is named",
    )
    ready = condition(robbed, "Ready")
    assert (ready["status"], ready["reason"]) == ("False", "Deleting")
    assert "still to be uploaded" in ready["message"]
    assert "Secret 'pruned-key' with the key 'secretKey' is gone" in ready["message"]
    assert 'bring it back, or set the annotation `cloudrecording.dev/discard: "true"`' in ready["message"]
    (event,) = [event for event in scene.events_of(name) if event["reason"] == "WaitingForSecret"]
    assert event["type"] == "Warning"
    assert "Secret 'pruned-key' with the key 'secretKey' is gone" in event["note"]
    assert "Bring it back. To throw away what is not uploaded, delete the recording and set its" in event["note"]

    with scene.bucket() as address:
        bucket = scene.opened_bucket(address, "made-at-last")
        bucket.create()
        scene.target.kubectl("wait", "--for=delete", f"crec/{name}", here, "--timeout=180s")
        keys = bucket.objects(of=recording["status"]["recordingId"])
        (playlist,) = [key for key in keys if key.endswith(".m3u8")]
        listed = bucket.read(playlist).decode().splitlines()
    assert listed[-1] == "#EXT-X-ENDLIST"
    assert sorted(line for line in listed if line.endswith(".ts")) == [key for key in keys if key.endswith(".ts")]
    assert len(keys) > slices(robbed, "pending")
