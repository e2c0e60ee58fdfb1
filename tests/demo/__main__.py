# SPDX-License-Identifier: Apache-2.0
"""`python -m tests.demo up` records a live channel on a real cluster; `down` leaves nothing of it behind."""

import argparse
import base64
import json
import os
import secrets
import shlex
import shutil
import sys
import time
from typing import Any

from tests.cluster.client import Kubectl
from tests.cluster.cluster import Cluster
from tests.cluster.component import ClusterError
from tests.cluster.image.builder import Builder
from tests.cluster.image.recipes import OUTPUT, recipes
from tests.cluster.layout import REPOSITORY
from tests.cluster.progress import report
from tests.cluster.target import Target, uses_current_cluster
from tests.demo import contact_sheet
from tests.demo.inspection import Recording, inspect
from tests.demo.table import Table, condition
from tests.testbed import pods
from tests.testbed.bucket import Bucket, Credentials, forwarded
from tests.testbed.cluster_target import install, start, uninstall

NAMESPACE = "demo"
RECORDING = "demo"
BUCKET = "recordings"
EXAMPLE = REPOSITORY / "docs" / "examples" / "demo" / "recording.yaml"
RESULT = REPOSITORY / "build" / "demo"

RECORD_SECONDS = 45
CAROL_JOINS_AFTER_SECONDS = 10
CAROL_STAYS_SECONDS = 20
DEADLINE_SECONDS = 300


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.demo", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("up", help="record, fetch, check and show").set_defaults(run=up)
    commands.add_parser("down", help="leave nothing behind").set_defaults(run=down)
    try:
        parser.parse_args().run()
    except (ClusterError, ValueError) as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    return 0


def up() -> None:
    target = _prepared()
    credentials = _play_the_channel(target.kubectl)
    target.kubectl("delete", "cloudrecording", RECORDING, f"--namespace={NAMESPACE}", "--ignore-not-found", "--wait")
    target.kubectl("apply", f"--filename={EXAMPLE}")
    print(f"\nApplied {EXAMPLE.relative_to(REPOSITORY)}; the resource's status, as it changes:\n")
    recording = _record(target.kubectl)
    with forwarded(target.kubeconfig, namespace=NAMESPACE, service="s3", port=pods.S3_PORT) as address:
        bucket = Bucket(endpoint=f"http://{address}", name=BUCKET, credentials=credentials)
        fetched = _fetch(bucket, recording)
    _show(target, fetched, recording)


def down() -> None:
    if uses_current_cluster():
        target = start()
        target.kubectl("delete", "--ignore-not-found", "--wait", "namespace", NAMESPACE)
        uninstall(target)
    else:
        Cluster().down()
    shutil.rmtree(RESULT, ignore_errors=True)
    report("nothing of the demo is left")


def _prepared() -> Target:
    if not uses_current_cluster():
        builder = Builder()
        for recipe in recipes():
            builder.build(recipe, output=OUTPUT / f"{recipe.name}.tar")
    target = start()
    install(target)
    return target


def _play_the_channel(kubectl: Kubectl) -> Credentials:
    """Starts the bucket and the participants who are there from the start; returns the bucket's key."""
    kubectl.apply(pods.namespace(NAMESPACE))
    credentials = _credentials(kubectl)
    secret = pods.bucket_credentials(access_key=credentials.access_key, secret_key=credentials.secret_key)
    kubectl.apply(secret, *pods.s3_server(buckets=[BUCKET]), *pods.rtmp_server(), namespace=NAMESPACE)
    for name in ("s3", "rtmp"):
        kubectl("rollout", "status", f"deployment/{name}", f"--namespace={NAMESPACE}", "--timeout=120s")
    kubectl("delete", "pod", "carol", f"--namespace={NAMESPACE}", "--ignore-not-found", "--wait")
    kubectl.apply(
        pods.participant(name="alice", colour="red", tone_hz=440),
        pods.participant(name="bob", colour="green", tone_hz=660),
        namespace=NAMESPACE,
    )
    ready = "--for=condition=Ready"
    kubectl("wait", ready, "pod/alice", "pod/bob", f"--namespace={NAMESPACE}", "--timeout=120s")
    report("alice and bob are in the channel")
    return credentials


