# SPDX-License-Identifier: Apache-2.0
"""What is recorded of a channel and what the picture looks like."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from pydantic import ConfigDict, Field

from cloud_recording.api.base import SpecModel, Uid
from cloud_recording.api.livekit import Identity
from cloud_recording.api.rules import Rule, always, kubernetes

LONG_SIDE: Final = 1920
SHORT_SIDE: Final = 1080
"""Canvas bounds: 1080p in either orientation, as the interface has it."""

MIN_BITRATE_KBPS: Final = 10
MAX_BITRATE_KBPS: Final = 20000

LONGEST_SLICE_SECONDS: Final = 120


class StreamKinds(StrEnum):
    AUDIO_ONLY = "AudioOnly"
    VIDEO_ONLY = "VideoOnly"
    AUDIO_VIDEO = "AudioVideo"


class AudioProfile(StrEnum):
    MUSIC_STANDARD = "MusicStandard"
    MUSIC_HIGH_QUALITY = "MusicHighQuality"
    MUSIC_HIGH_QUALITY_STEREO = "MusicHighQualityStereo"


class VideoStream(StrEnum):
    HIGH = "High"
    LOW = "Low"


class Fit(StrEnum):
    CROP = "Crop"
    CONTAIN = "Contain"


class Layout(StrEnum):
    FLOAT = "Float"
    BEST_FIT = "BestFit"
    VERTICAL = "Vertical"


class Output(StrEnum):
    HLS = "HLS"
    MP4 = "MP4"


_EVEN: Final = Rule(
    "self % 2 == 0", "must be even: video is coded in blocks of two by two pixels", lambda side: side % 2 == 0
)
Side = Annotated[int, Field(ge=16, le=LONG_SIDE, json_schema_extra=kubernetes(_EVEN))]


class Passthrough(SpecModel):
    """The channel's only stream, recorded as it is."""

    longest_slice_seconds: Annotated[int, Field(ge=3, le=LONGEST_SLICE_SECONDS)] | None = Field(
        default=None,
        description="What the playlist declares as its longest slice, more than `sliceSeconds`: a slice whose source "
        "sends no key frame in time ends there, between two pictures. `sliceSeconds` + 15 if left out. Choose it by "
        "how far apart the source's key frames are.",
    )


class Video(SpecModel):
    """The canvas that the participants' pictures are composed on."""

    model_config = ConfigDict(
        json_schema_extra=kubernetes(
            Rule(
                f"self.width <= {SHORT_SIDE} || self.height <= {SHORT_SIDE}",
                f"must be at most {LONG_SIDE} by {SHORT_SIDE} or {SHORT_SIDE} by {LONG_SIDE} pixels: "
                f"one of `width` and `height` must be at most {SHORT_SIDE}",
                lambda video: min(video.width, video.height) <= SHORT_SIDE,
            ),
            Rule(
                "!has(self.maxResolutionUid) || !has(self.maxResolutionIdentity)",
                "must be left out beside `maxResolutionUid`",
                lambda video: video.max_resolution_uid is None or video.max_resolution_identity is None,
                field=".maxResolutionIdentity",
            ),
            Rule(
                "!has(self.passthrough) || (self.layout == oldSelf.layout && "
                "has(self.maxResolutionUid) == has(oldSelf.maxResolutionUid))",
                "must keep `layout` and `maxResolutionUid` beside `passthrough`: a stream that is recorded as it is "
                "has no layout to change",
                always,
            ),
        )
    )

    width: Side = Field(
        default=1280,
        description="Width of the canvas in pixels, an even number.",
        json_schema_extra=kubernetes(fixed=True),
    )
    height: Side = Field(
        default=720,
        description="Height of the canvas in pixels, an even number.",
        json_schema_extra=kubernetes(fixed=True),
    )
    frames_per_second: Annotated[int, Field(ge=1, le=60)] = Field(
        default=15, description="Frames per second of the recording.", json_schema_extra=kubernetes(fixed=True)
    )
    bitrate_kbps: Annotated[int, Field(ge=MIN_BITRATE_KBPS, le=MAX_BITRATE_KBPS)] | None = Field(
        default=None,
        description="Bit rate of the video in 1000 bits per second. If left out, it follows from the picture and the "
        "channel's type: 400 x (width x height / 230400)^0.75 x (framesPerSecond / 15)^0.585, twice that for Live, "
        "rounded to tens; 1130 for 1280x720 at 15 frames per second.",
        json_schema_extra=kubernetes(fixed=True),
    )
    layout: Layout = Field(
        default=Layout.BEST_FIT,
        description="How participants are placed. Float: the first fills the canvas, others lie on top in small "
        "regions. BestFit: a grid of equal regions. Vertical: `maxResolutionUid` large at the left, others down the "
        "right edge. The first screen that is shared in a LiveKit room comes first in Float and is large in Vertical, "
        "unless whom `maxResolutionUid` or `maxResolutionIdentity` names is there.",
    )
    fit: Fit = Field(
        default=Fit.CROP,
        description="How a picture fills its region. Crop: what does not fit is cut off, but in the large region of "
        "Vertical. Contain: every picture is seen whole, between black bars where its shape is another, as a shared "
        "screen always is.",
        json_schema_extra=kubernetes(fixed=True),
    )
    max_resolution_uid: Uid | None = Field(
        default=None,
        description="The participant that gets the large region of the layout Vertical. While it is absent, the region "
        "shows the first screen that is shared in a LiveKit room, or else the background.",
    )
    max_resolution_identity: Identity | None = Field(
        default=None,
        description="The same in a LiveKit room, by the identity that the participant joins with, instead of "
        "`maxResolutionUid`; `<identity>/screen` is the screen that it shares.",
    )
    passthrough: Passthrough | None = Field(
        default=None,
        description="Records the channel's only stream as it is, without transcoding, where it is H.264 and AAC: "
        "`passthrough: {}` costs a small part of what composing does, and loses no quality. What players of HLS could "
        "not decode is composed by the other fields from then on, and `status.lastError` says why; `pod.resources` "
        "should then have the processor for it. Another engine than the default one composes in any case.",
        json_schema_extra=kubernetes(fixed=True),
    )


