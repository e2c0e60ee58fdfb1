# SPDX-License-Identifier: Apache-2.0
"""However a recording or its pod leaves while slices wait for a bucket that is away: they are delivered, or the status
says what is missing, where it is and why. The rows of `docs/operations.md`, "How a recording leaves", are these.

The tests go on from one another: the bucket is away for all of them until their namespace has begun to end, and what
was left behind is looked for when it is back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.client import CommandFailedError
from tests.testbed import pods
from tests.testbed.bucket import Bucket
from tests.testbed.cluster_target import OPERATOR_NAMESPACE
from tests.testbed.scene import BOB, BUCKET, Resource, Scene, condition, slices

ON_A_CLAIM = {"persistentVolumeClaim": {"size": "1Gi"}}
LABEL = "cloudrecording.dev/recording"

TOLD = ("told", "evicted", "drained", "signalled")
"""Their pods have time, on an emptyDir: the bucket is back before it is over."""
CUT_SHORT = ("interrupted", "full", "killed")
"""Their pods have none, and work on a claim."""
GONE = "gone"
"""Its pod has none, and an emptyDir."""
DELETED = "deleted"

COMES, KEPT = "comes", "kept"
"""Of the namespace that ends: one whose bucket comes back, and one on a claim whose bucket never does."""


@pytest.fixture(scope="module", autouse=True)
def waiting(scene: Scene) -> dict[str, Resource]:
    """Recordings whose bucket is away, each with slices that wait for it."""
    scene.join(BOB)
    scene.hide_bucket(BUCKET)
    for name in (*TOLD, GONE, DELETED):
        _record(scene, name)
    for name in CUT_SHORT:
        _record(scene, name, work=ON_A_CLAIM)
    return {name: _until_slices_wait(scene, name) for name in (*TOLD, *CUT_SHORT, GONE, DELETED)}


@pytest.fixture(scope="module")
def ending(scene: Scene) -> Iterator[Scene]:
    """A namespace that has nothing but recordings; bucket and channel are in the other one."""
    other = Scene(target=scene.target, namespace=f"{scene.namespace}-ends", credentials=scene.credentials)
    scene.target.kubectl.apply(pods.namespace(other.namespace))
    other.put_credentials(scene.credentials)
    try:
        yield other
    finally:
        other.close()


@pytest.fixture(scope="module")
def ended(scene: Scene, ending: Scene) -> dict[str, Resource]:
    """The recordings of that namespace as they were when it was deleted, while slices of theirs waited."""
    _record(ending, COMES, of=scene, uploadGraceSeconds=30)
    _record(ending, KEPT, of=scene, storage={"bucket": "nowhere"}, uploadGraceSeconds=1, work=ON_A_CLAIM)
    seen = {name: _until_slices_wait(ending, name) for name in (COMES, KEPT)}
    ending.target.kubectl("delete", "namespace", ending.namespace, "--wait=false")
    return seen


@pytest.fixture(scope="module")
def bucket(scene: Scene) -> Iterator[Bucket]:
    """The bucket, once it is back."""
    with scene.bucket() as address:
        yield scene.opened_bucket(address)


def _record(
    scene: Scene, name: str, *, of: Scene | None = None, storage: dict[str, str] | None = None, **spec: Any
) -> None:
    there = (of or scene).namespace
    scene.record(
        name,
        streams=[{**BOB.stream(), "url": f"rtmp://rtmp.{there}.svc:{pods.RTMP_PORT}/live/{BOB.name}"}],
        storage={"endpoint": f"http://s3.{there}.svc:{pods.S3_PORT}", **(storage or {})},
        recording={"sliceSeconds": 2, "video": {"width": 320, "height": 240}},
        pod={"resources": {"requests": {"cpu": "50m"}}},
        **spec,
    )


def _until_slices_wait(scene: Scene, name: str) -> Resource:
    return scene.until(name, lambda seen: slices(seen, "pending") > 1, "slices wait")


def _part(recording: Resource) -> Resource:
    part: Resource = recording["status"]["parts"][0]
    return part


def _is(state: str, recording: Resource) -> bool:
    return bool(_part(recording)["state"] == state)


def _drain(scene: Scene, *recordings: Resource, options: tuple[str, ...]) -> None:
    """Evicts the pods of these; a cluster of one node has no other place meanwhile, so it is given back at once."""
    node = _part(recordings[0])["node"]
    names = ",".join(recording["metadata"]["name"] for recording in recordings)
    try:
        scene.target.kubectl("drain", node, f"--pod-selector={LABEL} in ({names})", "--delete-emptydir-data", *options)
    finally:
        scene.target.kubectl("uncordon", node)


def _told_to_end(scene: Scene, recording: Resource) -> None:
    pod, here = _part(recording)["pod"], f"--namespace={scene.namespace}"
    match recording["metadata"]["name"]:
        case "told":
            scene.target.kubectl("delete", "pod", pod, here, "--wait=false")
        case "evicted":
            eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
            path = f"/api/v1/namespaces/{scene.namespace}/pods/{pod}/eviction"
            scene.target.kubectl("create", f"--raw={path}", "--filename=-", stdin=json.dumps(eviction))
        case "drained":
            # It waits for as long as the pod does.
            with pytest.raises(CommandFailedError, match="timeout"):
                _drain(scene, recording, options=("--timeout=2s",))
        case "signalled":
            # As by a kubelet whose node shuts down: nobody deletes the pod.
            scene.exec(pod, "python3", "-c", "import os, signal; os.kill(1, signal.SIGTERM)")


@pytest.mark.parametrize("how", TOLD)
def test_a_pod_that_is_told_to_end_waits_for_the_bucket_while_the_next_one_begins(
    scene: Scene, waiting: dict[str, Resource], how: str
) -> None:
    """Promise: for `uploadGraceSeconds`. The next pod may be told to end before its first instruction, and hears it."""
    _told_to_end(scene, waiting[how])
    seen = scene.until(how, lambda seen: _is("Uploading", seen) and len(seen["status"]["parts"]) > 1, "another begins")
    assert _part(seen)["reason"] == "PodEnded"
    assert re.fullmatch(r"\d+ slices are still to be uploaded", condition(seen, "Uploaded")["message"])
    scene.stop(how)
    pod = scene.target.kubectl.get("pod", _part(seen)["pod"], namespace=scene.namespace)
    assert (pod["status"]["phase"], "deletionTimestamp" in pod["metadata"]) == ("Running", how != "signalled")


def test_a_recording_that_is_deleted_in_the_foreground_waits_for_the_bucket(scene: Scene) -> None:
    here = f"--namespace={scene.namespace}"
    scene.target.kubectl("delete", "crec", DELETED, here, "--cascade=foreground", "--wait=false")
    seen = scene.until(DELETED, lambda seen: _is("Uploading", seen), "it uploads")
    assert condition(seen, "Ready")["reason"] == "Deleting"
    assert re.fullmatch(r"\d+ slices are still to be uploaded", condition(seen, "Ready")["message"])


def test_a_pod_that_is_cut_short_leaves_what_waits_on_its_claim_and_says_what_its_empty_dir_lost(
    scene: Scene, waiting: dict[str, Resource]
) -> None:
    """Promise: for example by who handles a spot instance's interruption, and drains it within seconds."""
    for name in (GONE, "interrupted"):
        scene.stop(name)
    _drain(scene, waiting[GONE], waiting["interrupted"], options=("--grace-period=1", "--timeout=60s"))
    delivers = "delivers what the pod of part 0 left"
    scene.until(
        "interrupted", lambda seen: delivers in condition(seen, "Ready")["message"], "another pod has its claim"
    )
    lost = scene.finished(GONE)
    assert condition(lost, "Ready")["reason"] == "UploadIncomplete"
    assert re.search(
        r"; \d+ s of media that were in no store .* are gone with its work volume$", _part(lost)["message"]
    )
    assert re.fullmatch(r"\d+ slices are in no store", condition(lost, "Uploaded")["message"])
    assert lost["status"]["recordedSeconds"] == 0


