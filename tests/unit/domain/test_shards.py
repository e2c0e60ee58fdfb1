# SPDX-License-Identifier: Apache-2.0
"""Which replica decides about what: each shard gets one, each replica its share, and little changes hands."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from cloud_recording.domain.shards import BUCKETS, Share, bucket_of, label_selector, shard_of, share_of

Claims = dict[str, frozenset[int]]


def test_a_bucket_is_for_good() -> None:
    """It is on objects and known to every release: other replicas would decide about the recording, too."""
    assert [bucket_of("default", name) for name in ("stand-up", "retro", "a")] == [6, 35, 46]
    assert bucket_of("a", "b") != bucket_of("b", "a")


def test_recordings_are_spread_evenly() -> None:
    counts = Counter(bucket_of("default", f"recording-{number}") for number in range(6400))
    assert set(counts) == set(range(BUCKETS))
    assert max(counts.values()) < 2 * min(counts.values())


@pytest.mark.parametrize("shards", [2, 3, 4, 64])
def test_selectors_of_all_shards_cover_every_bucket_once(shards: int) -> None:
    def excluded(held: int) -> set[int]:
        listed = label_selector({held}, shards=shards).partition("notin (")[2].rstrip(")")
        return {int(bucket) for bucket in listed.split(",")}

    for bucket in range(BUCKETS):
        holders = [held for held in range(shards) if bucket not in excluded(held)]
        assert holders == [shard_of(bucket, shards=shards)]


def test_whoever_holds_all_shards_watches_everything() -> None:
    assert label_selector(range(4), shards=4) == ""


def test_one_alone_takes_everything() -> None:
    assert share_of("a", {"a": frozenset()}, shards=4) == Share(take=frozenset(range(4)))


def test_who_comes_is_given_a_share_and_takes_nothing_that_another_has() -> None:
    claims = {"a": frozenset(range(4)), "b": frozenset()}
    assert share_of("a", claims, shards=4) == Share(give=frozenset({2, 3}))
    assert share_of("b", claims, shards=4) == Share()


def test_what_a_dead_one_had_is_shared_by_those_who_live() -> None:
    claims = {"a": frozenset({0, 1}), "b": frozenset({2})}
    assert share_of("a", claims, shards=6) == Share(take=frozenset({3}))
    assert share_of("b", claims, shards=6) == Share(take=frozenset({3, 4}))


def test_more_replicas_than_shards_stand_by() -> None:
    claims = {"a": frozenset({0}), "b": frozenset({1}), "c": frozenset()}
    assert [share_of(one, claims, shards=2) for one in claims] == [Share()] * 3


@pytest.mark.parametrize("seed", range(30))
def test_it_settles_whoever_comes_and_goes(seed: int) -> None:
    """In whatever order they look: each shard has one at all times or none, in the end one, and shares are even."""
    chance = random.Random(seed)  # noqa: S311
    shards = chance.choice([2, 3, 4, 7, 16, 64])
    claims: Claims = {"0": frozenset()}
    for number in range(1, 8):
        if len(claims) > 1 and chance.random() < 0.4:
            del claims[chance.choice(sorted(claims))]
        else:
            claims[str(number)] = frozenset()
        for _ in range(4):
            for replica in chance.sample(sorted(claims), len(claims)):
                share = share_of(replica, claims, shards=shards)
                claims[replica] = (claims[replica] | share.take) - share.give
                held = sorted(shard for one in claims.values() for shard in one)
                assert held == sorted(set(held))
        assert held == list(range(shards))
        sizes = [len(one) for one in claims.values()]
        assert max(sizes) - min(sizes) <= 1


def test_no_more_change_hands_than_have_to() -> None:
    claims = {"a": frozenset(range(8)), "b": frozenset(range(8, 16)), "c": frozenset()}
    given = [share_of(one, claims, shards=16).give for one in claims]
    assert [len(one) for one in given] == [2, 3, 0]