def _credentials(kubectl: Kubectl) -> Credentials:
    """The key of the last demo while its bucket is there, else a new one."""
    for secret in kubectl.list("secret", namespace=NAMESPACE):
        if secret["metadata"]["name"] == "bucket-credentials":
            return Credentials(*(_decoded(secret, key) for key in ("accessKey", "secretKey")))
    return Credentials(secrets.token_hex(10), secrets.token_urlsafe(30))


def _decoded(secret: dict[str, Any], key: str) -> str:
    return base64.b64decode(secret["data"][key]).decode()


def _record(kubectl: Kubectl) -> dict[str, Any]:
    """Follows the recording to its end: carol joins late, and after a while the recording is asked to stop."""
    table, began = Table(), time.monotonic()
    started: float | None = None
    carol_joined = stopped = False
    while time.monotonic() - began < DEADLINE_SECONDS:
        recording = kubectl.get("cloudrecording", RECORDING, namespace=NAMESPACE)
        now = time.monotonic()
        table.show(recording, seconds=now - began)
        if condition(recording, "Finished").get("status") == "True":
            return _succeeded(recording)
        if started is None and condition(recording, "Recording").get("status") == "True":
            started = now
        recorded = 0.0 if started is None else now - started
        if not carol_joined and recorded >= CAROL_JOINS_AFTER_SECONDS:
            carol = pods.participant(name="carol", colour="blue", tone_hz=880, leave_after_seconds=CAROL_STAYS_SECONDS)
            kubectl.apply(carol, namespace=NAMESPACE)
            carol_joined = True
        if not stopped and recorded >= RECORD_SECONDS:
            _stop(kubectl)
            stopped = True
        time.sleep(0.5)
    raise ClusterError(f"the recording has not finished after {DEADLINE_SECONDS} s: kubectl describe crec {RECORDING}")


def _stop(kubectl: Kubectl) -> None:
    patch = json.dumps({"spec": {"desiredState": "Stopped"}})
    kubectl("patch", "crec", RECORDING, f"--namespace={NAMESPACE}", "--type=merge", f"--patch={patch}")
    print(f"         kubectl patch crec {RECORDING} --type=merge --patch='{patch}'", flush=True)


def _succeeded(recording: dict[str, Any]) -> dict[str, Any]:
    outcome = condition(recording, "Succeeded")
    if outcome.get("status") != "True":
        raise ClusterError(f"the recording failed: {outcome.get('reason')}: {outcome.get('message')}")
    return recording


def _fetch(bucket: Bucket, recording: dict[str, Any]) -> Recording:
    shutil.rmtree(RESULT, ignore_errors=True)
    files = bucket.download(RESULT, of=recording["status"]["recordingId"])
    report(f"{len(files)} objects fetched from the bucket")
    return inspect(files[recording["status"]["playlist"]])


def _show(target: Target, fetched: Recording, recording: dict[str, Any]) -> None:
    sheet = RESULT / "contact-sheet.png"
    contact_sheet.make(fetched.playlist, seconds=fetched.seconds, sheet=sheet)
    print(f"\nffprobe of the {len(fetched.slices)} slices that the playlist names:\n")
    for piece in fetched.slices:
        print(f"  {piece.name}  {piece.seconds:9.6f} s  {piece.video}  {piece.audio}")
    chosen = [] if target.kubeconfig is None else [f"--kubeconfig={os.path.relpath(target.kubeconfig)}"]
    kubectl = shlex.join(["kubectl", *chosen])
    here = {path: os.path.relpath(path) for path in (sheet, fetched.playlist)}
    print(
        f"\n  picture    {here[sheet]}\n  playlist   {here[fetched.playlist]}   (ffplay -allowed_extensions ALL …)\n\n"
        f"Look around (the cluster runs until `make demo-down`):\n\n"
        f"  {kubectl} get crec --namespace={NAMESPACE} --output=wide\n"
        f"  {kubectl} describe crec {RECORDING} --namespace={NAMESPACE}\n"
        f"  {kubectl} logs --namespace={NAMESPACE} {_last_pod(recording)}\n"
    )


def _last_pod(recording: dict[str, Any]) -> str:
    parts: list[dict[str, Any]] = recording["status"].get("parts", [])
    return str(parts[-1]["pod"]) if parts else ""


if __name__ == "__main__":
    sys.exit(main())
