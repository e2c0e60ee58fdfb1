# SPDX-License-Identifier: Apache-2.0
"""The oracle of the fault runs: silent where every promise was kept, and not where one was broken."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.faults.film import PICTURE_TICKS
from tests.faults.oracle import Life, Observations, PlaylistPut, Recorded, Stored, violations
from tests.faults.schedule import Fault, Kind, Schedule

BEGUN = 1_800_000_000.0
NAMES = ("a_1.ts", "a_2.ts", "a_3.ts")
GAP = {"startTime": 5.0, "stopTime": 7.0, "reason": "RecorderRestarted"}
RECORDED = {"recordedMilliseconds": 6000}
KILL = Fault(kind=Kind.KILL_RECORDER, at=4.0, seconds=2.0)


def rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(BEGUN + seconds, tz=UTC).isoformat(timespec="milliseconds")


def pictures(first: int, count: int) -> list[Recorded]:
    return [Recorded(number, number * PICTURE_TICKS) for number in range(first, first + count)]


def kept() -> Observations:
    """A killed recorder's recording, of three slices of two seconds, with a gap of two seconds before the last."""
    starts = (1.0, 3.0, 7.0)
    slices = [
        {"name": name, "size": 9, "sha256": name, "startTime": rfc3339(start), "durationSeconds": 2.0}
        for name, start in zip(NAMES, starts, strict=True)
    ]
    manifest = {
        "startTime": rfc3339(1.0),
        "stopTime": rfc3339(9.0),
        **RECORDED,
        "files": [{"name": "a.m3u8", "size": 9, "sha256": "a.m3u8"}, *slices],
        "gaps": [{**GAP, "startTime": rfc3339(5.0), "stopTime": rfc3339(7.0)}],
    }
    return Observations(
        schedule=Schedule(
            seed=1, run=1, supervised=False, tls=False, backup=False, mp4=False, seconds=9.0, faults=(KILL,)
        ),
        begun=BEGUN,
        lives=[
            Life(("connecting", "started"), -9),
            Life(("connecting", "recorder-failure", "started", "uploader-failure", "stopped", "uploaded"), 0),
        ],
        manifest=manifest,
        playlist="".join(f"{line}\n" for line in ("#EXTM3U", *NAMES, "#EXT-X-ENDLIST")),
        objects={name: Stored(9, name) for name in ("a.m3u8", *NAMES)} | {"a_manifest.json": Stored(1, "")},
        pictures={name: pictures(round(start * 10), 20) for name, start in zip(NAMES, starts, strict=True)},
        puts=[PlaylistPut("a.m3u8", (), ()), PlaylistPut("a.m3u8", NAMES[:1], ()), PlaylistPut("a.m3u8", NAMES, ())],
    )


def manifest(change: Callable[[dict[str, Any]], object]) -> Callable[[Observations], Observations]:
    def changed(seen: Observations) -> Observations:
        document = copy.deepcopy(dict(seen.manifest or {}))
        change(document)
        return replace(seen, manifest=document)

    return changed


def slice_two(shown: list[Recorded]) -> Callable[[Observations], Observations]:
    return lambda seen: replace(seen, pictures={**seen.pictures, NAMES[1]: shown})


def by(*faults: Fault) -> Callable[[Observations], Observations]:
    return lambda seen: replace(seen, schedule=replace(seen.schedule, faults=faults))


def supervised(*told: str) -> Callable[[Observations], Observations]:
    return lambda seen: replace(seen, told=list(enumerate(told, start=1)))


