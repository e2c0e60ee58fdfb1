# SPDX-License-Identifier: Apache-2.0
"""The key of a recording in the work queue, the locks and the log."""

from __future__ import annotations

from typing import NamedTuple, Self

from cloud_recording.api.recording import CloudRecording
from cloud_recording.common.json_types import Json


class RecordingKey(NamedTuple):
    """A recording by its names; whether it still exists is known only after a look."""

    namespace: str
    name: str

    @classmethod
    def of(cls, recording: CloudRecording) -> Self:
        """The key of a recording that was read."""
        return cls(recording.metadata.namespace, recording.metadata.name)

    @classmethod
    def of_body(cls, body: Json) -> Self:
        """The key of a recording as the API server gives it."""
        metadata = body["metadata"]
        return cls(metadata["namespace"], metadata["name"])
