# SPDX-License-Identifier: Apache-2.0
"""`python -m tests.bench.rooms [CASE …]` records rooms of a real LiveKit server into a real bucket.

It writes build/bench/livekit.json. Publishers and server are processes of their own, whose processor time is told
beside the recorder's.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.bench.native.measure import WORK
from tests.bench.operator.process import cpu_seconds, peak_mb
from tests.bench.rooms import skew
from tests.bench.rooms.cases import CASES, Case, crowd
from tests.support.livekit import livekit_library, livekit_server
from tests.support.recorder import Recorder, recorder
from tests.support.room_recordings import of_room, recorded
from tests.support.s3 import Bucket, s3_server

SLICE_SECONDS = 6
SETTLE_SECONDS = 5
"""Before the minute that counts begins: joining is no part of it."""

SAMPLE_SECONDS = 2


def cheapest(case: Case, seconds: int, rounds: int) -> dict[str, Any]:
    """Of so many recordings the one that took the least time, as whatever else the machine does only ever adds."""
    measured = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(dir=WORK) as directory:
            measured.append(measure(case, Path(directory), seconds))
    return min(measured, key=lambda row: row["cpu_s_per_min"])


def measure(case: Case, directory: Path, seconds: int) -> dict[str, Any]:
    """Records the case's room for so long, and returns its row."""
    with livekit_server(directory / "livekit") as server, s3_server(directory / "s3") as s3:
        bucket = s3.bucket("films")
        document = {
            "workDir": str(directory / "work"),
            "sliceSeconds": SLICE_SECONDS,
            "storage": {"endpoint": s3.endpoint},
            # The process has nothing else to do with libav, as in a pod.
            "log": {"libav": True},
        }
        with crowd(server, case) as people:
            began = time.time()
            options = {f"--{name}": value for name, value in {"bucket": "films", **case.options()}.items()}
            with recorder(of_room(document, server), directory=directory, options=options) as running:
                first_slice = _first_slice(running, bucket) - began
                figures = _watched(running.process.pid, people.process.pid, server.pid, seconds)
                running.stop()
                if running.wait() != 0:
                    raise SystemExit(f"{case.name}: the recording failed: {running.callbacks()}")
            punctuality = people.end()
        file, manifest = recorded(bucket, directory / "bucket")
    if punctuality["failed"] or len(manifest["participants"]) != case.people:
        raise SystemExit(f"{case.name}: not everything was sent or recorded: {punctuality}, {manifest}")
    presences = [presence for who in manifest["participants"] for presence in who["presences"]]
    joined = [datetime.fromisoformat(presence["joinTime"]).timestamp() - began for presence in presences]
    apart = skew.milliseconds(file)
    if not apart:
        raise SystemExit(f"{case.name}: no flash of the recording has a beep near it: {file}")
    return {
        "case": case.name,
        **figures,
        "first_media_s": round(min(joined), 2),
        "all_media_s": round(max(joined), 2),
        "first_slice_s": round(first_slice, 2),
        "skew_ms": round(statistics.median(apart)),
        "skew_most_ms": round(max(map(abs, apart))),
        "gaps": len(manifest["gaps"]),
        "publishers_late_p99_ms": round(punctuality["late_p99_ms"], 1),
    }


def _first_slice(running: Recorder, bucket: Bucket) -> float:
    """When it was in the bucket, at the latest."""
    running.await_line("started")
    client = bucket.client
    while not any(entry["Key"].endswith(".ts") for entry in client.list_objects_v2(Bucket="films").get("Contents", [])):
        time.sleep(0.05)
    return time.time()


def _watched(recorder_pid: int, people_pid: int, server_pid: int, seconds: int) -> dict[str, float]:
    time.sleep(SETTLE_SECONDS)
    pids = {"": recorder_pid, "publishers_": people_pid, "server_": server_pid}
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    began, pss = time.monotonic(), 0.0
    while time.monotonic() - began < seconds:
        time.sleep(SAMPLE_SECONDS)
        pss = max(pss, _proportional_mb(recorder_pid))
    minutes = (time.monotonic() - began) / 60
    used = {f"{name}cpu_s_per_min": round((cpu_seconds(pid) - before[name]) / minutes, 2) for name, pid in pids.items()}
    return {**used, "rss_mb": round(peak_mb(recorder_pid), 1), "pss_mb": round(pss, 1)}


def _proportional_mb(pid: int) -> float:
    """What is in memory, of which pages that others have, too, count in part."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.rooms")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(case.name for case in CASES)}")
    options = parser.parse_args()
    known = {case.name: case for case in CASES}
    if unknown := [name for name in options.cases if name not in known]:
        parser.error(f"no such case: {', '.join(unknown)}")
    wanted = [known[name] for name in options.cases] or list(CASES)
    os.environ["CLOUD_RECORDING_LIVEKIT_LIBRARY"] = str(livekit_library())
    seconds, rounds = int(os.environ.get("BENCH_SECONDS", "60")), int(os.environ.get("BENCH_ROUNDS", "3"))
    WORK.mkdir(parents=True, exist_ok=True)
    rows = []
    for case in wanted:
        rows.append(cheapest(case, seconds, rounds))
        print(json.dumps(rows[-1]), flush=True)
    (WORK / "livekit.json").write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
