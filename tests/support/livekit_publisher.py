# SPDX-License-Identifier: Apache-2.0
"""Somebody in a LiveKit room, who shows a colour, plays a tone, and does as lines of standard input say.

Each is answered with "done": `mute video`, `mute audio`, `unmute video`, `unmute audio`, `screen COLOUR` (shares a
screen), `still` (of the screen nothing new is sent), `unshare`, `size WIDTH HEIGHT` (of the camera's pictures),
`hush` (plays silence), `flit TIMES` (leaves and comes back so often), `leave`; `track KIND` with the ID that the
server knows the track by, `stays` with when the first packet of each stay was sent, and when it was left, `seen` with
whom else this one ever saw in the room, both as JSON.
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from livekit import rtc
from PIL import Image, ImageColor

WIDTH, HEIGHT, FRAMES_PER_SECOND = 640, 360, 15
BLOCK_SIZE, BLOCK_STEP = 64, 11
SAMPLE_RATE, BLOCK, LONG_BLOCK = 48_000, 480, 9600
FIGURES_AGE = 0.05
"""Seconds: so old the client library's figures of a track may be."""
ROTATIONS = dict(zip((0, 90, 180, 270), rtc.VideoRotation.values(), strict=True))
"""By how many degrees a picture is to be turned clockwise."""


