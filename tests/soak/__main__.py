# SPDX-License-Identifier: Apache-2.0
"""Records people whose clocks drift for as long as asked, and judges the whole: `make soak SOAK_MINUTES=60`.

With `STORE=down` the store is away for that time, in the middle of the recording, which goes on until all is delivered.
With `SERVER=down` a LiveKit room is recorded instead, whose server is away for that time.
Writes `report.json` and `summary.txt` into build/soak, and ends with 1 where a promise was not kept.
"""

import argparse
import contextlib
import json
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from tests.soak import server_away
from tests.soak.measure import breaks, skews
from tests.soak.outage import Outage, last_status
from tests.soak.participants import PEOPLE, present
from tests.soak.process import (
    MOST_GROWTH_KB,
    Sample,
    cpu_seconds_per_minute,
    growth,
    growth_lines,
    sample,
)
from tests.support.recorder import REPOSITORY, Recorder, recorder
from tests.support.rtmp import rtmp_server
from tests.support.s3 import Bucket, s3_server

DIRECTORY = REPOSITORY / "build" / "soak"
SAMPLE_SECONDS = 10
SLICE_SECONDS = 15
SLICES_MEASURED = 24
MOST_SKEW_MS = 100
# "Within minutes" of the store's return.
MOST_DELIVERY_SECONDS = 300


