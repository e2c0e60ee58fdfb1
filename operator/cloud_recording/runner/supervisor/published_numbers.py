# SPDX-License-Identifier: Apache-2.0
"""The numbers of the published interface for what the API has words for; a test holds them against the header."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cloud_recording.api.channel import ChannelType
from cloud_recording.api.media import AudioProfile, Layout, StreamKinds, VideoStream
from cloud_recording.api.storage import StorageVendor

UNENCRYPTED: Final = 0

_VENDORS: Final[Mapping[StorageVendor, int]] = {
    StorageVendor.QINIU: 0,
    StorageVendor.AWS: 1,
    StorageVendor.ALIYUN: 2,
    # The interface knows no other vendors; the engine's configuration names the endpoint.
    StorageVendor.S3: 1,
    # Nor these; the engine's configuration names them, and no number counts.
    StorageVendor.GOOGLE_CLOUD_STORAGE: 1,
    StorageVendor.AZURE_BLOB_STORAGE: 1,
}


def number_of(word: AudioProfile | ChannelType | Layout | StreamKinds | VideoStream | StorageVendor) -> int:
    """The interface's number for a word of the API, whose words stand in the interface's order."""
    if isinstance(word, StorageVendor):
        return _VENDORS[word]
    return list(type(word)).index(word)
