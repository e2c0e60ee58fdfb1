# SPDX-License-Identifier: Apache-2.0
"""What a remedy asks for can be done, at the moment when it is asked for: the API server takes it.

Commands that need a node are tried in tests/e2e/test_rescue.py.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator

import pytest

from cloud_recording.api.reasons import REASONS, Remedy
from tests.cluster.bare import BareControlPlane
from tests.cluster.client import Kubectl
from tests.cluster.layout import REPOSITORY
from tests.contract.crds_manifests import Manifest, a_recording, a_storage, changed

DRY_RUN = "--dry-run=server"
SAMPLES = {
    "spec.desiredState": "Paused",
    "spec.storage.bucket": "another",
    "spec.storage.endpoint": "https://another.example.com",
    "spec.storage.region": "eu-north-1",
    "spec.storage.proxyURL": "http://another.example.com:3128",
}
"""A value to change each field to that a remedy asks to change; one that is missing fails its test."""

STORAGE_SAMPLES = {
    "spec.endpoint": "https://another.example.com",
    "spec.region": "eu-north-1",
    "spec.proxyURL": "http://another.example.com:3128",
}
"""The same of a RecordingStorage."""

WITH_A_NODE = ("kubectl cp", "kubectl logs")
CASES = [
    pytest.param(remedy, stored, id=f"{reason}{'-once-stored' * stored}")
    for reason, facts in REASONS.items()
    for remedy, stored in ((facts.remedy, False), (facts.remedy_once_stored, True))
    if remedy is not None and (remedy.changes or remedy.commands)
]

OF_STORAGES = [
    pytest.param(remedy, id=str(reason))
    for reason, facts in REASONS.items()
    if (remedy := facts.remedy_of_storage) is not None and (remedy.changes or remedy.commands)
]


@pytest.fixture(scope="module")
def kubectl(control_plane: BareControlPlane) -> Iterator[Kubectl]:
    kubectl = Kubectl(control_plane.kubeconfig)
    kubectl("apply", f"--filename={REPOSITORY / 'crds'}")
    established = '{.status.conditions[?(@.type=="Established")].status}'
    for kind in ("cloudrecordings", "recordingstorages"):
        kubectl("wait", f"--for=jsonpath={established}=True", f"crd/{kind}.cloudrecording.dev", "--timeout=60s")
    yield kubectl
    kubectl("delete", f"--filename={REPOSITORY / 'crds'}")


@pytest.fixture(scope="module")
def recordings(kubectl: Kubectl) -> dict[bool, Manifest]:
    """One of which nothing is stored, and one of which a slice is."""
    made = {}
    for stored, name in ((False, "fresh"), (True, "stored")):
        manifest = a_recording()
        manifest["metadata"]["name"] = name
        kubectl("create", "--filename=-", stdin=json.dumps(manifest))
        status = json.dumps({"status": {"slices": {"uploaded": int(stored)}}})
        kubectl("patch", "crec", name, "--subresource=status", "--type=merge", f"--patch={status}")
        made[stored] = manifest
    return made


@pytest.fixture(scope="module")
def pod(kubectl: Kubectl) -> str:
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "default"}}
    kubectl.apply(account)
    container = {"name": "recorder", "image": "none"}
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "recorder-pod"},
        "spec": {"containers": [container]},
    }
    kubectl("create", "--filename=-", stdin=json.dumps(body))
    return "recorder-pod"


@pytest.mark.parametrize(("remedy", "stored"), CASES)
def test_a_remedy_can_be_followed(
    kubectl: Kubectl, recordings: dict[bool, Manifest], pod: str, remedy: Remedy, *, stored: bool
) -> None:
    recording = recordings[stored]
    for field in remedy.changes:
        edited = changed(recording, {field.removeprefix("spec."): SAMPLES[field]})
        kubectl("replace", DRY_RUN, "--filename=-", stdin=json.dumps(edited))
    for command in remedy.commands:
        if command.startswith(WITH_A_NODE):
            continue
        name = recording["metadata"]["name"]
        _, *words = shlex.split(command.replace("NAME", name).replace("POD", pod))
        kubectl(*words)


@pytest.fixture(scope="module")
def storage(kubectl: Kubectl) -> Manifest:
    """A RecordingStorage that recordings use."""
    manifest = a_storage()
    kubectl("create", "--filename=-", stdin=json.dumps(manifest))
    return manifest


@pytest.mark.parametrize("remedy", OF_STORAGES)
def test_a_remedy_of_a_storage_can_be_followed(kubectl: Kubectl, storage: Manifest, remedy: Remedy) -> None:
    for field in remedy.changes:
        edited = changed(storage, {field.removeprefix("spec."): STORAGE_SAMPLES[field]})
        kubectl("replace", DRY_RUN, "--filename=-", stdin=json.dumps(edited))
    for command in remedy.commands:
        _, *words = shlex.split(command)
        kubectl(*words)
