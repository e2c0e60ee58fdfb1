# SPDX-License-Identifier: Apache-2.0
"""The recorder as a C++ program sees it: our own small one, linked to the library, that prints a line a callback."""

import contextlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.s3 import ACCESS_KEY, SECRET_KEY

REPOSITORY = Path(__file__).parents[2]
PROGRAM = REPOSITORY / "build" / "native" / "abi" / "record"
PATIENCE_SECONDS = 180


@dataclass
class Recorder:
    """A running recorder and what it has printed so far."""

    process: subprocess.Popen[str]
    directory: Path
    lines: list[str] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _ended: bool = False

    @property
    def recording_id(self) -> str:
        return self.await_line("created").split()[1]

    def callbacks(self) -> list[str]:
        """Returns the callbacks so far, without recording id; codes stay, messages go."""
        return [_brief(line) for line in self.lines if not line.startswith("created")]

    def await_line(self, start: str, *, occurrence: int = 1) -> str:
        """Returns the line that begins so, once it was printed; raises where the recorder ends without it."""

        def found() -> list[str]:
            return [line for line in self.lines if line.startswith(start)]

        with self._changed:
            self._changed.wait_for(lambda: len(found()) >= occurrence or self._ended, timeout=PATIENCE_SECONDS)
            if len(found()) < occurrence:
                raise AssertionError(f"no {start!r} among {self.lines}")
            return found()[occurrence - 1]

    def statuses(self) -> list[dict[str, Any]]:
        """What the library knew of itself, once a second: of a recorder that was started with `status="1"`."""
        return [json.loads(line.split(" ", 2)[2]) for line in self.lines if line.startswith("status ")]

    def await_status(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Returns the first status from now on of which it holds."""
        seen = len(self.statuses())

        def found() -> dict[str, Any] | None:
            return next((status for status in self.statuses()[seen:] if holds(status)), None)

        with self._changed:
            self._changed.wait_for(lambda: found() is not None or self._ended, timeout=PATIENCE_SECONDS)
            status = found()
        if status is None:
            raise AssertionError(f"not so in {self.statuses()[-1:]}")
        return status

    def await_recorded(self, seconds: float = 0) -> float:
        """Returns once so much more was recorded than there is now: how much there is then, in seconds."""
        first = position(self.await_status(lambda _: True))
        return position(self.await_status(lambda status: position(status) >= first + seconds)) if seconds else first

    def log(self) -> list[str]:
        """The lines of the recording's log, without their time."""
        file = self.directory / "cloud_recording_log" / f"{self.recording_id}.log"
        return [line.split(" ", 1)[1] for line in file.read_text(encoding="utf-8").splitlines()]

    def stop(self) -> None:
        """Asks the recorder to stop, upload and end."""
        self.process.send_signal(signal.SIGINT)

    def wait(self) -> int:
        """Returns the exit code, once every line was read."""
        code = self.process.wait(timeout=PATIENCE_SECONDS)
        with self._changed:
            self._changed.wait_for(lambda: self._ended, timeout=PATIENCE_SECONDS)
        return code

    def read(self) -> None:
        """Reads what the recorder prints until it ends; runs in a thread of its own."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()


@contextlib.contextmanager
def recorder(
    configuration: Mapping[str, Any],
    *,
    directory: Path,
    options: Mapping[str, str],
    keys: tuple[str, str] = (ACCESS_KEY, SECRET_KEY),
    prepare: Callable[[], None] | None = None,
) -> Iterator[Recorder]:
    """A recorder of the configuration's channel for the time of the block; killed at its end if it still runs.

    `prepare` runs in the recorder's process before its program does.
    """
    file = directory / "channel.json"
    file.write_text(json.dumps(configuration))
    environment = {
        **os.environ,
        "CLOUD_RECORDING_CHANNEL_FILE": str(file),
        "AWS_ACCESS_KEY_ID": keys[0],
        "AWS_SECRET_ACCESS_KEY": keys[1],
    }
    command = [str(PROGRAM), *(word for option in options.items() for word in option)]
    with (directory / "recorder.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=environment,
            cwd=directory,
            preexec_fn=prepare,  # noqa: PLW1509 # the tests start it from their main thread
            restore_signals=False,
        )
    started = Recorder(process, directory)
    reader = threading.Thread(target=started.read)
    reader.start()
    try:
        yield started
    finally:
        process.kill()
        process.wait()
        reader.join()
        if process.stdout is not None:
            process.stdout.close()


def position(status: Mapping[str, Any]) -> float:
    """How much is recorded by then, in seconds."""
    milliseconds: float = status["positionMilliseconds"]
    return milliseconds / 1000


def _brief(line: str) -> str:
    name, _, *rest = line.split()
    kept = rest[:1] if name in {"recorder-failure", "uploader-failure", "fatal", "progress"} else rest
    return " ".join([name, *kept])
