# SPDX-License-Identifier: Apache-2.0
"""A replica is done with what it loses before anybody else gets it, and begins anew with what it gets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import pytest

from cloud_recording.controller.held_shards import HeldShards
from cloud_recording.controller.metrics import Metrics
from cloud_recording.controller.recording_key import RecordingKey
from cloud_recording.controller.sharing import Key, Sharing
from cloud_recording.controller.watch_thread import WatchThread
from cloud_recording.controller.work_queue import WorkQueue
from cloud_recording.domain.shards import bucket_of, shard_of

pytestmark = pytest.mark.looptime

SHARDS = 2
ALL = frozenset(range(SHARDS))
PASS_SECONDS = 10.0


def key_in(shard: int, *, number: int = 0) -> RecordingKey:
    """A recording in that shard."""
    keys = (RecordingKey("meetings", f"recording-{one}") for one in range(1000))
    return [key for key in keys if shard_of(bucket_of(*key), shards=SHARDS) == shard][number]


@dataclass
class Story:
    """What happened, in order."""

    told: list[str] = field(default_factory=list)

    def forget_all(self) -> None:
        self.told.append("all forgotten")

    def forget_lost(self) -> None:
        self.told.append("lost forgotten")

    async def look_behind(self) -> None:
        self.told.append("looked behind")

    def new_watch(self, selector: str) -> WatchThread:
        return cast("WatchThread", Watch(self, "everything" if not selector else "a part"))

    def dropped(self, shards: frozenset[int]) -> None:
        self.told.append(f"dropped {sorted(shards)}")


@dataclass
class Watch:
    story: Story
    what: str

    def start(self) -> None:
        self.story.told.append(f"watches {self.what}")

    async def stop(self) -> None:
        self.story.told.append(f"watches {self.what} no more")


@dataclass
class Replica:
    story: Story
    sharing: Sharing
    queue: WorkQueue[Key]
    held: HeldShards


@asynccontextmanager
async def replica() -> AsyncIterator[Replica]:
    """One whose passes last for ten seconds and ask for another ten seconds later."""
    story, held = Story(), HeldShards(SHARDS)

    async def work(key: Key) -> float:
        story.told.append(f"pass over {key.name}")
        await asyncio.sleep(PASS_SECONDS)
        story.told.append(f"passed over {key.name}")
        return PASS_SECONDS

    queue = WorkQueue(work, concurrency=1, metrics=Metrics())
    sharing = Sharing(
        held=held,
        queue=queue,
        memory=story,
        look_behind=story.look_behind,
        new_watch=story.new_watch,
        changed=lambda shards: story.told.append(f"held {sorted(shards)}"),
    )
    tasks = [asyncio.create_task(queue.run()), asyncio.create_task(sharing.follow(story.dropped))]
    try:
        yield Replica(story, sharing, queue, held)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_it_begins_with_what_it_gets() -> None:
    async with replica() as one:
        one.sharing.assign(ALL)
        await asyncio.sleep(1)
        assert one.story.told == ["all forgotten", "held [0, 1]", "looked behind", "watches everything"]


async def test_what_it_loses_is_dropped_only_once_nothing_of_it_is_in_work_or_waits() -> None:
    async with replica() as one:
        one.sharing.assign(ALL)
        await asyncio.sleep(1)
        one.story.told.clear()
        lost, waiting, kept = key_in(1), key_in(1, number=1), key_in(0)
        for key in (lost, waiting, kept):
            one.queue.add(key)
        await asyncio.sleep(1)
        one.sharing.assign(frozenset({0}))
        await asyncio.sleep(PASS_SECONDS * 10)
        assert one.story.told[:7] == [
            f"pass over {lost.name}",
            "held [0]",
            f"passed over {lost.name}",
            f"pass over {kept.name}",
            "lost forgotten",
            "dropped [1]",
            "watches a part",
        ]
        assert "watches everything no more" in one.story.told
        # Neither for what waited nor for when it was due again.
        assert not [told for told in one.story.told[3:] if lost.name in told or waiting.name in told]


async def test_who_has_nothing_watches_nothing() -> None:
    async with replica() as one:
        one.sharing.assign(ALL)
        await asyncio.sleep(1)
        one.sharing.assign(frozenset())
        await asyncio.sleep(1)
        assert one.story.told[-2:] == ["dropped [0, 1]", "watches everything no more"]


async def test_what_changes_meanwhile_is_followed_next() -> None:
    async with replica() as one:
        one.sharing.assign(ALL)
        one.sharing.assign(frozenset({1}))
        await asyncio.sleep(1)
        assert one.held.now == {1}
        assert one.held.owns(key_in(1))
        assert not one.held.owns(key_in(0))


def test_only_a_wrong_label_by_which_it_is_seen_here_is_mended_here() -> None:
    """Else each replica would, of one without a label or one that it just lost."""
    held = HeldShards(SHARDS)
    held.hold({0})
    theirs = key_in(1)
    right, wrong = bucket_of(*theirs), bucket_of(*key_in(0))
    labels = [None, str(right), str(wrong), "sixty-five"]
    assert [held.is_mislabelled(theirs, label) for label in labels] == [False, False, True, False]
