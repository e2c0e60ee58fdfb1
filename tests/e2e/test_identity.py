# SPDX-License-Identifier: Apache-2.0
"""A bucket without keys on the real cluster: pods run as an account whose projected token is exchanged for keys.

What EKS adds to pods of an account that is bound to a role (an admission webhook of its own), a MutatingAdmissionPolicy
adds here. Whether the token is that account's, the API server says.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cluster.layout import REPOSITORY
from tests.e2e.test_shared_storage import until
from tests.support.identity_server import AUDIENCE, ROLE
from tests.testbed import pods
from tests.testbed.cluster_target import ALLOWED_ACCOUNT
from tests.testbed.scene import ALICE, Scene, condition, slices

SERVER = (REPOSITORY / "tests" / "support" / "identity_server.py").read_text()
TOKENS = "/var/run/secrets/eks.amazonaws.com/serviceaccount"


@pytest.fixture(scope="module", autouse=True)
def _gate(scene: Scene) -> Iterator[None]:
    """Whoever gives out keys, which alone lets anybody to the bucket; and somebody in the channel."""
    kubectl, here = scene.target.kubectl, f"--namespace={scene.namespace}"
    for account in (ALLOWED_ACCOUNT, "stranger"):
        kubectl("create", "serviceaccount", account, here)
    trusted = f"system:serviceaccount:{scene.namespace}:{ALLOWED_ACCOUNT}"
    kubectl.apply(
        *pods.identity_server(SERVER, trusted=trusted, credentials="s3-server-key"), namespace=scene.namespace
    )
    kubectl.apply(*pods.token_reviewer(scene.namespace))
    kubectl("rollout", "status", "deployment/identity", here, "--timeout=180s")
    scene.join(ALICE)
    yield
    kubectl("delete", "--ignore-not-found", "clusterrolebinding", f"identity-{scene.namespace}")
    for kind in ("mutatingadmissionpolicybinding", "mutatingadmissionpolicy"):
        kubectl("delete", "--ignore-not-found", kind, f"identity-{scene.namespace}")


def storage(scene: Scene, name: str, account: str) -> dict[str, Any]:
    place = {name: value for name, value in scene.place().items() if name != "credentials"}
    endpoint = f"http://identity.{scene.namespace}.svc:{pods.IDENTITY_PORT}"
    return {
        "apiVersion": "cloudrecording.dev/v1alpha1",
        "kind": "RecordingStorage",
        "metadata": {"name": name},
        "spec": {**place, "endpoint": endpoint, "prefix": name, "serviceAccountName": account},
    }


def bound(scene: Scene) -> list[dict[str, Any]]:
    """What binds the account to its role: pods of it get a token for the STS, and the variables that name both."""
    volume = (
        'Object.spec.volumes{name: "aws-iam-token", projected: Object.spec.volumes.projected{sources: ['
        "Object.spec.volumes.projected.sources{serviceAccountToken: "
        "Object.spec.volumes.projected.sources.serviceAccountToken{"
        f'audience: "{AUDIENCE}", expirationSeconds: 86400, path: "token"}}}}]}}}}'
    )
    mount = f'Object.spec.containers.volumeMounts{{name: "aws-iam-token", mountPath: "{TOKENS}", readOnly: true}}'
    variables = {
        "AWS_ROLE_ARN": ROLE,
        "AWS_WEB_IDENTITY_TOKEN_FILE": f"{TOKENS}/token",
        "AWS_ENDPOINT_URL_STS": f"http://identity.{scene.namespace}.svc:{pods.IDENTITY_PORT}",
    }
    added = [
        ("/spec/volumes/-", volume),
        ("/spec/containers/0/volumeMounts/-", mount),
        *(
            ("/spec/containers/0/env/-", f'Object.spec.containers.env{{name: "{name}", value: "{value}"}}')
            for name, value in variables.items()
        ),
    ]
    patches = ", ".join(f'JSONPatch{{op: "add", path: "{path}", value: {value}}}' for path, value in added)
    name, api = f"identity-{scene.namespace}", "admissionregistration.k8s.io/v1"
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"], "operations": ["CREATE"]}
    chosen = {"matchLabels": {"kubernetes.io/metadata.name": scene.namespace}}
    policy = {
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "matchConstraints": {"namespaceSelector": chosen, "resourceRules": [rule]},
        "matchConditions": [
            {"name": "account", "expression": f"object.spec.serviceAccountName == '{ALLOWED_ACCOUNT}'"}
        ],
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": f"[{patches}]"}}],
    }
    return [
        {"apiVersion": api, "kind": "MutatingAdmissionPolicy", "metadata": {"name": name}, "spec": policy},
        {
            "apiVersion": api,
            "kind": "MutatingAdmissionPolicyBinding",
            "metadata": {"name": name},
            "spec": {"policyName": name},
        },
    ]


def test_an_account_that_is_bound_to_a_role_opens_the_bucket(scene: Scene) -> None:
    """Promise: without a role it is said what is missing; with it probe and recording go on, and no key is anywhere."""
    films = storage(scene, "films", ALLOWED_ACCOUNT)
    scene.target.kubectl.apply(films, namespace=scene.namespace)
    missing = until(scene, films, "IdentityMissing")
    assert "Bind the ServiceAccount that `spec.serviceAccountName` names" in condition(missing, "Ready")["message"]
    scene.target.kubectl.apply(*bound(scene))
    ready = until(scene, films, "Writable")
    assert ready["status"]["rights"]["put"] == "Allowed"

    manifest = scene.manifest("by-identity", streams=[ALICE.stream()])
    manifest["spec"]["storage"] = {"ref": {"name": "films"}}
    manifest["spec"]["recording"]["sliceSeconds"] = 2
    scene.target.kubectl.apply(manifest, namespace=scene.namespace)
    scene.until("by-identity", lambda seen: slices(seen) >= 2, "it is uploaded with keys that were given out")
    (pod,) = scene.pods_of("by-identity")
    assert pod["spec"]["serviceAccountName"] == ALLOWED_ACCOUNT
    assert pod["metadata"]["labels"]["cloudrecording.dev/pod-identity"] == "true"
    assert scene.credentials.access_key not in json.dumps(pod)
    scene.stop("by-identity")
    finished = scene.finished("by-identity")
    assert condition(finished, "Succeeded")["status"] == "True"
    with scene.bucket() as address:
        keys = scene.opened_bucket(address).objects(of=finished["status"]["recordingId"])
    assert f"films/{finished['status']['playlist']}" in keys


def test_an_account_that_is_not_allowed_is_refused_by_name(scene: Scene) -> None:
    """Promise: nobody borrows a role by naming its account; no pod is made."""
    others = storage(scene, "others", "stranger")
    scene.target.kubectl.apply(others, namespace=scene.namespace)
    refused = until(scene, others, "NotAllowed")
    assert "`spec.serviceAccountName` must not be 'stranger'" in condition(refused, "Ready")["message"]
    manifest = scene.manifest("not-allowed", streams=[ALICE.stream()])
    manifest["spec"]["storage"] = {key: value for key, value in others["spec"].items() if key != "prefix"}
    scene.target.kubectl.apply(manifest, namespace=scene.namespace)
    stalled = scene.until_condition("not-allowed", "Ready", "False", reason="NotAllowed")
    message = "`spec.storage.serviceAccountName` must not be 'stranger': the administrator does not allow it"
    assert message in condition(stalled, "Ready")["message"]
    assert scene.pods_of("not-allowed") == []
