# SPDX-License-Identifier: Apache-2.0
"""Finds the pod that a callback's token belongs to, and the pod's recording: by TokenReview, kept for a minute."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cloud_recording.api.wire import CALLBACK_AUDIENCE
from cloud_recording.controller.known_pods import KnownPods
from cloud_recording.controller.recording_key import RecordingKey
from cloud_recording.kube.tokens import PodIdentity, TokenReviews, may_be_valid

ACCEPTED_TOKEN_SECONDS: Final = 60.0
REFUSED_TOKEN_SECONDS: Final = 5.0
"""How long a token that was refused is refused without asking: somebody who guesses must not load the API server."""

REMEMBERED_TOKENS: Final = 20_000


@dataclass(frozen=True, kw_only=True)
class Caller:
    """A pod that may speak for a part of a recording."""

    pod: PodIdentity
    recording: RecordingKey | None
    """None when the pod does not belong to a recording, or is gone."""
    recording_uid: str | None


class CallerIdentities:
    """Answers who holds a token. Tokens themselves are not kept, only their hashes."""

    def __init__(
        self, tokens: TokenReviews, pods: KnownPods, *, clock: Callable[[], float], utc: Callable[[], datetime]
    ) -> None:
        self._utc = utc
        self._tokens = tokens
        self._pods = pods
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[float, Caller | None]] = OrderedDict()

    async def caller(self, token: str) -> Caller | None:
        """The holder of the token, or None when the API server does not vouch for it."""
        if not may_be_valid(token, audience=CALLBACK_AUDIENCE, now=self._utc()):
            return None
        key = hashlib.sha256(token.encode()).digest()
        until, known = self._known.get(key, (0.0, None))
        if self._clock() < until:
            return known
        found = await self._ask(token, known)
        seconds = ACCEPTED_TOKEN_SECONDS if found is not None else REFUSED_TOKEN_SECONDS
        self._known[key] = (self._clock() + seconds, found)
        self._known.move_to_end(key)
        while len(self._known) > REMEMBERED_TOKENS:
            self._known.popitem(last=False)
        return found

    async def _ask(self, token: str, known: Caller | None) -> Caller | None:
        identity = await self._tokens.pod_of(token, audience=CALLBACK_AUDIENCE)
        if identity is None:
            return None
        if known is not None and known.pod == identity and known.recording is not None:
            return known
        pod = self._pods.remembered(namespace=identity.namespace, name=identity.name)
        if pod is None or pod.uid != identity.uid:
            pod = await self._pods.view(namespace=identity.namespace, name=identity.name)
        if pod is None or pod.uid != identity.uid or pod.recording is None:
            return Caller(pod=identity, recording=None, recording_uid=None)
        key = RecordingKey(identity.namespace, pod.recording)
        return Caller(pod=identity, recording=key, recording_uid=pod.recording_uid)
