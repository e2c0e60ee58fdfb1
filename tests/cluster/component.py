# SPDX-License-Identifier: Apache-2.0
"""Starts a program of the cluster and waits until it says itself that it is ready."""

from __future__ import annotations

import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.cluster.layout import Layout
from tests.cluster.processes import Process, end, exit_code, launch, processes_of
from tests.cluster.progress import report

READINESS_DEADLINE_SECONDS = 120
POLL_SECONDS = 0.05
LOG_TAIL_LINES = 25
GRACE_SECONDS = 5


class ClusterError(Exception):
    """Something about the cluster is not as it must be; the message says what, and what to do."""


class Site(Protocol):
    """Where the programs run."""

    @property
    def address(self) -> str:
        """The address that they serve on, reachable from the tests."""

    def enter(self, command: tuple[str, ...]) -> tuple[str, ...]:
        """The command that runs the given one there."""


@dataclass(frozen=True)
class Component:
    """One program: its command, its name's log file, and the URL that answers 200 once it is ready."""

    command: tuple[str, ...]
    health: str

    @property
    def name(self) -> str:
        return Path(self.command[0]).name


class Runner:
    """Runs components in a site, each at most once."""

    def __init__(self, *, layout: Layout, site: Site, authority: Path) -> None:
        self._layout = layout
        self._site = site
        self._trust = ssl.create_default_context(cafile=str(authority))

    def ensure(self, components: Sequence[Component]) -> None:
        """Returns when all run, with exactly these commands, and are ready. They start at the same time."""
        started = [(component, self._start(component)) for component in components]
        deadline = time.monotonic() + READINESS_DEADLINE_SECONDS
        for component, pid in started:
            while (complaint := self._ask(component)) is not None:
                self._check_alive(started)
                if time.monotonic() > deadline:
                    raise self._failure(component, f"was not ready after {READINESS_DEADLINE_SECONDS} s: {complaint}")
                time.sleep(POLL_SECONDS)
            if pid is not None:
                report(f"{component.name} is ready")

    def is_ready(self, component: Component) -> bool:
        return self._ask(component) is None

    def stop(self, component: Component, *, grace_seconds: float = GRACE_SECONDS) -> None:
        """Returns when the component has ended; no grace is the sudden death of a fault test."""
        end((process.pid for process in self._running(component)), grace_seconds=grace_seconds)

    def log_of(self, component: Component) -> Path:
        return self._layout.logs / f"{component.name}.log"

    def _running(self, component: Component) -> list[Process]:
        return [process for process in processes_of(self._layout.name) if process.program == component.name]

    def _start(self, component: Component) -> int | None:
        """The id of the process that was started, None if it was running."""
        running = self._running(component)
        if any(process.command == component.command for process in running):
            return None
        end((process.pid for process in running), grace_seconds=GRACE_SECONDS)
        return launch(self._site.enter(component.command), name=self._layout.name, log=self.log_of(component))

    def _check_alive(self, started: Sequence[tuple[Component, int | None]]) -> None:
        for component, pid in started:
            if pid is not None and (code := exit_code(pid)) is not None:
                raise self._failure(component, f"ended with exit code {code}")

    def _ask(self, component: Component) -> str | None:
        """None when the component says that it is ready, else what it said."""
        try:
            with urllib.request.urlopen(component.health, timeout=2, context=self._trust):  # noqa: S310 -- our own URLs
                return None
        except urllib.error.HTTPError as refusal:
            return f"{component.health} answers {refusal.code}: {refusal.read(500).decode(errors='replace')}"
        except OSError as failure:
            return f"{component.health}: {failure}"

    def _failure(self, component: Component, what: str) -> ClusterError:
        log = self.log_of(component)
        return ClusterError(f"{component.name} {what}; the end of {log}:\n{tail(log)}")


def tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
    return "\n".join(f"  {line}" for line in lines)
