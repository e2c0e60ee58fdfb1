# SPDX-License-Identifier: Apache-2.0
"""Checks a fetched recording the way a player would: the playlist's promises, every slice, and all of the MP4."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import m3u8


@dataclass(frozen=True)
class Slice:
    """What ffprobe says of one slice."""

    name: str
    seconds: float
    video: str
    audio: str


@dataclass(frozen=True)
class Fetched:
    """A playlist and what its slices hold, and the same in one file."""

    playlist: Path
    mp4: Path
    slices: tuple[Slice, ...]

    @property
    def seconds(self) -> float:
        return sum(piece.seconds for piece in self.slices)


def inspect(playlist: Path, mp4: Path) -> Fetched:
    """Returns what the playlist names and the MP4 of it; raises ValueError that says what is wrong with them."""
    parsed = m3u8.load(str(playlist))
    if not parsed.is_endlist:
        raise ValueError(f"{playlist.name} has no EXT-X-ENDLIST: the recording is not finished")
    longest = max(segment.duration for segment in parsed.segments)
    if round(longest) > parsed.target_duration:
        raise ValueError(
            f"{playlist.name}: EXT-X-TARGETDURATION {parsed.target_duration} is less than a slice of {longest} s"
        )
    pieces = tuple(_probe(playlist.parent / segment.uri, segment.duration) for segment in parsed.segments)
    _decode(mp4)
    return Fetched(playlist, mp4, pieces)


def _decode(mp4: Path) -> None:
    command = ["ffmpeg", "-nostdin", "-v", "error", "-i", str(mp4), "-f", "null", "-"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode != 0 or answer.stderr.strip():
        raise ValueError(f"{mp4.name}: ffmpeg complains: {answer.stderr.strip()}")


def _probe(file: Path, seconds: float) -> Slice:
    if not file.is_file():
        raise ValueError(f"the playlist names {file.name}, which is not in the bucket")
    command = ["ffprobe", "-v", "error", "-show_streams", "-of", "json", str(file)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    if answer.stderr.strip():
        raise ValueError(f"{file.name}: ffprobe complains: {answer.stderr.strip()}")
    streams = {stream["codec_type"]: stream for stream in json.loads(answer.stdout)["streams"]}
    video, audio = streams["video"], streams["audio"]
    return Slice(
        name=file.name,
        seconds=seconds,
        video=f"{video['codec_name']} {video['width']}x{video['height']} {video['avg_frame_rate']}",
        audio=f"{audio['codec_name']} {audio['sample_rate']} Hz {audio['channels']} ch",
    )
