# SPDX-License-Identifier: Apache-2.0
"""Kubernetes Events (events.k8s.io/v1), with repetitions of one as a series of it instead of objects of their own.

An Event is a courtesy to people: when the API server does not take one, the work it tells about goes on.
"""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from cloud_recording.common.json_types import Json
from cloud_recording.kube.client import KubeClient, path
from cloud_recording.kube.errors import KubeError, NotFound, level_of

logger = logging.getLogger(__name__)

SERIES_WINDOW: Final = timedelta(minutes=6)
"""How long after the last occurrence an equal Event still counts as its repetition, as client-go's recorder has it."""

REMEMBERED_EVENTS: Final = 4096
NOTE_BYTES: Final = 1024
"""The API server refuses longer notes, and counts bytes."""


@dataclass(frozen=True, kw_only=True)
class EventNote:
    """What there is to tell about an object."""

    warning: bool
    reason: str
    action: str
    note: str


@dataclass(frozen=True, kw_only=True)
class _Written:
    name: str
    last_seen: datetime
    count: int


class EventRecorder:
    """Writes Events about objects, each distinct one once per series."""

    def __init__(
        self,
        client: KubeClient,
        *,
        controller: str,
        instance: str,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client = client
        self._controller = controller
        self._instance = instance
        self._clock = clock
        self._written: OrderedDict[str, _Written] = OrderedDict()

    async def record(self, regarding: Json, event: EventNote) -> None:
        """Makes the Event known; what the API server will not take is logged and dropped."""
        reference = _reference(regarding)
        key = _key(reference, event)
        try:
            self._remember(key, await self._write(reference, event, known=self._written.get(key), key=key))
        except KubeError as error:
            logger.log(level_of(error), "event not written", extra={"reason": event.reason, "error": error.message})

    async def _write(self, reference: Json, event: EventNote, *, known: _Written | None, key: str) -> _Written:
        now = self._clock()
        collection = path("apis", "events.k8s.io", "v1", "namespaces", reference["namespace"], "events")
        if known is not None and now - known.last_seen <= SERIES_WINDOW:
            repeated = replace(known, last_seen=now, count=known.count + 1)
            series = {"series": {"count": repeated.count, "lastObservedTime": _micro_time(now)}}
            try:
                await self._client.patch(collection + path(known.name), series)
            except NotFound:
                logger.debug("event expired before its repetition", extra={"reason": event.reason})
            else:
                return repeated
        # Time first: `kubectl describe` shows Events of this kind as they are listed, which is by name.
        name = f"{reference['name'][:200]}.{int(now.timestamp() * 1_000_000):x}{key[:8]}"
        await self._client.post(collection, self._body(reference, event, name=name, now=now))
        return _Written(name=name, last_seen=now, count=1)

    def _body(self, reference: Json, event: EventNote, *, name: str, now: datetime) -> Json:
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": reference["namespace"]},
            "eventTime": _micro_time(now),
            "reportingController": self._controller,
            "reportingInstance": self._instance,
            "regarding": reference,
            "type": "Warning" if event.warning else "Normal",
            "reason": event.reason,
            "action": event.action,
            "note": _cut(event.note),
        }

    def _remember(self, key: str, written: _Written) -> None:
        self._written[key] = written
        self._written.move_to_end(key)
        while len(self._written) > REMEMBERED_EVENTS:
            self._written.popitem(last=False)


def _reference(body: Json) -> Json:
    metadata = body["metadata"]
    return {
        "apiVersion": body["apiVersion"],
        "kind": body["kind"],
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "resourceVersion": metadata["resourceVersion"],
    }


def _cut(note: str) -> str:
    encoded = note.encode()
    if len(encoded) <= NOTE_BYTES:
        return note
    return encoded[: NOTE_BYTES - len("…".encode())].decode(errors="ignore") + "…"


def _key(reference: Json, event: EventNote) -> str:
    text = "\0".join([reference["uid"], str(event.warning), event.reason, event.action, event.note])
    return hashlib.sha256(text.encode()).hexdigest()


def _micro_time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
