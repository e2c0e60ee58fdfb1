# SPDX-License-Identifier: Apache-2.0
"""The chart renders what the operator understands, grants no more than it uses, and refuses values it does not know."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import pytest
import yaml
from pydantic import BaseModel

from cloud_recording.api.settings import OperatorSettings
from tests.cluster.bare import BareControlPlane
from tests.cluster.client import CommandFailedError, Helm, Kubectl
from tests.cluster.layout import REPOSITORY
from tests.contract.chart_values import documented_values, leaves

Manifest = dict[str, Any]
Render = Callable[..., list[Manifest]]

CHART: Final = REPOSITORY / "charts" / "cloud-recording"
NAMESPACE: Final = "cloud-recording-system"
EXAMPLE: Final = REPOSITORY / "docs" / "examples" / "operator.yaml"
MONITORS: Final = ("serviceMonitor", "podMonitor", "prometheusRule")


@pytest.fixture(scope="module")
def helm(control_plane: BareControlPlane) -> Helm:
    return Helm(control_plane.kubeconfig)


@pytest.fixture(scope="module")
def render(helm: Helm, tmp_path_factory: pytest.TempPathFactory) -> Render:
    """What the chart makes of the given values."""

    def rendered(values: Mapping[str, object] | None = None) -> list[Manifest]:
        file = tmp_path_factory.mktemp("values") / "values.json"
        file.write_text(json.dumps(values or {}), encoding="utf-8")
        text = helm("template", "cloud-recording", str(CHART), f"--namespace={NAMESPACE}", f"--values={file}")
        return [document for document in yaml.safe_load_all(text) if document]

    return rendered


def _only(manifests: list[Manifest], kind: str, name: str = "cloud-recording") -> Manifest:
    (found,) = [one for one in manifests if one["kind"] == kind and one["metadata"]["name"] == name]
    return found


def _settings(manifests: list[Manifest]) -> OperatorSettings:
    return OperatorSettings.model_validate(yaml.safe_load(_only(manifests, "ConfigMap")["data"]["config.yaml"]))


def test_the_chart_has_no_lint(helm: Helm) -> None:
    assert "0 chart(s) failed" in helm("lint", "--strict", str(CHART))


def test_the_defaults_are_settings_that_the_operator_takes(render: Render) -> None:
    settings = _settings(render())
    assert settings.runner.image == "cloud-recording:0.1.0"
    assert settings.callbacks.url == f"https://cloud-recording.{NAMESPACE}.svc:8443"
    assert settings == OperatorSettings.model_validate(
        {
            "runner": {"image": settings.runner.image},
            "callbacks": {"url": settings.callbacks.url, "caSecretName": "cloud-recording-callback-ca"},
            "leaderElection": {"leaseName": "cloud-recording"},
        }
    )


def _unset(settings: BaseModel, path: str = "") -> Iterator[str]:
    """The fields that nothing was said of."""
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if name not in settings.model_fields_set:
            yield path + name
        elif isinstance(value, BaseModel) and name != "resources":  # handed on as they are, and empty
            yield from _unset(value, f"{path}{name}.")


def test_the_chart_says_something_of_every_setting(render: Render) -> None:
    """Promise: no value of the chart is without effect because its template does not hand it on."""
    assert list(_unset(_settings(render()))) == []


def test_every_value_for_the_operator_reaches_it(render: Render) -> None:
    values: dict[str, Any] = {
        "image": {"repository": "example.com/product", "tag": "1.2.3"},
        "runner": {
            "image": {"digest": "sha256:" + "0" * 64},
            "imagePullPolicy": "Never",
            "imagePullSecrets": ["pull"],
            "resources": {"requests": {"cpu": 1}, "limits": {"memory": "1Gi"}},
            "podLabels": {"a": "b"},
            "podAnnotations": {"c": "d"},
            "nodeLostSeconds": 60,
            "nodeDiskFreePercent": 5,
        },
        "watchNamespaces": ["one", "two"],
        "log": {"level": "debug", "format": "text"},
        "leaderElection": {"leaseSeconds": 30, "renewSeconds": 20, "retrySeconds": 5},
        "concurrency": 8,
        "shards": 4,
        "engines": {"other": "/opt/other.so"},
        "allowed": {
            "protocols": ["rtmp"],
            "linkLocal": True,
            "labels": [],
            "affinity": False,
            "instanceIdentity": True,
        },
    }
    settings = _settings(render(values)).model_dump(mode="json", by_alias=True)
    assert settings["runner"] == values["runner"] | {
        "image": "example.com/product@sha256:" + "0" * 64,
        "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}},
    }
    assert settings["watchNamespaces"] == values["watchNamespaces"]
    assert settings["logging"] == values["log"]
    assert settings["leaderElection"] == {"leaseName": "cloud-recording"} | values["leaderElection"]
    assert settings["concurrency"] == values["concurrency"]
    assert settings["shards"] == values["shards"]
    assert settings["engines"] == {"default": "libagora-cloud-recording-client.so", "other": "/opt/other.so"}
    assert settings["allowed"].items() >= values["allowed"].items()


def test_a_change_of_the_configuration_rolls_the_operator(render: Render) -> None:
    def checksum(values: Mapping[str, object]) -> object:
        template = _only(render(values), "Deployment")["spec"]["template"]
        return template["metadata"]["annotations"]["checksum/config"]

    assert checksum({}) == checksum({"podLabels": {"a": "b"}})
    assert checksum({}) != checksum({"concurrency": 8})


def test_the_operator_runs_restricted(render: Render) -> None:
    pod = _only(render(), "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


def test_two_operators_never_wait_for_each_other(render: Render) -> None:
    """A new pod may become ready only once an old one gave up the Lease, so the old one goes first."""
    one, two = render(), render({"replicas": 2})
    assert _only(one, "Deployment")["spec"]["strategy"] == {"type": "Recreate"}
    assert _only(two, "Deployment")["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    assert "PodDisruptionBudget" not in {manifest["kind"] for manifest in one}
    assert _only(two, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1


def _rules(manifests: list[Manifest], *kinds: str) -> Iterator[tuple[Manifest, Manifest]]:
    """Each rule of the operator's own roles, with the role it stands in; the users' roles are not its own."""
    for manifest in manifests:
        if manifest["kind"] in kinds and not manifest["metadata"]["name"].endswith(("-view", "-edit")):
            yield from ((manifest, rule) for rule in manifest["rules"])


@pytest.mark.parametrize("namespaces", [[], ["one", "two"]], ids=["all namespaces", "some namespaces"])
def test_the_operator_reads_no_secret_but_its_own(render: Render, namespaces: list[str]) -> None:
    rules = _rules(render({"watchNamespaces": namespaces}), "ClusterRole", "Role")
    touching = [(role, rule) for role, rule in rules if {"secrets", "*"} & set(rule["resources"])]
    assert {role["metadata"]["namespace"] for role, _ in touching} == {NAMESPACE}
    for _, rule in touching:
        assert rule["verbs"] == ["create"] or rule["resourceNames"] == ["cloud-recording-callback-ca"]


def test_with_namespaces_only_the_review_of_tokens_is_cluster_wide(render: Render) -> None:
    manifests = render({"watchNamespaces": ["one", "two"]})
    assert [rule["resources"] for _, rule in _rules(manifests, "ClusterRole")] == [["tokenreviews"]]
    watched = [role["metadata"]["namespace"] for role, rule in _rules(manifests, "Role") if "pods" in rule["resources"]]
    assert watched == ["one", "two"]


@pytest.mark.parametrize("kind", MONITORS)
def test_monitors_are_made_when_asked_for(render: Render, kind: str) -> None:
    api_group = "monitoring.coreos.com/v1"
    assert not [manifest for manifest in render() if manifest["apiVersion"] == api_group]
    values = {"metrics": {kind: {"enabled": True, "labels": {"release": "prometheus"}}}}
    (monitor,) = [manifest for manifest in render(values) if manifest["apiVersion"] == api_group]
    assert monitor["kind"].lower() == kind.lower()
    assert monitor["metadata"]["labels"]["release"] == "prometheus"


def test_the_dashboard_is_made_when_asked_for_where_the_sidecar_looks(render: Render) -> None:
    assert not [one for one in render() if one["metadata"]["name"].endswith("-dashboard")]
    wanted = {"namespace": "monitoring", "labels": {"dashboards": "yes"}, "annotations": {"grafana_folder": "Media"}}
    made = _only(
        render({"metrics": {"dashboard": {"enabled": True, **wanted}}}), "ConfigMap", "cloud-recording-dashboard"
    )
    assert made["metadata"]["namespace"] == "monitoring"
    assert made["metadata"]["labels"]["dashboards"] == "yes"
    assert made["metadata"]["annotations"] == wanted["annotations"]


@pytest.mark.parametrize("kind", ["cloudrecordings", "recordingstorages"])
def test_the_definitions_are_those_of_crds_and_stay(render: Render, kind: str) -> None:
    name = f"{kind}.cloudrecording.dev"
    applied = yaml.safe_load((REPOSITORY / "crds" / f"{name}.yaml").read_text(encoding="utf-8"))
    in_chart = _only(render(), "CustomResourceDefinition", name)
    assert in_chart["spec"] == applied["spec"]
    assert in_chart["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    unkept = _only(render({"crds": {"keep": False}}), "CustomResourceDefinition", name)
    assert "annotations" not in unkept["metadata"]
    kinds = {manifest["kind"] for manifest in render({"crds": {"enabled": False}})}
    assert "CustomResourceDefinition" not in kinds


WRONG_VALUES: Final[Mapping[str, tuple[dict[str, object], str]]] = {
    "a misspelt value": ({"replica": 2}, "replica"),
    "a misspelt value in a group": ({"log": {"levle": "debug"}}, "levle"),
    "a level that is none": ({"log": {"level": "verbose"}}, "/log/level"),
    "no operator": ({"replicas": 0}, "/replicas"),
    "a number as text": ({"concurrency": "many"}, "/concurrency"),
    "a policy that is none": ({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
    "a digest that is none": ({"image": {"digest": "latest"}}, "/image/digest"),
    "local files as streams": ({"allowed": {"protocols": ["file"]}}, "/allowed/protocols/0"),
    "one namespace twice": ({"watchNamespaces": ["a", "a"]}, "/watchNamespaces"),
}


@pytest.mark.parametrize(("values", "named"), WRONG_VALUES.values(), ids=WRONG_VALUES)
def test_wrong_values_are_refused_by_name(render: Render, values: dict[str, object], named: str) -> None:
    with pytest.raises(CommandFailedError) as refused:
        render(values)
    assert named in refused.value.complaint


def test_every_value_is_documented() -> None:
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    documented = documented_values(text)
    paths = {value.path for value in documented}
    for leaf in leaves(yaml.safe_load(text)):
        assert any(leaf == path or leaf.startswith(f"{path}.") for path in paths), f"{leaf} has no comment"
    readme = (CHART / "README.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in readme if line.startswith("| `")] == [value.row for value in documented]


def test_the_plain_manifest_is_the_chart_with_its_defaults(render: Render) -> None:
    """`kubectl apply` of docs/examples/operator.yaml and `helm install` make the same operator."""
    example = [document for document in yaml.safe_load_all(EXAMPLE.read_text(encoding="utf-8")) if document]
    assert example[0] == {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
    assert example[1:] == render({"crds": {"enabled": False}}), (
        "run the command at the top of docs/examples/operator.yaml"
    )


@pytest.fixture(scope="module")
def installed(helm: Helm, control_plane: BareControlPlane) -> Iterator[Kubectl]:
    """An API server on which the chart was installed and upgraded by helm, with no node to run it."""
    kubectl = Kubectl(control_plane.kubeconfig)
    install = ("upgrade", "--install", "cloud-recording", str(CHART), f"--namespace={NAMESPACE}", "--create-namespace")
    helm(*install)
    helm(*install)
    yield kubectl
    helm("uninstall", "cloud-recording", f"--namespace={NAMESPACE}", "--ignore-not-found")
    for kind in ("cloudrecordings", "recordingstorages"):
        kubectl("delete", "crd", f"{kind}.cloudrecording.dev", "--ignore-not-found")


OPERATOR: Final = f"system:serviceaccount:{NAMESPACE}:cloud-recording"


def _may(kubectl: Kubectl, verb: str, resource: str, *, namespace: str, subresource: str = "") -> bool:
    question = ("auth", "can-i", verb, resource, f"--subresource={subresource}")
    try:
        return kubectl(*question, f"--as={OPERATOR}", f"--namespace={namespace}").strip() == "yes"
    except CommandFailedError as answer:
        if answer.output.strip() == "no":
            return False
        raise


@pytest.mark.parametrize(
    ("verb", "resource", "subresource"),
    [
        ("watch", "cloudrecordings.cloudrecording.dev", ""),
        ("watch", "recordingstorages.cloudrecording.dev", ""),
        ("update", "recordingstorages.cloudrecording.dev", "status"),
        ("update", "cloudrecordings.cloudrecording.dev", "status"),
        ("create", "pods", ""),
        ("patch", "pods", ""),
        ("create", "persistentvolumeclaims", ""),
        ("create", "events.events.k8s.io", ""),
        ("create", "tokenreviews.authentication.k8s.io", ""),
    ],
)
def test_the_installed_operator_may_do_its_work(installed: Kubectl, verb: str, resource: str, subresource: str) -> None:
    assert _may(installed, verb, resource, subresource=subresource, namespace="default")


@pytest.mark.parametrize(
    ("verb", "resource", "subresource"),
    [
        ("get", "secrets", ""),
        ("list", "secrets", ""),
        ("create", "pods", "exec"),
        ("create", "roles.rbac.authorization.k8s.io", ""),
        ("get", "configmaps", ""),
        ("create", "cloudrecordings.cloudrecording.dev", ""),
    ],
)
def test_the_installed_operator_may_do_nothing_else(
    installed: Kubectl, verb: str, resource: str, subresource: str
) -> None:
    assert not _may(installed, verb, resource, subresource=subresource, namespace="default")


def test_the_callback_authority_is_the_only_secret_it_may_read(installed: Kubectl) -> None:
    assert _may(installed, "get", "secrets/cloud-recording-callback-ca", namespace=NAMESPACE)
    assert not _may(installed, "get", "secrets/another", namespace=NAMESPACE)


def test_the_recordings_outlive_the_chart(installed: Kubectl, helm: Helm) -> None:
    """Last in this file: it takes the chart away."""
    helm("uninstall", "cloud-recording", f"--namespace={NAMESPACE}")
    assert installed.get("crd", "cloudrecordings.cloudrecording.dev")["spec"]["group"] == "cloudrecording.dev"
    with pytest.raises(CommandFailedError, match="not found"):
        installed.get("deployment", "cloud-recording", namespace=NAMESPACE)
