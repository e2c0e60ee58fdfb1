# SPDX-License-Identifier: Apache-2.0
"""The rights that the chart grants are enough: the real operator, as its ServiceAccount, lives a recording's life."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.cluster.bare import BareControlPlane
from tests.cluster.client import CommandFailedError, Helm, Kubectl
from tests.cluster.layout import REPOSITORY
from tests.contract.crds_manifests import a_recording, a_storage
from tests.support.ports import free_port

NAMESPACE: Final = "cloud-recording-system"
WATCHED: Final = "watched"
DEADLINE: Final = "--timeout=60s"


@pytest.fixture(params=[[], [WATCHED]], ids=["all namespaces", "one namespace"])
def plane(request: pytest.FixtureRequest, control_plane: BareControlPlane) -> Iterator[Kubectl]:
    """An API server with the chart installed on it, for every namespace or for one."""
    kubectl, helm = Kubectl(control_plane.kubeconfig), Helm(control_plane.kubeconfig)
    kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": WATCHED}})
    helm(
        *("install", "cloud-recording", str(REPOSITORY / "charts" / "cloud-recording")),
        *(f"--namespace={NAMESPACE}", "--create-namespace", f"--set-json=watchNamespaces={json.dumps(request.param)}"),
    )
    yield kubectl
    helm("uninstall", "cloud-recording", f"--namespace={NAMESPACE}")
    for kind in ("cloudrecordings", "recordingstorages"):
        kubectl("delete", "crd", f"{kind}.cloudrecording.dev")


def _settings(kubectl: Kubectl) -> dict[str, Any]:
    """What the chart configured, but for the ports: this operator shares the machine with others."""
    configured = kubectl.get("configmap", "cloud-recording", namespace=NAMESPACE)["data"]["config.yaml"]
    settings: dict[str, Any] = yaml.safe_load(configured)
    settings["callbacks"]["port"], settings["http"]["port"] = free_port(), free_port()
    return settings


def _kubeconfig(kubectl: Kubectl, *, administrator: Path) -> dict[str, Any]:
    """The way to the same API server as nobody but the chart's ServiceAccount."""
    configuration: dict[str, Any] = yaml.safe_load(administrator.read_text(encoding="utf-8"))
    token = kubectl("create", "token", "cloud-recording", f"--namespace={NAMESPACE}").strip()
    for user in configuration["users"]:
        user["user"] = {"token": token}
    return configuration


@contextmanager
def _operator(kubectl: Kubectl, *, administrator: Path, directory: Path) -> Iterator[Path]:
    """The operator while it runs; yields its log."""
    settings, kubeconfig, log = (directory / name for name in ("config.yaml", "kubeconfig", "log"))
    settings.write_text(json.dumps(_settings(kubectl)), encoding="utf-8")
    kubeconfig.write_text(json.dumps(_kubeconfig(kubectl, administrator=administrator)), encoding="utf-8")
    place = {"POD_NAME": "operator", "POD_NAMESPACE": NAMESPACE, "POD_UID": "0"}
    environment = os.environ | place | {"KUBECONFIG": str(kubeconfig), "PYTHONPATH": str(REPOSITORY / "operator")}
    command = [sys.executable, "-m", "cloud_recording", "operator", f"--config={settings}"]
    with log.open("wb") as output, subprocess.Popen(command, env=environment, stdout=output, stderr=output) as process:
        try:
            yield log
        finally:
            process.terminate()
            process.wait(timeout=30)


def _storage_lives(kubectl: Kubectl, here: str) -> None:
    """A RecordingStorage is tried by a pod, and deleted."""
    storage = a_storage()
    storage["metadata"]["namespace"] = WATCHED
    name = f"recordingstorage/{storage['metadata']['name']}"
    kubectl("create", "--filename=-", stdin=json.dumps(storage))
    kubectl("wait", here, name, "--for=jsonpath={.status.display}=Probing", DEADLINE)
    kubectl("wait", here, "pod", "--selector=cloudrecording.dev/storage", "--for=create", DEADLINE)
    kubectl("delete", here, name, DEADLINE)


def test_the_rights_are_enough_for_the_whole_life_of_a_recording(
    plane: Kubectl, control_plane: BareControlPlane, tmp_path: Path
) -> None:
    """Creation, volume, pod, edit, stop and end; whatever the API server refused would be in the log."""
    recording = a_recording({"work": {"persistentVolumeClaim": {"size": "1Gi"}}, "ttlSecondsAfterFinished": 0})
    recording["metadata"]["namespace"] = WATCHED
    name = f"cloudrecording/{recording['metadata']['name']}"
    here = f"--namespace={WATCHED}"
    with _operator(plane, administrator=control_plane.kubeconfig, directory=tmp_path) as log:
        try:
            plane("create", "--filename=-", stdin=json.dumps(recording))
            plane("wait", here, name, "--for=jsonpath={.status.parts[0].podUID}", DEADLINE)
            (pod,) = plane.list("pods", namespace=WATCHED)
            assert plane.list("persistentvolumeclaims", namespace=WATCHED)
            _storage_lives(plane, here)
            edit = json.dumps({"spec": {"recording": {"video": {"layout": "BestFit"}}}})
            plane("patch", here, name, "--type=merge", f"--patch={edit}")
            desired = r"--for=jsonpath={.metadata.annotations.cloudrecording\.dev/desired}"
            plane("wait", here, f"pod/{pod['metadata']['name']}", desired, DEADLINE)
            plane("patch", here, name, "--type=merge", '--patch={"spec": {"desiredState": "Stopped"}}')
            plane("wait", here, name, "--for=delete", DEADLINE)
        except CommandFailedError as failure:
            pytest.fail(f"{failure}\n{log.read_text(encoding='utf-8')}")
    said = log.read_text(encoding="utf-8")
    assert "forbidden" not in said.lower(), said
    assert plane.list("events.events.k8s.io", namespace=WATCHED)
