# SPDX-License-Identifier: Apache-2.0
"""A recorder pod on this machine, for tests: files that change as the kubelet changes them, and real processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import aiohttp

from cloud_recording.api.wire import Summary
from tests.contract.runner.callback_server import DEADLINE_SECONDS, CallbackServer

Json = dict[str, Any]
ROOT = Path(__file__).resolve().parents[3]
POD_UID = "5f0f4c3e-aaaa-4bbb-8ccc-1234567890ab"
RECORDING_ID = "0123456789abcdef0123456789abcdef"
ACCESS_KEY = "AKIA-test-access-key"
SECRET_KEY = "secret-key-that-nobody-may-read"
STREAM_URL = "rtmp://127.0.0.1:1/live/stream-key-that-nobody-may-read"
TOKEN = "token-of-the-pod"


def recording(*, engine: Path, script: str, callback_url: str) -> Json:
    """What the pod is told to record, with the script of the test engine as its App ID."""
    storage = {
        "vendor": "S3",
        "bucket": "recordings",
        "endpoint": "http://127.0.0.1:1",
        "credentials": {"secretRef": {"name": "bucket"}},
    }
    channel = {
        "name": "room-1",
        "appId": script,
        "uid": 1,
        "streams": [{"uid": 11, "urlSecretRef": {"name": "streams", "key": "alice"}}],
    }
    return {
        "namespace": "studio",
        "name": "talk",
        "uid": "01234567-89ab-cdef-0123-456789abcdef",
        "recordingId": RECORDING_ID,
        "part": {"number": 0, "filePrefix": ""},
        "spec": {"channel": channel, "storage": storage},
        "storage": storage,
        "callbackURL": callback_url,
        "engine": {"name": "scripted", "libraryPath": str(engine)},
        "protocols": ["rtmp"],
    }


def desired(*, generation: int = 1, state: str = "Recording", grace: int = 30, **more: object) -> Json:
    """What the pod should be doing."""
    return {
        "generation": generation,
        "state": state,
        "layout": "Float",
        "uploadGraceSeconds": grace,
        "credentialsGeneration": 0,
        **more,
    }


class RunnerPod:
    """A directory that looks like the pod's mounts, and the supervisor that runs in it."""

    def __init__(self, directory: Path) -> None:
        self.pod = directory / "pod"
        self.secrets = directory / "secrets"
        self.work = directory / "work"
        self.token = directory / "token"
        self.termination_message = directory / "termination-log"
        self.log = directory / "log"
        for path in (self.pod, self.secrets, self.work):
            path.mkdir()
        self.token.write_text(TOKEN)
        self.process: asyncio.subprocess.Process | None = None

    def mount(self, name: str, content: str | Json) -> None:
        """Replaces a file of the downward API at once, as the kubelet does."""
        self._replace(self.pod / name, content if isinstance(content, str) else json.dumps(content))

    def mount_secret(self, name: str, **keys: str) -> None:
        """Makes keys of a Secret appear."""
        (self.secrets / name).mkdir(exist_ok=True)
        for key, content in keys.items():
            self._replace(self.secrets / name / key, content)

    def mount_all_secrets(self) -> None:
        """Makes everything appear that the recording needs."""
        self.mount_secret("bucket", accessKey=ACCESS_KEY, secretKey=SECRET_KEY)
        self.mount_secret("streams", alice=STREAM_URL + "\n")

    async def start(self, *, pod_uid: str = POD_UID) -> None:
        """Starts the supervisor, as the kubelet starts the container of the pod with this UID."""
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "cloud_recording.runner.supervisor.main",
                f"--pod-directory={self.pod}",
                f"--secrets-directory={self.secrets}",
                f"--token={self.token}",
                f"--work-directory={self.work}",
                f"--termination-message={self.termination_message}",
                "--host=127.0.0.1",
                "--port=0",
                f"--pod-uid={pod_uid}",
                env={**os.environ, "PYTHONPATH": str(ROOT / "operator")},
                stdout=log,
                stderr=log,
            )

    def signal(self, number: signal.Signals) -> None:
        """Sends the supervisor a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    async def ended(self, *, seconds: float = DEADLINE_SECONDS) -> int:
        """Waits for the supervisor's end and returns its exit status."""
        assert self.process is not None
        async with asyncio.timeout(seconds):
            return await self.process.wait()

    async def recorder_pid(self, *, other_than: int | None = None) -> int:
        """The process that holds the engine, once there is one."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                found = [pid for pid in self._children() if pid != other_than]
                if found:
                    return found[0]
                await asyncio.sleep(0.02)

    def _children(self) -> list[int]:
        assert self.process is not None
        pid = self.process.pid
        with contextlib.suppress(FileNotFoundError):
            return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        return []

    async def answers(self, path: str) -> tuple[int, str]:
        """What a probe of the pod says."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{await self.probe_port()}{path}") as response,
        ):
            return response.status, await response.text()

    async def probe_port(self) -> int:
        """The port of the probes, from the newest supervisor's log."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                ports = [record["probes"] for record in self.records() if "probes" in record]
                if ports:
                    return int(ports[-1])
                await asyncio.sleep(0.02)

    def records(self) -> list[Json]:
        """The log, each line parsed: a line that is no JSON object fails the test."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    async def logged(self, beginning: str) -> Json:
        """Waits for a record whose message begins so."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                found = [record for record in self.records() if record["message"].startswith(beginning)]
                if found:
                    return found[-1]
                await asyncio.sleep(0.02)

    def summary(self) -> Summary:
        """The termination message."""
        text = self.termination_message.read_text()
        assert len(text.encode()) <= 4096
        return Summary.model_validate_json(text)

    async def close(self) -> None:
        """Leaves no process behind."""
        if self.process is not None and self.process.returncode is None:
            for pid in (*self._children(), self.process.pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            await self.process.wait()

    @staticmethod
    def _replace(path: Path, content: str) -> None:
        new = path.with_suffix(".new")
        new.write_text(content)
        new.replace(path)


class Stage:
    """A pod and the operator it reports to."""

    def __init__(self, pod: RunnerPod, operator: CallbackServer, engine: Path) -> None:
        self.pod = pod
        self.operator = operator
        self.engine = engine

    async def record(self, script: str, **wanted: object) -> None:
        """Starts a pod whose engine follows the script."""
        document = recording(engine=self.engine, script=script, callback_url=self.operator.url)
        self.pod.mount("recording.json", document)
        self.pod.mount("desired.json", desired(**wanted))  # type: ignore[arg-type]
        await self.pod.start()

    def want(self, **wanted: object) -> None:
        """Changes the desired state."""
        self.pod.mount("desired.json", desired(**wanted))  # type: ignore[arg-type]
