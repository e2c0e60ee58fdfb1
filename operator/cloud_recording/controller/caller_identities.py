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
from cloud_recording.controller.recording_key import RecordingKey
from cloud_recording.domain.pod_view import PodView, recording_of
from cloud_recording.kube.pods import Pods
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
        self, tokens: TokenReviews, pods: Pods, *, clock: Callable[[], float], utc: Callable[[], datetime]
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
        found = await self._ask(token)
        seconds = ACCEPTED_TOKEN_SECONDS if found is not None else REFUSED_TOKEN_SECONDS
        self._known[key] = (self._clock() + seconds, found)
        self._known.move_to_end(key)
        while len(self._known) > REMEMBERED_TOKENS:
            self._known.popitem(last=False)
        return found

    async def _ask(self, token: str) -> Caller | None:
        identity = await self._tokens.pod_of(token, audience=CALLBACK_AUDIENCE)
        if identity is None:
            return None
        pod = await self._pods.read(namespace=identity.namespace, name=identity.name)
        nobody = Caller(pod=identity, recording=None, recording_uid=None)
        if pod is None or pod["metadata"]["uid"] != identity.uid:
            return nobody
        name = recording_of(pod)
        if name is None:
            return nobody
        key = RecordingKey(identity.namespace, name)
        return Caller(pod=identity, recording=key, recording_uid=PodView.of(pod).recording_uid)
