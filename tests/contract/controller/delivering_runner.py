# SPDX-License-Identifier: Apache-2.0
"""What speaks for a pod by the recorder's own outbox and delivery: they tell again what a status forgot."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

from cloud_recording.api.wire import CALLBACK_CA_ANNOTATION
from cloud_recording.common.callback_names import CallbackName
from cloud_recording.runner.outbox import NewCallback, Outbox, Writer
from cloud_recording.runner.supervisor.callback_delivery import Delivery
from cloud_recording.runner.supervisor.operator_receiver import OperatorAddress, OperatorReceiver
from tests.contract.controller.stage import Stage, is_true

Json = dict[str, Any]

TOLD_SECONDS = 90.0
BEGINNING = {"runnerVersion": "1", "engineName": "default", "engineExtended": True}


class DeliveringRunner:
    """One recorder's outbox and its delivery."""

    def __init__(self, pod: Json, outbox: Outbox, delivery: Delivery) -> None:
        self.pod = pod
        self._outbox = outbox
        self._delivery = delivery

    @classmethod
    @asynccontextmanager
    async def of(cls, stage: Stage, recording: str, *, url: str, directory: Path) -> AsyncIterator[Self]:
        """Makes the recording, speaks for its pod, and has it record, as its status says by then."""
        await stage.apply(recording)
        pod = await stage.new_pod(recording)
        await stage.place(pod)
        place = directory / pod["metadata"]["uid"]
        place.mkdir()
        token, authorities = place / "token", place / "authorities.pem"
        token.write_text(await stage.token(pod))
        authorities.write_text(pod["metadata"]["annotations"][CALLBACK_CA_ANNOTATION])
        uid = pod["metadata"]["uid"]
        receiver = OperatorReceiver(OperatorAddress(url=url, pod_uid=uid, token=token, authorities=authorities))
        outbox = Outbox(place / "outbox", writer=Writer.SUPERVISOR)
        delivery = Delivery(outbox, receiver, up_to=outbox.last_sequence)
        runner = cls(pod, outbox, delivery)
        task = asyncio.create_task(delivery.run())
        try:
            runner.tell((CallbackName.RUNNER_STARTED, BEGINNING), (CallbackName.CONNECTING, {}))
            await stage.report_running(pod)
            runner.tell((CallbackName.STARTED, {}), (CallbackName.DESIRED_STATE_APPLIED, {"generation": 1}))
            await runner.until_taken()
            await stage.until(lambda seen: is_true(seen, "Recording"), name=recording)
            yield runner
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            outbox.close()

    @property
    def last_sequence(self) -> int:
        """The sequence of what was told last."""
        return self._outbox.last_sequence()

    def tell(self, *callbacks: tuple[CallbackName, Json]) -> None:
        """Puts callbacks into the outbox."""
        moment = time.time_ns() // 1_000_000
        self._outbox.append([NewCallback(type=kind, time_ms=moment, payload=fields) for kind, fields in callbacks])
        self._delivery.wake()

    async def until_taken(self) -> None:
        """Returns when the operator has all of it."""
        async with asyncio.timeout(TOLD_SECONDS):
            while self._outbox.waiting():  # noqa: ASYNC110 - the delivery is what is waited for
                await asyncio.sleep(0.05)

    async def end(self, stage: Stage, recording: str, *, others: Sequence[Json] = ()) -> Json:
        """Ends as a recorder does that was told to stop; the pod as it is then, in which other containers may run."""
        await stage.edit(recording, desiredState="Stopped")
        slices = {"written": 7, "uploaded": 7}
        summary = {
            "recordingId": "0" * 32,
            "part": 0,
            "outcome": "Uploaded",
            "slices": slices,
            "somebodyJoined": True,
        }
        self.tell((CallbackName.STOPPED, {}), (CallbackName.FINISHED, {"summary": summary}))
        await self.until_taken()
        return await stage.report_ended(self.pod, json.dumps(summary), others=others)
