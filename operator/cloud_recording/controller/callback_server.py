# SPDX-License-Identifier: Apache-2.0
"""The server that recorders report to. Any replica may answer: it decides nothing, it takes in facts.

What it acknowledges is in the status for good. Answers other than 200 mean: 400 this callback can never be applied, 401
or 403 the token is not accepted, 410 this pod has nothing more to say, 503 try again later.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from http import HTTPStatus
from typing import Final

from aiohttp import web
from pydantic import ValidationError

from cloud_recording.api.recording_storage import RecordingStorage
from cloud_recording.api.status import CloudRecordingStatus, PartState
from cloud_recording.api.wire import CALLBACK, CALLBACK_PATH, Callback, CallbackRequest, CallbackResponse
from cloud_recording.common.backoff import Backoff
from cloud_recording.common.json_types import Json
from cloud_recording.controller.callback_listener import RETRY_SECONDS, busy
from cloud_recording.controller.caller_identities import Caller, CallerIdentities
from cloud_recording.controller.figures_pacing import FiguresPacing
from cloud_recording.controller.keyed_locks import KeyedLocks
from cloud_recording.controller.known_recordings import KnownRecordings
from cloud_recording.controller.known_storages import KnownStorages
from cloud_recording.controller.log_setup import logging_about
from cloud_recording.controller.metrics import Metrics
from cloud_recording.controller.recording_key import RecordingKey
from cloud_recording.controller.status_writer import StatusWriter
from cloud_recording.domain import parts
from cloud_recording.domain.apply_callbacks import apply_callbacks
from cloud_recording.domain.decide import summary
from cloud_recording.domain.invalid_spec import ParsedRecording, parse, with_invalid_spec
from cloud_recording.domain.observed_state import OperatorContext
from cloud_recording.domain.store_refs import names_in, resolved
from cloud_recording.domain.totals import with_totals
from cloud_recording.kube.errors import Conflict, KubeError, NotFound

logger = logging.getLogger(__name__)

Storages = Mapping[str, RecordingStorage]

LARGEST_REQUEST: Final = 4 * 1024 * 1024
"""A hundred callbacks, each with a snapshot full to its bounds, in bytes with room to spare."""

MOST_UNDER_WAY: Final = 32
"""How many requests are applied at a time; of the API server's connections, which are a hundred, passes have the rest.

