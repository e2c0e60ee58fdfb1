# SPDX-License-Identifier: Apache-2.0
"""Which decisions may rest on what was seen before."""

from __future__ import annotations

import pytest

from cloud_recording.api.recording import CloudRecording
from cloud_recording.api.status import PartState
from cloud_recording.domain.certainty import cannot_be_undone
from cloud_recording.domain.decide import decide
from cloud_recording.domain.decision import AnnotatePod
from tests.unit.domain.builders import NOW, PodBuilder, a_part, a_pod, a_recording, context, pods


def is_final(recording: CloudRecording, *seen: PodBuilder) -> bool:
    decision = decide(recording, pods(*seen), now=NOW, context=context())
    return cannot_be_undone(recording.status, decision)


def settled_pod(recording: CloudRecording, pod: PodBuilder) -> PodBuilder:
    """The pod as it is when nothing is left to be told to it."""
    (action,) = decide(recording, pods(pod), now=NOW, context=context()).actions
    assert isinstance(action, AnnotatePod)
    pod.metadata["annotations"] = action.annotations
    return pod


@pytest.mark.parametrize("pod", [a_pod(), a_pod().running(), a_pod().unschedulable("no node fits")])
def test_how_a_pod_is_on_its_way_may_be_told_from_memory(pod: PodBuilder) -> None:
    recording = a_recording().parts(a_part(state=PartState.PENDING)).build()
    assert not is_final(recording, settled_pod(recording, pod))


def test_a_part_begins_ends_or_is_acted_upon_only_on_what_is_read_now() -> None:
    part = a_part(state=PartState.RECORDING, start_time=NOW)
    assert is_final(a_recording().build()), "a part begins"
    assert is_final(a_recording().parts(part).build()), "its pod is not there"
    assert is_final(a_recording().parts(part).build(), a_pod().ended(exit_code=1)), "it ended"
    assert is_final(a_recording().parts(part).stopped().build(), a_pod().running()), "it is told to stop"


def test_a_recording_that_is_over_stays_so() -> None:
    over = decide(a_recording().stopped().build(), {}, now=NOW, context=context()).status
    assert is_final(a_recording().stopped().build()), "it ends"
    assert not is_final(a_recording().stopped().unheld().status(over).build()), "there is nothing left to do"
