# SPDX-License-Identifier: Apache-2.0
"""The same composition and mix as a command line for ffmpeg."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.native.cases import AUDIO_KBPS, FRAMES_PER_SECOND, KEY_SECONDS, SLICE_SECONDS, Case
from tests.bench.native.forms import FORMS


@dataclass(frozen=True)
class Region:
    """Where a participant is shown, in pixels; cropped to fill the region, or fitted into it whole."""

    uid: int
    x: int
    y: int
    width: int
    height: int
    crop: bool


FAST = "bicubic"
"""What ffmpeg scales with unless told otherwise."""

CAREFUL = "lanczos+accurate_rnd+full_chroma_int"
"""For the picture that both recordings are compared with."""


def recording(case: Case, urls: Sequence[str], regions: Sequence[Region], playlist: Path) -> list[str]:
    """Returns the command that records the case as slices of TS under a playlist, with the recorder's own settings."""
    command = _inputs(urls)
    if case.passthrough:
        return [*command, "-c", "copy", *_slices(playlist)]
    command += ["-filter_complex", _graph(case, regions, FAST), *_maps(case)]
    if case.video:
        rate = f"{case.bitrate_kbps}k"
        command += ["-c:v", "libx264", "-preset", "superfast", "-tune", "zerolatency", "-sc_threshold", "0"]
        command += ["-g", str(KEY_SECONDS * FRAMES_PER_SECOND), "-forced-idr", "1", "-threads", "1"]
        command += ["-force_key_frames", f"expr:gte(t,n_forced*{SLICE_SECONDS})"]
        command += ["-b:v", rate, "-maxrate", rate, "-bufsize", rate]
    command += ["-c:a", "aac", "-b:a", f"{AUDIO_KBPS}k", "-ac", "1", "-ar", "48000"]
    return [*command, *_slices(playlist)]


def pictures(case: Case, urls: Sequence[str], regions: Sequence[Region], scaler: str) -> list[str]:
    """Returns the command that writes the composed pictures as raw I420 to its standard output."""
    graph = _video(case, regions, scaler)
    return [*_inputs(urls), "-filter_complex", graph, "-map", "[v]", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"]


def samples(urls: Sequence[str], into: Path) -> list[str]:
    """Returns the command that writes the mix as raw 32 bit floats, mono at 48 kHz."""
    return [*_inputs(urls), "-filter_complex", _audio(len(urls)), "-map", "[a]", "-ac", "1", "-f", "f32le", str(into)]


def _inputs(urls: Sequence[str]) -> list[str]:
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-filter_complex_threads", "1"]
    for url in urls:
        command += ["-threads", "1", "-i", url]
    return command


def _slices(playlist: Path) -> list[str]:
    return ["-f", "hls", "-hls_time", str(SLICE_SECONDS), "-hls_list_size", "0", str(playlist)]


def _maps(case: Case) -> list[str]:
    return ["-map", "[v]", "-map", "[a]"] if case.video else ["-map", "[a]"]


def _graph(case: Case, regions: Sequence[Region], scaler: str) -> str:
    audio = _audio(case.users)
    return f"{_video(case, regions, scaler)};{audio}" if case.video else audio


def _audio(users: int) -> str:
    if users == 1:
        return "[0:a]anull[a]"
    return "".join(f"[{index}:a]" for index in range(users)) + f"amix=inputs={users}:normalize=0[a]"


def _video(case: Case, regions: Sequence[Region], scaler: str) -> str:
    if case.users == 1:
        return f"[0:v]{FORMS[case.form].undone_by},fps={FRAMES_PER_SECOND}[v]"
    parts, labels, layout = [], [], []
    for region in regions:
        label = f"r{region.uid}"
        size = f"{region.width}:{region.height}"
        if region.crop:
            aspect = f"{region.width}/{region.height}"
            seen = f"2*floor(min(iw,ih*{aspect})/2):2*floor(min(ih,iw/({aspect}))/2)".replace(",", "\\,")
            fit = f"crop={seen},scale={size}:flags={scaler}"
        else:
            fit = f"scale={size}:force_original_aspect_ratio=decrease:flags={scaler},pad={size}:-1:-1"
        parts.append(f"[{region.uid - 1}:v]{FORMS[case.form].undone_by},{fit}[{label}]")
        labels.append(f"[{label}]")
        layout.append(f"{region.x}_{region.y}")
    stacked = f"xstack=inputs={len(regions)}:layout={'|'.join(layout)}:fill=black"
    # The last rows of a canvas may belong to nobody.
    canvas = f"pad={case.width}:{case.height}" if _covers_less(case, regions) else "null"
    return ";".join(parts) + f";{''.join(labels)}{stacked},{canvas},fps={FRAMES_PER_SECOND}[v]"


def _covers_less(case: Case, regions: Sequence[Region]) -> bool:
    right = max(region.x + region.width for region in regions)
    bottom = max(region.y + region.height for region in regions)
    return (right, bottom) != (case.width, case.height)
