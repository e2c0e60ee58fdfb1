# SPDX-License-Identifier: Apache-2.0
"""CloudRecordings in the API server, and as they were last seen there."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pydantic_core import from_json, to_json

from cloud_recording.common.json_types import Json
from cloud_recording.controller.recently_seen import RecentlySeen
from cloud_recording.controller.recording_key import RecordingKey
from cloud_recording.kube.errors import KubeError
from cloud_recording.kube.recordings import Recordings


class KnownRecordings:
    """Reads and writes recordings, and remembers what came of it."""

    def __init__(self, recordings: Recordings, *, clock: Callable[[], float]) -> None:
        self._recordings = recordings
        self._known: RecentlySeen[RecordingKey, bytes] = RecentlySeen(clock=clock)

    def seen(self, key: RecordingKey, version: str, text: bytes) -> None:
        """Takes in what the watch told, as `compact` has it."""
        self._known.seen(key, version, text)

    def remembered(self, key: RecordingKey) -> Json | None:
        """The recording as it was last seen; None where it has to be read."""
        text = self.text_of(key)
        return None if text is None else body_of(text)

    def text_of(self, key: RecordingKey) -> bytes | None:
        """The same as `compact` has it."""
        return self._known.of(key)

    def forget(self, key: RecordingKey) -> None:
        """The recording is over or gone."""
        self._known.forget(key)

    def forget_all(self) -> None:
        """Others may have written everything since."""
        self._known.forget_all()

    async def read(self, key: RecordingKey) -> Json:
        """The recording as it is now; raises NotFound when it is gone."""
        try:
            body = await self._recordings.read(namespace=key.namespace, name=key.name)
        except KubeError:
            self._known.forget(key)
            raise
        self._known.seen(key, version_of(body), compact(body))
        return body

    async def write_status(self, body: Json, status: Json) -> Json:
        """Replaces the status of `body`; raises Conflict when it changed since it was seen."""
        try:
            return self._wrote(await self._recordings.write_status(body, status))
        except KubeError:
            self._known.forget(RecordingKey.of_body(body))
            raise

    async def set_finalizers(
        self, body: Json, finalizers: list[str], *, labels: Mapping[str, str] | None = None
    ) -> Json:
        """Replaces the finalizers of `body` and sets labels; raises Conflict when it changed since it was seen."""
        try:
            return self._wrote(await self._recordings.set_finalizers(body, finalizers, labels=labels))
        except KubeError:
            self._known.forget(RecordingKey.of_body(body))
            raise

    async def delete(self, key: RecordingKey, *, uid: str) -> None:
        """Deletes this very recording, and not a newer one of the same name."""
        self._known.forget(key)
        await self._recordings.delete(namespace=key.namespace, name=key.name, uid=uid)

    def _wrote(self, body: Json) -> Json:
        self._known.wrote(RecordingKey.of_body(body), version_of(body), compact(body))
        return body


def compact(body: Json) -> bytes:
    """A recording as it is remembered: text takes a tenth of what objects take, and managed fields are half of it."""
    metadata = {name: value for name, value in body["metadata"].items() if name != "managedFields"}
    return to_json({**body, "metadata": metadata})


def body_of(text: bytes) -> Json:
    """What `compact` made text of."""
    body: Json = from_json(text)
    return body


def version_of(body: Json) -> str:
    """Its resource version."""
    return str(body["metadata"]["resourceVersion"])
