# SPDX-License-Identifier: Apache-2.0
"""Where the recording's playlists are found in their buckets, as URLs; in a directory they have none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, urlsplit

from cloud_recording.api.recording import CloudRecording
from cloud_recording.api.regions import region_name
from cloud_recording.api.status import MOST_PLAYLISTS, BackupPlaylist, CloudRecordingStatus, Playlist
from cloud_recording.api.storage import Addressing, Storage, StorageVendor
from cloud_recording.api.storage_place import at_place
from cloud_recording.domain import totals

_VENDOR_DOMAINS: Final[Mapping[StorageVendor, str]] = {
    StorageVendor.QINIU: "qiniucs.com",
    StorageVendor.ALIYUN: "aliyuncs.com",
}


def url(storage: Storage, name: str) -> str | None:
    """The file's URL; None in a directory, and for a vendor's region whose host only the engine knows."""
    endpoint = _endpoint(storage)
    if endpoint is None:
        return None
    scheme, host, *_ = urlsplit(endpoint)
    key = quote(f"{storage.prefix}/{name}" if storage.prefix else name)
    if storage.effective_addressing is Addressing.VIRTUAL_HOSTED:
        return f"{scheme}://{storage.bucket}.{host}/{key}"
    return f"{endpoint.rstrip('/')}/{storage.bucket}/{key}"


def playlists_of(recording: CloudRecording, status: CloudRecordingStatus) -> tuple[Playlist, ...]:
    """The playlists in the bucket, of parts that are listed no longer, too."""
    known = {one.part: one for one in status.playlists}
    for part in status.parts:
        if part.playlist is not None and totals.in_bucket(part):
            if recording.spec.storage.is_unresolved:
                # The RecordingStorage is gone, and with it where its files are: what is known of it stays.
                continue
            storage = at_place(recording.spec.storage, part.storage.place if part.storage else None)
            known[part.number] = Playlist(
                part=part.number,
                name=part.playlist,
                url=url(storage, part.playlist),
                mp4=part.mp4,
                mp4_url=url(storage, part.mp4) if part.mp4 else None,
                slices=part.slices.uploaded if part.engine_extended else None,
            )
    return tuple(known[number] for number in sorted(known))[-MOST_PLAYLISTS:]


def backup_playlists_of(recording: CloudRecording, status: CloudRecordingStatus) -> tuple[BackupPlaylist, ...]:
    """The playlists in the backup store, of parts that are listed no longer, too."""
    backup = recording.spec.backup
    listed = {part.number for part in status.parts}
    known = {one.part: one for one in status.backup_playlists if one.part not in listed}
    for part in status.parts:
        if part.backup_playlist is not None:
            where = url(backup, part.backup_playlist) if backup is not None and not backup.is_unresolved else None
            known[part.number] = BackupPlaylist(part=part.number, name=part.backup_playlist, url=where)
    return tuple(known[number] for number in sorted(known))[-MOST_PLAYLISTS:]


def host(storage: Storage) -> str:
    """The host that a bucket's keys are sent to, without the bucket; for vendors by their domain."""
    endpoint = _endpoint(storage)
    if endpoint is not None:
        return urlsplit(endpoint).hostname or ""
    return f"{storage.region}.{_VENDOR_DOMAINS[storage.effective_vendor]}"


def _endpoint(storage: Storage) -> str | None:
    if storage.own_endpoint is not None:
        return storage.own_endpoint
    if storage.vendor is not StorageVendor.AWS or storage.region is None:
        return None
    region = region_name(storage.vendor, storage.region)
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://s3.{region}.{domain}"
