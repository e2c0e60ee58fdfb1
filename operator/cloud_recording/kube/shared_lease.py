# SPDX-License-Identifier: Apache-2.0
"""The same Lease held by several replicas together, each of which has some of the shards.

Its holder is the number of shards, so that neither a replica with another number nor one that wants it for itself acts
meanwhile; an annotation of each replica says which it has. Shards change hands under the version that was read: two
never take the same one. A replica renews its annotation alone, if that is as it left it: many do not get into each
other's way, and one whose shards went to others finds that out. That happens to one that does not renew for the length
of the Lease; it has ended by then.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Self

from cloud_recording.api.base import GROUP
from cloud_recording.common.json_types import Json
from cloud_recording.domain.shards import share_of
from cloud_recording.kube.client import Configuration, KubeClient
from cloud_recording.kube.errors import Conflict, KubeError
from cloud_recording.kube.lease import LeaseHolder, LeaseTiming, logger
from cloud_recording.kube.turned_away import TurnedAway

REPLICA_ANNOTATION: Final = f"replicas.{GROUP}/"
"""With a hash of the replica's name after it. JSON: the replica, when it wrote last, and which shards it has."""

RENEWALS: Final = 4
"""How many times in its deadline a replica renews."""

ATTEMPTS: Final = 5
"""How often an attempt starts over at once when another replica wrote in between."""


@dataclass(frozen=True)
class _Replica:
    """What a replica says of itself."""

    name: str
    renewed: str
    shards: frozenset[int]

    @classmethod
    def of(cls, text: str) -> Self:
        entry: Json = json.loads(text)
        return cls(
            name=str(entry["replica"]), renewed=str(entry["renewed"]), shards=frozenset(map(int, entry["shards"]))
        )

    @property
    def key(self) -> str:
        """The annotation's: a pod's name may be longer than one can be."""
        return REPLICA_ANNOTATION + hashlib.sha256(self.name.encode()).hexdigest()[:16]

    @property
    def text(self) -> str:
        return json.dumps({"replica": self.name, "renewed": self.renewed, "shards": sorted(self.shards)})