More at a time would be no more in a second: each would only wait for longer, until its client gives it up. And so would
passes, whose writes stand behind them in the API server: a stop is two of those.
"""

ATTEMPTS: Final = 8
"""How often callbacks are applied anew when others write the same resource in between."""

CONFLICT_BACKOFF: Final = Backoff(first_seconds=0.01, most_seconds=1.0)
"""Others write in bursts, which tries without a pause would all fall into."""


@dataclass(frozen=True, kw_only=True)
class _Applied:
    """What callbacks make of a recording."""

    body: Json
    before: CloudRecordingStatus
    after: CloudRecordingStatus
    acknowledged: int
    """The highest sequence that the status contains now, or that changes it no more."""


class GoneError(Exception):
    """The pod owns no part that is still to be reported on."""


class CallbackServer:
    """Takes callbacks in and applies them to statuses."""

    def __init__(  # noqa: PLR0913 - what answering a callback needs
        self,
        *,
        identities: CallerIdentities,
        recordings: KnownRecordings,
        storages: KnownStorages,
        statuses: StatusWriter,
        locks: KeyedLocks[RecordingKey],
        metrics: Metrics,
        context: Callable[[], OperatorContext],
        clock: Callable[[], datetime],
        turned_away: Callable[[], None],
        body_seconds: float,
    ) -> None:
        """`turned_away` is told of each request that is to come again later."""
        self._body_seconds = body_seconds
        self._identities = identities
        self._recordings = recordings
        self._storages = storages
        self._statuses = statuses
        self._locks = locks
        self._metrics = metrics
        self._context = context
        self._clock = clock
        self._turned_away = turned_away
        self._under_way = 0
        self._pacing = FiguresPacing(most_under_way=MOST_UNDER_WAY, clock=time.monotonic)

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """The answer to a request; there is one path, and one thing to do there."""
        started = time.monotonic()
        count, caller = 0, None
        try:
            self._admit(request)
            caller = await self._authenticated(request)
            async with asyncio.timeout(self._body_seconds):
                body = await request.json()
            batch = _parsed(body)
            count = len(batch.callbacks)
            if batch.pod_uid != caller.pod.uid:
                raise web.HTTPForbidden(text="the token was issued to another pod")
            acknowledged = await self._apply(caller, batch)
            pause = self._pacing.pause(spread=random.random())  # noqa: S311
            told = CallbackResponse(acknowledged=acknowledged, figures_seconds=round(pause, 1) or None)
            answer = web.json_response(told.model_dump(by_alias=True, exclude_none=True))
        except _BusyError:
            answer = busy()
        except GoneError:
            answer = web.json_response({"message": "this pod owns no part of a recording"}, status=410)
        except _InvalidError as error:
            answer = web.json_response({"invalid": error.sequence, "message": error.message}, status=400)
        except TimeoutError:
            answer = web.json_response({"message": "the request's body takes too long"}, status=408)
            answer.force_close()
        except json.JSONDecodeError:
            answer = web.json_response({"invalid": None, "message": "the request is not JSON"}, status=400)
        except web.HTTPException as error:
            answer = web.json_response({"message": error.text}, status=error.status)
        except KubeError as error:
            named = {"key": caller.recording} if caller is not None else {}
            logger.warning("callbacks not applied", extra={**named, "error": error.message})
            headers = {"Retry-After": str(RETRY_SECONDS)}
            answer = web.json_response({"message": "the API server cannot answer now"}, status=503, headers=headers)
        if answer.status == HTTPStatus.SERVICE_UNAVAILABLE:
            self._turned_away()
        self._metrics.callbacks_answered(outcome=str(answer.status), count=count, seconds=time.monotonic() - started)
        return answer

    def _admit(self, request: web.BaseRequest) -> None:
        """Raises where the request is none that can be answered, or not now."""
        if request.path != CALLBACK_PATH:
            raise web.HTTPNotFound(text="there is nothing here")
        if request.method != "POST":
            raise web.HTTPMethodNotAllowed(request.method, ["POST"], text="callbacks are posted")
        self._pacing.note(self._under_way)
        if self._under_way >= MOST_UNDER_WAY:
            # At once, before anything is asked about it: else turning requests away would take what serves others.
            self._metrics.request_shed()
            raise _BusyError

    async def _authenticated(self, request: web.BaseRequest) -> Caller:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise web.HTTPUnauthorized(text="a bearer token is required")
        caller = await self._identities.caller(token.strip())
        if caller is None:
            raise web.HTTPUnauthorized(text="the token is not accepted")
        return caller

    async def _apply(self, caller: Caller, batch: CallbackRequest) -> int:
        """The highest sequence that the status contains now, or that changes it no more."""
        if caller.recording is None:
            raise GoneError
        self._under_way += 1
        try:
            return await self._apply_to(caller, caller.recording, batch)
        finally:
            self._under_way -= 1

    async def _apply_to(self, caller: Caller, key: RecordingKey, batch: CallbackRequest) -> int:
        for attempt in range(1, ATTEMPTS + 1):
            async with self._locks.hold(key):
                try:
                    with logging_about(key):
                        return await self._apply_once(caller, key, batch)
                except Conflict:
                    if attempt == ATTEMPTS:
                        raise
            await asyncio.sleep(CONFLICT_BACKOFF.after(attempt, spread=random.random()))  # noqa: S311
        raise AssertionError("the loop above returns or raises")

    async def _apply_once(self, caller: Caller, key: RecordingKey, batch: CallbackRequest) -> int:
        remembered = self._recordings.remembered(key)
        if remembered is not None:
            with contextlib.suppress(GoneError):
                applied = self._applied(caller, remembered, batch, await self._named_by(remembered))
                # An answer without a write would rest on what may be out of date.
                if applied.after != applied.before:
                    return await self._write(applied)
        try:
            body = await self._recordings.read(key)
        except NotFound:
            raise GoneError from None
        return await self._write(self._applied(caller, body, batch, await self._named_by(body)))

    async def _named_by(self, body: Json) -> Storages:
        return await self._storages.named(body["metadata"]["namespace"], names_in(body))

    async def _write(self, applied: _Applied) -> int:
        await self._statuses.write(applied.body, before=applied.before, after=applied.after)
        return applied.acknowledged

    def _applied(self, caller: Caller, body: Json, batch: CallbackRequest, storages: Storages) -> _Applied:
        """What becomes of the recording; raises GoneError where the pod has no say in it."""
        if body["metadata"]["uid"] != caller.recording_uid:
            raise GoneError
        parsed = parse(body)
        status = parsed.recording.status
        part = parts.find(status, pod_name=caller.pod.name, pod_uid=caller.pod.uid)
        if part is None or part.state is PartState.LOST:
            raise GoneError
        highest = max(part.sequence, *(callback.sequence for callback in batch.callbacks))
        if part.state is PartState.CONCLUDED:
            return _Applied(body=body, before=status, after=status, acknowledged=highest)
        if batch.after is not None and part.sequence < batch.after:
            # A backup of the API server's store was restored. What lies between must not be skipped.
            return _Applied(body=body, before=status, after=status, acknowledged=part.sequence)
        known = parts.changed(part, pod_uid=caller.pod.uid)
        after = self._after(parsed, parts.replaced(status, known), part.number, batch.callbacks, storages)
        return _Applied(body=body, before=status, after=after, acknowledged=highest)

    def _after(
        self,
        parsed: ParsedRecording,
        status: CloudRecordingStatus,
        number: int,
        callbacks: Sequence[Callback],
        storages: Storages,
    ) -> CloudRecordingStatus:
        recording, now = parsed.recording, self._clock()
        applied = apply_callbacks(status, number=number, callbacks=callbacks, received_at=now)
        if parsed.spec_error is not None and recording.metadata.deletion_timestamp is None:
            return with_invalid_spec(recording, with_totals(applied), parsed.spec_error, now=now)
        stores = resolved(recording.model_copy(update={"status": applied}), storages)
        context = replace(self._context(), store_wait=stores.waits)
        return summary(stores.recording, applied, now=now, context=context)


class _BusyError(Exception):
    """As many requests as can be served are under way."""


class _InvalidError(Exception):
    def __init__(self, sequence: int | None, message: str) -> None:
        super().__init__(message)
        self.sequence = sequence
        self.message = message


def _parsed(body: object) -> CallbackRequest:
    """The request, or the first callback in it that can never be understood, by its sequence."""
    try:
        return CallbackRequest.model_validate(body)
    except ValidationError as whole:
        listed = body.get("callbacks") if isinstance(body, dict) else None
        for one in listed if isinstance(listed, list) else []:
            try:
                CALLBACK.validate_python(one)
            except ValidationError as error:
                sequence = one.get("sequence") if isinstance(one, dict) else None
                raise _InvalidError(sequence if isinstance(sequence, int) else None, _first_error(error)) from None
        raise _InvalidError(None, _first_error(whole)) from None


def _first_error(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
