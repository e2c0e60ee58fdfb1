# SPDX-License-Identifier: Apache-2.0
"""Holds what a run left to what was promised: a function from what was seen to what is wrong with it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from signal import SIGINT, SIGKILL
from typing import Any, Final

from tests.faults.film import PICTURE_TICKS, PICTURES_PER_SECOND
from tests.faults.schedule import KILLS, LOSING, Kind, Schedule

NOTHING_RECORDED: Final = 3
"""The exit status of `cloud-recording run` that says so."""

_PICTURE: Final = 1 / PICTURES_PER_SECOND
_MOMENT: Final = 0.002
"""Starts are whole milliseconds, durations are not."""
_HOLE: Final = 3 * _PICTURE
"""A gap ends with the first media and begins with the end of the last, of sound or pictures: a picture each, and one
for how late they came."""
_ARRIVAL: Final = 1.0
"""How late a picture may come to a busy machine, in seconds."""


@dataclass(frozen=True, slots=True)
class PlaylistPut:
    """A playlist as it was about to be put: the slices that it names, and those of them that were not beside it."""

    key: str
    names: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as the store has it."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """A picture in a slice: its number in the film, None where nothing like it was sent, and its time in ticks."""

    number: int | None
    pts: int


@dataclass(frozen=True, slots=True)
class Life:
    """A recorder's life: its callbacks in order, by name, and how it ended (negative: by that signal)."""

    callbacks: tuple[str, ...]
    status: int


@dataclass(frozen=True, kw_only=True)
class Observations:
    """Everything that was seen of a run."""

    schedule: Schedule
    begun: float
    """When the film's first picture was sent, in seconds since the epoch."""
    lives: Sequence[Life]
    told: Sequence[tuple[int, str]] = ()
    """The outbox's callbacks with their sequences, where there is one."""
    summary: Mapping[str, Any] | None = None
    """Of the last word there."""
    asked_to_stop: float | None = None
    """When it was first asked to stop, in seconds since the epoch."""
    manifest: Mapping[str, Any] | None = None
    playlist: str | None = None
    objects: Mapping[str, Stored] = field(default_factory=dict)
    pictures: Mapping[str, Sequence[Recorded]] = field(default_factory=dict)
    """What is in each slice."""
    mp4_pictures: int | None = None
    """How many pictures the MP4 has, if there is one."""
    puts: Sequence[PlaylistPut] = ()
    left: Sequence[str] = ()
    """Media files in the work directory."""


def violations(seen: Observations) -> list[str]:
    """What is wrong, in words; nothing where every promise was kept."""
    found = [*_end(seen), *_callbacks(seen), *_puts(seen)]
    if seen.manifest is None or seen.playlist is None:
        return [*found, "there is no manifest, or no playlist"]
    checks: tuple[Callable[[Observations, Mapping[str, Any], str], Iterator[str]], ...] = (
        *(_files, _playlist, _left, _time, _gap_reasons, _content, _holes, _edges, _summary),
    )
    return [*found, *(words for check in checks for words in check(seen, seen.manifest, seen.playlist))]


def _end(seen: Observations) -> Iterator[str]:
    statuses = [life.status for life in seen.lives]
    nothing = seen.schedule.supervised and seen.manifest is not None and not _slices(seen.manifest)
    if statuses[-1:] not in ([0], [NOTHING_RECORDED] if nothing else [0]):
        yield f"the last recorder did not say that it has delivered something: statuses {statuses}"
    # Who ends by itself while it is told to stop may be interrupted after its last word.
    died = [status for status in statuses if status < 0 and (status != -SIGINT or not seen.schedule.supervised)]
    kills = sum(fault.kind in KILLS for fault in seen.schedule.faults)
    if any(status != -SIGKILL for status in died) or len(died) > kills:
        yield f"a recorder died that nobody killed: statuses {statuses}"


_LIFE: Final = re.compile(
    r"(refused |fatal |recorder-failure |uploader-failure |progress )*"
    r"(connecting )?(recorder-failure |uploader-failure |progress )*"
    r"(started )?(recorder-failure |uploader-failure |progress )*"
    r"(stopped )?(recorder-failure |uploader-failure |progress )*"
    r"((uploaded |backed-up |fatal )(uploader-failure |progress )*)?(refused )?"
)


def _callbacks(seen: Observations) -> Iterator[str]:
    for life in seen.lives:
        if seen.told:
            break
        if not _LIFE.fullmatch("".join(f"{name} " for name in life.callbacks)):
            yield f"a recorder's callbacks are not each once and in order: {' '.join(life.callbacks)}"
    sequences = [sequence for sequence, _ in seen.told]
    if sequences != sorted(set(sequences)):
        yield f"the outbox's sequences are not each once and in order: {sequences}"
    names = [name for _, name in seen.told]
    for name in ("RecordingUploaded", "Finished"):
        if seen.told and names.count(name) != 1:
            yield f"{name} was told {names.count(name)} times: {' '.join(names)}"
    for process in _by_process(names):
        order = [_ORDER.index(name) for name in process if name in _ORDER]
        if order != sorted(set(order)):
            yield f"a recorder process's callbacks are not each once and in order: {' '.join(names)}"


