# SPDX-License-Identifier: Apache-2.0
"""A LiveKit room whose server is away for long: what the recorder does meanwhile, and what it does once it is back."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.soak.outage import damaged_or_missing
from tests.soak.process import (
    MOST_GROWTH_KB,
    Sample,
    cpu_seconds_per_minute,
    growth,
    growth_lines,
    sample,
)
from tests.support import media
from tests.support.livekit import LiveKitServer, livekit_library, livekit_server, publisher
from tests.support.recorder import Recorder, recorder
from tests.support.room_recordings import WHOLE, gap_seconds, joined, of_room, recorded
from tests.support.s3 import Bucket

SAMPLE_SECONDS = 5
SLICE_SECONDS = 6
# What is recorded before, and after.
AROUND_SECONDS = 30
# What the idle time is longer than the absence: after a minute without the server it runs.
PATIENCE_SECONDS = 600
# A server that is back is asked every eight seconds; whoever is in the room again has to be heard.
MOST_SECONDS_TO_RETURN = 60
# Of when nobody was heard any more, and when somebody was again.
GAP_TOLERANCE = 15
MOST_CPU_SECONDS_PER_MINUTE = 2.0


@dataclass
class Absence:
    """How long the server was away, how long the recorder then took, and what its process held meanwhile."""

    seconds: float
    back_after: float = 0.0
    samples: list[Sample] = field(default_factory=list)


def report(bucket: Bucket, directory: Path, seconds: float) -> dict[str, Any]:
    """Records a room whose server is away for so long; returns what came of it, and which promises were not kept."""
    os.environ["CLOUD_RECORDING_LIVEKIT_LIBRARY"] = str(livekit_library())
    absence = Absence(seconds)
    with livekit_server(directory / "livekit") as server, _recording(server, bucket, directory, seconds) as running:
        log = directory / "publishers.log"
        with publisher(server, "room", "alice", log=log):
            running.await_line("started")
            time.sleep(AROUND_SECONDS)
            server.kill()
        absence.samples = list(_watch(running, seconds))
        server.start()
        returned = time.monotonic()
        with publisher(server, "room", "bob", log=log, colour="blue"):
            running.await_status(joined("bob"))
            absence.back_after = round(time.monotonic() - returned, 1)
            time.sleep(AROUND_SECONDS)
            running.stop()
            ended = running.wait()
    return _judged(_found(bucket, directory, running, absence) | {"exit_code": ended})


def summary(found: dict[str, Any]) -> str:
    """What a person wants to know of the report."""
    back = f"somebody was recorded {found['back_after_s']} s after its return"
    gaps = ", ".join(f"{gap_seconds(gap):.1f} s {gap['reason']}" for gap in found["gaps"])
    lines = [
        f"LiveKit server away for {found['away_s'] / 60:.1f} minutes: {back}",
        f"gaps: {gaps or 'none'}",
        f"slices: {found['slices_before']} before, {found['slices_after']} after; playlists: {len(found['playlists'])}",
        f"while it was away: {found['cpu_seconds_per_minute']} CPU s a minute",
        *growth_lines(Sample(**found["process"][-1]), found["growth"]),
        *(f"NOT KEPT: {promise}" for promise in found["broken"]),
    ]
    return "\n".join(lines) + "\n"


@contextlib.contextmanager
def _recording(server: LiveKitServer, bucket: Bucket, directory: Path, seconds: float) -> Iterator[Recorder]:
    document = {
        "workDir": str(directory / "work"),
        "sliceSeconds": SLICE_SECONDS,
        "storage": {"endpoint": bucket.server.endpoint},
    }
    options = {"--bucket": bucket.name, "--status": "1", "--idle": str(round(seconds) + PATIENCE_SECONDS)}
    options |= {"--width": "320", "--height": "180", "--channel": "room"}
    with recorder(of_room(document, server), directory=directory, options=options) as running:
        yield running


def _watch(running: Recorder, seconds: float) -> Iterator[Sample]:
    begun = time.monotonic()
    while (passed := time.monotonic() - begun) < seconds:
        if running.process.poll() is not None:
            raise SystemExit(f"the recorder ended by itself: {running.callbacks()[-5:]}")
        yield sample(running.process.pid, passed)
        time.sleep(min(SAMPLE_SECONDS, max(0.0, seconds - passed)))


def _found(bucket: Bucket, directory: Path, running: Recorder, absence: Absence) -> dict[str, Any]:
    _, manifest = recorded(bucket, directory / "bucket")
    files = {path.name: path for path in (directory / "bucket").iterdir()}
    slices = [entry for entry in manifest["files"] if entry["name"].endswith(".ts")]
    gone = min((gap["startTime"] for gap in manifest["gaps"]), default="")
    last = files[slices[-1]["name"]]
    return {
        "away_s": absence.seconds,
        "back_after_s": absence.back_after,
        "gaps": manifest["gaps"],
        "slices_before": sum(entry["startTime"] < gone for entry in slices),
        "slices_after": sum(entry["startTime"] >= gone for entry in slices),
        "playlists": [name for name in files if name.endswith(".m3u8")],
        "damaged_or_missing": damaged_or_missing(manifest, files),
        "seen_last": media.colour(media.pictures(last, per_second=2)[-1], WHOLE),
        "callbacks": [line for line in running.callbacks() if not line.startswith("status")],
        "process": [asdict(one) for one in absence.samples],
        "growth": growth(absence.samples),
        "cpu_seconds_per_minute": cpu_seconds_per_minute(absence.samples),
    }


def _judged(found: dict[str, Any]) -> dict[str, Any]:
    kept: Sequence[tuple[str, Callable[[dict[str, Any]], bool]]] = [
        ("it goes on by itself, as the same recording", _is_one_recording),
        (
            f"somebody is recorded within {MOST_SECONDS_TO_RETURN} s of the server's return",
            lambda found: found["back_after_s"] <= MOST_SECONDS_TO_RETURN,
        ),
        (
            "the slices go on, each stored as it was recorded",
            lambda found: min(found["slices_before"], found["slices_after"]) >= 2 and not found["damaged_or_missing"],
        ),
        ("those who are back are seen", lambda found: found["seen_last"] == "blue"),
        ("the time without the server is the one gap that is stated", _states_the_gap),
        ("memory does not grow meanwhile", lambda found: found["growth"]["rss_kb"] <= MOST_GROWTH_KB),
        (
            "threads and descriptors do not grow meanwhile",
            lambda found: found["growth"]["threads"] <= 0 and found["growth"]["descriptors"] <= 0,
        ),
        (
            f"to wait takes at most {MOST_CPU_SECONDS_PER_MINUTE} CPU s a minute",
            lambda found: found["cpu_seconds_per_minute"] <= MOST_CPU_SECONDS_PER_MINUTE,
        ),
    ]
    return {**found, "broken": [promise for promise, holds in kept if not holds(found)]}


def _is_one_recording(found: dict[str, Any]) -> bool:
    told: list[str] = found["callbacks"]
    once = all(told.count(callback) == 1 for callback in ("connecting", "started"))
    fatal = any(callback.startswith("fatal") for callback in told)
    return once and not fatal and found["exit_code"] == 0 and len(found["playlists"]) == 1


def _states_the_gap(found: dict[str, Any]) -> bool:
    lasted = [gap_seconds(gap) for gap in found["gaps"] if gap["reason"] == "NotInChannel"]
    if len(lasted) != 1 or len(found["gaps"]) != 1:
        return False
    least = found["away_s"] - GAP_TOLERANCE
    return bool(least <= lasted[0] <= found["away_s"] + found["back_after_s"] + GAP_TOLERANCE)
