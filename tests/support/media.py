# SPDX-License-Identifier: Apache-2.0
"""Looks at and listens to recorded media: colours in regions, tones in the mix, time stamps across slices.

Everything is decoded by the ffmpeg command, which shares no code path with the recorder's own muxing and timing.
"""

import itertools
import json
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Picture = npt.NDArray[np.uint8]
Sound = npt.NDArray[np.float64]

SAMPLE_RATE = 48_000
COLOURS = {
    "red": (254, 0, 0),
    "green": (0, 128, 0),
    "blue": (0, 0, 254),
    "orange": (254, 165, 0),
    "white": (255, 255, 255),
    "black": (0, 0, 0),
}
"""The names that the testbed's participants use, as ffmpeg understands them."""


@dataclass(frozen=True)
class Region:
    """A part of a picture in shares of its width and height, from the top left."""

    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class Packet:
    """One packet of an elementary stream; times in seconds."""

    pts: float
    dts: float
    duration: float
    key: bool


def joined(slices: Iterable[Path], into: Path) -> Path:
    """Writes the slices one after the other into one file: TS may be cut and joined at packet borders."""
    into.write_bytes(b"".join(piece.read_bytes() for piece in slices))
    return into


def size(file: Path) -> tuple[int, int]:
    """Returns width and height in pixels."""
    stream = next(entry for entry in streams(file) if entry["codec_type"] == "video")
    return stream["width"], stream["height"]


def streams(file: Path) -> list[dict[str, Any]]:
    """Returns ffprobe's account of the elementary streams; raises where ffprobe complains of the file."""
    answer: list[dict[str, Any]] = _probe(file, "-show_streams")["streams"]
    return answer


def pictures(
    file: Path, *, per_second: float, start: float | None = None, seconds: float | None = None
) -> list[Picture]:
    """Returns frames as height x width x 3 (RGB) arrays, `per_second` of each second of media."""
    width, height = size(file)
    raw = _ffmpeg(file, start, seconds, "-vf", f"fps={per_second}", "-f", "rawvideo", "-pix_fmt", "rgb24")
    frames = np.frombuffer(raw, dtype=np.uint8).reshape(-1, height, width, 3)
    return list(frames)


def sound(file: Path, *, channels: int = 1, start: float | None = None, seconds: float | None = None) -> Sound:
    """Returns the audio as a samples x channels array in [-1, 1] at 48 kHz."""
    raw = _ffmpeg(file, start, seconds, "-vn", "-f", "f32le", "-ac", str(channels), "-ar", str(SAMPLE_RATE))
    return np.frombuffer(raw, dtype=np.float32).astype(np.float64).reshape(-1, channels)


def colour(picture: Picture, region: Region) -> str:
    """Returns the name in COLOURS that is nearest to what most of the region shows."""
    height, width, _ = picture.shape
    rows = slice(round(region.top * height), round((region.top + region.height) * height))
    columns = slice(round(region.left * width), round((region.left + region.width) * width))
    middle = np.median(picture[rows, columns].reshape(-1, 3), axis=0)
    return min(COLOURS, key=lambda name: float(np.abs(middle - np.array(COLOURS[name])).sum()))


FOLLOWED: Final = 0.01
"""A recorder makes up for a source's clock by 0.5 % of its speed, and so of its pitch: twice that."""


def hears(heard: Sound, tone_hz: float, *, within_hz: float = 5.0, below_loudest_db: float = 26.0) -> bool:
    """Says whether the tone is there: not silence, and at most `below_loudest_db` weaker than the loudest component.

    It may be off by so many hertz, or by as much as a recorder follows the clock of who sends it.
    """
    samples = heard[:, 0] * np.hanning(len(heard))
    spectrum = np.abs(np.fft.rfft(samples))
    frequencies = np.fft.rfftfreq(len(samples), 1 / SAMPLE_RATE)
    near = np.abs(frequencies - tone_hz) <= max(within_hz, FOLLOWED * tone_hz)
    peak = float(spectrum[near].max())
    audible = 1e-4 * len(samples)
    return peak > audible and peak >= float(spectrum.max()) / 10 ** (below_loudest_db / 20)


def packets(file: Path, kind: str) -> list[Packet]:
    """Returns the packets of the first audio or video stream in file order."""
    answer = _probe(file, "-select_streams", f"{kind[0]}:0", "-show_packets")
    return [
        Packet(
            pts=float(entry["pts_time"]),
            dts=float(entry.get("dts_time", entry["pts_time"])),
            duration=float(entry.get("duration_time", 0)),
            key="K" in entry["flags"],
        )
        for entry in answer["packets"]
    ]


def packet_hashes(file: Path, *audio: str) -> bytes:
    """What the packets are made of, by stream, whatever container they lie in."""
    video = ["-c:v", "copy", "-bsf:v", "h264_mp4toannexb,filter_units=remove_types=7-9"]
    command = ["ffmpeg", "-v", "error", "-i", str(file), "-map", "0:v", "-map", "0:a", *video, *audio]
    return subprocess.run([*command, "-f", "streamhash", "-"], capture_output=True, check=True).stdout


def duration(file: Path) -> float:
    """Returns how long the file says that it is, in seconds."""
    return float(_probe(file, "-show_entries", "format=duration")["format"]["duration"])


def breaks(found: Sequence[Packet], *, tolerance: float) -> list[tuple[float, float]]:
    """Returns where one packet does not begin where the one before ended, as (expected, found) in seconds."""
    ordered = sorted(found, key=lambda packet: packet.pts)
    return [
        (before.pts + before.duration, after.pts)
        for before, after in itertools.pairwise(ordered)
        if abs(after.pts - before.pts - before.duration) > tolerance
    ]


def _probe(file: Path, *what: str) -> dict[str, Any]:
    command = ["ffprobe", "-v", "error", *what, "-of", "json", str(file)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode != 0 or answer.stderr.strip():
        raise AssertionError(f"ffprobe of {file.name}: {answer.stderr.strip() or answer.returncode}")
    content: dict[str, Any] = json.loads(answer.stdout)
    return content


def _ffmpeg(file: Path, start: float | None, seconds: float | None, *output: str) -> bytes:
    seek = [] if start is None else ["-ss", str(start)]
    length = [] if seconds is None else ["-t", str(seconds)]
    command = ["ffmpeg", "-nostdin", "-v", "error", *seek, *length, "-i", str(file), *output, "-"]
    return subprocess.run(command, capture_output=True, check=True).stdout
