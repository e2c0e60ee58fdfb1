# SPDX-License-Identifier: Apache-2.0
"""Brings the outbox to the operator: in order, at least once, over TLS, for as long as it takes.

The certificate authority and the token are read from their files whenever they are needed, so that a rotation of either
heals by itself. The operator may be away for days: then the outbox keeps what matters.
"""

from __future__ import annotations

import asyncio
import logging
import random
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import aiohttp

from cloud_recording.api.wire import CALLBACK_PATH, MAX_CALLBACKS_PER_REQUEST
from cloud_recording.common.backoff import Backoff
from cloud_recording.runner.outbox import Outbox, StoredCallback

logger = logging.getLogger(__name__)

_REQUEST_SECONDS: Final = 15.0
_REQUEST_BYTES: Final = 256 * 1024
_GONE: Final = 410
_OK: Final = 200
_BAD_REQUEST: Final = 400

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


class Receiver(Protocol):
    """Takes callbacks and answers with the highest sequence that needs not be sent again."""

    async def take(self, callbacks: Sequence[StoredCallback]) -> int:
        """Raises DeliveryError, PodUnknown or CallbackRejected where they could not be taken."""

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
        try:
            acknowledged = await self._receiver.take(batch)
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
            await self._acknowledge(acknowledged, batch)

    async def _acknowledge(self, acknowledged: int, batch: Sequence[StoredCallback]) -> None:
        self._outbox.acknowledge(acknowledged)
        if acknowledged < batch[0].sequence:
            await self._wait("the operator acknowledged none of them")
            return
        self.pod_unknown = False
        if self._failures:
            logger.info("the operator hears us again", extra={"failures": self._failures})
        self._failures = 0
        self.sent += sum(stored.sequence <= acknowledged for stored in batch)

    async def _wait(self, reason: str) -> None:
        if not self._failures:
            logger.warning("callbacks could not be delivered; trying again", extra={"error": reason})
        self._failures += 1
        await asyncio.sleep(BACKOFF.after(self._failures, spread=_jitter.random()))


def _about(error: CallbackRejected) -> dict[str, object]:
    return {"sequence": error.sequence, "error": str(error)}


def _fitting(batch: Sequence[StoredCallback]) -> Sequence[StoredCallback]:
    """As many of the first callbacks as one request should hold, at least one."""
    total = 0
    for count, stored in enumerate(batch):
        total += len(stored.document.encode())
        if total > _REQUEST_BYTES and count:
            return batch[:count]
    return batch


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorAddress:
    """Where the operator is, and what shows who is who."""

    url: str
    pod_uid: str
    token: Path
    authorities: Path


async def _acknowledged(response: aiohttp.ClientResponse) -> int:
    """What the operator's answer means."""
    if response.status == _GONE:
        raise PodUnknown
    if response.status == _BAD_REQUEST:
        answer = await response.json()
        raise CallbackRejected(int(answer["invalid"]), str(answer.get("message", "")))
    if response.status != _OK:
        raise DeliveryError(f"the operator answered {response.status}")
    return int((await response.json())["acknowledged"])


class OperatorReceiver:
    """The operator's callback server."""

    def __init__(self, address: OperatorAddress) -> None:
        self._address = address
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_REQUEST_SECONDS))
        self._context: tuple[str, ssl.SSLContext] | None = None

    async def close(self) -> None:
        """Gives connections back."""
        await self._session.close()

    async def take(self, callbacks: Sequence[StoredCallback]) -> int:
        """Sends one request; its answer's status decides what follows."""
        body = {"podUID": self._address.pod_uid, "callbacks": [stored.as_sent() for stored in callbacks]}
        try:
            async with self._session.post(
                self._address.url.rstrip("/") + CALLBACK_PATH,
                json=body,
                ssl=self._tls(),
                headers={"Authorization": f"Bearer {self._address.token.read_text(encoding='ascii').strip()}"},
                allow_redirects=False,
            ) as response:
                return await _acknowledged(response)
        except (aiohttp.ClientError, OSError, TimeoutError, ssl.SSLError) as error:
            raise DeliveryError(f"{type(error).__name__}: {error}") from error
        except (KeyError, TypeError, ValueError) as error:
            raise DeliveryError(f"the operator's answer cannot be understood: {error}") from error

    def _tls(self) -> ssl.SSLContext:
        """Trusts exactly what the file says now; contexts are kept, for connections are kept per context."""
        authorities = self._address.authorities.read_text(encoding="ascii")
        if self._context is None or self._context[0] != authorities:
            self._context = (authorities, ssl.create_default_context(cadata=authorities))
        return self._context[1]
