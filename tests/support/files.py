# SPDX-License-Identifier: Apache-2.0
"""A recording's files as they lie in its bucket, and whether they are what the interface says."""

import hashlib
import json
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import m3u8

from tests.support.s3 import Bucket

MOMENT = timedelta(milliseconds=2)
"""Starts are whole milliseconds, durations are not."""


@dataclass(frozen=True)
class Slice:
    """A slice as the playlist tells of it."""

    name: str
    seconds: float
    tags: tuple[str, ...]

    @property
    def start(self) -> datetime:
        """When it began, by its name."""
        digits = self.name[-20:-3]
        return datetime.strptime(digits[:14] + digits[14:] + "000+0000", "%Y%m%d%H%M%S%f%z")

    @property
    def stop(self) -> datetime:
        return self.start + timedelta(seconds=self.seconds)

    @property
    def restarts(self) -> bool:
        """Whether a track began with it."""
        return any("TRACK-EVENT" in tag for tag in self.tags)


@dataclass(frozen=True)
class Files:
    """The files of the recording `stem` (`<file prefix><sid>_<channel>`) in the bucket, below `prefix`."""

    bucket: Bucket
    stem: str
    prefix: str = ""

    @cached_property
    def playlist(self) -> str:
        return self.bucket.read(f"{self.prefix}{self.stem}.m3u8").decode()

    @cached_property
    def manifest(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.bucket.read(f"{self.prefix}{self.stem}_manifest.json"))
        return content

    @cached_property
    def slices(self) -> list[Slice]:
        """Returns the slices in the playlist's order."""
        found, tags = [], []
        for line in self.playlist.splitlines()[5:]:
            if line.startswith("#"):
                tags.append(line)
            else:
                seconds = next(tag for tag in tags if tag.startswith("#EXTINF:"))
                found.append(Slice(line, float(seconds[8:-1]), tuple(tags)))
                tags = []
        return found

    @property
    def seconds(self) -> float:
        return sum(piece.seconds for piece in self.slices)

    def download(self, directory: Path) -> Path:
        """Writes playlist and slices into the directory and returns the playlist's file."""
        directory.mkdir(parents=True, exist_ok=True)
        for name in [f"{self.stem}.m3u8", *(piece.name for piece in self.slices)]:
            (directory / name).write_bytes(self.bucket.read(self.prefix + name))
        return directory / f"{self.stem}.m3u8"

    def check_playlist(self, *, slice_seconds: int) -> None:
        """Every tag that the interface has, in its place and form, and no other."""
        lines = self.playlist.splitlines()
        assert lines[:5] == [
            *("#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-MEDIA-SEQUENCE:0", "#EXT-X-ALLOW-CACHE:YES"),
            f"#EXT-X-TARGETDURATION:{slice_seconds}",
        ]
        assert lines[-1] == "#EXT-X-ENDLIST"
        assert self.playlist.endswith("\n")
        before = None
        for piece in self.slices:
            self._check_slice(piece, before)
            assert round(piece.seconds) <= slice_seconds
            before = piece
        names = [piece.name for piece in self.slices]
        assert names == sorted(set(names))
        # The strict mode refuses tags of later versions, and any unknown one, so the private one is named.
        strict = m3u8.M3U8(self.playlist, strict=True, custom_tags_parser=_is_private)
        assert [segment.uri for segment in strict.segments] == names
        assert sum(segment.discontinuity for segment in strict.segments) == self.discontinuities

    def _check_slice(self, piece: Slice, before: Slice | None) -> None:
        assert re.fullmatch(rf"{re.escape(self.stem)}_\d{{17}}\.ts", piece.name)
        digits = piece.name[-20:-3]
        follows_hole = before is not None and piece.start - before.stop > MOMENT
        expected = []
        if piece.restarts or follows_hole:
            if before is not None:
                expected.append("#EXT-X-DISCONTINUITY")
            expected.append(f"#EXT-X-PROGRAM-DATE-TIME:{piece.start:%Y-%m-%dT%H:%M:%S}.{digits[14:]}Z")
        if piece.restarts:
            event = "#EXT-X-AGORA-TRACK-EVENT:EVENT=START,TRACK_TYPE={},TIME=" + digits
            expected += [event.format("VIDEO"), event.format("AUDIO")]
        assert piece.restarts or before is not None
        assert [*piece.tags[:-1]] == expected
        assert re.fullmatch(r"#EXTINF:\d+\.\d{6},", piece.tags[-1])

    @property
    def discontinuities(self) -> int:
        return self.playlist.count("#EXT-X-DISCONTINUITY\n")

    def check_manifest(self) -> None:
        """It tells of each object what the bucket really holds, and slices and gaps are exactly [start, stop)."""
        listed = {file["name"]: file for file in self.manifest["files"]}
        kept = {key.removeprefix(self.prefix) for key in self.bucket.objects() if key.startswith(self.prefix)}
        set_aside = {file["name"] for file in self.manifest.get("damaged", [])}
        assert set(listed) == kept - {f"{self.stem}_manifest.json"} - set_aside
        for name, file in listed.items():
            content = self.bucket.read(self.prefix + name)
            assert (file["size"], file["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
        for piece in self.slices:
            assert _time(listed[piece.name]["startTime"]) == piece.start
            assert abs(listed[piece.name]["durationSeconds"] - piece.seconds) < 2e-6
        self._check_time()
        self._check_presences()

    def _check_presences(self) -> None:
        """Nobody leaves before coming, or is in the channel twice at once."""
        for participant in self.manifest["participants"]:
            times = [_time(presence[end]) for presence in participant["presences"] for end in ("joinTime", "leaveTime")]
            assert times == sorted(times), participant

    def _check_time(self) -> None:
        spans = [(piece.start, piece.stop) for piece in self.slices]
        gaps = [(_time(gap["startTime"]), _time(gap["stopTime"])) for gap in self.manifest["gaps"]]
        at = _time(self.manifest["startTime"])
        for start, stop in sorted(spans + gaps):
            assert abs(start - at) <= MOMENT, (start, at, spans, gaps)
            assert stop > start
            at = stop
        assert abs(at - _time(self.manifest["stopTime"])) <= MOMENT
        assert abs(self.manifest["recordedMilliseconds"] / 1000 - self.seconds) < 0.001
        total = sum(((stop - start) for start, stop in gaps), timedelta())
        assert self.manifest["gapMilliseconds"] == round(total / timedelta(milliseconds=1))

    def reasons(self) -> list[str]:
        """Returns the reasons of the gaps, in their order."""
        return [gap["reason"] for gap in self.manifest["gaps"]]


def check_with_ffmpeg(playlist: Path, *, restarted: bool = False) -> None:
    """Neither ffprobe of any file nor decoding all of it has anything to complain of.

    ffmpeg takes no notice of EXT-X-DISCONTINUITY, so it warns where counters and times begin anew behind one.
    """
    for file in sorted(playlist.parent.glob("*.ts")):
        # A last slice of a few packets is too short for ffprobe to tell by itself what it is.
        _quiet(
            "ffprobe", "-v", "warning", "-f", "mpegts", "-show_streams", "-show_packets", "-of", "csv=p=0", str(file)
        )
    level = "error" if restarted else "warning"
    _quiet("ffprobe", "-v", level, "-show_streams", "-show_packets", "-of", "csv=p=0", str(playlist))
    _quiet("ffmpeg", "-nostdin", "-v", level, "-i", str(playlist), "-f", "null", "-")


def _is_private(line: str, *_: object) -> bool:
    return line.startswith("#EXT-X-AGORA-TRACK-EVENT:")


def _quiet(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
    assert (done.returncode, done.stderr) == (0, ""), (command, done.stderr)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def journal_line(record: Mapping[str, Any]) -> str:
    """The line of a work directory's journal that says this, with the sum that proves it."""
    fact = json.dumps(record)
    return f'{fact[:-1]},"sum":"{hashlib.sha256(fact.encode()).hexdigest()[:16]}"}}\n'
