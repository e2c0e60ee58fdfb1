# SPDX-License-Identifier: Apache-2.0
"""How much processor and memory a recording's pod asks for, when its spec does not say.

The figures are requests that the scheduler can count on, made of what the work is made of: the decoding of each
participant, the composing and encoding of the canvas, and the processes themselves. Memory has a limit, because a
leak must end its own recording and no other; the processor has none, because a throttled tick is a torn picture.
"""

from __future__ import annotations

from typing import Final

from cloud_recording.api.channel import MAX_STREAMS
from cloud_recording.api.media import StreamKinds
from cloud_recording.api.recording import CloudRecordingSpec

BASE_MILLICPU: Final = 100
"""Supervisor, mixing, slicing and uploading."""

DECODE_MILLICPU: Final = 40
"""One participant's picture, decoded and scaled into its region."""

ENCODE_MILLICPU_PER_MEGAPIXEL_SECOND: Final = 20
"""Composing and encoding a million pixels in one second: three times what ordinary content takes (docs/benchmarks.md),
as noise and large movements take more."""

AUDIO_MILLICPU: Final = 5
"""One participant's sound, decoded and mixed."""

BASE_MEBIBYTES: Final = 160
"""Supervisor and recorder process before any stream."""

STREAM_MEBIBYTES: Final = 12
"""One participant's buffers and decoded frames."""

ROOM_MILLICPU: Final = 55
"""One participant of a room in 1280x720, received, decrypted, decoded and scaled, on a busy machine. In 640x360 it is
less than half of that (docs/benchmarks.md)."""

ROOM_AUDIO_MILLICPU: Final = 12
"""One participant's sound in a room."""

ROOM_BASE_MEBIBYTES: Final = 24
"""What LiveKit's client library takes before anybody is there."""

ROOM_PARTICIPANT_MEBIBYTES: Final = 16
"""One participant of a room in 1280x720: a fifth more than was measured. In 640x360 it is less than half of that."""

ROOM_PARTICIPANTS: Final = 4
"""For how many people a room's pod asks, as nobody knows beforehand who comes; its limit is for as many as there can
be."""

CANVAS_MEBIBYTES_PER_MEGAPIXEL: Final = 40
"""The canvas, the encoder's reference frames and its look-ahead."""

MEMORY_LIMIT_FACTOR: Final = 2
"""Room for bursts: slices that wait in the page cache count towards the limit, too."""

TMP_MEBIBYTES: Final = 64
"""The pod's volume for temporary files."""

LOG_MEBIBYTES: Final = 64
"""What kubelets keep of a container's log unless they are told otherwise: five files of 10 MiB, and one at work."""

MILLION: Final = 1_000_000
MEBIBYTE: Final = 1024 * 1024


def default_resources(spec: CloudRecordingSpec) -> dict[str, dict[str, str]]:
    """Requests and limits of the recorder's container for this recording."""
    memory, disk = memory_mebibytes(spec), disk_mebibytes(spec)
    most = composing_mebibytes(spec, participants=_most_participants(spec)) * MEMORY_LIMIT_FACTOR
    return {
        "requests": {"cpu": f"{millicpu(spec)}m", "memory": f"{memory}Mi", "ephemeral-storage": f"{disk}Mi"},
        "limits": {"memory": f"{most}Mi", "ephemeral-storage": f"{disk}Mi"},
    }


def millicpu(spec: CloudRecordingSpec) -> int:
    """Thousandths of a processor that the recording is expected to use."""
    participants, is_room = _participants(spec), spec.channel.streams is None
    if _has_no_canvas(spec):
        return BASE_MILLICPU + participants * (ROOM_AUDIO_MILLICPU if is_room else AUDIO_MILLICPU)
    pixels_per_second = _pixels(spec) * spec.recording.video.frames_per_second
    encode = ENCODE_MILLICPU_PER_MEGAPIXEL_SECOND * pixels_per_second // MILLION
    return BASE_MILLICPU + participants * (ROOM_MILLICPU if is_room else AUDIO_MILLICPU + DECODE_MILLICPU) + encode


def memory_mebibytes(spec: CloudRecordingSpec) -> int:
    """Mebibytes that the recording is expected to use."""
    if _has_no_canvas(spec):
        return _mebibytes_of(spec, participants=_participants(spec))
    return composing_mebibytes(spec, participants=_participants(spec))


def composing_mebibytes(spec: CloudRecordingSpec, *, participants: int) -> int:
    """The same once its picture is composed, which what is passed through may come to: a limit has to allow it."""
    canvas = 0 if spec.recording.streams is StreamKinds.AUDIO_ONLY else _pixels(spec)
    return _mebibytes_of(spec, participants=participants) + CANVAS_MEBIBYTES_PER_MEGAPIXEL * canvas // MILLION


def disk_mebibytes(spec: CloudRecordingSpec) -> int:
    """Mebibytes of the node's disk that the pod may come to use: asked for, so that nobody is evicted for them."""
    empty_dir = spec.work.empty_dir
    work = -(-empty_dir.size_limit_bytes // MEBIBYTE) if empty_dir is not None else 0
    return work + TMP_MEBIBYTES + LOG_MEBIBYTES


def _mebibytes_of(spec: CloudRecordingSpec, *, participants: int) -> int:
    """Without a canvas."""
    if spec.channel.streams is None:
        return BASE_MEBIBYTES + ROOM_BASE_MEBIBYTES + ROOM_PARTICIPANT_MEBIBYTES * participants
    return BASE_MEBIBYTES + STREAM_MEBIBYTES * participants


def _participants(spec: CloudRecordingSpec) -> int:
    return ROOM_PARTICIPANTS if spec.channel.streams is None else len(spec.channel.streams)


def _most_participants(spec: CloudRecordingSpec) -> int:
    return MAX_STREAMS if spec.channel.streams is None else len(spec.channel.streams)


def _has_no_canvas(spec: CloudRecordingSpec) -> bool:
    return spec.recording.streams is StreamKinds.AUDIO_ONLY or spec.recording.video.passthrough is not None


def _pixels(spec: CloudRecordingSpec) -> int:
    return spec.recording.video.width * spec.recording.video.height
