# SPDX-License-Identifier: Apache-2.0
"""The rooms that are measured, and everybody in them."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.bench.native.measure import WORK
from tests.bench.rooms import media
from tests.cluster.layout import REPOSITORY
from tests.support.livekit import LiveKitServer, token

ROOM = "room"


@dataclass(frozen=True)
class Case:
    """A room of so many, who send pictures of this size, recorded on a canvas of the same size."""

    name: str
    people: int
    layout: str = "1"
    """As the published interface numbers it: BestFit."""
    width: int = 640
    height: int = 360
    sent_kbps: int = 600
    canvas_kbps: int = 500

    def options(self) -> dict[str, str]:
        """Of the program that records."""
        options = {"width": self.width, "height": self.height, "fps": 15, "bitrate": self.canvas_kbps}
        return {name: str(value) for name, value in options.items()} | {"channel": ROOM, "layout": self.layout}


CASES = (
    Case("room-1-640x360", 1),
    Case("room-4-640x360", 4),
    Case("room-17-640x360", 17),
    Case("room-4-1280x720", 4, width=1280, height=720, sent_kbps=1700, canvas_kbps=1500),
)


@dataclass(frozen=True)
class Crowd:
    """Everybody in the room."""

    process: subprocess.Popen[str]

    def end(self) -> dict[str, Any]:
        """How punctual they were."""
        said, _ = self.process.communicate("")
        report: dict[str, Any] = json.loads(said)
        return report


@contextlib.contextmanager
def crowd(server: LiveKitServer, case: Case) -> Iterator[Crowd]:
    """Everybody is there for the time of the block."""
    made = media.make(WORK / "sources", width=case.width, height=case.height, kbps=case.sent_kbps)
    people = [
        {
            "token": token(ROOM, str(number + 1)),
            "pictures": str(made[who].pictures),
            "samples": str(made[who].samples),
        }
        for number in range(case.people)
        for who in [1 + (number - 1) % media.DIFFERENT if number else 0]
    ]
    with (WORK / "crowd.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.rooms.crowd"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=REPOSITORY,
        )
    try:
        assert process.stdin is not None
        assert process.stdout is not None
        asked = {"url": server.url, "width": case.width, "height": case.height, "people": people}
        process.stdin.write(json.dumps(asked) + "\n")
        process.stdin.flush()
        if process.stdout.readline() != "there\n":
            raise SystemExit(f"{case.name}: the people have not come: see {WORK / 'crowd.log'}")
        yield Crowd(process)
    finally:
        process.kill()
        process.wait()
