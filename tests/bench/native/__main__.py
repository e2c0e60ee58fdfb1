# SPDX-License-Identifier: Apache-2.0
"""`python -m tests.bench.native [CASE …]` measures recordings of files and writes build/bench/native.json.

Each round runs the recorder, the ffmpeg command and the floor one after the other; of the rounds the cheapest
counts, as whatever else the machine does only ever adds.
"""

import argparse
import json
import math
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench.native import graph, sources
from tests.bench.native.cases import CASES, FRAMES_PER_SECOND, Case
from tests.bench.native.graph import Region
from tests.bench.native.measure import WORK, Cost, run
from tests.bench.native.similarity import LOOKED_AT_SECONDS, ssim
from tests.support.media import joined

COLUMNS = "{:<22} {:>8} {:>8} {:>8} {:>7} {:>7} {:>7} {:>7} {:>7} {:>8}"


class Bench:
    """Measures one case after another on sources of `seconds` or several times that, each in several rounds."""

    def __init__(self, *, programs: Path, seconds: int, rounds: int) -> None:
        self._programs = programs
        self._seconds = seconds
        self._rounds = rounds
        self._recorded = WORK / "recorded"
        self._commanded = WORK / "commanded"

    def measure(self, case: Case) -> dict[str, Any]:
        made = sources.make(WORK / "sources", self._length(case), case.form)
        urls = [made[index % len(made)] for index in range(case.users)]
        rounds = [self._round(case, urls) for _ in range(self._rounds)]
        ours, theirs, floors = (min(column, key=lambda cost: cost.cpu_seconds) for column in zip(*rounds, strict=True))
        minutes = self._length(case) / 60
        row = {
            "case": case.name,
            "cpu_s_per_min": round(ours.cpu_seconds / minutes, 3),
            "ffmpeg_cpu_s_per_min": round(theirs.cpu_seconds / minutes, 3),
            "floor_cpu_s_per_min": None if case.passthrough else round(floors.cpu_seconds / minutes, 3),
            "codecs_cpu_s_per_min": None if case.passthrough else round(_codec_seconds(floors) / minutes, 3),
            "rss_mb": round(ours.rss_mb, 1),
            "ffmpeg_rss_mb": round(theirs.rss_mb, 1),
        }
        if case.video and not case.passthrough:
            # What lies on the disk is the last round's, and participants may join in another order each time.
            row |= self._likeness(case, urls, _regions(json.loads(rounds[-1][0].output)))
        return row

    def _length(self, case: Case) -> int:
        """Seconds."""
        return self._seconds * case.lengths

    def _round(self, case: Case, urls: Sequence[str]) -> tuple[Cost, Cost, Cost]:
        ours = self._record(case, urls)
        regions = _regions(json.loads(ours.output))
        _emptied(self._commanded)
        theirs = run(graph.recording(case, urls, regions, self._commanded / "room.m3u8"))
        # Copying uses no codec.
        return ours, theirs, Cost(0, 0, "") if case.passthrough else self._floor(case, urls, regions)

    def _record(self, case: Case, urls: Sequence[str]) -> Cost:
        _emptied(self._recorded)
        cost = run([str(self._programs / "record")], text=json.dumps(case.request(urls, self._recorded)))
        report = json.loads(cost.output)
        whole = report["joined"] == case.users and abs(report["recordedSeconds"] - self._length(case)) < 5
        if not whole or report["gaps"]:
            raise SystemExit(f"{case.name}: not everything was recorded: {report}")
        return cost

    def _floor(self, case: Case, urls: Sequence[str], regions: Sequence[Region]) -> Cost:
        """The same decodes and encodes, alone. The pictures come by a pipe: an hour of them would fill the disk."""
        mix = WORK / "mix.f32"
        subprocess.run(graph.samples(urls, mix), check=True)
        request = {
            "urls": urls,
            "video": case.video,
            "width": case.width,
            "height": case.height,
            "framesPerSecond": FRAMES_PER_SECOND,
            "bitrateKbps": case.bitrate_kbps,
            "samples": str(mix),
        }
        with subprocess.Popen([str(self._programs / "floor")], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as floor:
            assert floor.stdin is not None
            assert floor.stdout is not None
            floor.stdin.write(json.dumps(request).encode() + b"\n")
            floor.stdin.flush()
            if case.video:
                subprocess.run(graph.pictures(case, urls, regions, graph.FAST), check=True, stdout=floor.stdin)
            floor.stdin.close()
            report = floor.stdout.read().decode()
        return Cost(json.loads(report)["floorSeconds"], 0, report)

    def _likeness(self, case: Case, urls: Sequence[str], regions: Sequence[Region]) -> dict[str, float]:
        composed = WORK / "composed.yuv"
        command = graph.pictures(case, urls, regions, graph.CAREFUL)
        command[-1:] = ["-t", str(LOOKED_AT_SECONDS + 2), "-"]
        with composed.open("wb") as file:
            subprocess.run(command, check=True, stdout=file)
        ours = joined(sorted(self._recorded.glob("*.ts")), WORK / "recorded.ts")
        theirs = joined(sorted(self._commanded.glob("*.ts")), WORK / "commanded.ts")
        likeness = {"ssim": ssim(case, ours, composed), "ffmpeg_ssim": ssim(case, theirs, composed)}
        composed.unlink()
        return likeness


def _codec_seconds(floor: Cost) -> float:
    """What of it is spent inside the codecs."""
    seconds: float = json.loads(floor.output)["codecSeconds"]
    return seconds


def _regions(report: dict[str, Any]) -> list[Region]:
    return [Region(**region) for region in report["regions"]]


def _emptied(directory: Path) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)


def _line(row: dict[str, Any], goal: float | None) -> str:
    ratio = row["cpu_s_per_min"] / row["ffmpeg_cpu_s_per_min"]
    figures = (row["cpu_s_per_min"], row["ffmpeg_cpu_s_per_min"], row["floor_cpu_s_per_min"] or 0)
    over_floor = figures[0] / figures[2] if figures[2] else math.nan
    likeness = (f"{row[name]:.4f}" if name in row else "" for name in ("ssim", "ffmpeg_ssim"))
    cells = (
        *(f"{figure:.2f}" for figure in figures),
        f"{ratio:.2f}",
        f"{goal:.2f}" if goal else "",
        f"{over_floor:.2f}",
    )
    return COLUMNS.format(row["case"], *cells, *likeness, f"{row['rss_mb']:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.native")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(case.name for case in CASES)}")
    parser.add_argument("--programs", type=Path, required=True, help="where cargo put the examples record and floor")
    options = parser.parse_args()
    known = {case.name: case for case in CASES}
    if unknown := [name for name in options.cases if name not in known]:
        parser.error(f"no such case: {', '.join(unknown)}")
    wanted = [known[name] for name in options.cases] or list(CASES)
    seconds, rounds = int(os.environ.get("BENCH_SECONDS", "60")), int(os.environ.get("BENCH_ROUNDS", "3"))
    WORK.mkdir(parents=True, exist_ok=True)
    bench = Bench(programs=options.programs, seconds=seconds, rounds=rounds)
    print("CPU seconds per recorded minute")
    print(COLUMNS.format("case", "ours", "ffmpeg", "floor", "ratio", "goal", "/floor", "ssim", "ffmpeg", "memory"))
    rows = []
    for case in wanted:
        row = bench.measure(case)
        rows.append(row)
        print(_line(row, case.goal), flush=True)
    (WORK / "native.json").write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
