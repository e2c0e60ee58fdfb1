# SPDX-License-Identifier: Apache-2.0
"""What a recording of a LiveKit room is started with, and what became of it: its film, and who was in it when."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from tests.support import media
from tests.support.livekit import API_KEY, API_SECRET, LiveKitServer
from tests.support.s3 import Bucket

WHOLE = media.Region(0.1, 0.1, 0.8, 0.8)
LEFT = media.Region(0.05, 0.3, 0.4, 0.4)
RIGHT = media.Region(0.55, 0.3, 0.4, 0.4)


def of_room(document: dict[str, Any], server: LiveKitServer, **fields: Any) -> dict[str, Any]:
    """The document with the server's room as its channel."""
    access = {} if fields else {"apiKey": API_KEY, "apiSecret": API_SECRET}
    return {**document, "channels": [{"livekit": {"url": server.url, **access, **fields}}]}


def recorded(bucket: Bucket, directory: Path, *, recording_id: str = "") -> tuple[Path, dict[str, Any]]:
    """Everything that was recorded in one file, and the manifest; the ID where the bucket has several recordings."""
    files = bucket.download(directory)
    manifests = [file for file in files if file.name.endswith("_manifest.json") and recording_id in file.name]
    manifest = json.loads(manifests[0].read_text())
    slices = [directory / file["name"] for file in manifest["files"] if file["name"].endswith(".ts")]
    return media.joined(slices, directory / "all.ts"), manifest


def person(status: Mapping[str, Any], identity: str) -> dict[str, Any]:
    """Whom the library's status lists by this identity; nothing where it lists nobody."""
    return next((who for who in status["participants"] if who.get("identity") == identity), {})


def joined(identity: str) -> Callable[[Mapping[str, Any]], bool]:
    """Whether a status has somebody there, with sound or picture."""
    return lambda status: person(status, identity).get("state") == "Joined"


def left(identity: str) -> Callable[[Mapping[str, Any]], bool]:
    """Whether a status has somebody gone who was there."""
    return lambda status: person(status, identity).get("state") == "Left"


def seconds(manifest: dict[str, Any], identity: str) -> tuple[int, float, float]:
    """The participant's uid, and when it came and left, in seconds of the recording."""
    (who,) = [each for each in manifest["participants"] if each.get("identity") == identity]
    (presence,) = who["presences"]
    begin = datetime.fromisoformat(manifest["startTime"])
    came, left = (datetime.fromisoformat(presence[field]) for field in ("joinTime", "leaveTime"))
    return who["uid"], (came - begin).total_seconds(), (left - begin).total_seconds()


def gap_seconds(gap: dict[str, str]) -> float:
    """How long a gap of the manifest lasts."""
    start, stop = (datetime.fromisoformat(gap[field]) for field in ("startTime", "stopTime"))
    return (stop - start).total_seconds()


class Film:
    """What is seen and heard at a second of a file: its slices are too short to seek in."""

    def __init__(self, file: Path) -> None:
        self._pictures = media.pictures(file, per_second=10)
        self._sound = media.sound(file)

    @property
    def length(self) -> float:
        """In seconds."""
        return len(self._pictures) / 10

    def colours(self, at: float, *regions: media.Region) -> list[str]:
        return [media.colour(self._pictures[round(at * 10)], region) for region in regions or (WHOLE,)]

    def noise(self, begin: float, length: float, *tones: int) -> float:
        """How loud it is beside the tones from this second on, as a root of the mean square; full scale is 1.

        A tone that is played a little faster or slower, as clients do, is still the tone.
        """
        first = round(begin * media.SAMPLE_RATE)
        heard = self._sound[first : first + round(length * media.SAMPLE_RATE), 0]
        spectrum = np.fft.rfft(heard * np.hanning(len(heard)))
        frequencies = np.fft.rfftfreq(len(heard), 1 / media.SAMPLE_RATE)
        for tone in tones:
            spectrum[np.abs(frequencies - tone) < 60] = 0
        return float(np.sqrt(np.mean(np.fft.irfft(spectrum) ** 2)))

    def hears_last(self, tone: int) -> bool:
        """Whether the tone is in the last second; the sound has no time of gaps."""
        return media.hears(self._sound[-media.SAMPLE_RATE :], tone)

    def hears(self, at: float, *tones: int) -> list[bool]:
        begin = round(at * media.SAMPLE_RATE)
        return [media.hears(self._sound[begin : begin + media.SAMPLE_RATE], tone) for tone in tones]
