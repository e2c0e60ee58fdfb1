# SPDX-License-Identifier: Apache-2.0
"""Everybody in a LiveKit room, in one process that costs little: pictures were coded beforehand, nothing is received.

Standard input has one line of JSON: `url`, `width`, `height`, and `people`, of whom each has a `token` and files of
`pictures` and `samples`. Once all are there a line is printed; when standard input ends, another one says how punctual
they were.
"""

import asyncio
import functools
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from livekit import rtc

from tests.bench.rooms.media import RATE, SAMPLE_RATE

START_CODE = b"\x00\x00\x01"
KEY, DELIMITER = 5, 9
"""Kinds of units in H.264."""

SAMPLE_BYTES = 2
DIRECT, QUEUED = 480, 4800
"""Samples of a block. The one who beeps has no queue, and so is exact; it costs ten times as many calls."""


@dataclass(frozen=True)
class Picture:
    """One picture as it is coded."""

    data: bytes
    key: bool


def pictures(stream: bytes) -> Iterator[Picture]:
    """Cuts a stream, with a delimiter before each picture, into its pictures."""
    parts: list[bytes] = []
    for unit in [*stream.replace(b"\x00" + START_CODE, START_CODE).split(START_CODE)[1:], bytes([DELIMITER])]:
        if unit[0] & 31 != DELIMITER:
            parts.append(b"\x00" + START_CODE + unit)
        elif parts:
            yield Picture(b"".join(parts), any(part[4] & 31 == KEY for part in parts))
            parts = []


@dataclass(frozen=True)
class Media:
    """What somebody shows and says again and again."""

    shown: Sequence[Picture]
    said: bytes

    @classmethod
    def read(cls, pictures_file: Path, samples_file: Path) -> "Media":
        return cls(list(pictures(pictures_file.read_bytes())), samples_file.read_bytes())

    def samples(self, first: int, count: int) -> bytes:
        """So many samples from the first on; behind the last one it begins again."""
        begin = first * SAMPLE_BYTES % len(self.said)
        taken = self.said[begin : begin + count * SAMPLE_BYTES]
        return taken + self.said[: count * SAMPLE_BYTES - len(taken)]


@dataclass
class Person:
    """Somebody in the room."""

    room: rtc.Room
    size: tuple[int, int]
    media: Media
    exact: bool
    late: list[float] = field(default_factory=list)
    refused: int = 0
    skipped: int = 0
    """Pictures that were left out, and the sound with them, to come to a key picture that was asked for."""

    async def publish(self) -> Sequence[asyncio.Task[None]]:
        """Returns what goes on from now on."""
        camera = rtc.EncodedVideoSource(*self.size)
        block = DIRECT if self.exact else QUEUED
        microphone = rtc.AudioSource(SAMPLE_RATE, 1, queue_size_ms=0 if self.exact else 1000)
        await self.room.local_participant.publish_track(
            rtc.LocalVideoTrack.create_video_track("camera", camera),
            rtc.TrackPublishOptions(
                source=rtc.TrackSource.SOURCE_CAMERA,
                simulcast=False,
                video_codec=rtc.VideoCodec.H264,
                video_encoder=rtc.VideoEncoderBackend.ENCODER_BACKEND_PRE_ENCODED,
            ),
        )
        await self.room.local_participant.publish_track(
            rtc.LocalAudioTrack.create_audio_track("microphone", microphone),
            rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE),
        )
        began = time.monotonic()
        return (
            asyncio.create_task(self._each(1 / RATE, began, lambda number: self._show(camera, number))),
            asyncio.create_task(self._say(microphone, block, began)),
        )

    async def _each(self, seconds: float, began: float, step: Callable[[int], None]) -> None:
        for number in itertools.count():
            due = began + number * seconds
            await asyncio.sleep(due - time.monotonic())
            self.late.append(time.monotonic() - due)
            step(number)

    def _show(self, camera: rtc.EncodedVideoSource, number: int) -> None:
        if camera.take_feedback().keyframe_requested:
            self.skipped += next(ahead for ahead in itertools.count() if self._at(number + ahead).key)
        picture = self._at(number)
        kind = rtc.EncodedFrameType.ENCODED_FRAME_KEY if picture.key else rtc.EncodedFrameType.ENCODED_FRAME_DELTA
        stamp = time.monotonic_ns() // 1000
        frame = rtc.EncodedVideoFrame(picture.data, *self.size, rtc.VideoCodec.H264, kind, stamp)
        self.refused += not camera.capture_frame(frame)

    def _at(self, number: int) -> Picture:
        return self.media.shown[(number + self.skipped) % len(self.media.shown)]

    async def _say(self, microphone: rtc.AudioSource, block: int, began: float) -> None:
        for number in itertools.count():
            due = began + number * block / SAMPLE_RATE
            await asyncio.sleep(due - time.monotonic())
            samples = self.media.samples(number * block + round(self.skipped / RATE * SAMPLE_RATE), block)
            await microphone.capture_frame(rtc.AudioFrame(samples, SAMPLE_RATE, 1, block))


async def main(asked: dict[str, Any], media: Sequence[Media]) -> None:
    """Has everybody come, and stay until standard input ends."""
    people: list[Person] = []
    running: list[asyncio.Task[None]] = []
    for who, shows in zip(asked["people"], media, strict=True):
        room = rtc.Room()
        await room.connect(asked["url"], who["token"], rtc.RoomOptions(auto_subscribe=False))
        people.append(Person(room, (asked["width"], asked["height"]), shows, exact=not people))
        running += await people[-1].publish()
    for person in people:
        person.late.clear()
    print("there", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    late = sorted(late for person in people for late in person.late)
    report = {
        "failed": [str(task.exception()) for task in running if task.done()],
        "refused": sum(person.refused for person in people),
        "late_p99_ms": late[len(late) * 99 // 100] * 1000,
    }
    print(json.dumps(report), flush=True)
    # Threads of the client library call into Python to the last.
    os._exit(0)


if __name__ == "__main__":
    ASKED: dict[str, Any] = json.loads(sys.stdin.readline())
    READ = functools.cache(Media.read)
    asyncio.run(main(ASKED, [READ(Path(who["pictures"]), Path(who["samples"])) for who in ASKED["people"]]))
