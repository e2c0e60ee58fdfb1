# SPDX-License-Identifier: Apache-2.0
"""Which recordings this replica decides about now; callbacks it takes in for all of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from cloud_recording.controller.recording_key import RecordingKey
from cloud_recording.controller.storage_key import StorageKey
from cloud_recording.domain.shards import BUCKETS, bucket_of, label_selector, shard_of

ALL: Final = frozenset({0})
"""The shards where there is one."""

_LABELS: Final = frozenset(map(str, range(BUCKETS)))


class HeldShards:
    """The shards that this replica has."""

    def __init__(self, count: int) -> None:
        self._count = count
        self.now: frozenset[int] = frozenset()

    def hold(self, shards: Iterable[int]) -> None:
        """From now on these, and no others."""
        self.now = frozenset(shards)

    def owns(self, key: RecordingKey | StorageKey) -> bool:
        """Whether nobody else decides about it."""
        if len(self.now) == self._count:
            return True
        return shard_of(bucket_of(key.namespace, key.name), shards=self._count) in self.now

    def is_mislabelled(self, key: RecordingKey, label: str | None) -> bool:
        """Whether one that is another replica's is seen here, and not there, as its label is wrong."""
        here = label in _LABELS and shard_of(int(label), shards=self._count) in self.now
        return here and label != str(bucket_of(key.namespace, key.name))

    @property
    def selector(self) -> str:
        """The labels by which it watches recordings and pods; empty for all of them."""
        return label_selector(self.now, shards=self._count)
