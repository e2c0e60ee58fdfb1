# SPDX-License-Identifier: Apache-2.0
"""The API server itself refuses what is wrong, and says which field and why: no webhook stands behind these rules."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from cloud_recording.api.base import camel_case
from cloud_recording.api.recording import CloudRecording, CloudRecordingSpec
from cloud_recording.api.recording_storage import RecordingStorage, RecordingStorageStatus
from tests.cluster.bare import BareControlPlane
from tests.cluster.client import CommandFailedError, Kubectl
from tests.cluster.layout import REPOSITORY
from tests.contract.crds_manifests import Manifest, a_recording, a_storage, a_stream, changed
from tests.contract.crds_table import (
    ALLOWED_STORAGE_UPDATES,
    ALLOWED_UPDATES,
    CREATION_MISTAKES,
    STORAGE_MISTAKES,
    STORAGE_UPDATE_MISTAKES,
    STORED_MISTAKES,
    UPDATE_MISTAKES,
    VALID,
    Mistake,
)

DRY_RUN = "--dry-run=server"
STATUS = Path(__file__).with_name("crds_status.yaml")


@pytest.fixture(scope="module")
def kubectl(control_plane: BareControlPlane) -> Iterator[Kubectl]:
    """kubectl on an API server that knows what lies in crds/, applied as a person would."""
    kubectl = Kubectl(control_plane.kubeconfig)
    kubectl("apply", f"--filename={REPOSITORY / 'crds'}")
    kubectl.until_established("cloudrecordings.cloudrecording.dev")
    kubectl.until_established("recordingstorages.cloudrecording.dev")
    yield kubectl
    kubectl("delete", f"--filename={REPOSITORY / 'crds'}")


@pytest.fixture(scope="module")
def existing(kubectl: Kubectl) -> Iterator[Manifest]:
    """A recording that exists, with all defaults."""
    manifest = a_recording()
    kubectl("create", "--filename=-", stdin=json.dumps(manifest))
    yield manifest
    kubectl("delete", "crec", manifest["metadata"]["name"])


def _refusal(kubectl: Kubectl, *command: str, manifest: Manifest) -> str:
    with pytest.raises(CommandFailedError) as refused:
        kubectl(*command, "--filename=-", stdin=json.dumps(manifest))
    return refused.value.complaint


def _assert_says(refusal: str, mistake: Mistake) -> None:
    line = next((line for line in refusal.splitlines() if mistake.rule in line), None)
    assert line is not None, refusal
    assert mistake.field in line
    assert mistake.kept not in refusal


@pytest.mark.parametrize("mistake", CREATION_MISTAKES, ids=lambda mistake: mistake.called)
def test_a_wrong_manifest_is_refused_with_field_and_rule(kubectl: Kubectl, mistake: Mistake) -> None:
    refusal = _refusal(kubectl, "create", DRY_RUN, manifest=a_recording(mistake.changes))
    _assert_says(refusal, mistake)


@pytest.mark.parametrize("mistake", UPDATE_MISTAKES, ids=lambda mistake: mistake.called)
def test_what_is_fixed_cannot_change(kubectl: Kubectl, existing: Manifest, mistake: Mistake) -> None:
    refusal = _refusal(kubectl, "replace", DRY_RUN, manifest=changed(existing, mistake.changes))
    _assert_says(refusal, mistake)


@pytest.mark.parametrize("changes", ALLOWED_UPDATES.values(), ids=ALLOWED_UPDATES)
def test_what_may_change_while_recording_can(kubectl: Kubectl, existing: Manifest, changes: dict[str, object]) -> None:
    kubectl("apply", DRY_RUN, "--filename=-", stdin=json.dumps(changed(existing, changes)))


@pytest.mark.parametrize(
    "changes", [{"recording.video.layout": "Float"}, {"recording.video.maxResolutionUid": 1}], ids=["layout", "who"]
)
def test_what_is_passed_through_has_no_layout_to_change(kubectl: Kubectl, changes: dict[str, object]) -> None:
    passed = a_recording({"channel.streams": [a_stream(1)], "recording.video.passthrough": {}})
    kubectl("create", "--filename=-", stdin=json.dumps(passed))
    refusal = _refusal(kubectl, "replace", DRY_RUN, manifest=changed(passed, changes))
    _assert_says(refusal, Mistake("", {}, "spec.recording.video", "must keep `layout`"))


def test_what_is_passed_through_keeps_its_stream(kubectl: Kubectl) -> None:
    passed = a_recording({"channel.streams": [a_stream(1)], "recording.video.passthrough": {}})
    passed["metadata"]["name"] = "passed-through"
    kubectl("create", "--filename=-", stdin=json.dumps(passed))
    refusal = _refusal(kubectl, "replace", DRY_RUN, manifest=changed(passed, {"channel.streams": [a_stream(2)]}))
    _assert_says(refusal, Mistake("", {}, "spec.channel.streams", "must stay as it is"))


@pytest.fixture(scope="module")
def stored(kubectl: Kubectl) -> Iterator[Manifest]:
    """A recording of which a slice is in the bucket."""
    manifest = a_recording()
    manifest["metadata"]["name"] = "stored"
    kubectl("create", "--filename=-", stdin=json.dumps(manifest))
    part = {"number": 0, "pod": "p", "storage": {"place": {"bucket": "the-first", "endpoint": "https://a.example.com"}}}
    status = {"slices": {"written": 1, "uploaded": 1}, "parts": [part]}
    patch = json.dumps({"status": status})
    kubectl("patch", "crec", "stored", "--subresource=status", "--type=merge", f"--patch={patch}")
    yield manifest
    kubectl("delete", "crec", "stored")


@pytest.mark.parametrize("mistake", STORED_MISTAKES, ids=lambda mistake: mistake.called)
def test_the_place_of_what_is_stored_cannot_change(kubectl: Kubectl, stored: Manifest, mistake: Mistake) -> None:
    refusal = _refusal(kubectl, "replace", DRY_RUN, manifest=changed(stored, mistake.changes))
    _assert_says(refusal, mistake)


def test_a_place_that_the_recorder_did_not_go_to_can_be_taken_back(kubectl: Kubectl, stored: Manifest) -> None:
    """Promise: where a change came too late, the spec can be set to what is so."""
    back = changed(stored, {"storage.bucket": "the-first", "storage.endpoint": "https://a.example.com"})
    kubectl("replace", DRY_RUN, "--filename=-", stdin=json.dumps(back))


@pytest.mark.parametrize("state", ["Recording", "Paused"])
def test_a_stopped_recording_stays_stopped(kubectl: Kubectl, state: str) -> None:
    stopped = a_recording({"desiredState": "Stopped"})
    kubectl("create", "--filename=-", stdin=json.dumps(stopped))
    again = changed(stopped, {"desiredState": state})
    refusal = _refusal(kubectl, "replace", DRY_RUN, manifest=again)
    _assert_says(refusal, Mistake("", {}, "spec.desiredState", "must stay 'Stopped'"))


@pytest.mark.parametrize("changes", VALID.values(), ids=VALID)
def test_a_valid_manifest_is_taken_and_understood(kubectl: Kubectl, changes: dict[str, object]) -> None:
    answer = kubectl("create", DRY_RUN, "--filename=-", "--output=json", stdin=json.dumps(a_recording(changes)))
    taken = json.loads(answer)
    CloudRecording.model_validate(taken)


def test_the_defaults_are_those_of_the_models(kubectl: Kubectl, existing: Manifest) -> None:
    """What the API server fills in and what a model fills in are one thing, so both may be relied on."""
    stored = kubectl.get("crec", existing["metadata"]["name"], namespace="default")["spec"]
    of_the_models = CloudRecordingSpec.model_validate(existing["spec"])
    assert CloudRecordingSpec.model_validate(stored) == of_the_models
    assert stored == of_the_models.model_dump(mode="json", by_alias=True, exclude_none=True)


def test_every_field_of_the_status_is_kept(kubectl: Kubectl, existing: Manifest) -> None:
    """A field that the schema did not know would be dropped without a word."""
    status = yaml.safe_load(STATUS.read_text(encoding="utf-8"))
    name = existing["metadata"]["name"]
    patch = json.dumps({"status": status})
    answer = kubectl(
        *("patch", "crec", name, "--subresource=status", "--type=merge", f"--patch={patch}", "--output=json")
    )
    assert json.loads(answer)["status"] == status
    row = kubectl("get", "crec", name, "--output=wide").splitlines()[1].split()
    assert row[1:6] == ["True", "Recording,AccessDenied", "50", "2", "45"]
    assert status["parts"][0]["pod"] in row
    assert status["recordingId"] in row


def test_a_status_cannot_be_written_by_way_of_the_resource(kubectl: Kubectl) -> None:
    manifest = a_recording() | {"status": {"progressPercent": 100}}
    answer = kubectl("create", DRY_RUN, "--filename=-", "--output=json", stdin=json.dumps(manifest))
    assert "status" not in json.loads(answer)


def test_recordings_can_be_selected_by_channel_and_desired_state(kubectl: Kubectl, existing: Manifest) -> None:
    channel = existing["spec"]["channel"]["name"]
    found = kubectl("get", "crec", f"--field-selector=spec.channel.name={channel}", "--output=name")
    assert existing["metadata"]["name"] in found
    assert not kubectl("get", "crec", "--field-selector=spec.desiredState=Paused", "--output=name")


EXAMPLES = sorted((REPOSITORY / "docs" / "examples").rglob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_the_examples_are_valid(kubectl: Kubectl, path: Path) -> None:
    """Each example is taken as it stands, with unknown fields refused; namespaces it names are made first."""
    documents = [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]
    for namespace in {document["metadata"].get("namespace", "default") for document in documents}:
        kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    kubectl("apply", DRY_RUN, "--validate=strict", f"--filename={path}")


@pytest.fixture(scope="module")
def storage(kubectl: Kubectl) -> Iterator[Manifest]:
    """A RecordingStorage that exists."""
    manifest = a_storage()
    kubectl("create", "--filename=-", stdin=json.dumps(manifest))
    yield manifest
    kubectl("delete", "rstore", manifest["metadata"]["name"])


@pytest.mark.parametrize("mistake", STORAGE_MISTAKES, ids=lambda mistake: mistake.called)
def test_a_wrong_storage_is_refused_with_field_and_rule(kubectl: Kubectl, mistake: Mistake) -> None:
    refusal = _refusal(kubectl, "create", DRY_RUN, manifest=a_storage(mistake.changes))
    _assert_says(refusal, mistake)


@pytest.mark.parametrize("mistake", STORAGE_UPDATE_MISTAKES, ids=lambda mistake: mistake.called)
def test_which_store_a_storage_is_cannot_change(kubectl: Kubectl, storage: Manifest, mistake: Mistake) -> None:
    refusal = _refusal(kubectl, "replace", DRY_RUN, manifest=changed(storage, mistake.changes))
    _assert_says(refusal, mistake)


@pytest.mark.parametrize("changes", ALLOWED_STORAGE_UPDATES.values(), ids=ALLOWED_STORAGE_UPDATES)
def test_the_way_to_a_storage_may_change(kubectl: Kubectl, storage: Manifest, changes: dict[str, object]) -> None:
    kubectl("replace", DRY_RUN, "--filename=-", stdin=json.dumps(changed(storage, changes)))


def test_the_status_of_a_storage_is_kept_whole(kubectl: Kubectl, storage: Manifest) -> None:
    """Promise: the API server prunes nothing of what the operator writes."""
    condition = {"type": "Ready", "status": "True", "observedGeneration": 1, "reason": "Writable", "message": ""}
    status = {
        "observedGeneration": 1,
        "display": "Writable",
        "conditions": [{**condition, "lastTransitionTime": "2026-05-04T12:00:00Z"}],
        "probedGeneration": 1,
        "probeTime": "2026-05-04T12:00:00Z",
        "probeObject": "0_probe.m3u8",
        "rights": {"put": "Allowed", "get": "Refused", "delete": "Unknown"},
    }
    assert set(status) == set(map(camel_case, RecordingStorageStatus.model_fields))
    name = storage["metadata"]["name"]
    patch = json.dumps({"status": status})
    kubectl("patch", "rstore", name, "--subresource=status", "--type=merge", f"--patch={patch}")
    kept = kubectl.get("rstore", name, namespace="default")
    assert kept["status"] == status
    assert RecordingStorage.model_validate(kept).status.display == "Writable"
