# SPDX-License-Identifier: Apache-2.0
"""RecordingStorages on a real API server: tried by a pod, waited for with their words, held while they are used."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.controller.operator_process import OperatorProcess
from tests.contract.controller.stage import Stage, conditions, container, now, pod_uid, reason

Json = dict[str, Any]

NAME = "films"
BY_NAME = {"ref": {"name": NAME}}
ALLOWED = {"put": "Allowed", "get": "Allowed", "delete": "Allowed"}


def said(body: Json) -> str:
    """The message of Ready."""
    return next((str(one["message"]) for one in conditions(body) if one["type"] == "Ready"), "")


async def answer(stage: Stage, pod: Json, *, rights: Json | None = None, **words: Any) -> None:
    """Has the probe's container end with its answer, as the kubelet reports it."""
    result = {"ready": False, "rights": rights or {}, **words}
    await stage.report_ended(pod, json.dumps(result))


@pytest.mark.usefixtures("operator")
async def test_a_storage_is_tried_with_the_identity_of_recordings_and_then_used(stage: Stage) -> None:
    """Promise: a recording waits without a warning while its storage is tried, and is then made with what that has."""
    await stage.apply_storage(NAME)
    await stage.apply(storage=BY_NAME)
    probe = await stage.new_probe(NAME)
    waiting = await stage.until(lambda seen: "is being tried" in said(seen))
    assert (reason(waiting), waiting["status"]["parts"]) == ("Pending", [])
    await answer(stage, probe, ready=True, rights=ALLOWED)
    ready = await stage.until_storage(NAME, lambda seen: reason(seen) == "Writable")
    assert ready["status"]["rights"] == ALLOWED
    pod = await stage.new_pod()
    told = json.loads(pod["metadata"]["annotations"]["cloudrecording.dev/recording"])
    assert told["storage"]["bucket"] == told["spec"]["storage"]["bucket"] == "films"
    assert "ref" not in told["spec"]["storage"]
    assert identity(pod) == identity(probe)
    assert await stage.until_pod(probe["metadata"]["name"], lambda seen: seen is None) is None
    assert [event for event in await stage.events() if event["type"] == "Warning"] == []


def identity(pod: Json) -> Json:
    """All by which policies and stores tell pods apart."""
    spec, labels = pod["spec"], pod["metadata"]["labels"]
    (only,) = spec["containers"]
    return {
        "labels": {name: value for name, value in labels.items() if name.startswith("app.kubernetes.io/")},
        "account": spec["serviceAccountName"],
        "image": only["image"],
        "security": (spec["securityContext"], only["securityContext"]),
        "mounts": sorted(mount["mountPath"] for mount in only["volumeMounts"]),
        "secrets": next(volume["projected"] for volume in spec["volumes"] if volume["name"] == "secrets"),
    }


@pytest.mark.usefixtures("operator")
async def test_a_recording_waits_with_its_storages_words_until_that_is_mended(stage: Stage) -> None:
    """Promise: what is refused is said once in the storage and by each recording, with a way out; an edit is tried."""
    await stage.apply(storage=BY_NAME)
    missing = await stage.until(lambda seen: reason(seen) == "WaitingForStorage")
    assert "RecordingStorage 'films', which `spec.storage.ref` names, is not there" in said(missing)
    await stage.apply_storage(NAME)
    await answer(
        stage,
        await stage.new_probe(NAME),
        cause="StorageConnectionRefused",
        message="nothing listens at https://s3.example.com",
        rights={"put": "Unknown"},
    )
    refused = await stage.until_storage(NAME, lambda seen: reason(seen) == "StorageConnectionRefused")
    assert said(refused) == (
        "nothing listens at https://s3.example.com. Start the storage server, or correct `spec.endpoint`; it is tried "
        "again by itself."
    )
    waiting = await stage.until(lambda seen: "is not ready" in said(seen))
    assert (reason(waiting), pod_uid(waiting)) == ("WaitingForStorage", None)
    assert f"(StorageConnectionRefused): {said(refused)}" in said(waiting)
    await stage.until_told("StorageConnectionRefused", of=NAME)
    await stage.edit_storage(NAME, endpoint="https://s3.example.org")
    await answer(stage, await stage.new_probe(NAME, generation=2), ready=True, rights=ALLOWED)
    pod = await stage.new_pod()
    told = json.loads(pod["metadata"]["annotations"]["cloudrecording.dev/recording"])
    assert told["storage"]["endpoint"] == "https://s3.example.org"