_ORDER: Final = ("RecordingConnecting", "RecordingStarted", "RecordingStopped", "RecordingUploaded", "Finished")


def _by_process(names: Sequence[str]) -> Iterator[list[str]]:
    """What was told of each recorder process: one ends by itself, or with its supervisor."""
    life: list[str] = []
    for name in names:
        if name in {"RecorderExited", "RunnerStarted"}:
            yield life
            life = []
        life.append(name)
    yield life


def _puts(seen: Observations) -> Iterator[str]:
    before: dict[str, tuple[str, ...]] = {}
    for put in seen.puts:
        if put.missing:
            yield f"{put.key} was put with {', '.join(put.missing)}, which the store did not have"
        if put.names[: len(before.get(put.key, ()))] != before.get(put.key, ()):
            yield f"{put.key} was put without, or in another order than, what it had named: {put.names}"
        before[put.key] = put.names


def _files(seen: Observations, manifest: Mapping[str, Any], _: str) -> Iterator[str]:
    entries = [*manifest["files"], *manifest.get("damaged", [])]
    names = [entry["name"] for entry in entries]
    if len(names) != len(set(names)):
        yield f"the manifest names a file twice: {names}"
    for entry in entries:
        stored = seen.objects.get(entry["name"])
        if stored is None:
            yield f"{entry['name']} is in the manifest, and not in the store"
        elif (stored.size, stored.sha256) != (entry["size"], entry["sha256"]):
            yield f"{entry['name']} is not what the manifest says: {stored}, {entry}"
        if entry.get("verified") is False or "store" in entry:
            yield f"{entry['name']} is not proved, or not at home: {entry}"
    unnamed = {name for name in seen.objects if not name.endswith("_manifest.json")} - set(names)
    # A playlist that was put before everything came home stays beside the whole one.
    old = {name for name in unnamed if name.endswith(".m3u8") and seen.schedule.backup}
    if unnamed - old:
        yield f"the manifest does not name {', '.join(sorted(unnamed - old))}"
    if manifest.get("missing") or (seen.schedule.mp4 and not any(name.endswith(".mp4") for name in names)):
        yield f"an MP4 was asked for and is missing: {manifest.get('missing')}"
    if manifest.get("damaged") and not seen.schedule.has(Kind.DISK_FULL, Kind.DISK_FAILS):
        yield f"slices are said to be damaged: {manifest['damaged']}"


def _playlist(seen: Observations, manifest: Mapping[str, Any], playlist: str) -> Iterator[str]:
    names = [line for line in playlist.splitlines() if line and not line.startswith("#")]
    slices = [entry["name"] for entry in _slices(manifest)]
    if names != slices:
        yield f"the playlist lists {names}, the manifest {slices}"
    if not playlist.endswith("#EXT-X-ENDLIST\n"):
        yield "the playlist has no end"
    if names != sorted(names):
        yield f"the playlist is not in order: {names}"
    for name in names:
        if name not in seen.objects:
            yield f"{name} is in the playlist, and not in the store"


def _left(seen: Observations, _: Mapping[str, Any], __: str) -> Iterator[str]:
    if seen.left:
        yield f"in the work directory are still {', '.join(seen.left)}"


def _time(_: Observations, manifest: Mapping[str, Any], __: str) -> Iterator[str]:
    if manifest["startTime"] is None or manifest["stopTime"] is None:
        if _slices(manifest) or manifest["gaps"]:
            yield f"slices or gaps, but no beginning or end: {manifest['startTime']}, {manifest['stopTime']}"
        return
    at = _seconds(manifest["startTime"])
    for start, stop, what in _spans(manifest):
        if abs(start - at) > _MOMENT:
            kind = "overlaps what is before it" if start < at else "has an unstated hole before it"
            yield f"{what} {kind}, of {abs(start - at):.3f} s"
        if stop < start:
            yield f"{what} ends before it begins"
        at = stop
    if abs(at - _seconds(manifest["stopTime"])) > _MOMENT:
        yield f"the last span ends {at - _seconds(manifest['stopTime']):.3f} s after stopTime"


def _gap_reasons(seen: Observations, manifest: Mapping[str, Any], _: str) -> Iterator[str]:
    reasons = [gap["reason"] for gap in manifest["gaps"]]
    if reasons and not seen.schedule.has(*LOSING):
        yield f"there are gaps, and nothing that could cost media: {reasons}"
    lost = {"FileLost", "FileDamaged"} & set(reasons)
    if lost and not seen.schedule.has(Kind.DISK_FULL, Kind.DISK_FAILS):
        yield f"files are said to be lost: {lost}"


