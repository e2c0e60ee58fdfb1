# SPDX-License-Identifier: Apache-2.0
"""Brings what is in the outbox to a receiver: in order, at least once, for as long as it takes.

The operator may be away for days: then the outbox keeps what matters.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from cloud_recording.api.wire import MAX_CALLBACKS_PER_REQUEST
from cloud_recording.common.backoff import Backoff
from cloud_recording.runner.outbox import Outbox, StoredCallback
from cloud_recording.runner.supervisor.clock import now
from cloud_recording.runner.supervisor.held_figures import HeldFigures

logger = logging.getLogger(__name__)

_REQUEST_BYTES: Final = 256 * 1024

_jitter = random.SystemRandom()


class DeliveryError(Exception):
    """The operator did not take the callbacks; they are sent again."""


class PodUnknown(Exception):  # noqa: N818 - an answer, not an error
    """The operator says that this pod owns no part: nobody wants to hear it, unless it is one that cannot know."""


class CallbackRejected(Exception):  # noqa: N818 - an answer, not an error
    """The operator cannot read one of the callbacks, and never will."""

    def __init__(self, sequence: int, message: str) -> None:
        super().__init__(message)
        self.sequence = sequence


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What a receiver says of the callbacks that it was given."""

    acknowledged: int
    """The highest sequence that needs not be sent again."""
    figures_seconds: float = 0.0
    """For how long it asks to be told no figures."""


class Receiver(Protocol):
    """Takes callbacks."""

    async def take(self, callbacks: Sequence[StoredCallback], *, after: int) -> Taken:
        """Raises DeliveryError, PodUnknown or CallbackRejected where they could not be taken.

        `after` is the highest sequence that was acknowledged before.
        """

    async def close(self) -> None:
        """Gives connections back."""


BACKOFF: Final = Backoff(first_seconds=0.2, most_seconds=30.0)
"""Spread, so that the pods of a cluster do not come back to an operator all at once."""

UNKNOWN_SECONDS: Final = 60.0
"""How often one that does not know the pod is asked again: put back by a release, it may not see whose the pod is."""


class Delivery:
    """Sends what waits, whenever something waits; nothing beyond the sequence `up_to` answers goes out."""

    def __init__(self, outbox: Outbox, receiver: Receiver, *, up_to: Callable[[], int]) -> None:
        self._outbox = outbox
        self._receiver = receiver
        self._up_to = up_to
        self._wake = asyncio.Event()
        self._failures = 0
        self._figures = _no_figures()
        self.pod_unknown = False
        self.sent = 0

    def wake(self) -> None:
        """Something may wait."""
        self._wake.set()

    async def run(self) -> None:
        """Delivers until cancelled."""
        try:
            while True:
                await self._step()
        finally:
            await self._receiver.close()

    async def _step(self) -> None:
        self._wake.clear()
        batch = _fitting(self._outbox.pending(limit=MAX_CALLBACKS_PER_REQUEST, up_to=self._up_to()))
        if not batch:
            await self._wake.wait()
            return
        held_seconds = self._figures.wait_seconds(batch)
        if held_seconds:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), held_seconds)
            return
        after = self._outbox.acknowledged()
        try:
            taken = await self._receiver.take(batch, after=after)
        except PodUnknown:
            if not self.pod_unknown:
                logger.warning("the operator says that this pod owns no part", extra={"seconds": UNKNOWN_SECONDS})
            self.pod_unknown = True
            await asyncio.sleep(UNKNOWN_SECONDS)
        except CallbackRejected as error:
            # One that only informs must not hold up all that follow. What decides a status waits for a release that
            # can read it.
            if self._outbox.drop(error.sequence):
                logger.error("the operator cannot read a callback; it is dropped", extra=_about(error))  # noqa: TRY400
            else:
                await self._wait(f"the operator cannot read callback {error.sequence}: {error}")
        except DeliveryError as error:
            await self._wait(str(error))
        else:
            await self._note_taken(taken, batch, after=after)

    async def _note_taken(self, taken: Taken, batch: Sequence[StoredCallback], *, after: int) -> None:
        acknowledged = taken.acknowledged
        if acknowledged < after:
            self._tell_again(acknowledged, after=after)
            return
        self._outbox.acknowledge(acknowledged, now_ms=now().wall_ms)
        if acknowledged < batch[0].sequence:
            await self._wait("the operator acknowledged none of them")
            return
        self.pod_unknown = False
        if self._failures:
            logger.info("the operator takes callbacks again", extra={"failures": self._failures})
        self._failures = 0
        known = [stored for stored in batch if stored.sequence <= acknowledged]
        self._figures.taken(known, figures_seconds=taken.figures_seconds)
        self.sent += len(known)

    def _tell_again(self, known: int, *, after: int) -> None:
        """The status is one of before, as when a backup of the API server's store was restored."""
        recalled = self._outbox.recall(known)
        self._figures = _no_figures()
        logger.warning(
            "the status was put back to what it was before; it is told again what it has forgotten",
            extra={"acknowledged": after, "known": known, "callbacks": recalled},
        )

    async def _wait(self, reason: str) -> None:
        if not self._failures:
            logger.warning("callbacks could not be delivered; trying again", extra={"error": reason})
        self._failures += 1
        await asyncio.sleep(BACKOFF.after(self._failures, spread=_jitter.random()))


def _no_figures() -> HeldFigures:
    return HeldFigures(clock=lambda: asyncio.get_running_loop().time())


def _about(error: CallbackRejected) -> dict[str, object]:
    return {"sequence": error.sequence, "error": str(error)}


def _fitting(batch: Sequence[StoredCallback]) -> Sequence[StoredCallback]:
    """As many of the first callbacks as one request should hold, at least one."""
    total = 0
    for count, stored in enumerate(batch):
        total += len(stored.body.encode())
        if total > _REQUEST_BYTES and count:
            return batch[:count]
    return batch
