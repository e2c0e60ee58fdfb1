# SPDX-License-Identifier: Apache-2.0
"""Several replicas that act, each on its shards: their number and that of the shards change under recordings."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import aiohttp

from cloud_recording.domain.decide_storage import USERS_LOOK
from cloud_recording.domain.names import LABEL_BUCKET
from cloud_recording.domain.shards import BUCKETS, bucket_of, shard_of
from tests.contract.controller.fleet import Fleet
from tests.contract.controller.operator_process import OperatorProcess
from tests.contract.controller.stage import Stage, reason
from tests.contract.controller.tcp_proxy import TCPProxy
from tests.contract.controller.test_storages import ALLOWED, answer

Json = dict[str, Any]

RECORDINGS = 12
LEASE_SECONDS = 12
PATIENCE_SECONDS = 90.0

_HELD = re.compile(r"^(\S+) info +shards held shards=\[([\d, ]*)\]$", re.MULTILINE)


class Replicas:
    """Replicas behind one Service, each begun and ended by itself, with as many shards as is said then."""

    def __init__(self, service: TCPProxy, new_operator: Callable[..., OperatorProcess], count: int) -> None:
        self._service = service
        self.all = [new_operator(name=f"operator-{number}", lease_seconds=LEASE_SECONDS) for number in range(count)]
        self.running: list[OperatorProcess] = []

    async def begin(self, number: int, *, shards: int) -> OperatorProcess:
        """Returns once it answers callbacks."""
        replica = self.all[number]
        url = f"https://localhost:{self._service.port}"
        callbacks = {"url": url, "port": replica.callback_port, "caSecretName": "callback-ca"}
        replica.settings = {"callbacks": callbacks, "shards": shards}
        replica.start()
        await asyncio.to_thread(replica.await_serving)
        self.running.append(replica)
        self._service.targets = [one.callback_port for one in self.running]
        return replica

    async def end(self, replica: OperatorProcess) -> None:
        self.running.remove(replica)
        self._service.targets = [one.callback_port for one in self.running]
        assert await asyncio.to_thread(replica.stop) == 0

    def kill(self, replica: OperatorProcess) -> None:
        self.running.remove(replica)
        self._service.targets = [one.callback_port for one in self.running]
        replica.kill()

    async def until_shared(self, *sizes: int) -> None:
        """Returns when those that run have so many shards, whoever has how many, and each has one of them."""

        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                held = [await held_by(replica) for replica in self.running]
                if sorted(map(len, held)) == sorted(sizes) and len(frozenset().union(*held)) == sum(sizes):
                    return
                await asyncio.sleep(0.1)


async def held_by(replica: OperatorProcess) -> frozenset[int]:
    """The shards that it says it has."""
    text = await told_by(replica)
    return frozenset(
        int(shard) for shard in re.findall(r'^cloudrecording_shard_held\{shard="(\d+)"\} 1.0$', text, re.MULTILINE)
    )


async def told_by(replica: OperatorProcess) -> str:
    """Its metrics."""
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{replica.http_port}/metrics") as answer:
        return await answer.text()


def assert_never_two_at_once(replicas: Iterable[OperatorProcess]) -> None:
    """By their logs: each says which shards it has before it acts on them, and that it has others before it stops."""
    told = sorted(
        (moment, replica.name, frozenset(map(int, re.findall(r"\d+", shards))))
        for replica in replicas
        for moment, shards in _HELD.findall(replica.log.read_text())
    )
    assert told
    holder: dict[int, str] = {}
    for moment, name, shards in told:
        for shard in shards:
            assert holder.get(shard, name) == name, (moment, shard, told)
        holder = {shard: one for shard, one in holder.items() if one != name} | dict.fromkeys(shards, name)


async def passes_of_recordings(replica: OperatorProcess) -> float:
    """How many passes it has made for a recording that changed."""
    (count,) = re.findall(
        r'^cloudrecording_passes_total\{cause="recording"\} (\S+)$', await told_by(replica), re.MULTILINE
    )
    return float(count)


async def begins(stage: Stage, *names: str) -> None:
    """Recordings of these names get their pods."""
    for name in names:
        await stage.apply(name)
    await asyncio.gather(*(stage.new_pod(name) for name in names))


def has_label(bucket: str, body: Json) -> bool:
    return bool(body["metadata"].get("labels", {}).get(LABEL_BUCKET) == bucket)


def one_of_each(shards: int, stage: Stage, prefix: str) -> list[str]:
    """Names of recordings, one in each shard."""
    names = (f"{prefix}-{number}" for number in range(10_000))
    found: dict[int, str] = {}
    for name in names:
        found.setdefault(shard_of(bucket_of(stage.namespace, name), shards=shards), name)
        if len(found) == shards:
            break
    return list(found.values())


async def test_replicas_share_and_take_over_recordings(
    stage: Stage, new_operator: Callable[..., OperatorProcess]
) -> None:
    """One, two, three replicas, one killed, one told to end: nothing is lost or doubled, and no pod is touched."""
    async with TCPProxy.before() as service:
        replicas = Replicas(service, new_operator, 3)
        first = await replicas.begin(0, shards=4)
        await replicas.until_shared(4)
        fleet = await Fleet.recording(stage, RECORDINGS, url=f"https://localhost:{service.port}")
        async with fleet.reporting():
            second = await replicas.begin(1, shards=4)
            await replicas.until_shared(2, 2)
            await begins(stage, *one_of_each(4, stage, "with-two"))
            await replicas.begin(2, shards=4)
            await replicas.until_shared(1, 1, 2)
            await begins(stage, *one_of_each(4, stage, "with-three"))
            await fleet.until_heard()
            assert_never_two_at_once(replicas.all)

            replicas.kill(second)
            begun = time.monotonic()
            await begins(stage, *one_of_each(4, stage, "after-a-death"))
            assert time.monotonic() - begun < 30
            await replicas.until_shared(2, 2)
            await replicas.end(first)
            begun = time.monotonic()
            await begins(stage, *one_of_each(4, stage, "after-an-end"))
            assert time.monotonic() - begun < LEASE_SECONDS
            await replicas.until_shared(4)
            await fleet.until_heard()
            await fleet.assert_no_pod_touched()
        await fleet.end()


async def test_the_number_of_shards_changes_under_recordings(
    stage: Stage, new_operator: Callable[..., OperatorProcess]
) -> None:
    """From one to four to two to one, replica by replica as a rollout does."""
    async with TCPProxy.before() as service:
        replicas = Replicas(service, new_operator, 2)
        await replicas.begin(0, shards=1)
        await replicas.begin(1, shards=1)
        fleet = await Fleet.recording(stage, RECORDINGS, url=f"https://localhost:{service.port}")
        async with fleet.reporting():
            for shards in (4, 2, 1):
                for number in range(2):
                    await replicas.end(replicas.all[number])
                    await replicas.begin(number, shards=shards)
                await begins(stage, *one_of_each(shards, stage, f"with-{shards}"))
                await replicas.until_shared(*((shards // 2, shards // 2) if shards > 1 else (0, 1)))
                await fleet.until_heard()
            await fleet.assert_no_pod_touched()
        await fleet.end()


async def test_each_replica_watches_its_own(stage: Stage, new_operator: Callable[..., OperatorProcess]) -> None:
    async with TCPProxy.before() as service:
        replicas = Replicas(service, new_operator, 2)
        await replicas.begin(0, shards=2)
        await replicas.begin(1, shards=2)
        await replicas.until_shared(1, 1)
        for name in one_of_each(2, stage, "labelled"):
            await begins(stage, name)
            bucket = str(bucket_of(stage.namespace, name))
            recording = await stage.until(partial(has_label, bucket), name=name)
            assert (await stage.new_pod(name))["metadata"]["labels"][LABEL_BUCKET] == bucket

            # As somebody does who applies what `kubectl get` printed, under another name.
            copy = f"{name}-copy"
            wrong = next(
                str(one)
                for one in range(BUCKETS)
                if shard_of(one, shards=2) != shard_of(bucket_of(stage.namespace, copy), shards=2)
            )
            await stage.client.post(
                stage.recordings(),
                {
                    "apiVersion": recording["apiVersion"],
                    "kind": recording["kind"],
                    "metadata": {"name": copy, "namespace": stage.namespace, "labels": {LABEL_BUCKET: wrong}},
                    "spec": recording["spec"],
                },
            )
            await stage.new_pod(copy)
            right = str(bucket_of(stage.namespace, copy))
            await stage.until(partial(has_label, right), name=copy)
            # And who writes another label later: whoever decides about it sees an edit all the same.
            await stage.client.patch(stage.recordings(copy), {"metadata": {"labels": {LABEL_BUCKET: wrong}}})
            await stage.edit(copy, desiredState="Stopped")
            await stage.until(lambda seen: seen["status"]["observedGeneration"] == 2, name=copy)
            await stage.until(partial(has_label, right), name=copy)


async def test_what_another_replica_took_in_is_known_where_it_matters_and_no_work_where_it_does_not(
    stage: Stage, new_operator: Callable[..., OperatorProcess]
) -> None:
    """Figures bring no pass about; a deleted RecordingStorage goes with its last recording, whoever acts on that."""
    async with TCPProxy.before() as service:
        replicas = Replicas(service, new_operator, 2)
        await replicas.begin(0, shards=2)
        await replicas.begin(1, shards=2)
        await replicas.until_shared(1, 1)
        fleet = await Fleet.recording(stage, RECORDINGS, url=f"https://localhost:{service.port}")
        service.targets = service.targets[1:]
        service.cut()
        async with fleet.reporting():
            await fleet.until_heard()
            passes = [await passes_of_recordings(replica) for replica in replicas.running]
            for _ in range(5):
                await fleet.until_heard()
            assert [await passes_of_recordings(replica) for replica in replicas.running] == passes
        await fleet.end()

        storage, user = one_of_each(2, stage, "shared")
        await stage.apply_storage(storage)
        await answer(stage, await stage.new_probe(storage), ready=True, rights=ALLOWED)
        await stage.apply(user, storage={"ref": {"name": storage}})
        pod = await stage.new_pod(user)
        await stage.delete_storage(storage)
        await stage.until_storage(storage, lambda seen: reason(seen) == "InUse")
        begun = time.monotonic()
        await stage.edit(user, desiredState="Stopped")
        await stage.end(pod)
        await stage.until_storage_gone(storage)
        assert time.monotonic() - begun < USERS_LOOK.total_seconds() / 2
