# SPDX-License-Identifier: Apache-2.0
"""The operator's callback server, as a receiver of callbacks: HTTPS with the pod's own token.

The certificate authority and the token are read from their files whenever they are needed, so that a rotation of either
heals by itself.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from cloud_recording.api.wire import CALLBACK_PATH
from cloud_recording.runner.outbox import StoredCallback
from cloud_recording.runner.supervisor.callback_delivery import CallbackRejected, DeliveryError, PodUnknown, Taken

_REQUEST_SECONDS: Final = 15.0
KEPT_SECONDS: Final = 120.0
"""How long a connection is kept without a request: beyond the longest silence, as each handshake costs the operator
more than what is told, and within what the operator grants."""

_GONE: Final = 410
_OK: Final = 200
_BAD_REQUEST: Final = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorAddress:
    """Where the operator is, and what shows who is who."""

    url: str
    pod_uid: str
    token: Path
    authorities: Path


async def _taken(response: aiohttp.ClientResponse) -> Taken:
    """What the operator's answer means."""
    if response.status == _GONE:
        raise PodUnknown
    if response.status == _BAD_REQUEST:
        answer = await response.json()
        raise CallbackRejected(int(answer["invalid"]), str(answer.get("message", "")))
    if response.status != _OK:
        raise DeliveryError(f"the operator answered {response.status}")
    answer = await response.json()
    # An operator of an older release asks for nothing.
    return Taken(acknowledged=int(answer["acknowledged"]), figures_seconds=float(answer.get("figuresSeconds", 0)))


class OperatorReceiver:
    """The operator's callback server."""

    def __init__(self, address: OperatorAddress) -> None:
        self._address = address
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(keepalive_timeout=KEPT_SECONDS),
            timeout=aiohttp.ClientTimeout(total=_REQUEST_SECONDS),
        )
        self._context: tuple[str, ssl.SSLContext] | None = None

    async def close(self) -> None:
        """Gives connections back."""
        await self._session.close()

    async def take(self, callbacks: Sequence[StoredCallback], *, after: int) -> Taken:
        """Sends one request; its answer's status decides what follows."""
        body = {
            "podUID": self._address.pod_uid,
            "after": after,
            "callbacks": [stored.as_sent() for stored in callbacks],
        }
        try:
            async with self._session.post(
                self._address.url.rstrip("/") + CALLBACK_PATH,
                json=body,
                ssl=self._tls(),
                headers={"Authorization": f"Bearer {self._address.token.read_text(encoding='ascii').strip()}"},
                allow_redirects=False,
            ) as response:
                return await _taken(response)
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
