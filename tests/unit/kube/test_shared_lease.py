# SPDX-License-Identifier: Apache-2.0
"""Several replicas share a Lease: whoever acts on a shard has it alone, whatever becomes of the others."""

from __future__ import annotations

import asyncio
import copy
import functools
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from kubernetes.aio.client import Configuration

from cloud_recording.kube.client import KubeClient
from cloud_recording.kube.errors import Refused
from cloud_recording.kube.lease import LeaseHolder, LeaseTiming
from cloud_recording.kube.shared_lease import REPLICA_ANNOTATION, SharedLease, _Replica
from cloud_recording.kube.turned_away import TurnedAway

TIMING = LeaseTiming(duration_seconds=4, renew_deadline_seconds=3.0, retry_seconds=0.05, request_seconds=1.0)
"""Longer than a loaded machine keeps a thread waiting, as a rule."""
PATIENCE_SECONDS = 30.0


class ApiServer:
    """Has one Lease, which is written under its version only."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.version = 1
        self.renewals = 0

    async def answer(self, request: web.Request) -> web.Response:
        if request.method == "GET":
            return web.json_response(self.lease) if self.lease is not None else refused(404)
        written = await request.json()
        if request.method == "PATCH":
            return self.patched(written)
        expected = self.lease["metadata"]["resourceVersion"] if self.lease is not None else None
        if written["metadata"].get("resourceVersion") != expected:
            return refused(409)
        self.version += 1
        written["metadata"]["resourceVersion"] = str(self.version)
        self.lease = written
        return web.json_response(written)

    def patched(self, operations: list[dict[str, Any]] | dict[str, Any]) -> web.Response:
        assert self.lease is not None
        changed = copy.deepcopy(self.lease)
        if isinstance(operations, dict):
            changed["metadata"].setdefault("annotations", {}).update(operations["metadata"]["annotations"])
            operations = []
        for operation in operations:
            *parents, last = [step.replace("~1", "/") for step in operation["path"].split("/")[1:]]
            place: dict[str, Any] = functools.reduce(lambda found, step: found[step], parents, changed)
            if operation["op"] == "test" and place.get(last) != operation["value"]:
                return refused(422)
            place[last] = operation["value"]
        self.version += 1
        self.renewals += 1
        changed["metadata"]["resourceVersion"] = str(self.version)
        self.lease = changed
        return web.json_response(changed)

    @property
    def holder(self) -> str:
        return str(self.lease["spec"]["holderIdentity"]) if self.lease is not None else ""

    def claims(self) -> dict[str, list[int]]:
        assert self.lease is not None
        annotations = self.lease["metadata"]["annotations"]
        listed = [json.loads(text) for key, text in annotations.items() if key.startswith(REPLICA_ANNOTATION)]
        return {entry["replica"]: entry["shards"] for entry in listed}


def written_by(replica: str, shards: list[int]) -> dict[str, str]:
    """What the Lease has of a replica that wrote a while ago."""
    known = _Replica(name=replica, renewed="before", shards=frozenset(shards))
    return {known.key: known.text}


def refused(status: int) -> web.Response:
    body = {"kind": "Status", "apiVersion": "v1", "message": "refused", "details": {"name": "lease"}}
    return web.json_response(body, status=status)


@dataclass
class Replica:
    """Somebody who takes part; drops at once what is to go, unless it is `slow`."""

    lease: SharedLease
    slow: bool = False
    acts_on: frozenset[int] = frozenset()
    going: frozenset[int] = frozenset()
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    turned_away: TurnedAway = field(default_factory=TurnedAway)

    def assigned(self, shards: frozenset[int]) -> None:
        self.going |= self.acts_on - shards
        if not self.slow:
            self.acts_on = shards
            self.drop()
        else:
            self.acts_on |= shards

    def drop(self) -> None:
        self.acts_on -= self.going
        self.lease.dropped(self.going)
        self.going = frozenset()


@dataclass
class Place:
    server: ApiServer
    url: str
    made: list[LeaseHolder] = field(default_factory=list)

    def replica(self, name: str, *, shards: int = 4, slow: bool = False) -> Replica:
        loop, turned_away = asyncio.get_running_loop(), TurnedAway()
        lease = SharedLease(
            Configuration(host=self.url),
            namespace="operators",
            name="lease",
            identity=name,
            shards=shards,
            assigned=lambda held: loop.call_soon_threadsafe(replica.assigned, held),
            lost=lambda: loop.call_soon_threadsafe(replica.lost.set),
            timing=TIMING,
            turned_away=turned_away,
        )
        replica = Replica(lease, slow=slow, turned_away=turned_away)
        self.made.append(lease)
        return replica

    def single(self, name: str, *, turned_away: TurnedAway | None = None) -> LeaseHolder:
        holder = LeaseHolder(
            Configuration(host=self.url),
            namespace="operators",
            name="lease",
            identity=name,
            lost=lambda: None,
            timing=TIMING,
            turned_away=turned_away,
        )
        self.made.append(holder)
        return holder


@pytest_asyncio.fixture
async def place() -> AsyncIterator[Place]:
    server = ApiServer()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", server.answer)
    runner = web.AppRunner(application, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made = Place(server, f"http://127.0.0.1:{runner.addresses[0][1]}")
    try:
        yield made
    finally:
        for lease in made.made:
            await lease.release()
        await runner.cleanup()


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds():  # noqa: ASYNC110 - other threads are waited for
            await asyncio.sleep(0.01)


def sizes(*replicas: Replica) -> list[int]:
    shards = [shard for replica in replicas for shard in replica.acts_on]
    assert len(shards) == len(set(shards)), "two act on one shard"
    return [len(replica.acts_on) for replica in replicas]


async def test_one_has_all_and_several_share(place: Place) -> None:
    first, second, third = (place.replica(name) for name in "abc")
    await first.lease.acquire()
    await until(lambda: sizes(first) == [4])
    await second.lease.acquire()
    await until(lambda: sizes(first, second) == [2, 2])
    await third.lease.acquire()
    await until(lambda: sorted(sizes(first, second, third)) == [1, 1, 2])
    await second.lease.release()
    await until(lambda: sizes(first, third) == [2, 2])
    assert set(place.server.claims()) == {"a", "c"}


async def test_a_shard_goes_to_another_only_once_it_is_dropped(place: Place) -> None:
    first, second = place.replica("a", slow=True), place.replica("b")
    await first.lease.acquire()
    await until(lambda: sizes(first) == [4])
    await second.lease.acquire()
    await until(lambda: first.going == {2, 3})
    renewals = place.server.renewals
    await until(lambda: place.server.renewals > renewals + 4)
    assert sizes(first, second) == [4, 0]
    first.drop()
    await until(lambda: sizes(first, second) == [2, 2])


async def test_what_one_had_that_is_not_heard_of_goes_to_the_others(place: Place) -> None:
    """Not before it has ended, by its own deadline."""
    place.server.lease = {
        "metadata": {"resourceVersion": "1", "annotations": written_by("dead", [0, 1, 2, 3])},
        "spec": {"holderIdentity": "4-shards", "renewTime": "before", "leaseDurationSeconds": 4},
    }
    other = place.replica("b")
    begun = asyncio.get_running_loop().time()
    await other.lease.acquire()
    await until(lambda: sizes(other) == [4])
    assert asyncio.get_running_loop().time() - begun >= TIMING.duration_seconds
    assert set(place.server.claims()) == {"b"}


async def test_one_that_was_begun_anew_in_its_pod_goes_on_at_once(place: Place) -> None:
    place.server.lease = {
        "metadata": {"resourceVersion": "1", "annotations": written_by("a", [0, 1, 2, 3])},
        "spec": {"holderIdentity": "4-shards", "renewTime": "before", "leaseDurationSeconds": 4000},
    }
    replica = place.replica("a")
    await replica.lease.acquire()
    await until(lambda: sizes(replica) == [4])


async def test_another_number_of_shards_waits_for_the_last_of_the_former(place: Place) -> None:
    """As in a rollout: buckets would belong to two replicas."""
    old, older = place.replica("a"), place.replica("b")
    new, single = place.replica("c", shards=2), place.single("d")
    await old.lease.acquire()
    await older.lease.acquire()
    waiting = [asyncio.create_task(new.lease.acquire()), asyncio.create_task(single.acquire())]
    await until(lambda: sizes(old, older) == [2, 2])
    await old.lease.release()
    await until(lambda: sizes(older) == [4])
    assert sizes(new) == [0]
    assert not single.held
    await older.lease.release()
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    # Either of them, and not both.
    await until(lambda: (len(new.acts_on), single.held) in {(2, False), (0, True)})
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_whoever_is_last_leaves_the_lease_to_anybody(place: Place) -> None:
    replica = place.replica("a")
    await replica.lease.acquire()
    assert place.server.holder == "4-shards"
    await replica.lease.release()
    assert place.server.holder == ""


async def test_one_whose_shards_were_given_to_others_ends(place: Place) -> None:
    replica = place.replica("a")
    await replica.lease.acquire()
    await until(lambda: sizes(replica) == [4])
    assert place.server.lease is not None
    place.server.version += 1
    place.server.lease["metadata"] |= {
        "resourceVersion": str(place.server.version),
        "annotations": written_by("b", [0, 1, 2, 3]),
    }
    await asyncio.wait_for(replica.lost.wait(), PATIENCE_SECONDS)
    assert not replica.lease.held


async def test_a_store_that_goes_back_shows_even_where_its_versions_have_caught_up(place: Place) -> None:
    replica = place.replica("a")
    await replica.lease.acquire()
    await until(lambda: sizes(replica) == [4])
    before, renewals = copy.deepcopy(place.server.lease), place.server.renewals
    assert before is not None
    await until(lambda: place.server.renewals > renewals)
    assert not replica.lost.is_set()
    place.server.version += 100
    before["metadata"]["resourceVersion"] = str(place.server.version)
    place.server.lease = before
    await asyncio.wait_for(replica.lost.wait(), PATIENCE_SECONDS)
    assert not replica.lease.held


async def test_many_that_renew_do_not_get_into_each_others_way(place: Place) -> None:
    """Promise: a slow API server, at which all wait, has nobody lose a part; writes of the whole would collide."""
    replicas = [place.replica(name, shards=16) for name in "abcdefgh"]
    for replica in replicas:
        await replica.lease.acquire()
    await until(lambda: sizes(*replicas) == [2] * len(replicas))
    begun, renewals = place.server.version, place.server.renewals
    await until(lambda: place.server.renewals >= renewals + 3 * len(replicas))
    assert place.server.version - begun == place.server.renewals - renewals
    assert not any(replica.lost.is_set() for replica in replicas)


async def test_a_renewal_that_comes_late_takes_nothing_back(place: Place) -> None:
    """Who was silent for too long, and whose shards went to others: his annotation is gone."""
    late = place.replica("late")
    await late.lease.acquire()
    await until(lambda: sizes(late) == [4])
    assert place.server.lease is not None
    place.server.version += 1
    metadata = {"resourceVersion": str(place.server.version), "annotations": written_by("b", [0, 1, 2, 3])}
    place.server.lease["metadata"] |= metadata
    was, now = (_Replica(name="late", renewed=moment, shards=frozenset(range(4))) for moment in ("before", "now"))
    async with KubeClient(Configuration(host=place.url), user_agent="test") as api:
        with pytest.raises(Refused):
            await late.lease._renew(api, was=was, now=now)
    assert set(place.server.claims()) == {"b"}
