# SPDX-License-Identifier: Apache-2.0
"""The node of a recording is gone, comes back, and shuts down in order, while slices wait for a bucket that is away.

These are the two rows of `docs/operations.md`, "How a recording leaves", that take away the only node, and with it
bucket, channel and operator. The tests go on from one another, and are the last ones, for what they leave behind: two
recordings go through all of it, on a claim and on an emptyDir.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.node import NODE_NAME
from tests.cluster.target import Target, uses_current_cluster
from tests.testbed.cluster_target import OPERATOR_NAMESPACE
from tests.testbed.scene import BOB, BUCKET, Resource, Scene, condition, slices

pytestmark = pytest.mark.skipif(
    uses_current_cluster(), reason="CLUSTER=current: it is the tests' own node that is taken away, and no other"
)

CLAIMED, HELD = "claimed", "held"
"""The one works on a claim, the other on an emptyDir."""
NAMES = (CLAIMED, HELD)
SHUT_DOWN = "Pod was terminated in response to imminent node shutdown"
"""The kubelet's words."""


@pytest.fixture(scope="module")
def node(scene: Scene) -> Iterator[Cluster]:
    """The cluster whose node is taken away; afterwards it is there, and so is the operator."""
    assert scene.target.own is not None
    yield scene.target.own
    _bring_back(scene.target)
    failed = ("--all-namespaces", "--field-selector=status.phase=Failed", "--wait=false")
    scene.target.kubectl("delete", "pods", *failed)


@pytest.fixture(scope="module", autouse=True)
def waiting(scene: Scene, node: Cluster) -> None:  # noqa: ARG001 # which is to be given back before the scene ends
    """The bucket is away before it gets a slice: the server's own volume goes with its node, and all that is on it."""
    scene.join(BOB)
    scene.hide_bucket(BUCKET)
    for name, work in ((CLAIMED, {"persistentVolumeClaim": {"size": "1Gi"}}), (HELD, {"emptyDir": {}})):
        scene.record(
            name,
            streams=[BOB.stream()],
            recording={"sliceSeconds": 2, "video": {"width": 320, "height": 240}},
            pod={"resources": {"requests": {"cpu": "50m"}}},
            work=work,
        )
    for name in NAMES:
        _until_slices_wait(scene, name, part=0)


def _bring_back(target: Target) -> None:
    """Starts the node's kubelet, and returns when pods run again."""
    assert target.own is not None
    target.own.start("kubelet")
    target.kubectl("wait", "--for=condition=Ready", f"node/{NODE_NAME}", "--timeout=120s")
    operator = ("deployment/cloud-recording", f"--namespace={OPERATOR_NAMESPACE}", "--timeout=180s")
    target.kubectl("rollout", "status", *operator)


def _parts(recording: Resource) -> list[Resource]:
    parts: list[Resource] = recording.get("status", {}).get("parts", [])
    return parts


def _waits(part: int, recording: Resource) -> bool:
    parts = _parts(recording)
    return len(parts) > part and parts[part].get("slices", {}).get("pending", 0) > 1


def _until_slices_wait(scene: Scene, name: str, *, part: int) -> Resource:
    return scene.until(name, partial(_waits, part), f"slices of part {part} wait")


def _is(part: int, state: str, recording: Resource) -> bool:
    return len(_parts(recording)) > part and bool(_parts(recording)[part]["state"] == state)


def test_what_went_with_a_node_that_is_gone_is_told_and_what_it_waits_for(scene: Scene, node: Cluster) -> None:
    """Promise: in `runner.nodeLostSeconds`, with the node's name and the way out; the next part waits for a node."""
    old = {name: _parts(scene.get(name))[0]["pod"] for name in NAMES}
    uids = [scene.target.kubectl.get("pod", pod, namespace=scene.namespace)["metadata"]["uid"] for pod in old.values()]
    node.stop("kubelet")
    for uid in uids:
        node.kill_pod(uid)
    for name in NAMES:
        seen = scene.until(
            name, lambda seen: condition(seen, "Ready").get("reason") == "Unschedulable", "a part waits for a node"
        )
        first = _parts(seen)[0]
        silence = f"nothing was heard any more of node '{NODE_NAME}' and the recorder on it"
        assert (first["reason"], first["message"][: len(silence)]) == ("NodeLost", silence)
        assert seen["status"]["lastError"]["reason"] == "NodeLost"
        assert "untolerated taint" in condition(seen, "Ready")["message"]
        if name == CLAIMED:
            assert first["state"] == "AwaitingRescue"
            assert first["rescueMessage"] == (
                f"what is left of part 0 is on its claim, and delivered once Kubernetes has ended pod '{old[name]}' on "
                f"node '{NODE_NAME}': bring the node back, or, if it is shut down for good, `kubectl taint node "
                f"{NODE_NAME} node.kubernetes.io/out-of-service=nodeshutdown:NoExecute`"
            )
        else:
            gone = r"; \d+ s of media that were in no store when it was last heard of are gone with its work volume"
            assert re.fullmatch(f"{silence}{gone}, unless node '{NODE_NAME}' comes back", first["message"])