@pytest.mark.usefixtures("operator")
async def test_what_is_refused_is_tried_again_by_itself(stage: Stage) -> None:
    """Promise: nobody has to tell the operator that a Secret or a bucket is there now."""
    await stage.apply_storage(NAME)
    first = await stage.new_probe(NAME)
    await answer(stage, first, cause="WaitingForSecret", message="Secret 'bucket-credentials' is not there")
    await stage.until_storage(NAME, lambda seen: reason(seen) == "WaitingForSecret")
    again = await stage.until_pod(
        first["metadata"]["name"], lambda seen: seen and seen["metadata"]["uid"] != first["metadata"]["uid"]
    )
    assert again is not None
    await answer(stage, again, ready=True, rights={"put": "Allowed", "get": "Refused", "delete": "Refused"})
    ready = await stage.until_storage(NAME, lambda seen: reason(seen) == "Writable")
    assert "may not get objects" in said(ready)


@pytest.mark.usefixtures("operator")
async def test_a_key_that_may_not_get_is_none_for_a_backup(stage: Stage) -> None:
    """Promise: what could not be brought home is not begun."""
    await stage.apply_storage(NAME)
    await answer(stage, await stage.new_probe(NAME), ready=True, rights={"put": "Allowed", "get": "Refused"})
    await stage.apply(backup=BY_NAME)
    waiting = await stage.until(lambda seen: reason(seen) == "WaitingForStorage")
    assert "which `spec.backup.ref` names, has a key that may not get objects" in said(waiting)


@pytest.mark.usefixtures("operator")
async def test_a_storage_that_is_used_outlives_its_deletion_and_goes_with_its_last_recording(stage: Stage) -> None:
    """Promise: it says which recordings hold it, and takes no new ones."""
    await stage.apply_storage(NAME)
    await answer(stage, await stage.new_probe(NAME), ready=True, rights=ALLOWED)
    await stage.apply(storage=BY_NAME)
    pod = await stage.new_pod()
    await stage.delete_storage(NAME)
    held = await stage.until_storage(NAME, lambda seen: reason(seen) == "InUse")
    assert said(held).startswith("it is still used by 'stand-up'. Wait until they are over")
    await stage.apply("later", storage=BY_NAME)
    late = await stage.until(lambda seen: reason(seen) == "WaitingForStorage", name="later")
    assert "is being deleted" in said(late)
    await stage.delete("later")
    await stage.edit(desiredState="Stopped")
    await stage.end(pod)
    await stage.until_storage_gone(NAME)


async def test_what_the_administrator_does_not_allow_is_not_tried(
    stage: Stage, new_operator: Callable[..., OperatorProcess]
) -> None:
    """Promise: no key is sent to a host that is not allowed, by the probe either."""
    operator = new_operator(settings={"allowed": {"endpoints": ["s3.example.org"]}})
    operator.start()
    operator.await_serving()
    await stage.apply_storage(NAME)
    denied = await stage.until_storage(NAME, lambda seen: reason(seen) == "NotAllowed")
    assert "`spec` must not lead to 's3.example.com'" in said(denied)
    assert (await stage.client.get(stage.core("pods")))["items"] == []


@pytest.mark.usefixtures("operator")
async def test_a_probe_that_finds_no_node_says_so(stage: Stage) -> None:
    await stage.apply_storage(NAME)
    probe = await stage.new_probe(NAME)
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "lastTransitionTime": now()}
    await stage.report(probe, phase="Pending", conditions=[{**unscheduled, "message": "0/1 nodes are available"}])
    waiting = await stage.until_storage(NAME, lambda seen: reason(seen) == "Unschedulable")
    assert said(waiting).startswith("0/1 nodes are available. Make room")
    await stage.report(probe, phase="Running", containerStatuses=[container(state={"running": {"startedAt": now()}})])
