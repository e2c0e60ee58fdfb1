# SPDX-License-Identifier: Apache-2.0
"""The cluster that demo and end-to-end tests use, with the product installed in it by its own chart."""

import json
import os

from tests.cluster.cluster import Cluster
from tests.cluster.image.recipes import OUTPUT, recipes
from tests.cluster.layout import REPOSITORY
from tests.cluster.node import DISK_FREE_PERCENT
from tests.cluster.progress import report
from tests.cluster.target import Target, uses_current_cluster

CHART = REPOSITORY / "charts" / "cloud-recording"
OPERATOR_NAMESPACE = "cloud-recording-system"
RELEASE = "cloud-recording"
LEAST_NODE_LOST_SECONDS = 30
ALLOWED_ACCOUNT = "recorder"
"""The ServiceAccount whose identity recordings may use, in whatever namespace."""


def start() -> Target:
    """Returns the cluster with the product's and the testbed's image in it.

    In a cluster of the user's own, the images must be where its nodes can pull them.
    """
    if uses_current_cluster():
        return Target.of(None)
    cluster = Cluster()
    cluster.up()
    for recipe in recipes():
        cluster.load_image(OUTPUT / f"{recipe.name}.tar")
    return Target.of(cluster)


def install(target: Target) -> None:
    """Installs the chart, or brings the installed one up to date, and waits until the operator is ready."""
    _clear_interrupted(target)
    image = os.environ.get("CLOUD_RECORDING_IMAGE", "cloud-recording:dev")
    repository, _, tag = image.rpartition(":")
    target.helm(
        *("upgrade", "--install", RELEASE, str(CHART), "--namespace", OPERATOR_NAMESPACE, "--create-namespace"),
        *("--set", f"image.repository={repository}", "--set", f"image.tag={tag}"),
        *(() if uses_current_cluster() else _for_our_node()),
        *("--set", f"allowed.serviceAccounts={{{ALLOWED_ACCOUNT}}}"),
        *("--wait", "--timeout", "3m"),
    )
    report(f"the chart is installed in {OPERATOR_NAMESPACE}")


def _for_our_node() -> tuple[str, ...]:
    """Its disk as its kubelet keeps it, an operator that outlives recorders, half a minute less to miss a node."""
    settings = {"nodeDiskFreePercent": DISK_FREE_PERCENT, "nodeLostSeconds": LEAST_NODE_LOST_SECONDS}
    runner = (word for name, value in settings.items() for word in ("--set", f"runner.{name}={value}"))
    return (*runner, "--set", "priorityClassName=system-cluster-critical")


def _clear_interrupted(target: Target) -> None:
    """A helm that was killed leaves its release locked for ever; the definitions, and so the recordings, stay."""
    releases = json.loads(target.helm("list", "--namespace", OPERATOR_NAMESPACE, "--pending", "--output=json"))
    if any(release["name"] == RELEASE for release in releases):
        target.helm("uninstall", RELEASE, "--namespace", OPERATOR_NAMESPACE, "--wait")


def uninstall(target: Target) -> None:
    """Takes the chart away, with its resource definitions, which the chart itself would keep."""
    target.helm("uninstall", RELEASE, "--namespace", OPERATOR_NAMESPACE, "--ignore-not-found", "--wait")
    target.kubectl("delete", "--ignore-not-found", "--wait", "namespace", OPERATOR_NAMESPACE)
    target.kubectl("delete", "--ignore-not-found", "--wait", f"--filename={REPOSITORY / 'crds'}")
