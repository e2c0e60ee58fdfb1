# SPDX-License-Identifier: Apache-2.0
"""What is missing is named, is waited for, and costs nothing that was recorded."""

import pytest

from tests.testbed.bucket import Credentials
from tests.testbed.scene import ALICE, Scene, condition, slices


@pytest.fixture(scope="module", autouse=True)
def _alice_is_there(scene: Scene) -> None:
    scene.join(ALICE)


def test_a_missing_secret_is_named_and_waited_for(scene: Scene) -> None:
    name = "missing-secret"
    reference = {"credentials": {"secretRef": {"name": "created-later"}}}
    scene.record(name, streams=[ALICE.stream()], storage=reference)
    waiting = scene.until_condition(name, "Ready", "False", reason="WaitingForSecret")
    assert "created-later" in condition(waiting, "Ready")["message"]
    assert "accessKey" in condition(waiting, "Ready")["message"]
    scene.put_credentials(scene.credentials, name="created-later")
    scene.until(name, lambda recording: slices(recording) >= 1, "it goes on by itself once the Secret is there")
    scene.stop(name)
    assert condition(scene.finished(name), "Succeeded")["status"] == "True"


def test_a_wrong_key_never_stops_capture_and_heals(scene: Scene) -> None:
    name = "wrong-key"
    scene.put_credentials(Credentials(scene.credentials.access_key, "not-the-secret-key"), name="wrong-key")
    scene.record(name, streams=[ALICE.stream()], storage={"credentials": {"secretRef": {"name": "wrong-key"}}})
    failing = scene.until(
        name, lambda recording: "lastError" in recording.get("status", {}), "the refusal is in the status"
    )
    error = failing["status"]["lastError"]
    assert error["code"] == 439
    assert "SignatureDoesNotMatch" in error["message"]
    assert error["remedy"]
    scene.until_condition(name, "Recording", "True")
    scene.put_credentials(scene.credentials, name="wrong-key")
    scene.until(name, lambda recording: slices(recording) >= 2, "everything is uploaded once the key is right")
    scene.stop(name)
    _succeeded_without_loss(scene, name)


def test_a_bucket_that_is_not_there_is_named_and_waited_for(scene: Scene) -> None:
    name = "no-bucket"
    scene.record(name, streams=[ALICE.stream()], storage={"bucket": "made-later"})
    failing = scene.until(
        name, lambda recording: "lastError" in recording.get("status", {}), "the missing bucket is in the status"
    )
    assert "made-later" in failing["status"]["lastError"]["message"]
    scene.until_condition(name, "Recording", "True")
    with scene.bucket() as address:
        scene.opened_bucket(address, "made-later").create()
    scene.until(name, lambda recording: slices(recording) >= 2, "everything is uploaded once the bucket is there")
    scene.stop(name)
    _succeeded_without_loss(scene, name)


def test_a_url_that_leads_where_nobody_may_go_stalls_the_recording_until_its_secret_is_mended(scene: Scene) -> None:
    """Promise (A9): one pod; Secret, key and participant are named. Only who resolves the name sees the address."""
    name = "misled"
    _put_url(scene, "rtmp://0xa9fea9fe/latest/meta-data")
    stream = {"uid": 1, "name": "alice", "urlSecretRef": {"name": "stream-urls", "key": "alice"}}
    scene.record(name, streams=[stream])
    stalled = scene.until_condition(name, "Stalled", "True", reason="StreamsRefused")
    message = condition(stalled, "Ready")["message"]
    assert "participant 1 'alice': the URL leads to a link-local address" in message
    assert "key 'alice' of Secret 'stream-urls' holds the URL of participant 1 'alice'" in message
    _put_url(scene, ALICE.stream()["url"])
    scene.until(name, lambda recording: slices(recording) >= 1, "it goes on by itself once the URL is right")
    scene.stop(name)
    _succeeded_without_loss(scene, name)
    assert len(scene.pods_of(name)) == 1


def _put_url(scene: Scene, url: str) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "stream-urls"}, "stringData": {"alice": url}}
    scene.target.kubectl.apply(secret, namespace=scene.namespace)


def _succeeded_without_loss(scene: Scene, name: str) -> None:
    finished = scene.finished(name)
    assert condition(finished, "Succeeded")["status"] == "True"
    assert finished["status"]["slices"]["uploaded"] == finished["status"]["slices"]["written"]
    assert finished["status"].get("gapSeconds", 0) == 0
