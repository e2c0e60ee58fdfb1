# SPDX-License-Identifier: Apache-2.0
"""A RecordingStorage on the real cluster: tried by a pod of its own, waited for, used, and held while it is used."""

from typing import Any

import pytest
import yaml

from tests.cluster.layout import REPOSITORY
from tests.testbed.scene import ALICE, BUCKET, SPARE, Scene, condition, slices

EXAMPLE = REPOSITORY / "docs" / "examples" / "storage.yaml"
DEADLINE = "--timeout=180s"
KEYS = "created-later"


@pytest.fixture(scope="module", autouse=True)
def _alice_is_there(scene: Scene) -> None:
    scene.join(ALICE)


def test_the_example_waits_for_its_secret_and_records_and_holds_its_storage(scene: Scene) -> None:
    """Promise: what is missing is said by storage and recording; once it is there both go on; no storage goes early."""
    storage, recording = yaml.safe_load_all(EXAMPLE.read_text())
    storage["spec"] |= {**scene.place(), "credentials": {"secretRef": {"name": KEYS}}}
    recording["spec"]["channel"]["streams"] = [ALICE.stream()]
    recording["spec"]["recording"] = {"sliceSeconds": 2, "video": {"width": 320, "height": 240}}
    name, prefix = recording["metadata"]["name"], storage["spec"]["prefix"]
    scene.target.kubectl.apply(storage, recording, namespace=scene.namespace)
    until(scene, storage, "WaitingForSecret")
    waiting = scene.until_condition(name, "Ready", "False", reason="WaitingForStorage")
    message = condition(waiting, "Ready")["message"]
    assert f"Secret '{KEYS}' with the key 'accessKey', named by `spec.credentials.secretRef`, is not there" in message
    assert not waiting["status"].get("parts")

    scene.put_credentials(scene.credentials, name=KEYS)
    ready = until(scene, storage, "Writable")
    assert ready["status"]["rights"] == {"put": "Allowed", "get": "Allowed", "delete": "Allowed"}
    recorded = scene.until(name, lambda seen: slices(seen) >= 2, "it goes on by itself once its storage is ready")
    assert recorded["status"]["playlistURL"].startswith(f"{scene.place()['endpoint']}/{BUCKET}/{prefix}/")

    here = f"--namespace={scene.namespace}"
    scene.target.kubectl("delete", "rstore", storage["metadata"]["name"], here, "--wait=false")
    held = until(scene, storage, "InUse")
    assert f"it is still used by '{name}'" in condition(held, "Ready")["message"]
    scene.stop(name)
    finished = scene.finished(name)
    assert condition(finished, "Succeeded")["status"] == "True"
    scene.target.kubectl("wait", f"rstore/{storage['metadata']['name']}", here, "--for=delete", DEADLINE)
    with scene.bucket() as address:
        keys = scene.opened_bucket(address).objects(of=prefix)
    assert all(finished["status"]["recordingId"] in key for key in keys), "nothing is left of the probes"
    assert f"{prefix}/{finished['status']['playlist']}" in keys


def test_a_bucket_that_is_not_there_is_named_and_tried_again(scene: Scene) -> None:
    """Promise: the storage's own word is the reason, the recording begins no part, and nobody has to ask twice."""
    storage = {
        "apiVersion": "cloudrecording.dev/v1alpha1",
        "kind": "RecordingStorage",
        "metadata": {"name": "spare"},
        "spec": scene.place(SPARE),
    }
    scene.hide_bucket(SPARE)
    scene.target.kubectl.apply(storage, namespace=scene.namespace)
    refused = until(scene, storage, "NoSuchBucket")
    assert "Create the bucket, or correct `spec.endpoint`" in condition(refused, "Ready")["message"]
    manifest = scene.manifest("spared", streams=[ALICE.stream()])
    manifest["spec"]["storage"] = {"ref": {"name": "spare"}}
    scene.target.kubectl.apply(manifest, namespace=scene.namespace)
    waiting = scene.until_condition("spared", "Ready", "False", reason="WaitingForStorage")
    assert (
        "RecordingStorage 'spare', which `spec.storage.ref` names, is not ready"
        in condition(waiting, "Ready")["message"]
    )
    scene.show_bucket(SPARE)
    scene.until("spared", lambda seen: slices(seen) >= 1, "it records once the bucket is there")
    scene.stop("spared")
    assert condition(scene.finished("spared"), "Succeeded")["status"] == "True"


def until(scene: Scene, storage: dict[str, Any], reason: str) -> dict[str, Any]:
    """The RecordingStorage as soon as its STATUS column has this word."""
    name, here = storage["metadata"]["name"], f"--namespace={scene.namespace}"
    scene.target.kubectl("wait", f"rstore/{name}", here, f"--for=jsonpath={{.status.display}}={reason}", DEADLINE)
    return scene.target.kubectl.get("rstore", name, namespace=scene.namespace)
