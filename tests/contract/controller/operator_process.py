# SPDX-License-Identifier: Apache-2.0
"""The operator as a process of its own, as its image runs it, against a real API server."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cloud_recording.kube.lease import LeaseTiming
from tests.contract.controller.forked_operator import ForkedOperator
from tests.support.ports import free_port
from tests.support.waiting import await_true

REPOSITORY = Path(__file__).parents[3]
START_SECONDS = 60.0
STOP_SECONDS = 60.0
LOOK_SECONDS = 0.5


@dataclass
class OperatorProcess:
    """One replica."""

    kubeconfig: Path
    directory: Path
    namespace: str
    """Where it lives, and the only namespace that it watches."""
    name: str = "operator-0"
    lease_seconds: int = 5
    callback_port: int = 0
    http_port: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    runner: dict[str, Any] = field(default_factory=dict)
    """Settings of recorders."""
    environment: dict[str, str] = field(default_factory=dict)
    is_forked: bool = False
    """From a process that has loaded what an operator needs, which is not to be measured."""
    _process: subprocess.Popen[bytes] | ForkedOperator | None = None

    def __post_init__(self) -> None:
        self.callback_port = self.callback_port or free_port()
        self.http_port = self.http_port or free_port()

    @property
    def log(self) -> Path:
        return self.directory / f"{self.name}.log"

    @property
    def url(self) -> str:
        return f"https://localhost:{self.callback_port}"

    @property
    def pid(self) -> int:
        return self._running().pid

    def start(self) -> None:
        """Starts the process; it listens some time later."""
        config = self.directory / f"{self.name}.yaml"
        config.write_text(yaml.safe_dump(self._config()))
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": os.environ.get("HOME", "/"),
            "PYTHONPATH": str(REPOSITORY / "operator"),
            "KUBECONFIG": str(self.kubeconfig),
            "POD_NAMESPACE": self.namespace,
            "POD_NAME": self.name,
            "POD_UID": self.name,
            **self.environment,
        }
        arguments = ["operator", "--config", str(config)]
        # A forked one opens it itself, some time later.
        self.log.touch()
        if self.is_forked and not self.environment:
            self._process = ForkedOperator(arguments, environment=environment, log=self.log)
            return
        command = [sys.executable, "-m", "cloud_recording", *arguments]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def stop(self) -> int:
        """Asks the process to end, as the kubelet does, and returns its exit status."""
        process = self._running()
        process.send_signal(signal.SIGTERM)
        return self.wait()

    def kill(self) -> None:
        """Ends the process without a word."""
        self._running().kill()
        self.wait()

    def wait(self) -> int:
        """The exit status, once the process has ended."""
        try:
            return self._running().wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the operator does not end:\n{self.log.read_text()}") from None

    @property
    def ended(self) -> bool:
        """Whether the process has ended, for whatever reason."""
        return self._running().poll() is not None

    def end(self) -> None:
        """Leaves nothing behind."""
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def await_serving(self) -> None:
        """Returns when the process listens for callbacks."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.callback_port)) == 0:
                    return
            if self._running().poll() is not None:
                break
            time.sleep(0.1)
        raise AssertionError(f"the operator does not listen:\n{self.log.read_text()}")

    def await_logged(self, words: str) -> None:
        """Returns when the process has said this."""
        await_true(lambda: words in self.log.read_text(), seconds=START_SECONDS)

    def _running(self) -> subprocess.Popen[bytes] | ForkedOperator:
        assert self._process is not None, "the operator was not started"
        return self._process

    @property
    def lease_timing(self) -> LeaseTiming:
        """In proportion to the chart's, in whole seconds."""
        return LeaseTiming(
            duration_seconds=self.lease_seconds,
            renew_deadline_seconds=self.lease_seconds * 4 // 5,
            retry_seconds=max(1, self.lease_seconds // 12),
        )

    def _config(self) -> dict[str, Any]:
        timing = self.lease_timing
        return {
            "runner": {"image": "cloud-recording:test", **self.runner},
            "callbacks": {"url": self.url, "port": self.callback_port, "caSecretName": "callback-ca"},
            "http": {"port": self.http_port},
            "watchNamespaces": [self.namespace],
            "logging": {"level": "info", "format": "text"},
            "leaderElection": {
                "leaseName": "cloud-recording",
                "leaseSeconds": timing.duration_seconds,
                "renewSeconds": timing.renew_deadline_seconds,
                "retrySeconds": timing.retry_seconds,
            },
            **self.settings,
        }
