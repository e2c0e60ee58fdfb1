# SPDX-License-Identifier: Apache-2.0
"""`python -m tests.demo up` records a live channel on a real cluster; `down` leaves nothing of it behind."""

import argparse
import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

from tests.cluster.binaries import Binaries
from tests.cluster.cluster import Cluster
from tests.cluster.component import ClusterError
from tests.cluster.image.builder import Builder
from tests.cluster.image.recipes import OUTPUT, recipes
from tests.cluster.layout import REPOSITORY
from tests.cluster.progress import report
from tests.cluster.target import Target, uses_current_cluster
from tests.demo import contact_sheet, live
from tests.demo.channels import CHANNELS, NAMESPACE, Timeline
from tests.demo.inspection import Fetched, inspect
from tests.demo.table import condition
from tests.testbed import pods
from tests.testbed.bucket import Bucket, forwarded
from tests.testbed.cluster_target import install, start, uninstall

RESULT = REPOSITORY / "build" / "demo"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.demo", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    begin = commands.add_parser("up", help="record, fetch, check and show")
    begin.add_argument("--channel", choices=CHANNELS, default="room")
    begin.set_defaults(run=lambda options: up(options.channel))
    commands.add_parser("down", help="leave nothing behind").set_defaults(run=lambda _: down())
    options = parser.parse_args()
    try:
        options.run(options)
    except (ClusterError, ValueError) as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    return 0


def up(channel: str) -> None:
    if not uses_current_cluster():
        builder = Builder()
        for recipe in recipes():
            builder.build(recipe, output=OUTPUT / f"{recipe.name}.tar")
    target = start()
    install(target)
    recording, fetched = demonstrate(target, channel, Timeline(), RESULT)
    _show(target, recording, fetched)


def demonstrate(target: Target, channel: str, timeline: Timeline, directory: Path) -> tuple[dict[str, Any], Fetched]:
    """Records a channel of CHANNELS and fetches what was recorded into the directory, which is made anew."""
    credentials = live.open_bucket(target.kubectl)
    recording = live.record(target.kubectl, CHANNELS[channel](target.kubectl, timeline), timeline)
    with forwarded(target.kubeconfig, namespace=NAMESPACE, service="s3", port=pods.S3_PORT) as address:
        bucket = Bucket(endpoint=f"http://{address}", name=live.BUCKET, credentials=credentials)
        shutil.rmtree(directory, ignore_errors=True)
        files = bucket.download(directory, of=recording["status"]["recordingId"])
    report(f"{len(files)} objects fetched from the bucket")
    fetched = inspect(files[recording["status"]["playlist"]], files[recording["status"]["mp4"]])
    contact_sheet.make(fetched.mp4, seconds=fetched.seconds, sheet=directory / contact_sheet.NAME)
    return recording, fetched


def down() -> None:
    if uses_current_cluster():
        target = start()
        target.kubectl("delete", "--ignore-not-found", "--wait", "namespace", NAMESPACE)
        uninstall(target)
    else:
        Cluster().down()
    shutil.rmtree(RESULT, ignore_errors=True)
    report("nothing of the demo is left")


def _show(target: Target, recording: dict[str, Any], fetched: Fetched) -> None:
    print(f"\nThe {len(fetched.slices)} slices that the playlist names, as ffprobe sees them:\n")
    for piece in fetched.slices:
        print(f"  {piece.name}  {piece.seconds:9.6f} s  {piece.video}  {piece.audio}")
    outcome = condition(recording, "Succeeded")
    here = [os.path.relpath(path) for path in (fetched.mp4, fetched.playlist, RESULT / contact_sheet.NAME)]
    print(
        f"\nRecorded {fetched.seconds:.1f} s, fetched from the bucket and decoded without a complaint.\n"
        f"Succeeded={outcome['status']}, {outcome['reason']}: {outcome['message']}\n\n"
        f"  to watch     {here[0]}   (any player; ffplay {here[0]})\n"
        f"  in slices    {here[1]}   (ffplay -allowed_extensions ALL {here[1]})\n"
        f"  at a glance  {here[2]}   (six moments)\n\n"
        f"Look around (the cluster runs until `make demo-down`):\n\n"
        f"  {_kubectl(target)} get crec --namespace={NAMESPACE} --output=wide\n"
        f"  {_kubectl(target)} describe crec {live.RECORDING} --namespace={NAMESPACE}\n"
        f"  {_kubectl(target)} logs --namespace={NAMESPACE} {_last_pod(recording)}\n"
    )


def _kubectl(target: Target) -> str:
    """How somebody in this directory calls it."""
    if target.kubeconfig is None:
        return "kubectl"
    return shlex.join([os.path.relpath(Binaries()["kubectl"]), f"--kubeconfig={os.path.relpath(target.kubeconfig)}"])


def _last_pod(recording: dict[str, Any]) -> str:
    parts: list[dict[str, Any]] = recording["status"].get("parts", [])
    return str(parts[-1]["pod"]) if parts else ""


if __name__ == "__main__":
    sys.exit(main())
