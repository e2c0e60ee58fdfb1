# SPDX-License-Identifier: Apache-2.0
"""`python -m tests.bench.native.live` measures live recordings: how punctual, how heavy, how many one core holds.

The sources are copied to UDP on loopback in real time, so that publishing costs next to nothing.
"""

import argparse
import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.native import sources
from tests.bench.native.cases import FRAMES_PER_SECOND, Case
from tests.bench.native.measure import WORK, Cost, run
from tests.support.ports import free_udp_port
from tests.support.processes import running

SECONDS = 30
PUNCTUAL_MILLISECONDS = 1000 / FRAMES_PER_SECOND
"""A core holds as many recordings as hand on each picture before the next is due, without a gap."""


@dataclass(frozen=True)
class Live:
    """One recording of live sources, what it cost, and how late its ticks were."""

    cost: Cost
    report: dict[str, Any]

    @property
    def is_punctual(self) -> bool:
        return not self.report["gaps"] and self.report["latenessP99Milliseconds"] < PUNCTUAL_MILLISECONDS

    @property
    def cpu_seconds_per_minute(self) -> float:
        return self.cost.cpu_seconds * 60 / SECONDS


class Bench:
    """Records `users` live participants in as many recorders at once as are asked for."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._sources = sources.make(WORK / "sources", 60)

    def record(self, *, users: int, layout: str, recorders: int = 1, prefix: Sequence[str] = ()) -> list[Live]:
        ports = [[free_udp_port() for _ in range(users)] for _ in range(recorders)]
        with self._published([port for row in ports for port in row]), ThreadPoolExecutor(recorders) as pool:
            jobs = [pool.submit(self._record, index, row, layout, prefix) for index, row in enumerate(ports)]
            return [job.result() for job in jobs]

    def _record(self, index: int, ports: Sequence[int], layout: str, prefix: Sequence[str]) -> Live:
        directory = WORK / f"live-{index}"
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        case = Case("live", len(ports), layout=layout, max_resolution_uid=1)
        request = case.request([f"udp://127.0.0.1:{port}" for port in ports], directory) | {"liveSeconds": SECONDS}
        cost = run([*prefix, str(self._programs / "record")], text=json.dumps(request))
        shutil.rmtree(directory)
        return Live(cost, json.loads(cost.output))

    @contextlib.contextmanager
    def _published(self, ports: Sequence[int]) -> Iterator[None]:
        command = ["ffmpeg", "-nostdin", "-v", "error"]
        for source in self._sources:
            command += ["-re", "-stream_loop", "-1", "-i", source]
        for index, port in enumerate(ports):
            command += ["-map", str(index % len(self._sources)), "-c", "copy", "-f", "mpegts"]
            command += [f"udp://127.0.0.1:{port}?pkt_size=1316"]
        with running(command, log=WORK / "publisher.log"):
            yield


def _row(name: str, live: Live) -> dict[str, Any]:
    return {
        "case": name,
        "cpu_s_per_min": round(live.cpu_seconds_per_minute, 2),
        "rss_mb": round(live.cost.rss_mb, 1),
        "lateness_p50_ms": round(live.report["latenessP50Milliseconds"], 2),
        "lateness_p99_ms": round(live.report["latenessP99Milliseconds"], 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.native.live")
    parser.add_argument("--programs", type=Path, required=True, help="where cargo put the example record")
    bench = Bench(parser.parse_args().programs)
    rows = [_row("live-bestfit-4-640x360", *bench.record(users=4, layout="BestFit"))]
    rows.append(_row("live-vertical-17-640x360", *bench.record(users=17, layout="Vertical")))
    for row in rows:
        print(row, flush=True)
    core = str(min(os.sched_getaffinity(0)))
    held = int(60 / rows[0]["cpu_s_per_min"])
    while held:
        lives = bench.record(users=4, layout="BestFit", recorders=held, prefix=["taskset", "--cpu-list", core])
        worst = max(live.report["latenessP99Milliseconds"] for live in lives)
        print({"recordings on one core": held, "worst lateness_p99_ms": round(worst, 2)}, flush=True)
        if all(live.is_punctual for live in lives):
            break
        held -= 1
    rows.append({"case": "bestfit-4-640x360 on one core", "recordings": held})
    (WORK / "native-live.json").write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
