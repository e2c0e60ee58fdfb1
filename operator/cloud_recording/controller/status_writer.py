# SPDX-License-Identifier: Apache-2.0
"""The one way a status is written: only when it changed, under the version it was made from, and told afterwards."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from cloud_recording.api.recording import CloudRecording
from cloud_recording.api.status import CloudRecordingStatus
from cloud_recording.common.json_types import Json
from cloud_recording.controller.known_recordings import KnownRecordings
from cloud_recording.controller.recording_key import RecordingKey
from cloud_recording.domain.progress import only_progressed
from cloud_recording.domain.status_events import transitions
from cloud_recording.kube.events import EventNote, EventRecorder

logger = logging.getLogger(__name__)


LATE_VERSIONS: Final = 6
"""How many versions before the newest are known, as the watch may tell of them late."""


class ReconciledVersions:
    """Up to which version of each recording there is nothing to do, so that the watch's echo of our writes is no work.

    It is the version that the last pass left, carried on over writes that ask for no other pass; and the last of those
    that it came from.
    """

    def __init__(self) -> None:
        self._versions: dict[RecordingKey, tuple[str, ...]] = {}
        self._writing: dict[RecordingKey, list[Callable[[], None]]] = {}

    def unless_reconciled(self, key: RecordingKey, version: str, act: Callable[[], None]) -> None:
        """Acts on a version that was seen, if a pass over it may find something to do.

        The watch may be quicker than the answer to a write: what is seen meanwhile waits for that answer.
        """
        if key in self._writing:
            self._writing[key].append(lambda: self.unless_reconciled(key, version, act))
        elif version not in self._versions.get(key, ()):
            act()

    @contextlib.contextmanager
    def writing(self, key: RecordingKey) -> Iterator[None]:
        """Around a write, up to where it is known whether it asks for a pass; not for one key twice at once."""
        self._writing[key] = []
        try:
            yield
        finally:
            for seen in self._writing.pop(key):
                seen()

    def mark(self, key: RecordingKey, read: str, *written: str) -> None:
        """A pass looked at one version and made others of it: another would find nothing to do."""
        known = self._versions.get(key, ())
        self._add(key, known if read in known else (read,), *written)

    def is_last(self, key: RecordingKey, version: str) -> bool:
        """Whether there is nothing to do about this version, and no newer one is known of which that holds."""
        return version in self._versions.get(key, ())[-1:]

    def carry(self, key: RecordingKey, *, read: str, written: str) -> None:
        """A write that asks for no pass made one version of another, be it ours or another replica's.

        Only of a reconciled one: an edit that nobody has looked at yet would be taken for looked at.
        """
        if self.is_last(key, read):
            self._add(key, self._versions[key], written)

    def forget(self, key: RecordingKey) -> None:
        """The recording is over or gone."""
        self._versions.pop(key, None)

    def forget_lost(self, lost: Callable[[RecordingKey], bool]) -> None:
        """Others look at these from now on, and remember when they are due again."""
        for key in [key for key in self._versions if lost(key)]:
            del self._versions[key]

    def _add(self, key: RecordingKey, known: tuple[str, ...], *more: str) -> None:
        self._versions[key] = tuple(dict.fromkeys((*known, *more)))[-LATE_VERSIONS:]


class StatusWriter:
    """Writes statuses of recordings and the Events that follow from them."""

    def __init__(self, recordings: KnownRecordings, events: EventRecorder) -> None:
        self._recordings = recordings
        self._events = events
        self.versions = ReconciledVersions()

    async def write(
        self,
        body: Json,
        *,
        before: CloudRecordingStatus,
        after: CloudRecordingStatus,
        by_pass: bool = False,
        finalizers: list[str] | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Json:
        """Returns the recording as it is now in the API server; raises Conflict when `body` is out of date.

        The finalizers that it is to have, and labels with them, are written before.
        """
        key, read = RecordingKey.of_body(body), _version(body)
        with self.versions.writing(key):
            if finalizers is not None:
                body = await self._recordings.set_finalizers(body, finalizers, labels=labels)
            held, written = _version(body), body
            if after != before or not body.get("status"):
                dumped = after.model_dump(mode="json", by_alias=True, exclude_none=True)
                written = await self._recordings.write_status(body, dumped)
            if by_pass:
                self.versions.mark(key, read, held, _version(written))
            elif only_progressed(before, after):
                self.versions.carry(key, read=read, written=_version(written))
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
