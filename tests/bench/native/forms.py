# SPDX-License-Identifier: Apache-2.0
"""Forms in which pictures come that have to be converted before they are shown, each of the same 640x360 pixels."""

from dataclasses import dataclass

from tests.bench.native.cases import FRAMES_PER_SECOND

X264 = ("-c:v", "libx264", "-preset", "medium", "-b:v", "600k", "-g", "30")


@dataclass(frozen=True)
class Form:
    """How a source is coded, and what ffmpeg has to do to show it as the recorder does."""

    made_by: str
    """Filters that make what is coded of upright, progressive pictures in BT.601."""

    encoder: tuple[str, ...]
    undone_by: str
    """Filters that bring what is decoded back into upright, progressive pictures in BT.601."""

    suffix: str = ".ts"
    stated: tuple[str, ...] = ()
    """What of the streams is said when what was coded is copied into its container."""

    made_at: int = FRAMES_PER_SECOND
    """Pictures per second before `made_by`."""


_TO_LIGHT = "zscale=transfer=linear:npl=203:primaries=bt709,format=gbrpf32le"

FORMS = {
    "": Form("null", (*X264, "-profile:v", "baseline"), "null"),
    "bt709": Form(
        "scale=in_color_matrix=bt601:out_color_matrix=bt709",
        (*X264, "-profile:v", "baseline", "-color_primaries", "bt709", "-color_trc", "bt709", "-colorspace", "bt709"),
        "scale=in_color_matrix=bt709:out_color_matrix=bt601",
    ),
    "rotated": Form(
        "transpose=dir=cclock",
        (*X264, "-profile:v", "baseline"),
        "null",  # ffmpeg turns pictures by itself
        ".mp4",
        stated=("-metadata:s:v", "rotate=270"),
    ),
    "interlaced": Form(
        "interlace=scan=tff",
        (*X264, "-flags", "+ilme+ildct", "-x264opts", "tff=1"),
        "bwdif=mode=send_frame",
        made_at=2 * FRAMES_PER_SECOND,
    ),
    "hdr10": Form(
        "zscale=matrixin=170m:primariesin=709:transferin=709:rangein=limited"
        ":matrix=2020_ncl:primaries=2020:transfer=smpte2084:range=limited:npl=203,format=yuv420p10",
        (*X264, "-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc"),
        f"{_TO_LIGHT},tonemap=hable:desat=0,zscale=transfer=709:matrix=170m:range=limited,format=yuv420p",
    ),
}
