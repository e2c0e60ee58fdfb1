# SPDX-License-Identifier: Apache-2.0
"""A directory on a claim as the store: the claim is waited for, what mounts it has the recording, and it may fail."""

import json
from typing import Any

import m3u8
import pytest
import yaml

from tests.cluster.layout import REPOSITORY
from tests.testbed import pods
from tests.testbed.scene import ALICE, Scene, condition, slices

EXAMPLE = REPOSITORY / "docs" / "examples" / "directory.yaml"
DEADLINE = "--timeout=120s"


@pytest.fixture(scope="module", autouse=True)
def _alice_is_there(scene: Scene) -> None:
    scene.join(ALICE)


def test_the_example_waits_for_its_claim_and_is_whole_there(scene: Scene) -> None:
    """Promise: whoever has a claim and no bucket gets every slice there, under a playlist that plays from there."""
    recording, claim = yaml.safe_load_all(EXAMPLE.read_text())
    recording["spec"]["channel"]["streams"] = [ALICE.stream()]
    recording["spec"]["recording"] = {"sliceSeconds": 2, "video": {"width": 320, "height": 240}}
    name, claim_name = recording["metadata"]["name"], claim["metadata"]["name"]
    scene.target.kubectl.apply(recording, namespace=scene.namespace)
    waiting = scene.until_condition(name, "Ready", "False", reason="WaitingForVolume")
    assert f'persistentvolumeclaim "{claim_name}" not found' in condition(waiting, "Ready")["message"]
    scene.target.kubectl.apply(claim, namespace=scene.namespace)
    recorded = scene.until(name, lambda seen: slices(seen) >= 2, "it goes on by itself once the claim is there")
    assert condition(recorded, "StorageReady")["status"] == "True"
    scene.stop(name)
    finished = scene.finished(name)
    said = {kind: condition(finished, kind)["status"] for kind in ("Succeeded", "Uploaded", "StorageReady")}
    assert said == {"Succeeded": "True", "Uploaded": "True", "StorageReady": "True"}
    status = finished["status"]
    assert not status.keys() & {"playlistURL", "lastError"}
    (part,) = status["parts"]
    assert part["storage"]["claimName"] == claim_name

    found = _on_claim(scene, claim_name, f"{recording['spec']['storage']['prefix']}/{status['playlist']}")
    listed = m3u8.loads(found["playlist"])
    assert listed.is_endlist
    assert len(listed.segments) == slices(finished, "written")
    assert all(found["sizes"][segment.uri] for segment in listed.segments)
    assert sum(found["sizes"][segment.uri] for segment in listed.segments) == status["bytes"]["written"]
    manifest = status["playlist"].replace(".m3u8", "_manifest.json")
    assert set(found["sizes"]) == {*(segment.uri for segment in listed.segments), status["playlist"], manifest}


def test_a_claim_that_takes_no_files_is_named_and_capture_goes_on(scene: Scene) -> None:
    """The volume belongs to root and its files cannot be given to the recorder's group."""
    volume = f"unwritable-store-{scene.namespace}"
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "unwritable"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "unwritable",
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    scene.target.kubectl.apply(pods.unwritable_volume(volume))
    scene.target.kubectl.apply(claim, namespace=scene.namespace)
    try:
        manifest = scene.manifest("unwritable", streams=[ALICE.stream()])
        manifest["spec"]["storage"] = {"directory": {"claimName": "unwritable"}}
        scene.target.kubectl.apply(manifest, namespace=scene.namespace)
        failing = scene.until(
            "unwritable",
            lambda seen: seen.get("status", {}).get("display") == "Recording,AccessDenied",
            "the claim's trouble stands beside Recording",
        )
        message = condition(failing, "StorageReady")["message"]
        assert message.startswith("claim 'unwritable': directory /mnt/storage cannot be written to by this user")
        assert "Let user or group 65532" in message
    finally:
        here = f"--namespace={scene.namespace}"
        discard = "cloudrecording.dev/discard=true"
        scene.target.kubectl("annotate", "crec", "unwritable", here, "--overwrite", discard)
        scene.target.kubectl("delete", "crec", "unwritable", here, "--ignore-not-found")
        scene.target.kubectl("delete", "pvc", "unwritable", here, "--ignore-not-found", "--wait=false")
        scene.target.kubectl("delete", "pv", volume, "--ignore-not-found", "--wait=false")


def _on_claim(scene: Scene, claim: str, playlist: str) -> dict[str, Any]:
    """The playlist, and the size of each file beside it, as another pod sees them that mounts the claim."""
    scene.target.kubectl.apply(pods.claim_reader("reader", claim=claim, playlist=playlist), namespace=scene.namespace)
    here = f"--namespace={scene.namespace}"
    scene.target.kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/reader", here, DEADLINE)
    found: dict[str, Any] = json.loads(scene.target.kubectl("logs", "reader", here))
    return found
