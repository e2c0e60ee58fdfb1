# SPDX-License-Identifier: Apache-2.0
"""Starts, finds and ends the processes of a cluster.

Each carries the cluster's name in its environment. Unlike a file of process ids, that mark is never stale, cannot be
lost before it is written, and never points at a stranger who got an old process's number.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

MARK = "CLOUD_RECORDING_CLUSTER"


@dataclass(frozen=True)
class Process:
    """One process, as /proc showed it."""

    pid: int
    command: tuple[str, ...]
    pid_in_sandbox: int

    @property
    def program(self) -> str:
        return Path(self.command[0]).name


def processes_of(name: str) -> list[Process]:
    """The living processes of the cluster, the containers' own excepted: those end with the sandbox."""
    return [process for mark, process in _scan() if mark == name]


def any_cluster_lives() -> bool:
    return any(True for _ in _scan())


def launch(command: tuple[str, ...], *, name: str, log: Path, output: int | None = None) -> int:
    """Starts a process of the cluster that outlives this one, and returns its id.

    What it says goes to the log, its standard output to the given descriptor instead if there is one. This is not
    subprocess's work, which takes a child that nobody waits for as a mistake.
    """
    appending = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    return os.posix_spawnp(
        command[0],
        command,
        {**os.environ, MARK: name},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 2, str(log), appending, 0o600),
            (os.POSIX_SPAWN_DUP2, 2 if output is None else output, 1),
        ],
        setsid=True,
    )


def exit_code(pid: int) -> int | None:
    """None while the process, started by this one, lives."""
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def _scan() -> Iterator[tuple[str, Process]]:
    """Each process that carries a mark, with it."""
    prefix = f"{MARK}=".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        # A process may end, or turn out to be another user's, at any moment of the look at it.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            environment = (entry / "environ").read_bytes().split(b"\0")
            mark = next((line.removeprefix(prefix).decode() for line in environment if line.startswith(prefix)), None)
            if mark is None:
                continue
            parts = (entry / "cmdline").read_bytes().split(b"\0")[:-1]
            command = tuple(part.decode(errors="replace") for part in parts)
            if _is_interpreter(entry, command):
                command = command[1:]
            if command:
                yield mark, Process(int(entry.name), command, _pid_in_sandbox(entry))


def _is_interpreter(entry: Path, command: tuple[str, ...]) -> bool:
    """Whether the first word is what the kernel put before a script that says by what it is to be run: the process is
    named by the script then."""
    name = (entry / "comm").read_text().strip()
    first, second = (Path(word).name[: len(name)] for word in (*command, "", "")[:2])
    return name == second and name != first


def _pid_in_sandbox(entry: Path) -> int:
    status = (entry / "status").read_text()
    return next(int(line.split()[-1]) for line in status.splitlines() if line.startswith("NSpid:"))


def end(pids: Iterable[int], *, grace_seconds: float) -> None:
    """Returns when none of the processes lives any more; those that outlive the grace are killed."""
    living = [opened for pid in pids if (opened := _open(pid)) is not None]
    try:
        if grace_seconds > 0:
            _signal(living, signal.SIGTERM)
            living_after_grace = _wait(living, grace_seconds)
        else:
            living_after_grace = living
        _signal(living_after_grace, signal.SIGKILL)
        _wait(living_after_grace, None)
    finally:
        for descriptor in living:
            os.close(descriptor)


@contextlib.contextmanager
def frozen(pids: Iterable[int]) -> Iterator[None]:
    """Meanwhile these processes do nothing, not even end their connections, as on a machine that hangs."""
    held = [opened for pid in pids if (opened := _open(pid)) is not None]
    try:
        _signal(held, signal.SIGSTOP)
        yield
    finally:
        _signal(held, signal.SIGCONT)
        for descriptor in held:
            os.close(descriptor)


def _open(pid: int) -> int | None:
    with contextlib.suppress(ProcessLookupError):
        return os.pidfd_open(pid)
    return None


def _signal(descriptors: list[int], number: signal.Signals) -> None:
    for descriptor in descriptors:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, number)


def _wait(descriptors: list[int], seconds: float | None) -> list[int]:
    """Those of the descriptors whose process still lives when the time is over."""
    deadline = None if seconds is None else time.monotonic() + seconds
    living = list(descriptors)
    while living:
        remaining = None if deadline is None else deadline - time.monotonic()
        if remaining is not None and remaining <= 0:
            break
        ended, _, _ = select.select(living, [], [], remaining)
        living = [descriptor for descriptor in living if descriptor not in ended]
    return living
