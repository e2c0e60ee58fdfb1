# SPDX-License-Identifier: Apache-2.0
"""Whatever becomes of a list or a watch, everything that changes is told."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import web
from kubernetes.aio.client import Configuration

from cloud_recording.kube.client import KubeClient
from cloud_recording.kube.errors import KubeError, Refused, Silent, Unavailable
from cloud_recording.kube.following import Collection, Follower

Json = dict[str, Any]

AWAY = Unavailable("connection reset", status=0)
EXPIRED = {"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1", "code": 410, "message": "too old"}}
FAILED = {"type": "ERROR", "object": {"kind": "Status", "apiVersion": "v1", "code": 500, "message": "etcd"}}


def pod(name: str, version: int) -> Json:
    return {"metadata": {"name": name, "resourceVersion": str(version)}}


def event(kind: str, name: str, version: int) -> Json:
    return {"type": kind, "object": pod(name, version)}


def page(*items: Json, version: int, more: str = "") -> Json:
    metadata = {"resourceVersion": str(version), "continue": more}
    return {"apiVersion": "v1", "kind": "PodList", "metadata": metadata, "items": list(items)}


@dataclass
class Server:
    """Answers by its script: pages of lists, and watches as their events and, perhaps, how they break; then no more."""

    pages: list[Json | KubeError]
    watches: list[list[Json | KubeError]] = field(default_factory=list)
    version: int = 1000
    asked: list[str] = field(default_factory=list)
    """`list`, with where it goes on, `version`, and `watch` with its version."""
    exhausted: asyncio.Event = field(default_factory=asyncio.Event)

    async def get(self, url: str) -> Json:
        query = parse_qs(urlsplit(url).query)
        if query["limit"] == ["1"]:
            self.asked.append("version")
            return page(version=self.version)
        self.asked.append(" ".join(["list", *query.get("continue", [])]))
        answer = self.pages.pop(0)
        if isinstance(answer, KubeError):
            raise answer
        return answer

    @asynccontextmanager
    async def lines(self, url: str, *, silent_seconds: float) -> AsyncIterator[AsyncIterator[bytes]]:
        assert silent_seconds > 60, "bookmarks come each minute"
        query = parse_qs(urlsplit(url).query)
        self.asked.append(f"watch {query['resourceVersion'][0]}")
        if not self.watches:
            self.exhausted.set()
            await asyncio.Event().wait()
        said = self.watches.pop(0)
        if said and isinstance(said[0], KubeError):
            raise said[0]
        yield _said(said)


async def _said(events: list[Json | KubeError]) -> AsyncIterator[bytes]:
    for one in events:
        if isinstance(one, KubeError):
            raise one
        yield json.dumps(one).encode() + b"\n"


async def told_of(server: Server) -> list[str]:
    """What is told until the script is at its end."""
    told: list[str] = []

    def tell(body: Json, *, gone: bool) -> None:
        told.append(f"{'-' if gone else ''}{body['metadata']['name']}@{body['metadata']['resourceVersion']}")

    following = asyncio.create_task(Follower(server, Collection(url="/pods"), tell).run())  # type: ignore[arg-type]
    ended = asyncio.create_task(server.exhausted.wait())
    await asyncio.wait({following, ended}, return_when=asyncio.FIRST_COMPLETED)
    for task in (following, ended):
        task.cancel()
    if following.done():
        following.result()
    return told


@pytest.mark.looptime
async def test_what_there_is_and_then_what_changes_is_told() -> None:
    server = Server(
        [page(pod("a", 3), version=9, more="next"), page(pod("b", 5), version=9)],
        [[event("ADDED", "c", 10), event("MODIFIED", "a", 11), event("DELETED", "b", 12)]],
    )
    assert await told_of(server) == ["a@3", "b@5", "c@10", "a@11", "-b@12"]
    assert server.asked == ["list", "list next", "watch 9", "watch 12"]


@pytest.mark.looptime
async def test_objects_of_a_list_say_of_what_kind_they_are() -> None:
    bodies: list[Json] = []

    def tell(body: Json, *, gone: bool) -> None:
        assert not gone
        bodies.append(body)

    server = Server([page(pod("a", 3), version=9)])
    following = asyncio.create_task(Follower(server, Collection(url="/pods"), tell).run())  # type: ignore[arg-type]
    await server.exhausted.wait()
    following.cancel()
    assert bodies == [{"apiVersion": "v1", "kind": "Pod", **pod("a", 3)}]


@pytest.mark.looptime
@pytest.mark.parametrize(
    ("first", "asked"),
    [
        pytest.param([event("ADDED", "c", 10)], ["watch 10"], id="an-end"),
        pytest.param([event("ADDED", "c", 10), event("BOOKMARK", "", 20)], ["watch 20"], id="an-end-after-a-bookmark"),
        pytest.param([event("ADDED", "c", 10), AWAY], ["version", "watch 10"], id="a-broken-connection"),
        pytest.param([AWAY], ["version", "watch 9"], id="nobody-there"),
        pytest.param([Silent("nothing was said", status=0)], ["list", "watch 30"], id="a-watch-without-bookmarks"),
        pytest.param([Unavailable("slow down", status=429)], ["version", "watch 9"], id="too-many-requests"),
        pytest.param([event("ADDED", "c", 10), EXPIRED], ["list", "watch 30"], id="a-version-that-is-too-old"),
        pytest.param([Unavailable("gone", status=410)], ["list", "watch 30"], id="one-that-is-too-old-at-once"),
        pytest.param([FAILED], ["list", "watch 30"], id="any-other-failure"),
        pytest.param(
            [Unavailable("too large version", status=504)], ["list", "watch 30"], id="a-version-of-the-future"
        ),
    ],
)
async def test_after_an_interruption_it_goes_on_from_where_it_was_or_lists_anew(
    first: list[Json | KubeError], asked: list[str]
) -> None:
    server = Server([page(version=9), page(pod("d", 25), version=30)], [first])
    told = await told_of(server)
    assert server.asked == ["list", "watch 9", *asked]
    assert told == ["c@10"] * (event("ADDED", "c", 10) in first) + ["d@25"] * ("list" in asked)


@pytest.mark.looptime
async def test_after_a_broken_connection_a_store_that_went_back_is_listed() -> None:
    """A watch for the version of before would wait for it, and tell nothing meanwhile."""
    server = Server([page(version=9), page(pod("d", 8), version=8)], [[event("ADDED", "c", 10), AWAY]], version=9)
    assert await told_of(server) == ["c@10", "d@8"]
    assert server.asked == ["list", "watch 9", "version", "list", "watch 8"]


@pytest.mark.looptime
async def test_a_list_that_breaks_off_begins_again() -> None:
    server = Server([page(pod("a", 3), version=9, more="next"), AWAY, page(pod("a", 3), pod("b", 5), version=12)])
    assert await told_of(server) == ["a@3", "a@3", "b@5"]
    assert server.asked == ["list", "list next", "list", "watch 12"]


@pytest.mark.looptime
async def test_who_may_not_watch_is_told_so() -> None:
    with pytest.raises(Refused, match="forbidden"):
        await told_of(Server([Refused("forbidden", status=403)]))


@pytest.mark.looptime
async def test_an_api_server_that_is_away_is_asked_less_and_less_often_and_told_of() -> None:
    server = Server([*[AWAY] * 8, page(version=9)])
    begun = asyncio.get_running_loop().time()
    await told_of(server)
    assert 15 < asyncio.get_running_loop().time() - begun < 60


@pytest.mark.looptime
async def test_connections_that_are_cut_again_and_again_are_no_outage(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    server = Server([page(version=9)], [[event("MODIFIED", "a", 10 + number), AWAY] for number in range(20)])
    begun = asyncio.get_running_loop().time()
    assert len(await told_of(server)) == 20
    assert asyncio.get_running_loop().time() - begun < 15
    assert not [one for one in caplog.records if one.levelno >= logging.WARNING]


async def test_a_watch_on_which_not_even_a_bookmark_comes_is_told_from_a_broken_one() -> None:
    """After a broken one the version stands; one that is silent may wait for a version that never was."""

    async def says_nothing(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await left.wait()
        return answer

    left = asyncio.Event()
    application = web.Application()
    application.router.add_get("/pods", says_nothing)
    runner = web.AppRunner(application, shutdown_timeout=0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        configuration = Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}")
        async with KubeClient(configuration, user_agent="test") as client:
            with pytest.raises(Silent, match=r"/pods: nothing was said for 0\.1 s"):
                async with client.lines("/pods", silent_seconds=0.1) as lines:
                    assert [line async for line in lines] == []
    finally:
        left.set()
        await runner.cleanup()
