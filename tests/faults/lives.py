# SPDX-License-Identifier: Apache-2.0
"""The two kinds of recorder, begun, killed and begun again on the same work directory."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

import yaml

from tests.faults.oracle import Life
from tests.support.recorder import PROGRAM, REPOSITORY
from tests.support.s3 import ACCESS_KEY, SECRET_KEY

_ENGINE: Final = REPOSITORY / "build" / "lib" / "libagora-cloud-recording-client.so"
RECORDING_ID: Final = "0123456789abcdef0123456789abcdef"
SLICE_SECONDS: Final = 2
LONGEST_SECONDS: Final = 4


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is recorded whereto."""

    directory: Path
    url: str
    endpoint: str
    bucket: str
    ca_file: Path | None
    backup: Path | None
    outputs: list[str]
    environment: Mapping[str, str]


class Recorder(Protocol):
    """A recorder that may have several lives, one at a time."""

    lives: list[Life]

    def begin(self) -> None:
        """Begins the next life."""

    def stop(self) -> None:
        """Asks the recording to stop; does nothing where no life can hear it."""

    def kill(self, *, supervisor: bool) -> None:
        """kill -9: the whole, or of a supervised one the recorder process alone."""

    def poll(self) -> int | None:
        """The status of the life that has ended, noted among `lives`; None while it goes on."""

    def is_alive(self) -> bool:
        """Whether a life goes on."""

    def has_started(self) -> bool:
        """Whether any life has begun to record."""

    def has_more(self) -> bool:
        """Whether the life that has ended left anything for another one to do."""

    def clear_up(self) -> None:
        """Ends what is left of all lives."""

    def told(self) -> list[tuple[int, str]]:
        """The callbacks of the outbox, if there is one."""

    def summary(self) -> Mapping[str, Any] | None:
        """That of the last word in the outbox, if there is one."""


@dataclass
class Process:
    """A life at a time of one command line, whose output goes to a file for each."""

    directory: Path
    begins: str
    """What it prints when it begins to record."""
    lives: list[Life] = field(default_factory=list)
    process: subprocess.Popen[bytes] | None = None
    _groups: list[int] = field(default_factory=list)

    def is_alive(self) -> bool:
        """Whether a life goes on."""
        return self.process is not None

    def has_started(self) -> bool:
        """Whether any life has begun to record."""
        return any(self.begins in output.read_text(errors="replace") for output in self.directory.glob("life-*.log"))

    def has_more(self) -> bool:
        """Whether the life that has ended left anything for another one to do."""
        return False

    def clear_up(self) -> None:
        """Ends what is left of all lives: each is the leader of a process group of its own."""
        for group in self._groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        if self.process is not None:
            self.process.wait()
            self.poll()

    def run(self, command: list[str], environment: Mapping[str, str]) -> None:
        """Begins the next life."""
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment},
                cwd=self.directory,
                start_new_session=True,
            )
        self._groups.append(self.process.pid)

    @property
    def output(self) -> Path:
        return self.directory / f"life-{len(self.lives)}.log"

    def poll(self) -> int | None:
        """The status of the life that has ended, noted among `lives`; None while it goes on."""
        if self.process is None or (status := self.process.poll()) is None:
            return None
        text = self.output.read_text(errors="replace")
        self.lives.append(Life(tuple(_callbacks(text)), status))
        self.process = None
        return status

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to the life, if there is one."""
        if self.process is not None:
            self.process.send_signal(number)


_CALLBACK: Final = re.compile(rf"^(?!created|status)([a-z-]+) {RECORDING_ID}\b|^(refused) ", re.MULTILINE)
"""A line of the program's about a callback, whichever, or that no recorder was made."""


def _callbacks(output: str) -> list[str]:
    return [told or refused for told, refused in _CALLBACK.findall(output)]


