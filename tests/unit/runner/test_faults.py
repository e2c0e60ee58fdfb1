# SPDX-License-Identifier: Apache-2.0
"""The type of an error says whom it may end, and an engine's answer ends nobody before the code that asked says so."""

from __future__ import annotations

import pytest

from cloud_recording.runner.faults import ProcessFault, RecordingFault
from cloud_recording.runner.recorder.engine import EngineError, EngineRefused, EngineUnavailable, EngineUnsupported
from cloud_recording.runner.supervisor.callback_delivery import CallbackRejected, DeliveryError, PodUnknown
from cloud_recording.runner.supervisor.mounts import UnreadableMount


@pytest.mark.parametrize(
    "answer",
    [
        EngineError,
        EngineRefused,
        EngineUnavailable,
        EngineUnsupported,
        DeliveryError,
        CallbackRejected,
        PodUnknown,
    ],
)
def test_what_an_engine_or_the_operator_answers_ends_nobody_by_itself(answer: type[Exception]) -> None:
    assert not issubclass(answer, (RecordingFault, ProcessFault))


def test_a_pod_without_its_documents_ends_the_process_and_not_the_recording() -> None:
    assert issubclass(UnreadableMount, ProcessFault)
    assert not issubclass(UnreadableMount, RecordingFault)
