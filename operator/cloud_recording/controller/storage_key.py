# SPDX-License-Identifier: Apache-2.0
"""The key of a RecordingStorage in the work queue and the log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from cloud_recording.common.json_types import Json


@dataclass(frozen=True, slots=True)
class StorageKey:
    """A RecordingStorage by its names. No tuple: it must never equal the key of a recording of the same name."""

    namespace: str
    name: str

    @classmethod
    def of_body(cls, body: Json) -> Self:
        """The key of one as the API server gives it."""
        metadata = body["metadata"]
        return cls(metadata["namespace"], metadata["name"])
