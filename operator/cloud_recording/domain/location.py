# SPDX-License-Identifier: Apache-2.0
"""Where a file of the recording is found in its bucket, as a URL."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from cloud_recording.api.regions import region_name
from cloud_recording.api.storage import Addressing, Storage, StorageVendor


def url(storage: Storage, name: str) -> str | None:
    """The file's URL; None for a vendor's region whose host only the engine knows."""
    endpoint = _endpoint(storage)
    if endpoint is None:
        return None
    scheme, host, *_ = urlsplit(endpoint)
    key = quote(f"{storage.prefix}/{name}" if storage.prefix else name)
    if storage.effective_addressing is Addressing.VIRTUAL_HOSTED:
        return f"{scheme}://{storage.bucket}.{host}/{key}"
    return f"{scheme}://{host}/{storage.bucket}/{key}"


def _endpoint(storage: Storage) -> str | None:
    if storage.endpoint is not None:
        return storage.endpoint
    if storage.vendor is not StorageVendor.AWS or storage.region is None:
        return None
    region = region_name(storage.vendor, storage.region)
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"https://s3.{region}.{domain}"
