# SPDX-License-Identifier: Apache-2.0
"""Records a channel from its first participant to the stop, and says what the resource's status says meanwhile."""

import json
import secrets
import time
from typing import Any

from tests.cluster.client import Kubectl
from tests.cluster.component import ClusterError
from tests.cluster.layout import REPOSITORY
from tests.demo.channels import NAMESPACE, LiveChannel, Timeline, kept_or_new
from tests.demo.table import Table, condition
from tests.testbed import pods
from tests.testbed.bucket import Credentials

RECORDING = "demo"
BUCKET = "recordings"
HERE = f"--namespace={NAMESPACE}"
DEADLINE_SECONDS = 300


def open_bucket(kubectl: Kubectl) -> Credentials:
    """Starts the bucket's server; returns its key, which is that of the last demo while its bucket is there."""
    kubectl.apply(pods.namespace(NAMESPACE))
    new = {"accessKey": secrets.token_hex(10), "secretKey": secrets.token_urlsafe(30)}
    credentials = Credentials(*kept_or_new(kubectl, "bucket-credentials", new).values())
    secret = pods.bucket_credentials(access_key=credentials.access_key, secret_key=credentials.secret_key)
    kubectl.apply(secret, *pods.s3_server(buckets=[BUCKET]), namespace=NAMESPACE)
    return credentials


def record(kubectl: Kubectl, channel: LiveChannel, timeline: Timeline) -> dict[str, Any]:
    """Returns the recording when it has ended well."""
    for name in ("s3", *channel.servers):
        kubectl("rollout", "status", f"deployment/{name}", HERE, "--timeout=120s")
    kubectl("delete", "cloudrecording", RECORDING, HERE, "--ignore-not-found", "--wait")
    # Whoever is there since an earlier demo may be in another channel.
    everybody = "--selector=app.kubernetes.io/component=participant"
    kubectl("delete", "pod", everybody, HERE, "--wait")
    kubectl.apply(*channel.there, namespace=NAMESPACE)
    names = [f"pod/{pod['metadata']['name']}" for pod in channel.there]
    kubectl("wait", "--for=condition=Ready", *names, HERE, "--timeout=120s")
    kubectl("apply", f"--filename={channel.example}")
    applied = f"kubectl apply --filename={channel.example.relative_to(REPOSITORY)}"
    print(f"\n{channel.told}\n\n{applied}\n\nThe resource's status, as it changes:\n", flush=True)
    return _followed(kubectl, channel, timeline)


def _followed(kubectl: Kubectl, channel: LiveChannel, timeline: Timeline) -> dict[str, Any]:
    """Follows the recording to its end: carol joins late, and after a while the recording is asked to stop."""
    table, began = Table(), time.monotonic()
    started: float | None = None
    carol_came = stopped = False
    while time.monotonic() - began < DEADLINE_SECONDS:
        recording = kubectl.get("cloudrecording", RECORDING, namespace=NAMESPACE)
        now = time.monotonic()
        table.show(recording, seconds=now - began)
        if condition(recording, "Finished").get("status") == "True":
            return _succeeded(recording)
        if started is None and condition(recording, "Recording").get("status") == "True":
            started = now
        recorded = 0.0 if started is None else now - started
        if not carol_came and recorded >= timeline.carol_comes:
            kubectl.apply(channel.late, namespace=NAMESPACE)
            carol_came = True
        if not stopped and recorded >= timeline.recorded:
            _stop(kubectl)
            stopped = True
        time.sleep(0.5)
    raise ClusterError(f"the recording has not finished after {DEADLINE_SECONDS} s: kubectl describe crec {RECORDING}")


def _stop(kubectl: Kubectl) -> None:
    patch = json.dumps({"spec": {"desiredState": "Stopped"}})
    kubectl("patch", "crec", RECORDING, HERE, "--type=merge", f"--patch={patch}")
    print(f"         kubectl patch crec {RECORDING} --type=merge --patch='{patch}'", flush=True)


def _succeeded(recording: dict[str, Any]) -> dict[str, Any]:
    for kind in ("Succeeded", "Uploaded"):
        outcome = condition(recording, kind)
        if outcome.get("status") != "True":
            raise ClusterError(f"the recording is not {kind}: {outcome.get('reason')}: {outcome.get('message')}")
    if "mp4" not in recording["status"]:
        raise ClusterError(f"the recording has no MP4: kubectl describe crec {RECORDING} says why")
    return recording
