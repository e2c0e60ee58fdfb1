# SPDX-License-Identifier: Apache-2.0
"""The one way a status is written: only when it changed, under the version it was made from, and told afterwards."""

from __future__ import annotations

import logging

from cloud_recording.api.recording import CloudRecording
from cloud_recording.api.status import CloudRecordingStatus
from cloud_recording.common.json_types import Json
from cloud_recording.controller.recording_key import RecordingKey
from cloud_recording.controller.settled_versions import SettledVersions
from cloud_recording.domain.progress import only_progressed
from cloud_recording.domain.status_events import transitions
from cloud_recording.kube.events import EventNote, EventRecorder
from cloud_recording.kube.recordings import Recordings

logger = logging.getLogger(__name__)


class StatusWriter:
    """Writes statuses of recordings and the Events that follow from them."""

    def __init__(self, recordings: Recordings, events: EventRecorder) -> None:
        self._recordings = recordings
        self._events = events
        self.settled = SettledVersions()

    async def write(
        self, body: Json, *, before: CloudRecordingStatus, after: CloudRecordingStatus, by_pass: bool = False
    ) -> Json:
        """Returns the recording as it is now in the API server; raises Conflict when `body` is out of date."""
        key = RecordingKey.of_body(body)
        with self.settled.writing(key):
            written = body
            if after != before or not body.get("status"):
                dumped = after.model_dump(mode="json", by_alias=True, exclude_none=True)
                written = await self._recordings.write_status(body, dumped)
            if by_pass:
                self.settled.settle(key, _version(written))
            elif only_progressed(before, after):
                self.settled.carry(key, read=_version(body), written=_version(written))
        if written is not body:
            await self._tell(written, before, after)
        return written

    async def _tell(self, body: Json, before: CloudRecordingStatus, after: CloudRecordingStatus) -> None:
        for one in transitions(before, after):
            note = EventNote(warning=one.warning, reason=one.reason, action=one.action, note=one.message)
            logger.info("recording changed", extra={"reason": one.reason.value, "detail": one.message})
            await self._events.record(body, note)

    async def warn(self, body: Json, *, reason: str, message: str) -> None:
        """Tells people of the recording what no status says."""
        await self._events.record(body, EventNote(warning=True, reason=reason, action="Reconcile", note=message))


def _version(body: Json) -> str:
    return str(body["metadata"]["resourceVersion"])


def with_status(recording: CloudRecording, status: CloudRecordingStatus) -> CloudRecording:
    """The recording as it is after its status was written."""
    return recording.model_copy(update={"status": status})
