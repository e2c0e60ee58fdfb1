# SPDX-License-Identifier: Apache-2.0
"""Somebody in a LiveKit room, who shows a colour, plays a tone, and does as lines of standard input say.

Each is answered with "done": `mute video`, `mute audio`, `unmute video`, `unmute audio`, `screen COLOUR` (shares a
screen), `unshare`, `leave`; `track KIND` with the ID that the server knows the track by.
"""

import argparse
import asyncio
import contextlib
import itertools
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from livekit import rtc
from PIL import Image, ImageColor

WIDTH, HEIGHT, FRAMES_PER_SECOND = 640, 360, 15
BLOCK_SIZE, BLOCK_STEP = 64, 11
SAMPLE_RATE, BLOCK = 48_000, 480


def picture(colour: str, width: int = WIDTH, height: int = HEIGHT, *, block_at: int | None = None) -> rtc.VideoFrame:
    """A picture of nothing but the colour, or with a white block whose left edge is so many pixels from its own."""
    image = Image.new("RGBA", (width, height), ImageColor.getrgb(colour))
    if block_at is not None:
        image.paste(
            "white", (block_at, height // 2 - BLOCK_SIZE // 2, block_at + BLOCK_SIZE, height // 2 + BLOCK_SIZE // 2)
        )
    return rtc.VideoFrame(width, height, rtc.VideoBufferType.RGBA, image.tobytes())


def pictures(colour: str, size: tuple[int, int], *, moving: bool) -> Iterator[rtc.VideoFrame]:
    """What somebody shows one after the other: the same again, or a block that goes from left to right."""
    if not moving:
        yield from itertools.repeat(picture(colour, *size))
    for at in itertools.cycle(range(0, size[0] - BLOCK_SIZE, BLOCK_STEP)):
        yield picture(colour, *size, block_at=at)


async def show(source: rtc.VideoSource, frames: Iterator[rtc.VideoFrame]) -> None:
    """Shows one picture after the other."""
    for frame in frames:
        source.capture_frame(frame)
        await asyncio.sleep(1 / FRAMES_PER_SECOND)


async def play(source: rtc.AudioSource, tone: int) -> None:
    """Plays the tone; the source's own queue keeps the pace."""
    at = np.arange(BLOCK)
    while True:
        wave = (np.sin(2 * np.pi * tone * at / SAMPLE_RATE) * 8000).astype(np.int16)
        await source.capture_frame(rtc.AudioFrame(wave.tobytes(), SAMPLE_RATE, 1, BLOCK))
        at = at + BLOCK


class Publisher:
    """What of somebody is in the room."""

    def __init__(self, *, moving: bool = False) -> None:
        self.moving = moving
        self.room = rtc.Room()
        self.tracks: dict[str, Any] = {}
        self.published: dict[str, str] = {}
        self.running: dict[str, asyncio.Task[None]] = {}

    async def video(self, kind: str, colour: str, source_kind: Any, size: tuple[int, int]) -> None:
        """Publishes a track of the colour."""
        source = rtc.VideoSource(*size)
        self.tracks[kind] = rtc.LocalVideoTrack.create_video_track(kind, source)
        options = rtc.TrackPublishOptions(source=source_kind, simulcast=False, video_codec=rtc.VideoCodec.VP8)
        publication = await self.room.local_participant.publish_track(self.tracks[kind], options)
        self.published[kind] = publication.sid
        self.running[kind] = asyncio.create_task(show(source, pictures(colour, size, moving=self.moving)))

    async def audio(self, tone: int) -> None:
        """Publishes the tone."""
        source = rtc.AudioSource(SAMPLE_RATE, 1)
        self.tracks["audio"] = rtc.LocalAudioTrack.create_audio_track("audio", source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        publication = await self.room.local_participant.publish_track(self.tracks["audio"], options)
        self.published["audio"] = publication.sid
        self.running["audio"] = asyncio.create_task(play(source, tone))

    async def obey(self, words: list[str]) -> str:
        """Does what the words say, and returns the answer."""
        match words:
            case ["mute", kind]:
                self.tracks[kind].mute()
            case ["unmute", kind]:
                self.tracks[kind].unmute()
            case ["screen", colour]:
                await self.video("screen", colour, rtc.TrackSource.SOURCE_SCREENSHARE, (1280, 720))
            case ["unshare"]:
                self.running.pop("screen").cancel()
                await self.room.local_participant.unpublish_track(self.published.pop("screen"))
            case ["leave"]:
                await self.room.disconnect()
            case ["track", kind]:
                return self.published[kind]
            case _:
                raise ValueError(words)
        return "done"


async def main() -> None:
    """Joins, publishes, and does as it is told until standard input ends."""
    parser = argparse.ArgumentParser()
    for option in ("--url", "--token", "--colour"):
        parser.add_argument(option, required=True)
    parser.add_argument("--tone", type=int, required=True)
    parser.add_argument("--moving", action="store_true", help="a block moves through the pictures")
    arguments = parser.parse_args()
    publisher = Publisher(moving=arguments.moving)
    await publisher.room.connect(arguments.url, arguments.token)
    if arguments.colour != "none":
        await publisher.video("video", arguments.colour, rtc.TrackSource.SOURCE_CAMERA, (WIDTH, HEIGHT))
    if arguments.tone:
        await publisher.audio(arguments.tone)
    print("done", flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(await publisher.obey(line.split()), flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
