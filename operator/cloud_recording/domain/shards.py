# SPDX-License-Identifier: Apache-2.0
"""Which replica decides about which recordings, where there are several that do.

Each recording is in one of 64 buckets for good, by its namespace and name: a pass is about a name, and clears what an
earlier recording of that name left. Buckets make up shards, as many as the administrator says, and each shard has one
replica at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cloud_recording.domain.names import LABEL_BUCKET

BUCKETS: Final = 64
"""Fixed, as they are labels of objects: a change of the number of shards changes no object."""


def bucket_of(namespace: str, name: str) -> int:
    """The bucket of whatever has this name in this namespace."""
    digest = hashlib.sha256(f"{namespace}/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % BUCKETS


def shard_of(bucket: int, *, shards: int) -> int:
    """The shard that a bucket belongs to."""
    return bucket % shards


def label_selector(held: Collection[int], *, shards: int) -> str:
    """What is in these shards, and what has no label yet; empty where that is everything.

    It names the buckets of all others, as a selector cannot ask for "one of these, or none".
    """
    others = [str(bucket) for bucket in range(BUCKETS) if shard_of(bucket, shards=shards) not in held]
    return f"{LABEL_BUCKET} notin ({','.join(others)})" if others else ""


def label_due(metadata: Mapping[str, Any], *, shards: int, over: bool) -> str | None:
    """What the label of a recording has to become; None where it may stay as it is.

    One without a label is seen by everybody. That is as good for one that is over, of which little is seen; a wrong
    label, as a manifest that was copied brings along, has it seen by those alone who do nothing about it.
    """
    if shards == 1:
        return None
    known = (metadata.get("labels") or {}).get(LABEL_BUCKET)
    due = str(bucket_of(metadata["namespace"], metadata["name"]))
    return None if known == due or (known is None and over) else due


@dataclass(frozen=True, kw_only=True)
class Share:
    """What a replica is to do for an even share."""

    take: frozenset[int] = frozenset()
    """Shards that nobody has."""
    give: frozenset[int] = frozenset()
    """Shards of its own that it is to let go of, for those who have fewer."""


def share_of(replica: str, claims: Mapping[str, frozenset[int]], *, shards: int) -> Share:
    """The share of this replica, given which shards each replica that lives has, itself included.

    Each is to have as many as any other, or one more. Those who have most keep the odd ones, so that no more shards
    than need be change hands; whoever comes to the same claims comes to the same shares.
    """
    least, odd = divmod(shards, len(claims))
    by_claims = sorted(claims, key=lambda one: (-len(claims[one]), one))
    due = least + (by_claims.index(replica) < odd)
    mine = claims[replica]
    if len(mine) > due:
        return Share(give=frozenset(sorted(mine)[due:]))
    free = set(range(shards)).difference(*claims.values())
    return Share(take=frozenset(sorted(free)[: due - len(mine)]))