BROKEN: dict[str, tuple[Callable[[Observations], Observations], str]] = {
    "never delivered": (lambda seen: replace(seen, lives=[Life((), 5)]), "has delivered something: statuses [5]"),
    "died by itself": (
        lambda seen: replace(seen, lives=[Life((), -13), *seen.lives]),
        "died that nobody killed: statuses [-13, -9, 0]",
    ),
    "told twice": (
        lambda seen: replace(seen, lives=[*seen.lives, Life(("stopped", "stopped", "uploaded"), 0)]),
        "not each once and in order: stopped stopped uploaded",
    ),
    "told before": (
        lambda seen: replace(seen, lives=[*seen.lives, Life(("uploaded", "stopped"), 0)]),
        "not each once and in order: uploaded stopped",
    ),
    "concluded twice": (
        supervised("RecordingStarted", "RecordingUploaded", "RecordingUploaded", "Finished"),
        "RecordingUploaded was told 2 times",
    ),
    "started twice": (
        supervised("RecordingStarted", "RecordingStarted", "RecordingUploaded", "Finished"),
        "a recorder process's callbacks are not each once",
    ),
    "listed before it was there": (
        lambda seen: replace(seen, puts=[PlaylistPut("a.m3u8", NAMES, NAMES[2:])]),
        "a.m3u8 was put with a_3.ts, which the store did not have",
    ),
    "taken out of the playlist": (
        lambda seen: replace(seen, puts=[*seen.puts, PlaylistPut("a.m3u8", NAMES[1:], ())]),
        "in another order than, what it had named",
    ),
    "another content": (
        lambda seen: replace(seen, objects={**seen.objects, NAMES[0]: Stored(9, "other")}),
        "a_1.ts is not what the manifest says",
    ),
    "not there": (
        lambda seen: replace(seen, objects={k: v for k, v in seen.objects.items() if k != NAMES[0]}),
        "a_1.ts is in the playlist, and not in the store",
    ),
    "not named": (
        lambda seen: replace(seen, objects={**seen.objects, "b.ts": Stored(1, "")}),
        "the manifest does not name b.ts",
    ),
    "not proved": (
        manifest(lambda document: document["files"][1].update(verified=False)),
        "a_1.ts is not proved",
    ),
    "named twice": (
        manifest(lambda document: document["files"].append(document["files"][0])),
        "the manifest names a file twice",
    ),
    "not listed": (
        lambda seen: replace(seen, playlist=(seen.playlist or "").replace("a_2.ts\n", "")),
        "the playlist lists",
    ),
    "no end": (
        lambda seen: replace(seen, playlist=(seen.playlist or "").replace("#EXT-X-ENDLIST\n", "")),
        "the playlist has no end",
    ),
    "left": (lambda seen: replace(seen, left=["a_9.ts"]), "in the work directory are still a_9.ts"),
    "an unstated hole": (manifest(lambda document: document["gaps"].clear()), "a_3.ts has an unstated hole before it"),
    "an overlap": (
        manifest(lambda document: document["gaps"][0].update(startTime=rfc3339(4.5))),
        "overlaps what is before it, of 0.500 s",
    ),
    "an end that is too early": (
        manifest(lambda document: document.update(stopTime=rfc3339(8.0))),
        "ends 1.000 s after stopTime",
    ),
    "a gap without a cause": (by(), "there are gaps, and nothing that could cost media"),
    "lost": (
        manifest(lambda document: document["gaps"][0].update(reason="FileLost")),
        "files are said to be lost: {'FileLost'}",
    ),
    "damaged": (
        manifest(lambda document: document.update(damaged=[{"name": NAMES[0], "size": 9, "sha256": NAMES[0]}])),
        "slices are said to be damaged",
    ),
    "no MP4": (
        lambda seen: replace(seen, schedule=replace(seen.schedule, mp4=True)),
        "an MP4 was asked for and is missing",
    ),
    "a picture is missing": (
        slice_two([one for one in pictures(30, 20) if one.number != 35]),
        "a_2.ts has holes between pictures [(34, 36)]",
    ),
    "a picture came twice": (slice_two(pictures(29, 20)), "pictures are not each once and in order"),
    "a picture that was not sent": (
        slice_two([Recorded(None, 0), *pictures(31, 19)]),
        "a_2.ts has pictures that nobody sent",
    ),
    "a picture at another time": (
        slice_two([*pictures(30, 19), Recorded(49, 48 * PICTURE_TICKS)]),
        "a_2.ts has holes between pictures [(48, 49)]",
    ),
    "longer than it says": (slice_two(pictures(30, 23)), "a_2.ts has 23 pictures in 2.0 s"),
    "missing between slices": (slice_two(pictures(31, 19)), "1 pictures are missing, and no gap says so"),
    "a gap that says too little": (
        lambda seen: replace(seen, pictures={**seen.pictures, NAMES[2]: pictures(90, 20)}),
        "40 pictures are missing, and the gaps there are 2.000 s",
    ),
    "at another time than it was sent": (
        lambda seen: replace(seen, begun=seen.begun - 1.5),
        "a_1.ts begins 1.500 s after its first picture was sent",
    ),
    "nothing at all": (
        lambda seen: replace(manifest(_without_slices)(by()(seen)), playlist="#EXT-X-ENDLIST\n", pictures={}),
        "nothing was recorded",
    ),
    "an MP4 with fewer pictures": (
        lambda seen: replace(seen, mp4_pictures=59),
        "the MP4 has 59 pictures, the slices 60",
    ),
    "a stop that took effect too early": (
        lambda seen: replace(by()(seen), asked_to_stop=BEGUN + 11),
        "it ended -2.000 s after it was asked to",
    ),
    "a last word that counts less": (
        lambda seen: replace(seen, summary={"slices": {"written": 2, "uploaded": 2, "pending": 0}} | RECORDED),
        "the last word counts (2, 2, 0, 6000), and the manifest lists 3",
    ),
    "no manifest": (lambda seen: replace(seen, manifest=None), "there is no manifest, or no playlist"),
}


def _without_slices(document: dict[str, Any]) -> None:
    document.update(files=document["files"][:1], gaps=[], startTime=None, stopTime=None)


def test_a_recording_as_promised_violates_nothing() -> None:
    assert violations(kept()) == []


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_said(name: str) -> None:
    """Promise: each kind of loss, doubling and untruth is found, by its own words."""
    change, words = BROKEN[name]
    found = violations(change(kept()))
    assert any(words in violation for violation in found), found


def test_two_processes_may_tell_their_beginning_each() -> None:
    told = ["RunnerStarted", "RecordingStarted", "RecorderExited", "RecordingStarted", "RecordingStopped"]
    assert violations(supervised(*told, "RecordingUploaded", "Finished")(kept())) == []