def test_what_a_pod_that_its_kubelet_evicted_left_on_a_claim_is_rescued(
    scene: Scene, waiting: dict[str, Resource]
) -> None:
    """Promise: the part says so in the kubelet's words."""
    scene.exec(_part(waiting["full"])["pod"], "python3", "-c", "open('/tmp/filled', 'wb').write(bytes(100 << 20))")
    seen = scene.until("full", lambda seen: _is("Rescuing", seen), "another pod has its claim")
    assert (_part(seen)["reason"], seen["status"]["lastError"]["reason"]) == ("Evicted", "Evicted")
    assert _part(seen)["message"] == 'Usage of EmptyDir volume "tmp" exceeds the limit "64Mi".'
    scene.stop("full")


def test_a_quota_that_shrank_keeps_a_rescue_waiting_and_the_status_says_so(
    scene: Scene, waiting: dict[str, Resource]
) -> None:
    """Promise: the recorder that runs is left alone; of the pod that is to deliver, the quota's words are told."""
    here = f"--namespace={scene.namespace}"
    quota = {"metadata": {"name": "shrunk"}, "spec": {"hard": {"pods": "1"}}}
    scene.target.kubectl.apply({"apiVersion": "v1", "kind": "ResourceQuota", **quota}, namespace=scene.namespace)
    scene.target.kubectl("wait", "--for=jsonpath={.status.hard.pods}=1", "quota/shrunk", here, "--timeout=60s")
    scene.stop("killed")
    pod = _part(waiting["killed"])["pod"]
    scene.target.kubectl("delete", "pod", pod, here, "--force", "--grace-period=0", "--wait=false")
    told = r"slices are still to be uploaded; pod '.*-r1', .* is refused: .*exceeded quota: shrunk"
    scene.until("killed", lambda seen: bool(re.search(told, condition(seen, "Ready").get("message", ""))), "refused")
    scene.target.kubectl("delete", "quota", "shrunk", here)


