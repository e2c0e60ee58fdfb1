# SPDX-License-Identifier: Apache-2.0
"""How callbacks reach an operator that does not want them now."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from cloud_recording.common.callback_names import CallbackName
from cloud_recording.runner.outbox import NewCallback, Outbox, StoredCallback, Writer
from cloud_recording.runner.supervisor.callback_delivery import UNKNOWN_SECONDS, Delivery, PodUnknown, Taken

pytestmark = pytest.mark.looptime


class Operator:
    """Does not know the pod until it is put back in its place."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.taken: list[str] = []
        self.knows_the_pod = False
        self.figures_seconds = 0.0
        self.known: int | None = None
        """The sequence that its status holds, where that was put back."""

    async def take(self, callbacks: Sequence[StoredCallback], *, after: int) -> Taken:
        self.asked.append(asyncio.get_running_loop().time())
        if not self.knows_the_pod:
            raise PodUnknown
        if self.known is not None and self.known < after:
            return Taken(acknowledged=self.known)
        self.known = None
        self.taken += [one.type for one in callbacks]
        return Taken(acknowledged=callbacks[-1].sequence, figures_seconds=self.figures_seconds)

    async def close(self) -> None:
        """Nothing is held."""


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "outbox.sqlite3", writer=Writer.SUPERVISOR)


async def _until(holds: Callable[[], object]) -> None:
    while not holds():  # noqa: ASYNC110 - in virtual time
        await asyncio.sleep(1)


@contextlib.asynccontextmanager
async def _delivering(outbox: Outbox, operator: Operator) -> AsyncIterator[Delivery]:
    """Delivers what is in the outbox for the time of the block."""
    delivery = Delivery(outbox, operator, up_to=outbox.last_sequence)
    task = asyncio.create_task(delivery.run())
    try:
        yield delivery
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        outbox.close()


async def test_an_operator_that_does_not_know_the_pod_is_asked_again_and_told_everything_once_it_does(
    outbox: Outbox,
) -> None:
    """Promise (B6): an operator that was put back by a release costs no callback, once the newer one is there again."""
    operator = Operator()
    async with _delivering(outbox, operator) as delivery:
        for kind in ("RecordingConnecting", "RecordingStarted"):
            outbox.append([NewCallback(type=CallbackName(kind), time_ms=1, payload={})])
            delivery.wake()
        await _until(lambda: len(operator.asked) == 3)
        assert delivery.pod_unknown
        assert operator.asked[2] - operator.asked[0] == pytest.approx(2 * UNKNOWN_SECONDS)
        operator.knows_the_pod = True
        await _until(lambda: not outbox.waiting())
        assert operator.taken == ["RecordingConnecting", "RecordingStarted"]
        assert not delivery.pod_unknown


async def test_an_operator_whose_status_was_put_back_is_told_again_what_it_forgot_in_order(outbox: Outbox) -> None:
    operator = Operator()
    operator.knows_the_pod = True
    async with _delivering(outbox, operator) as delivery:
        for kind in (CallbackName.CONNECTING, CallbackName.STARTED, CallbackName.DESIRED_STATE_APPLIED):
            outbox.append([NewCallback(type=kind, time_ms=1, payload={})])
            delivery.wake()
            await _until(lambda: not outbox.waiting())
        operator.known = 1
        operator.taken.clear()
        outbox.append([NewCallback(type=CallbackName.STOPPED, time_ms=2, payload={})])
        delivery.wake()
        await _until(lambda: not outbox.waiting())
        assert operator.taken == ["RecordingStarted", "DesiredStateApplied", "RecordingStopped"]
        operator.known = 0
        operator.taken.clear()
        outbox.append([_snapshot(1)])
        delivery.wake()
        await _until(lambda: not outbox.waiting())
        told_once = ["RecordingConnecting", "RecordingStarted", "DesiredStateApplied", "RecordingStopped", "Snapshot"]
        assert operator.taken == told_once, "and again, where it forgets twice"


def _snapshot(uploaded: int, **fields: object) -> NewCallback:
    snapshot = {"state": "Recording", "slices": {"uploaded": uploaded}, "positionMilliseconds": uploaded, **fields}
    return NewCallback(type=CallbackName.SNAPSHOT, time_ms=uploaded, payload={}, snapshot=snapshot)


async def test_figures_wait_for_as_long_as_the_operator_asks_and_nothing_else_does(outbox: Outbox) -> None:
    operator = Operator()
    operator.knows_the_pod, operator.figures_seconds = True, 20.0
    async with _delivering(outbox, operator) as delivery:

        async def told(*callbacks: NewCallback) -> float:
            """After how many seconds the operator had them."""
            begun, count = asyncio.get_running_loop().time(), len(operator.asked)
            outbox.append(callbacks)
            delivery.wake()
            await _until(lambda: len(operator.asked) > count)
            return operator.asked[-1] - begun

        await told(_snapshot(1))
        assert await told(_snapshot(2)) == pytest.approx(20, abs=2)
        assert await told(_snapshot(3, state="Paused")) <= 1, "the state changed"
        assert await told(NewCallback(type=CallbackName.STOPPED, time_ms=4, payload={})) <= 1
        operator.figures_seconds = 0.0
        assert await told(_snapshot(4, state="Recording")) <= 1
        assert await told(_snapshot(5)) <= 1, "it is asked for no more"


async def test_the_first_slice_in_the_bucket_and_the_last_one_before_a_stop_are_no_mere_figures(outbox: Outbox) -> None:
    operator = Operator()
    operator.knows_the_pod, operator.figures_seconds = True, 3600.0
    async with _delivering(outbox, operator) as delivery:
        for callbacks in ([_snapshot(0)], [_snapshot(1)], [_snapshot(2)]):
            outbox.append(callbacks)
            delivery.wake()
            await asyncio.sleep(1)
        assert len(operator.asked) == 2
        outbox.append([_snapshot(3), NewCallback(type=CallbackName.STOPPED, time_ms=4, payload={})])
        delivery.wake()
        await asyncio.sleep(1)
        assert operator.taken[2:] == ["Snapshot", CallbackName.STOPPED]


async def test_no_operator_can_make_a_recorder_fall_silent(outbox: Outbox) -> None:
    operator = Operator()
    operator.knows_the_pod, operator.figures_seconds = True, 3600.0
    async with _delivering(outbox, operator) as delivery:
        for number in (1, 2):
            outbox.append([_snapshot(number)])
            delivery.wake()
            await _until(lambda: not outbox.waiting())
        assert operator.asked[1] - operator.asked[0] < 60
