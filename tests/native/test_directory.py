# SPDX-License-Identifier: Apache-2.0
"""A directory as the store: a recording needs no bucket, and what is in the way is told until it is gone."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.media import streams

Make = Callable[..., Any]

NO_BUCKET = {"bucket": ""}
NO_KEYS = ("", "")


def test_a_recording_without_a_bucket_is_whole_in_its_directory(
    alice: str, configuration: Make, record: Make, tmp_path: Path
) -> None:
    """Promise: slices, playlist, MP4 and manifest lie in the directory as in a bucket, and nothing else does.

    The directory comes into being only after the first attempt.
    """
    films = tmp_path / "films"
    document = configuration(alice, outputs=["HLS", "MP4"])
    document["storage"] = {"directory": str(films), "prefix": "2026/room"}
    with record(document, keys=NO_KEYS, seconds="9", **NO_BUCKET) as recorder:
        told = recorder.await_line("uploader-failure")
        assert f"directory {films}/2026/room is not there: create it" in told
        assert not films.exists()
        films.mkdir()
        assert recorder.wait() == 0
        manifest = json.loads((films / f"2026/room/{recorder.recording_id}_room_manifest.json").read_text())
    below = films / "2026" / "room"
    for file in manifest["files"]:
        content = (below / file["name"]).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file["size"], file["sha256"]), file
    stored = {path.name for path in below.iterdir()}
    assert stored == {file["name"] for file in manifest["files"]} | {f"{recorder.recording_id}_room_manifest.json"}
    (playlist,) = below.glob("*.m3u8")
    assert playlist.read_text().endswith("#EXT-X-ENDLIST\n")
    assert {kind["codec_type"] for kind in streams(playlist)} == {"audio", "video"}


def test_a_call_that_names_a_bucket_beside_a_directory_is_refused(
    configuration: Make, record: Make, tmp_path: Path
) -> None:
    """Promise: nothing that was asked for is left out silently."""
    document = {**configuration("rtmp://127.0.0.1:9/live/a"), "storage": {"directory": str(tmp_path)}}
    with record(document) as recorder:
        assert recorder.wait() == 2
        assert any("CloudStorageConfig.bucket: must be empty where" in line for line in recorder.log())
