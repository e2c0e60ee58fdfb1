# SPDX-License-Identifier: Apache-2.0
"""A store that is away for long: when it goes and comes back, and what becomes of the slices that waited."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.support.s3 import Bucket

# What is stored before, so that an outage in the middle of a recording is what is measured.
LEAD_SECONDS = 60
# Slices that waited have been delivered by then, or something keeps them.
PATIENCE_SECONDS = 900
# So many slices are under way at once, and the store may finish those in any order.
AT_ONCE = 3


@dataclass
class Outage:
    """When the store went and came back, in seconds since the start of the recording, and what happened then."""

    went: float | None = None
    returned: float | None = None
    delivered: float | None = None
    most_pending_slices: int = 0
    most_pending_ms: int = 0
    # What the playlist in the bucket named before it was there; looked for from the return on.
    listed_too_early: list[str] = field(default_factory=list)

    def step(self, seconds: float, outage_seconds: float, bucket: Bucket, status: Mapping[str, Any] | None) -> bool:
        """Does what is due now; returns whether everything that waited is delivered."""
        if self.went is None:
            if seconds >= LEAD_SECONDS:
                bucket.server.stop()
                self.went = seconds
            return False
        self._count(status)
        if self.returned is None:
            if seconds >= self.went + outage_seconds:
                bucket.server.start()
                self.returned = seconds
            return False
        self.listed_too_early += missing_of_playlist(bucket)
        # One slice or two are on their way at any moment.
        if status is not None and status["slices"]["pending"] <= 1:
            self.delivered = seconds
            return True
        if seconds > self.returned + PATIENCE_SECONDS:
            raise SystemExit(f"slices still wait {PATIENCE_SECONDS} s after the store's return: {status}")
        return False

    def _count(self, status: Mapping[str, Any] | None) -> None:
        if status is not None:
            self.most_pending_slices = max(self.most_pending_slices, status["slices"]["pending"])
            self.most_pending_ms = max(self.most_pending_ms, status["pendingMilliseconds"])

    def report(self, bucket: Bucket, manifest: Mapping[str, Any], files: Mapping[str, Path]) -> dict[str, Any]:
        """What the outage came to."""
        assert self.went is not None
        assert self.returned is not None
        assert self.delivered is not None
        return {
            **asdict(self),
            "minutes": round((self.returned - self.went) / 60, 1),
            "delivered_after_s": round(self.delivered - self.returned, 1),
            "damaged_or_missing": damaged_or_missing(manifest, files),
            "out_of_order": out_of_order(bucket, manifest),
        }


def missing_of_playlist(bucket: Bucket) -> list[str]:
    """Names what the bucket's playlists list and the bucket does not hold; the playlist is read first."""
    listed: list[str] = []
    for key in bucket.objects():
        if key.endswith(".m3u8"):
            listed += re.findall(r"^[^#\s].*$", bucket.read(key).decode(), flags=re.MULTILINE)
    there = {key.rpartition("/")[2] for key in bucket.objects()}
    return [name for name in listed if name not in there]


def damaged_or_missing(manifest: Mapping[str, Any], files: Mapping[str, Path]) -> list[str]:
    """Names the slices of the manifest that are not in the bucket with the content that it states."""
    return [
        entry["name"]
        for entry in _slices(manifest)
        if entry["name"] not in files
        or hashlib.sha256(files[entry["name"]].read_bytes()).hexdigest() != entry["sha256"]
    ]


def out_of_order(bucket: Bucket, manifest: Mapping[str, Any]) -> list[str]:
    """Names the slices that were stored before one that was not under way together with them, but earlier."""
    objects = bucket.server.directory / "objects" / bucket.name
    stored = {path.name: path.stat().st_mtime_ns for path in objects.rglob("*.ts")}
    names = [entry["name"] for entry in _slices(manifest)]
    return [name for before, name in zip(names, names[AT_ONCE:], strict=False) if stored[name] < stored[before]]


def _slices(manifest: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return [entry for entry in manifest["files"] if entry["name"].endswith(".ts")]


def last_status(lines: Sequence[str]) -> Mapping[str, Any] | None:
    """What the recorder printed last of itself."""
    for line in reversed(lines):
        if line.startswith("status "):
            status: Mapping[str, Any] = json.loads(line.split(" ", 2)[2])
            return status
    return None
