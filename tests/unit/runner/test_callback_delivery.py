# SPDX-License-Identifier: Apache-2.0
"""How callbacks reach an operator that does not want them now."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from cloud_recording.common.callback_names import CallbackName
from cloud_recording.runner.outbox import NewCallback, Outbox, StoredCallback, Writer
from cloud_recording.runner.supervisor.callback_delivery import UNKNOWN_SECONDS, Delivery, PodUnknown

pytestmark = pytest.mark.looptime


class Operator:
    """Does not know the pod until it is put back in its place."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        self.taken: list[str] = []
        self.knows_the_pod = False

    async def take(self, callbacks: Sequence[StoredCallback]) -> int:
        self.asked.append(asyncio.get_running_loop().time())
        if not self.knows_the_pod:
            raise PodUnknown
        self.taken += [one.type for one in callbacks]
        return callbacks[-1].sequence

    async def close(self) -> None:
        """Nothing is held."""


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "outbox.sqlite3", writer=Writer.SUPERVISOR)


async def _until(holds: Callable[[], object]) -> None:
    while not holds():  # noqa: ASYNC110 - in virtual time
        await asyncio.sleep(1)


async def test_an_operator_that_does_not_know_the_pod_is_asked_again_and_told_everything_once_it_does(
    outbox: Outbox,
) -> None:
    """Promise (B6): an operator that was put back by a release costs no callback, once the newer one is there again."""
    operator = Operator()
    delivery = Delivery(outbox, operator, up_to=outbox.last_sequence)
    task = asyncio.create_task(delivery.run())
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
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    outbox.close()