class SharedLease(LeaseHolder):
    """Takes part in a Lease from `acquire` to `release`, or until the part is lost."""

    def __init__(  # noqa: PLR0913 - those of any Lease, and which part of it
        self,
        configuration: Configuration,
        *,
        namespace: str,
        name: str,
        identity: str,
        shards: int,
        assigned: Callable[[frozenset[int]], object],
        lost: Callable[[], object],
        timing: LeaseTiming | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        turned_away: TurnedAway | None = None,
    ) -> None:
        """`assigned` is told of all shards that this replica is to act on, whenever they change, from the thread.

        Of shards that are no longer among them it has to tell `dropped`: until then nobody else gets them.
        """
        super().__init__(
            configuration,
            namespace=namespace,
            name=name,
            identity=f"{shards}-shards",
            lost=lost,
            timing=timing,
            clock=clock,
            turned_away=turned_away,
        )
        self._replica = identity
        self._shards = shards
        self._assigned = assigned
        self._told: frozenset[int] = frozenset()
        self._giving: frozenset[int] = frozenset()
        self._dropped: frozenset[int] = frozenset()
        self._lock = threading.Lock()
        self._written_at = 0.0
        self._heard: dict[str, tuple[str, float]] = {}
        """By replica: what it wrote last, and when that was first seen by our own clock."""

    def dropped(self, shards: Iterable[int]) -> None:
        """Nothing is done for these any more, and nothing will be: others may have them."""
        with self._lock:
            self._dropped |= frozenset(shards)

    async def _attempt(self, api: KubeClient) -> bool:
        """Whether this replica takes part now, and has said so newly; raises where its part went to others."""
        for _ in range(ATTEMPTS):
            try:
                return await self._take_part(api)
            except Conflict:
                continue
            except KubeError as error:
                logger.warning("lease not renewed", extra={"lease": self._name, "error": error.message})
                return False
        return False

    async def _take_part(self, api: KubeClient) -> bool:
        lease = await self._read(api)
        spec: Json = lease["spec"] if lease is not None else {}
        if lease is not None:
            self._note(lease)
        if self._is_taken(spec):
            if self.held:
                raise RuntimeError(f"the Lease is held by '{spec.get('holderIdentity')}'")
            return False
        known = _replicas(lease) if spec.get("holderIdentity") == self._identity else {}
        if self.held and self._replica in known:
            self._own.check(known[self._replica].renewed)
        mine = known[self._replica].shards if self._replica in known else frozenset()
        if not self._told | self._giving <= mine:
            raise RuntimeError(f"the shards {sorted((self._told | self._giving) - mine)} are held by others")
        with self._lock:
            dropped = self._dropped
        living = self._living(known)
        claims = {name: replica.shards for name, replica in living.items()} | {self._replica: mine - dropped}
        share = share_of(self._replica, claims, shards=self._shards)
        us = _Replica(name=self._replica, renewed=self._now(), shards=claims[self._replica] | share.take)
        known_as = {name: replica.shards for name, replica in known.items()}
        wrote = True
        if lease is None or us.name not in known or known_as != claims | {us.name: us.shards}:
            with self._own.writing(us.renewed):
                await self._put(api, spec, lease["metadata"] if lease is not None else {}, living | {us.name: us})
        elif time.monotonic() - self._written_at >= self._timing.renew_deadline_seconds / RENEWALS:
            await self._renew(api, was=known[us.name], now=us)
        else:
            wrote = False
        self._took(us.shards, dropped=dropped, give=share.give)
        return wrote

    async def _renew(self, api: KubeClient, *, was: _Replica, now: _Replica) -> None:
        """Raises Refused where this replica has a part no more, or another one."""
        place, spec = f"/metadata/annotations/{now.key.replace('/', '~1')}", "/spec"
        begun = time.monotonic()
        operations: list[Json] = [
            {"op": "test", "path": f"{spec}/holderIdentity", "value": self._identity},
            {"op": "test", "path": place, "value": was.text},
            {"op": "replace", "path": place, "value": now.text},
            {"op": "replace", "path": f"{spec}/renewTime", "value": now.renewed},
        ]
        with self._own.writing(now.renewed):
            self._note(await api.json_patch(self._url(), operations))
        self._written_at = begun

    def _took(self, claimed: frozenset[int], *, dropped: frozenset[int], give: frozenset[int]) -> None:
        """What was written is so; the shards that are to go are still this replica's until they are dropped."""
        with self._lock:
            self._dropped -= dropped
        self._giving = (self._giving | give) & claimed
        told = claimed - self._giving
        if told != self._told:
            self._told = told
            self._assigned(told)

    def _living(self, known: Mapping[str, _Replica]) -> dict[str, _Replica]:
        """The others that wrote within the Lease's duration: by our clock, since we saw what they wrote."""
        now = time.monotonic()
        for name, replica in known.items():
            if name not in self._heard or self._heard[name][0] != replica.renewed:
                self._heard[name] = (replica.renewed, now)
        self._heard = {name: heard for name, heard in self._heard.items() if name in known}
        return {
            name: replica
            for name, replica in known.items()
            if name != self._replica and now - self._heard[name][1] < self._timing.duration_seconds
        }

    async def _give_back(self, api: KubeClient) -> None:
        """Leaves; whoever is the last leaves the Lease to anybody."""
        for _ in range(ATTEMPTS):
            try:
                lease = await self._read(api)
                if lease is None or lease["spec"].get("holderIdentity") != self._identity:
                    return
                others = self._living(_replicas(lease))
                await self._put(api, lease["spec"], lease["metadata"], others, holder=self._identity if others else "")
            except Conflict:
                continue
            except KubeError as error:
                logger.warning("lease not given back", extra={"lease": self._name, "error": error.message})
            return

    async def _put(
        self,
        api: KubeClient,
        spec: Json,
        metadata: Json,
        replicas: Mapping[str, _Replica],
        *,
        holder: str | None = None,
    ) -> None:
        others = metadata.get("annotations") or {}
        annotations = {key: value for key, value in others.items() if not key.startswith(REPLICA_ANNOTATION)}
        annotations |= {replica.key: replica.text for replica in replicas.values()}
        begun = time.monotonic()
        body = self._body(spec, metadata={**metadata, "annotations": annotations})
        if holder is not None:
            body["spec"]["holderIdentity"] = holder
        if metadata:
            self._note(await api.put(self._url(), body))
        else:
            self._note(await api.post(self._collection(), body))
        self._written_at = begun


def _replicas(lease: Json | None) -> dict[str, _Replica]:
    """Who takes part; raises where that cannot be read, as whoever then went on might do what others do."""
    annotations = ((lease or {}).get("metadata") or {}).get("annotations") or {}
    try:
        found = [_Replica.of(text) for key, text in annotations.items() if key.startswith(REPLICA_ANNOTATION)]
    except (ValueError, TypeError, KeyError):
        message = f"an annotation '{REPLICA_ANNOTATION}…' of the Lease is none of ours: delete the Lease"
        raise RuntimeError(message) from None
    return {replica.name: replica for replica in found}