def test_a_node_that_is_back_ends_what_was_on_it_and_goes_on(scene: Scene) -> None:
    """Promise: its kubelet lets go of the claim, which another pod delivers, and the next part records."""
    old = _parts(scene.get(CLAIMED))[0]["pod"]
    _bring_back(scene.target)
    scene.target.kubectl("wait", "--for=delete", f"pod/{old}", f"--namespace={scene.namespace}", "--timeout=120s")
    scene.until(CLAIMED, partial(_is, 0, "Rescuing"), "another pod has its claim")
    for name in NAMES:
        _until_slices_wait(scene, name, part=1)
    gone = r"; \d+ s of media that were in no store when it was last heard of are gone with its work volume"
    scene.until(
        HELD,
        lambda seen: re.search(f"{gone}$", _parts(seen)[0]["message"]) is not None,
        "nothing is hoped for of a recorder that was gone when its node came back",
    )


def test_a_node_that_shuts_down_in_order_ends_pods_in_its_own_time_and_the_part_says_so(
    scene: Scene, node: Cluster
) -> None:
    """Promise: in the kubelet's words; what it left is rescued from a claim, or stated in seconds. The next part begins
    while it uploads, and waits for a node."""
    pods = [_parts(scene.get(name))[1]["pod"] for name in NAMES]
    with ThreadPoolExecutor(max_workers=1) as machine:
        shutting_down = machine.submit(node.shut_down)
        for name in NAMES:
            seen = scene.until(name, lambda seen: len(_parts(seen)) > 2, "the next part begins")
            second = _parts(seen)[1]
            assert (second["state"], second["reason"]) == ("Uploading", "PodEnded")
            assert second["message"] == f"node '{NODE_NAME}' told the recorder to end"
        shutting_down.result()
    here = f"--namespace={scene.namespace}"
    for pod in pods:
        scene.target.kubectl("wait", "--for=jsonpath={.status.phase}=Failed", f"pod/{pod}", here, "--timeout=60s")
    node.stop("kubelet")
    _bring_back(scene.target)
    for server in ("s3", "rtmp"):
        scene.target.kubectl("rollout", "status", f"deployment/{server}", here, "--timeout=180s")
    scene.leave(BOB)
    scene.join(BOB)
    for name in NAMES:
        seen = scene.until(
            name, lambda seen: len(_parts(seen)) > 2 and bool(_parts(seen)[2].get("slices")), "the next part records"
        )
        second = _parts(seen)[1]
        assert (second["reason"], second["message"][: len(SHUT_DOWN)]) == ("PodLost", SHUT_DOWN)
        if name == HELD:
            gone = r"; \d+ s of media that were in no store when it was last heard of are gone with its work volume"
            assert (second["state"], bool(re.fullmatch(re.escape(SHUT_DOWN) + gone, second["message"]))) == (
                "Lost",
                True,
            )


def test_nothing_that_was_on_a_claim_is_missing_and_what_was_not_is_counted(scene: Scene) -> None:
    """Promise: each slice is in the bucket and counted once, however many pods had to do with it."""
    for name in NAMES:
        scene.until(name, lambda seen: _parts(seen)[2].get("slices", {}).get("uploaded", 0) > 0, "the third uploads")
        scene.stop(name)
    with scene.bucket() as address:
        claimed, held = (scene.finished(name) for name in NAMES)
        bucket = scene.opened_bucket(address)
        stored = {
            name: [key for key in bucket.objects(of=recording["status"]["recordingId"]) if key.endswith(".ts")]
            for name, recording in ((CLAIMED, claimed), (HELD, held))
        }
    said = {kind: condition(claimed, kind)["status"] for kind in ("Succeeded", "Uploaded")}
    assert said == {"Succeeded": "True", "Uploaded": "True"}
    assert [part["state"] for part in _parts(claimed)] == ["Concluded"] * 3
    assert [part["rescues"] for part in _parts(claimed)][1:] == [1, 0]
    assert len(stored[CLAIMED]) == slices(claimed) == slices(claimed, "written")

    assert condition(held, "Ready")["reason"] == "UploadIncomplete"
    assert [part["state"] for part in _parts(held)] == ["Lost", "Lost", "Concluded"]
    assert re.fullmatch(r"\d+ slices are in no store", condition(held, "Uploaded")["message"])
    assert len(stored[HELD]) == slices(held) == _parts(held)[2]["slices"]["written"]