def picture(colour: str, width: int = WIDTH, height: int = HEIGHT, *, block_at: int | None = None) -> rtc.VideoFrame:
    """A picture of nothing but the colour, or with a white block whose left edge is so many pixels from its own.

    Of `LEFT/RIGHT` each half has its colour.
    """
    left, _, right = colour.partition("/")
    image = Image.new("RGBA", (width, height), ImageColor.getrgb(left))
    image.paste(ImageColor.getrgb(right or left), (width // 2, 0, width, height))
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


def _options(shared_key: str) -> rtc.RoomOptions:
    if not shared_key:
        return rtc.RoomOptions(auto_subscribe=False)
    provider = rtc.KeyProviderOptions(shared_key=shared_key.encode())
    return rtc.RoomOptions(auto_subscribe=False, encryption=rtc.E2EEOptions(key_provider_options=provider))


class Publisher:
    """What of somebody is in the room."""

    def __init__(self, arguments: argparse.Namespace, block: int = BLOCK) -> None:
        self.arguments = arguments
        self.block = block
        self.room = rtc.Room()
        self.pictures: dict[str, Iterator[rtc.VideoFrame]] = {}
        self.loudness = 8000
        self.tracks: dict[str, Any] = {}
        self.published: dict[str, str] = {}
        self.running: dict[str, asyncio.Task[None]] = {}
        self.stays: list[list[float]] = []
        self.seen: set[str] = set()

    async def come(self) -> None:
        """Joins, and publishes camera and microphone."""
        self.room = rtc.Room()
        self.room.on("participant_connected", lambda other: self.seen.add(other.identity))
        await self.room.connect(self.arguments.url, self.arguments.token, _options(self.arguments.shared_key))
        self.seen |= set(self.room.remote_participants)
        if self.arguments.colour != "none":
            # Of smaller pictures the client library makes no smaller ones.
            size = (960, 540) if self.arguments.simulcast else (WIDTH, HEIGHT)
            await self.video("video", self.arguments.colour, rtc.TrackSource.SOURCE_CAMERA, size)
        if self.arguments.tone:
            right = self.arguments.right_tone
            await self.audio([self.arguments.tone, right] if right else [self.arguments.tone])
        if self.arguments.stays:
            self.stays.append([await self.first_packet()])

    async def first_packet(self) -> float:
        """Returns when it was sent, by the clock; nothing else is sent before it."""
        (track,) = self.tracks.values()
        while True:
            figures = [each.outbound_rtp.sent for each in await track.get_stats() if each.HasField("outbound_rtp")]
            if any(sent.packets_sent for sent in figures):
                return time.time() - FIGURES_AGE / 2
            await asyncio.sleep(0.002)

    async def leave(self) -> None:
        """Ends what is published, and leaves."""
        for task in self.running.values():
            task.cancel()
        self.running.clear()
        self.tracks.clear()
        if self.stays:
            self.stays[-1].append(time.time())
        await self.room.disconnect()

    async def flit(self, times: int) -> None:
        """Leaves and comes back, so often."""
        for _ in range(times):
            await self.leave()
            await self.come()

    async def show(self, kind: str, source: rtc.VideoSource) -> None:
        """Shows the track's picture again and again."""
        while True:
            source.capture_frame(next(self.pictures[kind]), rotation=ROTATIONS[self.arguments.rotation])
            await asyncio.sleep(1 / FRAMES_PER_SECOND)

    async def play(self, source: rtc.AudioSource, tones: Sequence[int]) -> None:
        """Plays a tone in each channel; the source's own queue keeps the pace."""
        at = np.arange(self.block)
        while True:
            waves = [np.sin(2 * np.pi * tone * at / SAMPLE_RATE) * self.loudness for tone in tones]
            samples = np.stack(waves, axis=1).astype(np.int16)
            await source.capture_frame(rtc.AudioFrame(samples.tobytes(), SAMPLE_RATE, len(tones), self.block))
            at = at + self.block

    async def video(self, kind: str, colour: str, source_kind: Any, size: tuple[int, int]) -> None:
        """Publishes a track of the colour."""
        source = rtc.VideoSource(*size)
        self.tracks[kind] = rtc.LocalVideoTrack.create_video_track(kind, source)
        options = rtc.TrackPublishOptions(
            source=source_kind,
            simulcast=kind == "video" and self.arguments.simulcast,
            video_codec=rtc.VideoCodec.Value(self.arguments.codec),
        )
        publication = await self.room.local_participant.publish_track(self.tracks[kind], options)
        self.published[kind] = publication.sid
        self.pictures[kind] = pictures(colour, size, moving=self.arguments.moving)
        self.running[kind] = asyncio.create_task(self.show(kind, source))

    async def audio(self, tones: Sequence[int]) -> None:
        """Publishes the tones, each in a channel of its own."""
        source = rtc.AudioSource(SAMPLE_RATE, len(tones))
        self.tracks["audio"] = rtc.LocalAudioTrack.create_audio_track("audio", source)
        options = rtc.TrackPublishOptions(source=rtc.TrackSource.SOURCE_MICROPHONE)
        publication = await self.room.local_participant.publish_track(self.tracks["audio"], options)
        self.published["audio"] = publication.sid
        self.running["audio"] = asyncio.create_task(self.play(source, tones))

    async def obey(self, words: list[str]) -> str:
        """Does what the words say, and returns the answer."""
        match words:
            case ["mute" | "unmute" as change, kind]:
                getattr(self.tracks[kind], change)()
            case ["screen", colour]:
                await self.video("screen", colour, rtc.TrackSource.SOURCE_SCREENSHARE, (1280, 720))
            case ["still"]:
                self.running["screen"].cancel()
            case ["size", width, height]:
                self.pictures["video"] = pictures(self.arguments.colour, (int(width), int(height)), moving=False)
            case ["hush"]:
                self.loudness = 0
            case ["flit", times]:
                await self.flit(int(times))
            case ["unshare"]:
                self.running.pop("screen").cancel()
                await self.room.local_participant.unpublish_track(self.published.pop("screen"))
            case ["leave"]:
                await self.leave()
            case _:
                return self.answer(words)
        return "done"

    def answer(self, words: list[str]) -> str:
        """Says what the words ask for."""
        match words:
            case ["track", kind]:
                return self.published[kind]
            case ["stays"]:
                return json.dumps(self.stays)
            case ["seen"]:
                return json.dumps(sorted(self.seen))
            case _:
                raise ValueError(words)


async def main() -> None:
    """Joins, publishes, and does as it is told until standard input ends."""
    parser = argparse.ArgumentParser()
    for option in ("--url", "--token", "--colour"):
        parser.add_argument(option, required=True)
    parser.add_argument("--tone", type=int, required=True)
    parser.add_argument("--right-tone", type=int, default=0, help="of a second channel; without it there is one")
    parser.add_argument("--codec", default="VP8", help="of the pictures: VP8, VP9, H264, AV1")
    parser.add_argument("--rotation", type=int, default=0, help="how the pictures are to be turned")
    parser.add_argument("--shared-key", default="", help="encrypts end to end with it")
    parser.add_argument("--moving", action="store_true", help="a block moves through the pictures")
    parser.add_argument("--simulcast", action="store_true", help="the camera's pictures come in several sizes")
    parser.add_argument("--beside", action="append", default=[], help="the token of another one who does the same")
    parser.add_argument("--stays", type=int, default=0, help="1: of the only track it is noted when it is sent first")
    arguments = parser.parse_args()
    publisher = Publisher(arguments)
    beside = [argparse.Namespace(**{**vars(arguments), "token": token}) for token in arguments.beside]
    # There may be many of them: the longer a block, the less it costs.
    for somebody in (publisher, *(Publisher(other, LONG_BLOCK) for other in beside)):
        await somebody.come()
    print("done", flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(await publisher.obey(line.split()), flush=True)
    await publisher.leave()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
        # Threads of the client library call into Python to the last: an orderly end of it may be a crash.
        os._exit(0)
