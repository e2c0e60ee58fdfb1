# SPDX-License-Identifier: Apache-2.0
"""The cluster does what the product asks of a cluster, so that a failure elsewhere is the product's."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.cluster.client import CommandFailedError, Kubectl
from tests.cluster.target import Target

DEADLINE = "--timeout=120s"
DEADLINE_SECONDS = 60
AUDIENCE = "callbacks.cloudrecording.dev"
UID = 65532
# Not the pod's name, by which the pod's own hosts file would answer instead of the cluster's DNS.
SERVICE = "service"


@pytest.fixture
def kubectl(cluster: Target) -> Kubectl:
    return cluster.kubectl


@pytest.fixture
def pod(kubectl: Kubectl, namespace: str, testbed_image: str) -> Iterator[str]:
    """A restricted pod behind a Service, which serves its working directory over HTTP."""
    name = "server"
    kubectl.apply(
        _restricted_pod(name, testbed_image, ["python3", "-m", "http.server", "8080"]),
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": SERVICE},
            "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]},
        },
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "work"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        },
        namespace=namespace,
    )
    kubectl("wait", "--for=condition=Ready", f"pod/{name}", f"--namespace={namespace}", DEADLINE)
    yield name
    kubectl("delete", "pod", name, f"--namespace={namespace}", "--wait=false")


def test_a_restricted_pod_reaches_a_service_by_name(kubectl: Kubectl, namespace: str, pod: str) -> None:
    _eventually(lambda: "work/" in _python(kubectl, namespace, pod, f"{_FETCH}\nfetch('http://{SERVICE}/')"))
    _eventually(
        lambda: "work/" in _python(kubectl, namespace, pod, f"{_FETCH}\nfetch('http://{SERVICE}.{namespace}.svc/')")
    )
    _eventually(lambda: "GET / HTTP" in kubectl("logs", pod, f"--namespace={namespace}"))


def test_a_name_that_does_not_exist_is_told_apart_from_a_resolver_that_fails(
    kubectl: Kubectl, namespace: str, pod: str
) -> None:
    with pytest.raises(CommandFailedError, match=r"Errno -2"):
        _python(kubectl, namespace, pod, "import socket; socket.getaddrinfo('no-such-host.example', 80)")


def test_a_volume_of_the_default_storage_class_belongs_to_the_pods_group(
    kubectl: Kubectl, namespace: str, pod: str
) -> None:
    _python(kubectl, namespace, pod, "open('/srv/work/file', 'w').close()")
    with pytest.raises(CommandFailedError, match="Read-only file system"):
        _python(kubectl, namespace, pod, "open('/file', 'w')")


def test_a_projected_token_names_its_pod_and_holds_for_its_audience_alone(
    kubectl: Kubectl, namespace: str, pod: str
) -> None:
    token = _python(kubectl, namespace, pod, "print(open('/srv/pod/token').read(), end='')")
    accepted = _review(kubectl, token, AUDIENCE)
    assert accepted["authenticated"]
    assert accepted["user"]["extra"]["authentication.kubernetes.io/pod-name"] == [pod]
    assert not _review(kubectl, token, "another.example").get("authenticated", False)


def test_an_annotation_reaches_the_running_pod(kubectl: Kubectl, namespace: str, pod: str) -> None:
    kubectl("annotate", "pod", pod, "example.dev/desired=stop", "--overwrite", f"--namespace={namespace}")
    _eventually(lambda: _python(kubectl, namespace, pod, "print(open('/srv/pod/desired').read(), end='')") == "stop")


def test_the_last_words_of_a_container_are_kept(kubectl: Kubectl, namespace: str, testbed_image: str) -> None:
    last_words = _restricted_pod("brief", testbed_image, ["sh", "-c", "printf done >/dev/termination-log"])
    kubectl.apply(last_words, namespace=namespace)
    kubectl("wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/brief", f"--namespace={namespace}", DEADLINE)
    status = kubectl.get("pod", "brief", namespace=namespace)["status"]
    assert status["containerStatuses"][0]["state"]["terminated"]["message"] == "done"


# A Service takes a moment to learn of its pods, so the answer may be a refusal first.
_FETCH = """
from urllib.error import URLError
from urllib.request import urlopen

def fetch(url):
    try:
        print(urlopen(url, timeout=5).read().decode())
    except URLError as refusal:
        print(refusal)
"""


def _restricted_pod(name: str, image: str, command: list[str]) -> dict[str, Any]:
    token = {"serviceAccountToken": {"audience": AUDIENCE, "path": "token"}}
    desired = {"path": "desired", "fieldRef": {"fieldPath": "metadata.annotations['example.dev/desired']"}}
    volumes: list[dict[str, Any]] = [
        {"name": "pod", "projected": {"sources": [token, {"downwardAPI": {"items": [desired]}}]}},
    ]
    mounts = [{"name": "pod", "mountPath": "/srv/pod"}]
    if name == "server":
        volumes.append({"name": "work", "persistentVolumeClaim": {"claimName": "work"}})
        mounts.append({"name": "work", "mountPath": "/srv/work"})
    container = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "workingDir": "/srv",
        "volumeMounts": mounts,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    security = {
        "runAsNonRoot": True,
        "runAsUser": UID,
        "fsGroup": UID,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    spec = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 0, "securityContext": security}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {**spec, "containers": [container], "volumes": volumes},
    }


def _python(kubectl: Kubectl, namespace: str, pod: str, program: str) -> str:
    return kubectl("exec", pod, f"--namespace={namespace}", "--", "python3", "-c", program)


def _review(kubectl: Kubectl, token: str, audience: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    assert json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["aud"] == [AUDIENCE]
    review = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token, "audiences": [audience]},
    }
    answer = kubectl("create", "--filename=-", "--output=json", stdin=json.dumps(review))
    status: dict[str, Any] = json.loads(answer)["status"]
    return status


def _eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"not so after {DEADLINE_SECONDS} s"
        time.sleep(0.1)