class Library(Process):
    """A program that records with the library."""

    def __init__(self, order: Order) -> None:
        super().__init__(order.directory, "\nstarted ")
        storage: dict[str, Any] = {"endpoint": order.endpoint}
        if order.ca_file is not None:
            storage["caFile"] = str(order.ca_file)
        document: dict[str, Any] = {
            "workDir": str(order.directory / "work"),
            "recordingId": RECORDING_ID,
            "sliceSeconds": SLICE_SECONDS,
            "outputs": order.outputs,
            "storage": storage,
            "channels": [
                {
                    "streams": [{"uid": 1, "url": order.url}],
                    "passthrough": {"longestSliceSeconds": LONGEST_SECONDS},
                }
            ],
        }
        if order.backup is not None:
            document["backup"] = {"directory": str(order.backup), "afterSeconds": 1}
        channel = order.directory / "channel.json"
        channel.write_text(json.dumps(document))
        self._command = [str(PROGRAM), "--bucket", order.bucket, "--idle", "600"]
        keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY}
        self._environment = {"CLOUD_RECORDING_CHANNEL_FILE": str(channel), **keys, **order.environment}

    def begin(self) -> None:
        """Begins the next life."""
        self.run(self._command, self._environment)

    def stop(self) -> None:
        """Asks for the stop once the program can hear it."""
        if self.process is not None and b"created" in self.output.read_bytes():
            self.send(signal.SIGINT)

    def kill(self, *, supervisor: bool) -> None:  # noqa: ARG002 # it has none
        """kill -9."""
        self.send(signal.SIGKILL)

    def has_more(self) -> bool:
        """Whether it left anything: it removes its directory when everything is in the bucket."""
        return (self.directory / "work" / RECORDING_ID).exists()

    def told(self) -> list[tuple[int, str]]:
        """It has no outbox."""
        return []

    def summary(self) -> Mapping[str, Any] | None:
        """It has no outbox."""
        return None


class Supervised(Process):
    """`cloud-recording run`."""

    def __init__(self, order: Order) -> None:
        super().__init__(order.directory, "somebody is in the channel")
        self._stopped: int | None = None
        self._work = order.directory / "work"
        self._manifest = order.directory / "recording.yaml"
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bucket"}}
        keys = {"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}
        self._documents = [_manifest(order), {**secret, "stringData": keys}]
        self._id: str | None = None

    def begin(self) -> None:
        """Begins the next life, which goes on with the first one's recording."""
        self._manifest.write_text(yaml.safe_dump_all(self._documents))
        command = [sys.executable, "-m", "cloud_recording", "run", "-f", str(self._manifest)]
        command += ["--engine", str(_ENGINE), "--work-directory", str(self._work)]
        command += ["--resume", self._id] if self._id else []
        self.run(command, {"PYTHONPATH": str(REPOSITORY / "operator")})

    def stop(self) -> None:
        """Asks each life once for the stop: a second time would give the upload up."""
        output = self.output.read_text(errors="replace") if self.process else ""
        if " as " in output and self._stopped != len(self.lives):
            self._stopped = len(self.lives)
            self.send(signal.SIGINT)

    def kill(self, *, supervisor: bool) -> None:
        """kill -9 of the recorder process, or of the supervisor."""
        if self.process is None:
            return
        if supervisor:
            self.send(signal.SIGKILL)
            return
        for child in _children(self.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)

    def poll(self) -> int | None:
        """The status of the life that has ended."""
        text = self.output.read_text(errors="replace") if self.process else ""
        if self._id is None and (found := re.search(r" as ([0-9a-f]{32});", text)):
            self._id = found[1]
        return super().poll()

    def told(self) -> list[tuple[int, str]]:
        """The callbacks of the outbox, those that were told and those that wait."""
        return [(sequence, kind) for sequence, kind, _ in self._outbox()]

    def summary(self) -> Mapping[str, Any] | None:
        """That of the last word."""
        documents = [json.loads(document) for _, kind, document in self._outbox() if kind == "Finished"]
        return documents[-1]["summary"] if documents else None

    def _outbox(self) -> list[tuple[int, str, str]]:
        columns = "SELECT sequence, type, document FROM"
        # A life that was killed before it had said its id left one of its own.
        file = self._work / (self._id or "") / "outbox.sqlite3"
        with contextlib.closing(sqlite3.connect(file)) as outbox:
            return sorted(outbox.execute(f"{columns} told UNION ALL {columns} callbacks"))


def _manifest(order: Order) -> dict[str, Any]:
    secret = {"secretRef": {"name": "bucket"}}
    return {
        "apiVersion": "cloudrecording.dev/v1alpha1",
        "kind": "CloudRecording",
        "metadata": {"name": "talk"},
        "spec": {
            "channel": {"name": "room", "uid": 9, "streams": [{"uid": 1, "url": order.url}]},
            "recording": {
                "outputs": order.outputs,
                "sliceSeconds": SLICE_SECONDS,
                "maxIdleSeconds": 600,
                "maxWaitSeconds": 600,
                "video": {"passthrough": {"longestSliceSeconds": LONGEST_SECONDS}},
            },
            "storage": {"bucket": order.bucket, "endpoint": order.endpoint, "credentials": secret},
        },
    }


def _children(process: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    return []