def main() -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--store", choices=("up", "down"), default="up", help="down: it is away for those minutes")
    parser.add_argument("--server", choices=("up", "down"), default="up", help="down: that of a room, as the store")
    options = parser.parse_args()
    shutil.rmtree(DIRECTORY, ignore_errors=True)
    DIRECTORY.mkdir(parents=True)
    with s3_server(DIRECTORY / "s3") as server:
        bucket = server.bucket("films")
        if options.server == "down":
            report = server_away.report(bucket, DIRECTORY, options.minutes * 60)
            summary = server_away.summary(report)
        else:
            outage = Outage() if options.store == "down" else None
            samples, lines = _record(bucket, options.minutes * 60, outage)
            report = _report(bucket, samples, lines, outage)
            summary = _summary(report)
    (DIRECTORY / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    (DIRECTORY / "summary.txt").write_text(summary)
    sys.stdout.write(summary)
    return 1 if report["broken"] else 0


def _record(bucket: Bucket, seconds: float, outage: Outage | None) -> tuple[list[Sample], list[str]]:
    """Records for so long; returns what the process held from time to time, and what it printed."""
    with contextlib.ExitStack() as stack:
        rtmp = stack.enter_context(rtmp_server(DIRECTORY / "rtmp"))
        logs = [DIRECTORY / f"{person.protocol}.log" for person in PEOPLE]
        urls = [stack.enter_context(present(person, rtmp, log)) for person, log in zip(PEOPLE, logs, strict=True)]
        configuration = {
            "workDir": str(DIRECTORY / "work"),
            "sliceSeconds": SLICE_SECONDS,
            "storage": {"endpoint": bucket.server.endpoint},
            "channels": [{"streams": [{"uid": p.uid, "url": url} for p, url in zip(PEOPLE, urls, strict=True)]}],
        }
        options = {"--bucket": bucket.name, "--status": str(SAMPLE_SECONDS)}
        options |= {"--width": "320", "--height": "180", "--fps": "30", "--bitrate": "300"}
        running = stack.enter_context(recorder(configuration, directory=DIRECTORY, options=options))
        running.await_line("started")
        samples = list(_watch(running, bucket, seconds, outage))
        running.stop()
        if running.wait() != 0:
            raise SystemExit(f"the recording failed: {running.lines[-5:]}")
    return samples, running.lines


def _watch(running: Recorder, bucket: Bucket, seconds: float, outage: Outage | None) -> Iterator[Sample]:
    begun = time.monotonic()
    is_over = False
    while not is_over:
        if running.process.poll() is not None:
            raise SystemExit(f"the recorder ended by itself: {running.lines[-5:]}")
        passed = time.monotonic() - begun
        yield sample(running.process.pid, passed)
        if outage is None:
            is_over = passed >= seconds
        else:
            is_over = outage.step(passed, seconds, bucket, last_status(running.lines))
        time.sleep(SAMPLE_SECONDS if outage is not None else min(SAMPLE_SECONDS, max(0.0, seconds - passed)))


def _report(bucket: Bucket, samples: Sequence[Sample], lines: Sequence[str], outage: Outage | None) -> dict[str, Any]:
    files = {path.name: path for path in bucket.download(DIRECTORY / "bucket")}
    manifest = json.loads(next(path for name, path in files.items() if name.endswith("_manifest.json")).read_text())
    entries = [entry for entry in manifest["files"] if entry["name"].endswith(".ts")]
    slices = [files[entry["name"]] for entry in entries]
    statuses = [json.loads(line.split(" ", 2)[2]) for line in lines if line.startswith("status ")]
    lateness = [status["tickLatenessMicroseconds"] for status in statuses]
    step = max(1, len(slices) // SLICES_MEASURED)
    # In the first slice people come one by one, and the last one is a rest.
    measured = sorted({*range(1, len(slices) - 1, step), len(slices) - 2})
    skew = [
        {"minute": round(at * SLICE_SECONDS / 60, 2), **asdict(one)}
        for at in measured
        for one in skews(slices[at], PEOPLE)
    ]
    report: dict[str, Any] = {
        "minutes": round(sum(entry["durationSeconds"] for entry in entries) / 60, 2),
        "slices": len(slices),
        "participants": [asdict(person) for person in PEOPLE],
        "skew": skew,
        "breaks": breaks(slices),
        "gaps": manifest["gaps"],
        "left": [person for person in manifest["participants"] if len(person["presences"]) != 1],
        "tick_lateness_ms": {
            "p50_worst": max(one["p50"] for one in lateness) / 1000,
            "p99_median": statistics.median(one["p99"] for one in lateness) / 1000,
            "p99_worst": max(one["p99"] for one in lateness) / 1000,
        },
        "process": [asdict(one) for one in samples],
        "growth": growth(samples),
        "cpu_seconds_per_minute": cpu_seconds_per_minute(samples),
    }
    if outage is not None:
        report["outage"] = outage.report(bucket, manifest, files)
    report["broken"] = [promise for promise, is_kept in _promises() if not is_kept(report)]
    return report


def _promises() -> list[tuple[str, Callable[[dict[str, Any]], bool]]]:
    people = {person.uid for person in PEOPLE}
    return [
        ("every packet begins where the one before ended", lambda report: not report["breaks"]),
        ("there is no gap, and nobody was lost", lambda report: not report["gaps"] and not report["left"]),
        ("everybody was seen and heard", lambda report: {one["uid"] for one in report["skew"]} == people),
        (
            f"flash and beep are at most {MOST_SKEW_MS} ms apart",
            lambda report: all(abs(one["worst_ms"]) <= MOST_SKEW_MS for one in report["skew"]),
        ),
        ("memory does not grow", lambda report: report["growth"]["rss_kb"] <= MOST_GROWTH_KB),
        (
            "threads and descriptors do not grow",
            lambda report: report["growth"]["threads"] <= 0 and report["growth"]["descriptors"] <= 0,
        ),
        *_promises_of_outage(),
    ]


def _promises_of_outage() -> list[tuple[str, Callable[[dict[str, Any]], bool]]]:
    def holds(of: Callable[[dict[str, Any]], bool]) -> Callable[[dict[str, Any]], bool]:
        return lambda report: "outage" not in report or of(report["outage"])

    return [
        ("every slice is stored as it was recorded", holds(lambda outage: not outage["damaged_or_missing"])),
        ("what waited was delivered in order", holds(lambda outage: not outage["out_of_order"])),
        ("the playlist named nothing before it was there", holds(lambda outage: not outage["listed_too_early"])),
        (
            f"what waited was delivered within {MOST_DELIVERY_SECONDS} s of the return",
            holds(lambda outage: outage["delivered_after_s"] <= MOST_DELIVERY_SECONDS),
        ),
    ]


def _summary(report: dict[str, Any]) -> str:
    lines = [
        f"{report['minutes']} minutes in {report['slices']} slices, {report['cpu_seconds_per_minute']} CPU s a minute"
    ]
    for person in PEOPLE:
        own = [one for one in report["skew"] if one["uid"] == person.uid]
        if own:
            worst = max(abs(one["worst_ms"]) for one in own)
            lines.append(
                f"{person.protocol}, clock {person.drift_ppm:+d} ppm: flash minus beep {own[0]['mean_ms']:+.1f} ms "
                f"at the beginning, {own[-1]['mean_ms']:+.1f} ms at the end; at most {worst:.1f} ms apart"
            )
    if (outage := report.get("outage")) is not None:
        lines.append(
            f"store away for {outage['minutes']} minutes: {outage['most_pending_slices']} slices "
            f"({outage['most_pending_ms'] / 60000:.1f} minutes) waited, "
            f"delivered {outage['delivered_after_s']} s after its return"
        )
    late = report["tick_lateness_ms"]
    lines += [
        f"breaks: {len(report['breaks'])}, gaps: {len(report['gaps'])}, participants who left: {len(report['left'])}",
        f"tick lateness: p99 {late['p99_median']:.1f} ms in the median, {late['p99_worst']:.1f} ms at worst",
        *growth_lines(Sample(**report["process"][-1]), report["growth"]),
        *(f"NOT KEPT: {promise}" for promise in report["broken"]),
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