class RecordingOptions(SpecModel):
    """What is recorded of the channel, and how."""

    model_config = ConfigDict(
        json_schema_extra=kubernetes(
            Rule(
                "!has(self.video.passthrough) || !has(self.video.passthrough.longestSliceSeconds) || "
                "self.video.passthrough.longestSliceSeconds > self.sliceSeconds",
                "must be more than `sliceSeconds`",
                lambda recording: (
                    recording.video.passthrough is None
                    or recording.video.passthrough.longest_slice_seconds is None
                    or recording.video.passthrough.longest_slice_seconds > recording.slice_seconds
                ),
                field=".video.passthrough.longestSliceSeconds",
            )
        )
    )

    streams: StreamKinds = Field(
        default=StreamKinds.AUDIO_VIDEO,
        description="Which kinds of media are recorded.",
        json_schema_extra=kubernetes(fixed=True),
    )
    audio_profile: AudioProfile = Field(
        default=AudioProfile.MUSIC_STANDARD,
        description="AAC at 48 kHz: MusicStandard is mono with up to 48 kbit/s, MusicHighQuality mono with up to 128, "
        "MusicHighQualityStereo stereo with up to 192.",
        json_schema_extra=kubernetes(fixed=True),
    )
    video_stream: VideoStream = Field(
        default=VideoStream.HIGH,
        description="Which of a participant's video streams is taken where the source offers several.",
        json_schema_extra=kubernetes(fixed=True),
    )
    max_idle_seconds: Annotated[int, Field(ge=5, le=2_592_000)] = Field(
        default=30,
        description="How long nobody may be in the channel, after somebody was, before the recorder leaves it. The "
        "recording then succeeds with the reason ChannelIdle.",
        json_schema_extra=kubernetes(fixed=True),
    )
    max_wait_seconds: Annotated[int, Field(ge=5, le=2_592_000)] = Field(
        default=3600,
        description="How long the recorder waits for the first participant, so that a recording may be created before "
        "its meeting. If nobody comes, the recording fails with the reason NoUsers. Another engine than the default "
        "one waits `maxIdleSeconds`.",
        json_schema_extra=kubernetes(fixed=True),
    )
    slice_seconds: Annotated[int, Field(ge=2, le=60)] = Field(
        default=15,
        description="Length of a slice: it is cut at the first key frame after this time.",
        json_schema_extra=kubernetes(fixed=True),
    )
    outputs: Annotated[
        tuple[Output, ...],
        Field(
            min_length=1,
            max_length=2,
            json_schema_extra=kubernetes(
                Rule(
                    "self.exists(output, output == 'HLS')",
                    "must have 'HLS', and may have 'MP4' beside it",
                    lambda outputs: Output.HLS in outputs,
                ),
                Rule(
                    "self.all(output, self.exists_one(other, other == output))",
                    "must not have the same twice",
                    lambda outputs: len(set(outputs)) == len(outputs),
                ),
            ),
        ),
    ] = Field(
        default=(Output.HLS,),
        description="What is made: always HLS, a playlist and its slices. MP4 beside it is one file of each part, made "
        "of the slices after the stop, without transcoding; it needs as much of the work volume as the recording has "
        "bytes, and a key that may also get objects (`s3:GetObject`) where slices had to leave the volume before. Of "
        "several parts there is one over all, too, made at the end by a pod with as much of its node's disk as the "
        "recording has bytes, which takes such a key in any case. "
        "Another engine than the default one makes no MP4.",
        json_schema_extra=kubernetes(fixed=True),
    )
    video: Video = Field(
        default=Video(),
        description="The composed picture, or `passthrough`. The picture is ignored when `streams` is AudioOnly.",
    )
