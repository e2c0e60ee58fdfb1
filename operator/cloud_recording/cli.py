# SPDX-License-Identifier: Apache-2.0
"""The console script: picks a sub-command and imports nothing of the others.

The recorder process counts its memory in megabytes, so it must not pay for the operator's imports: each sub-command
is a module path that is loaded only when it is the one that was asked for.
"""

import importlib
import signal
import sys
from collections.abc import Sequence
from typing import NamedTuple

from cloud_recording.common.ending_signals import ENDING_SIGNALS
from cloud_recording.common.exit_status import EXIT_INVALID, EXIT_OK


class SubCommand(NamedTuple):
    """Where a sub-command lives and what it is for."""

    module: str
    purpose: str
    holds_signals: bool = False
    """Whether it takes the signals that end a process itself, once it can: until then the image has them wait."""


SUB_COMMANDS = {
    "operator": SubCommand("cloud_recording.controller.main", "give each CloudRecording a pod (in the cluster)"),
    "runner": SubCommand(
        "cloud_recording.runner.supervisor.main",
        "record one part and report (in a recording's pod)",
        holds_signals=True,
    ),
    "probe": SubCommand("cloud_recording.runner.probe.main", "try whether a store takes files (in a pod of its own)"),
    "merge": SubCommand(
        "cloud_recording.runner.merge.main", "put one playlist over a recording's parts (in a pod of its own)"
    ),
    "recorder": SubCommand("cloud_recording.runner.recorder.main", "hold the native library (started by the runner)"),
    "run": SubCommand(
        "cloud_recording.runner.local.main", "record URLs or a manifest on this machine, without a cluster"
    ),
    "rescue": SubCommand("cloud_recording.runner.local.rescue", "upload what a recording left, and record nothing"),
}


def usage() -> str:
    """Returns the help text."""
    width = max(map(len, SUB_COMMANDS))
    lines = [f"  {name:<{width}}  {command.purpose}" for name, command in SUB_COMMANDS.items()]
    return "\n".join(["usage: cloud-recording COMMAND [ARGUMENTS]", "", *lines])


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the sub-command that the arguments name and returns its exit status; 2 for one that does not exist."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in {"-h", "--help", "help"}:
        print(usage())
        return EXIT_OK
    if not given or given[0] not in SUB_COMMANDS:
        unknown = f"unknown command {given[0]!r}\n" if given else ""
        print(f"{unknown}{usage()}", file=sys.stderr)
        return EXIT_INVALID
    command = SUB_COMMANDS[given[0]]
    if not command.holds_signals:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING_SIGNALS)
    entry = importlib.import_module(command.module).main
    return int(entry(given[1:]) or EXIT_OK)
