# SPDX-License-Identifier: Apache-2.0
"""The command line: `python -m tests.cluster up` and its siblings."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.cluster.bare import BareControlPlane
from tests.cluster.cluster import Cluster
from tests.cluster.component import ClusterError, tail
from tests.cluster.layout import DEFAULT_DIRECTORY
from tests.cluster.progress import report
from tests.cluster.target import uses_current_cluster


def main() -> int:
    arguments = _parse()
    try:
        return int(arguments.run(arguments))
    except ClusterError as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description="A Kubernetes cluster of one node.")
    parser.add_argument("--dir", type=Path, default=DEFAULT_DIRECTORY, help="where it keeps everything (%(default)s)")
    parser.add_argument(
        "--control-plane-only", action="store_true", help="an API server and etcd alone, on loopback, without root"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, description in (
        ("up", _up, "start what does not run, and wait until it is ready"),
        ("down", _down, "end it, and leave nothing behind"),
        ("status", _status, "tell which of its programs are ready; exit code 0 if all are"),
        ("kubeconfig", _kubeconfig, "print the path of the administrator's kubeconfig"),
    ):
        commands.add_parser(name, help=description).set_defaults(run=run)
    load = commands.add_parser("load-image", help="put image archives into the node")
    load.add_argument("archives", type=Path, nargs="+", metavar="FILE")
    load.set_defaults(run=_load_image)
    logs = commands.add_parser("logs", help="print the end of the programs' logs")
    logs.add_argument("components", nargs="*", metavar="COMPONENT")
    logs.set_defaults(run=_logs)
    for name, run in (("stop", _stop), ("start", _start)):
        command = commands.add_parser(name, help=f"{name} one program of the running cluster")
        command.add_argument("component")
        command.set_defaults(run=run)
    return parser.parse_args()


def _chosen(arguments: argparse.Namespace) -> Cluster | BareControlPlane:
    return BareControlPlane(arguments.dir) if arguments.control_plane_only else Cluster(arguments.dir)


def _up(arguments: argparse.Namespace) -> int:
    if uses_current_cluster():
        report("CLUSTER=current: using the cluster that kubectl talks to")
        return 0
    begun = time.monotonic()
    cluster = _chosen(arguments)
    cluster.up()
    report(f"the cluster is up after {time.monotonic() - begun:.1f} s: export KUBECONFIG={cluster.kubeconfig}")
    return 0


def _down(arguments: argparse.Namespace) -> int:
    if uses_current_cluster():
        report("CLUSTER=current: the cluster stays as it is")
        return 0
    _chosen(arguments).down()
    report("the cluster is gone")
    return 0


def _status(arguments: argparse.Namespace) -> int:
    readiness = Cluster(arguments.dir).readiness()
    for name, ready in readiness.items():
        print(f"{name:25}{'ready' if ready else 'not ready'}")
    if not readiness:
        print(f"no cluster runs in {arguments.dir}")
    return 0 if readiness and all(readiness.values()) else 1


def _kubeconfig(arguments: argparse.Namespace) -> int:
    print(_chosen(arguments).kubeconfig)
    return 0


def _load_image(arguments: argparse.Namespace) -> int:
    if uses_current_cluster():
        raise ClusterError("CLUSTER=current: push the image to a registry that the cluster pulls from")
    for archive in arguments.archives:
        Cluster(arguments.dir).load_image(archive)
    return 0


def _logs(arguments: argparse.Namespace) -> int:
    directory = _chosen(arguments).layout.logs
    logs = [directory / f"{name}.log" for name in arguments.components] or sorted(directory.glob("*.log"))
    for log in logs:
        if not log.exists():
            raise ClusterError(f"{log} does not exist: there are {', '.join(p.stem for p in directory.glob('*.log'))}")
        print(f"{log}:\n{tail(log)}")
    return 0


def _stop(arguments: argparse.Namespace) -> int:
    Cluster(arguments.dir).stop(arguments.component)
    return 0


def _start(arguments: argparse.Namespace) -> int:
    Cluster(arguments.dir).start(arguments.component)
    return 0


if __name__ == "__main__":
    sys.exit(main())
