# SPDX-License-Identifier: Apache-2.0
"""Operators that are forked from a process that has loaded their modules: loading them is most of a start."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_LOADED = multiprocessing.get_context("forkserver")
_LOADED.set_forkserver_preload(["cloud_recording.controller.operator", "cloud_recording.cli", __name__])


class ForkedOperator:
    """A process that runs an operator's command, by the names that `subprocess.Popen` has for what is done with it."""

    def __init__(self, arguments: Sequence[str], *, environment: Mapping[str, str], log: Path) -> None:
        self._process = _LOADED.Process(target=_run, args=(list(arguments), dict(environment), str(log)))
        self._process.start()

    @property
    def pid(self) -> int:
        pid = self._process.pid
        assert pid is not None
        return pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        status = self._process.exitcode
        if status is None:
            raise subprocess.TimeoutExpired(["operator"], timeout or 0.0)
        return status

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()


def _run(arguments: list[str], environment: dict[str, str], log: str) -> None:
    opened = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    for descriptor in (1, 2):
        os.dup2(opened, descriptor)
    os.close(opened)
    os.environ.clear()
    os.environ.update(environment)
    _read_anew(environment["KUBECONFIG"])
    sys.argv[1:] = arguments
    from cloud_recording.cli import main  # noqa: PLC0415 - where an operator runs

    sys.exit(main())


def _read_anew(kubeconfig: str) -> None:
    """The Kubernetes package reads the environment when it is loaded."""
    from kubernetes.aio.config import kube_config  # noqa: PLC0415 - where an operator runs

    module: Any = kube_config
    assert hasattr(module, "KUBE_CONFIG_DEFAULT_LOCATION")
    module.KUBE_CONFIG_DEFAULT_LOCATION = kubeconfig
