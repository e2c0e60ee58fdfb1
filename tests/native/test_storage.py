# SPDX-License-Identifier: Apache-2.0
"""The bucket is tried before there is anything to upload, with the very key, and nothing is left that is not due."""

from collections.abc import Callable
from typing import Any

from tests.support.rtmp import RtmpServer
from tests.support.s3 import Bucket

Make = Callable[..., Any]

IDLE = {"idle": "600"}


def test_a_missing_bucket_is_told_before_anybody_came(rtmp: RtmpServer, configuration: Make, record: Make) -> None:
    """Promise: nobody has to record a slice to learn that the bucket is not there."""
    with record(configuration(rtmp.url("nobody")), **IDLE) as recorder:
        assert "does not exist" in recorder.await_line("uploader-failure")
    assert "started" not in recorder.callbacks()


def test_a_key_that_may_only_put_passes_the_trial_and_leaves_the_playlist_to_be(
    rtmp: RtmpServer, bucket: Bucket, configuration: Make, record: Make
) -> None:
    """Promise: the trial needs no right but that of uploads, and puts what is put there anyway."""
    keys = bucket.key_that_only_puts()
    with record(configuration(rtmp.url("nobody")), keys=keys, **IDLE) as recorder:
        (playlist,) = bucket.await_keys(".m3u8", 1)
        assert playlist == f"{recorder.recording_id}_room.m3u8"
        assert bucket.objects() == [playlist]
        text = bucket.read(playlist).decode()
        assert "#EXTINF" not in text
        assert "#EXT-X-ENDLIST" not in text
    assert recorder.callbacks() == ["connecting"]