def test_in_a_namespace_that_ends_only_the_pod_that_is_there_can_deliver(
    scene: Scene, ending: Scene, ended: dict[str, Resource]
) -> None:
    """Promise: what no pod can deliver there any more holds nobody up, and is named before it goes."""
    claim = _part(ended[KEPT])["pod"]
    seen = ending.until(KEPT, lambda seen: _is("Lost", seen), "it is given up")
    assert _part(seen)["reason"] == "NamespaceTerminating"
    assert re.fullmatch(
        rf"namespace '{ending.namespace}' is being deleted, so no pod can deliver what is left of part 0 "
        rf"\(\d+ slices in no store\): claim '{claim}', which it is on, goes with the namespace",
        _part(seen)["message"],
    )
    waits = ending.until(COMES, lambda seen: _is("Uploading", seen), "the pod that is there waits for the bucket")
    assert re.fullmatch(r"\d+ slices are still to be uploaded", condition(waits, "Uploaded")["message"])
    scene.show_bucket(BUCKET)


@pytest.mark.parametrize("how", [*TOLD, *CUT_SHORT])
def test_what_waited_is_delivered_once_the_bucket_is_back(scene: Scene, bucket: Bucket, how: str) -> None:
    finished = scene.finished(how)
    said = {kind: condition(finished, kind)["status"] for kind in ("Succeeded", "Uploaded", "StorageReady")}
    assert said == {"Succeeded": "True", "Uploaded": "True", "StorageReady": "True"}
    assert _part(finished)["outcome"] == ("Drained" if how in TOLD else "Uploaded")
    assert _stored(bucket, finished) == slices(finished) == slices(finished, "written")


def test_a_deleted_recording_is_let_go_once_it_is_delivered(
    scene: Scene, bucket: Bucket, waiting: dict[str, Resource]
) -> None:
    scene.target.kubectl("wait", "--for=delete", f"crec/{DELETED}", f"--namespace={scene.namespace}", "--timeout=120s")
    assert _stored(bucket, waiting[DELETED]) >= slices(waiting[DELETED], "written")


def test_a_namespace_is_gone_once_its_pods_have_delivered_and_the_log_says_what_they_have_not(
    scene: Scene, ending: Scene, bucket: Bucket, ended: dict[str, Resource]
) -> None:
    scene.target.kubectl("wait", "--for=delete", f"namespace/{ending.namespace}", "--timeout=120s")
    assert _stored(bucket, ended[COMES]) >= slices(ended[COMES], "written")
    log = scene.target.kubectl("logs", "deployment/cloud-recording", f"--namespace={OPERATOR_NAMESPACE}")
    about = [json.loads(line) for line in log.splitlines() if f'"{ending.namespace}"' in line]
    (given_up,) = [line for line in about if "what is left of part" in line.get("detail", "")]
    assert (given_up["recording"], given_up["reason"]) == (KEPT, "NamespaceTerminating")


def _stored(bucket: Bucket, recording: Resource) -> int:
    """How many slices the bucket has, all of which a part's playlist lists that has its end."""
    files = bucket.objects(of=recording["status"]["recordingId"])
    playlists = [name for name in files if name.endswith(".m3u8") and not name.endswith("_merged.m3u8")]
    listed = [bucket.read(name).decode().splitlines() for name in playlists]
    assert {lines[-1] for lines in listed} == {"#EXT-X-ENDLIST"}
    named = sorted(line for lines in listed for line in lines if line.endswith(".ts"))
    assert named == sorted(name for name in files if name.endswith(".ts"))
    return len(named)