def _content(seen: Observations, manifest: Mapping[str, Any], _: str) -> Iterator[str]:
    """Each slice holds what was sent, as long as it says, at the distances at which it was sent."""
    numbers = []
    for entry in _slices(manifest):
        pictures = seen.pictures.get(entry["name"], ())
        numbers += [picture.number for picture in pictures]
        if any(picture.number is None for picture in pictures):
            yield f"{entry['name']} has pictures that nobody sent"
        holes = [
            (before.number, after.number)
            for before, after in itertools.pairwise(pictures)
            if before.number is not None
            and after.number is not None
            and (after.number != before.number + 1 or abs(after.pts - before.pts - PICTURE_TICKS) > 2)
        ]
        if holes:
            yield f"{entry['name']} has holes between pictures {holes}"
        if abs(len(pictures) * _PICTURE - entry["durationSeconds"]) > 2 * _PICTURE + _MOMENT:
            yield f"{entry['name']} has {len(pictures)} pictures in {entry['durationSeconds']} s"
    if seen.mp4_pictures not in {None, len(numbers)}:
        yield f"the MP4 has {seen.mp4_pictures} pictures, the slices {len(numbers)}"
    known = [number for number in numbers if number is not None]
    if known != sorted(set(known)):
        yield f"pictures are not each once and in order: {known}"


def _holes(seen: Observations, manifest: Mapping[str, Any], _: str) -> Iterator[str]:
    """What is missing between slices is what gaps state."""
    if seen.schedule.has(Kind.CLOCK_SET):
        tolerance = float("inf")
    else:
        tolerance = _HOLE + (_ARRIVAL if seen.schedule.has(*LOSING) else 0)
    shown = [entry for entry in _slices(manifest) if seen.pictures.get(entry["name"])]
    for before, after in itertools.pairwise(shown):
        last, first = seen.pictures[before["name"]][-1].number, seen.pictures[after["name"]][0].number
        if last is None or first is None:
            continue
        missing = first - last - 1
        gap = sum(
            _seconds(gap["stopTime"]) - _seconds(gap["startTime"])
            for gap in manifest["gaps"]
            if _stop(before) - _MOMENT <= _seconds(gap["startTime"]) < _seconds(after["startTime"])
        )
        if missing and not gap:
            yield f"between {before['name']} and {after['name']} {missing} pictures are missing, and no gap says so"
        elif abs(missing * _PICTURE - gap) > tolerance:
            yield f"before {after['name']} {missing} pictures are missing, and the gaps there are {gap:.3f} s"


def _edges(seen: Observations, manifest: Mapping[str, Any], _: str) -> Iterator[str]:
    """Slices bear the time at which their pictures were sent, and the last ones are there."""
    shown = [entry for entry in _slices(manifest) if seen.pictures.get(entry["name"])]
    if not shown:
        if not seen.schedule.has(*LOSING):
            yield "nothing was recorded"
        return
    if seen.schedule.has(Kind.CLOCK_SET):
        return
    for entry in shown:
        first = seen.pictures[entry["name"]][0].number
        if first is not None and abs(seen.begun + first * _PICTURE - _seconds(entry["startTime"])) > _ARRIVAL:
            late = _seconds(entry["startTime"]) - seen.begun - first * _PICTURE
            yield f"{entry['name']} begins {late:.3f} s after its first picture was sent"

    if seen.asked_to_stop is not None and not seen.schedule.has(*LOSING):
        late = _seconds(manifest["stopTime"]) - seen.asked_to_stop
        if abs(late) > _ARRIVAL:
            yield f"it ended {late:.3f} s after it was asked to"


def _summary(seen: Observations, manifest: Mapping[str, Any], _: str) -> Iterator[str]:
    """The last word, which becomes the status, counts what the manifest lists."""
    if seen.summary is None:
        return
    counts = seen.summary["slices"]
    said = (counts["written"], counts["uploaded"], counts["pending"], seen.summary["recordedMilliseconds"])
    listed = len(_slices(manifest))
    if said != (listed, listed, 0, manifest["recordedMilliseconds"]):
        yield f"the last word counts {said}, and the manifest lists {listed} in {manifest['recordedMilliseconds']} ms"


def _slices(manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [entry for entry in manifest["files"] if entry["name"].endswith(".ts")]


def _stop(entry: Mapping[str, Any]) -> float:
    return _seconds(entry["startTime"]) + float(entry["durationSeconds"])


def _spans(manifest: Mapping[str, Any]) -> list[tuple[float, float, str]]:
    slices = [(_seconds(entry["startTime"]), _stop(entry), entry["name"]) for entry in _slices(manifest)]
    gaps = [
        (_seconds(gap["startTime"]), _seconds(gap["stopTime"]), f"the gap {gap['reason']} at {gap['startTime']}")
        for gap in manifest["gaps"]
    ]
    return sorted(slices + gaps)


def _seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()
