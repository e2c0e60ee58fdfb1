# SPDX-License-Identifier: Apache-2.0
"""Everything there is of a kind, and then what changes: a list, and a watch from its version on.

Kopf does the same, and for each event makes a task, causes, loggers and arguments of handlers besides: five times of
what parsing the object costs, of which there are five for each recording that is created.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Protocol
from urllib.parse import urlencode

from pydantic_core import from_json

from cloud_recording.common.backoff import Backoff
from cloud_recording.common.json_types import Json
from cloud_recording.kube.client import KubeClient
from cloud_recording.kube.errors import KubeError, Refused, Silent, error_from

logger = logging.getLogger(__name__)

LIST_LIMIT: Final = 100
"""Objects per page of the list: a page is in memory as a whole, at some 60 KiB for each pod in it."""

WATCH_SECONDS: Final = 600
"""The API server ends each watch after this long."""

SILENT_SECONDS: Final = 70.0
"""A watch that says nothing for so long is dead, or waits for a version that never was: each minute has a bookmark."""

AGAIN_SECONDS: Final = 0.1
"""The pause before the next watch, so that one that ends at once does not become a flood."""

BACKOFF: Final = Backoff(first_seconds=0.5, most_seconds=15.0)

_RESUMED: Final = frozenset({0, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
"""What an API server that is away or busy answers; after any other failure the list is made anew."""


@dataclass(frozen=True, kw_only=True)
class Collection:
    """What is followed."""

    url: str
    selector: str = ""
    """Of labels."""


class Told(Protocol):
    """Hears of an object as it is now, or as it was last when it is gone."""

    def __call__(self, body: Json, *, gone: bool) -> None: ...


class Follower:
    """Follows one collection. What goes while no watch is open is not told: that shows in no list."""

    def __init__(self, client: KubeClient, collection: Collection, told: Told) -> None:
        self._client = client
        self._collection = collection
        self._told = told
        self._version = ""
        self._doubted = False
        self._failures = 0

    async def run(self) -> None:
        """Follows until it is cancelled; raises Refused where it may not."""
        while True:
            try:
                await self._follow()
                seconds = AGAIN_SECONDS
            except Refused:
                raise
            except KubeError as error:
                seconds = self._after(error)
            await asyncio.sleep(seconds)

    def _after(self, error: KubeError) -> float:
        """How long to wait after this failure."""
        if error.status not in _RESUMED or isinstance(error, Silent):
            self._version = ""
        self._doubted = True
        if error.status == HTTPStatus.GONE:
            # Its version is too old, as of each watch that had nothing to tell for long.
            return AGAIN_SECONDS
        self._failures += 1
        seconds = BACKOFF.after(self._failures, spread=random.random())  # noqa: S311
        # A connection that breaks is made again at once; who is away for longer is told of.
        level = logging.WARNING if self._failures > 1 else logging.INFO
        fields = {"url": self._collection.url, "error": error.message, "seconds": round(seconds, 1)}
        logger.log(level, "the watch is interrupted", extra=fields)
        return seconds

    async def _follow(self) -> None:
        if self._version and self._doubted and await self._went_back():
            self._version = ""
        self._doubted = False
        if not self._version:
            self._version = await self._list()
        await self._watch()

    async def _went_back(self) -> bool:
        """Whether the store is one of before, as after a crash that cost it its last writes, or a restored backup.

        A watch would wait in silence for the version that it asks for, and tell nothing of what comes until then.
        """
        page = await self._client.get(self._url({"limit": "1"}))
        now = str(page["metadata"]["resourceVersion"])
        return now.isdecimal() and self._version.isdecimal() and int(now) < int(self._version)

    async def _list(self) -> str:
        """Tells of everything there is; returns the version from which on to watch."""
        more = ""
        while True:
            page = await self._client.get(self._url({"limit": str(LIST_LIMIT), "continue": more}))
            # Objects in a list of built-in kinds lack what the list itself says.
            kind = {"apiVersion": page.get("apiVersion"), "kind": str(page.get("kind")).removesuffix("List")}
            for item in page["items"]:
                self._told({**kind, **item}, gone=False)
            more = page["metadata"].get("continue", "")
            if not more:
                return str(page["metadata"]["resourceVersion"])

    async def _watch(self) -> None:
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        async with self._client.lines(self._url(query), silent_seconds=SILENT_SECONDS) as lines:
            self._failures = 0
            async for line in lines:
                self._heard(from_json(line))

    def _heard(self, event: Json) -> None:
        kind, body = event["type"], event["object"]
        if kind == "ERROR":
            raise error_from(int(body.get("code") or 500), json.dumps(body))
        self._version = body["metadata"].get("resourceVersion", self._version)
        if kind != "BOOKMARK":
            self._told(body, gone=kind == "DELETED")

    def _url(self, query: dict[str, str]) -> str:
        if self._collection.selector:
            query["labelSelector"] = self._collection.selector
        return f"{self._collection.url}?{urlencode(query)}"
