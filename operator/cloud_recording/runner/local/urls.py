# SPDX-License-Identifier: Apache-2.0
"""The recording of URLs that were given instead of a manifest: a participant for each, and a directory for a bucket."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from cloud_recording.api.base import API_VERSION
from cloud_recording.api.channel import MAX_STREAMS
from cloud_recording.api.recording import KIND
from cloud_recording.runner.local.manifest import OUTPUT, Manifest, ManifestError, of_document

_NAME: Final = "recording"
_URLS: Final = "urls"
_RECORDER_UID: Final = 1000


def of_urls(urls: Sequence[str], *, directory: Path) -> Manifest:
    """Participants 1, 2, … at these URLs, in their order."""
    if len(urls) > MAX_STREAMS:
        raise ManifestError(f"there are {len(urls)} URLs, and at most {MAX_STREAMS} participants in one recording")
    streams = [_stream(uid, url) for uid, url in enumerate(urls, start=1)]
    document = {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": _NAME},
        "spec": {
            "channel": {"name": _NAME, "uid": _RECORDER_UID, "streams": streams},
            "storage": OUTPUT.model_dump(by_alias=True, exclude_none=True),
        },
    }
    secrets = {_URLS: {str(uid): url.encode() for uid, url in enumerate(urls, start=1)}}
    return of_document(document, secrets, directory=directory)


def _stream(uid: int, url: str) -> dict[str, Any]:
    """The participant; a URL that may carry a secret is read from a file, as of a Secret: nothing repeats it."""
    if "://" not in url:
        raise ManifestError(
            f"URL {uid}: must begin with a scheme, such as rtmp://, rtsp://, srt://, https:// or file://"
        )
    if "@" in url or "?" in url:
        return {"uid": uid, "urlSecretRef": {"name": _URLS, "key": str(uid)}}
    return {"uid": uid, "url": url}
