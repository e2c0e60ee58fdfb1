# SPDX-License-Identifier: Apache-2.0
"""The outbox keeps order, numbers and what matters, whoever writes and however long nobody listens."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cloud_recording.api.wire import CALLBACK
from cloud_recording.common.callback_names import CallbackName
from cloud_recording.runner.outbox import INFORMATIVE_LIMIT, TOLD_LIMIT, NewCallback, Outbox, Writer

OpenOutbox = Callable[[Writer], Outbox]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[OpenOutbox]:
    """Opens the outbox once more, as another process would."""
    outboxes: list[Outbox] = []

    def open_outbox(writer: Writer) -> Outbox:
        outboxes.append(Outbox(tmp_path / "work" / "outbox.sqlite3", writer=writer))
        return outboxes[-1]

    yield open_outbox
    for outbox in outboxes:
        outbox.close()


def new_callback(kind: str, **payload: object) -> NewCallback:
    return NewCallback(type=CallbackName(kind), time_ms=1_700_000_000_123, payload=payload)


def waiting(outbox: Outbox) -> list[tuple[int, str]]:
    return [(stored.sequence, stored.type) for stored in outbox.pending(limit=100_000)]


def test_callbacks_of_two_writers_share_one_sequence(opened: OpenOutbox) -> None:
    supervisor, recorder = opened(Writer.SUPERVISOR), opened(Writer.RECORDER)
    supervisor.append([new_callback("SecretsComplete")])
    recorder.append([new_callback("RecordingConnecting"), new_callback("RecordingStarted")])
    supervisor.append([new_callback("DesiredStateApplied", generation=1)])
    assert waiting(supervisor) == [
        (1, "SecretsComplete"),
        (2, "RecordingConnecting"),
        (3, "RecordingStarted"),
        (4, "DesiredStateApplied"),
    ]
    assert [stored.sequence for stored in supervisor.pending(limit=9, writer=Writer.RECORDER, after=2)] == [3]
    assert [stored.sequence for stored in supervisor.pending(limit=2, up_to=3)] == [1, 2]


def test_a_sequence_is_never_given_twice(opened: OpenOutbox) -> None:
    outbox = opened(Writer.SUPERVISOR)
    outbox.append([new_callback("RecordingConnecting")])
    outbox.acknowledge(1, now_ms=0)
    assert (waiting(outbox), outbox.last_sequence()) == ([], 1)
    outbox.append([new_callback("RecordingStarted")])
    assert waiting(opened(Writer.RECORDER)) == [(2, "RecordingStarted")]


def test_what_was_told_waits_again_where_it_was_forgotten_but_for_figures(opened: OpenOutbox) -> None:
    outbox = opened(Writer.RECORDER)
    outbox.append([new_callback("RecordingConnecting"), new_callback("RecordingStarted"), new_callback("Snapshot")])
    outbox.acknowledge(2, now_ms=1)
    outbox.acknowledge(3, now_ms=2)
    assert (waiting(outbox), outbox.acknowledged()) == ([], 3)
    outbox.append([new_callback("RecordingStopped")])
    assert opened(Writer.SUPERVISOR).recall(1) == 1
    assert waiting(outbox) == [(2, "RecordingStarted"), (4, "RecordingStopped")]
    assert outbox.acknowledged() == 1
    outbox.acknowledge(4, now_ms=3)
    assert outbox.recall(0) == 3, "as often as it is forgotten"


def test_what_was_told_is_kept_for_an_hour_and_not_without_end(opened: OpenOutbox) -> None:
    outbox = opened(Writer.RECORDER)
    outbox.append([new_callback("RecordingConnecting"), new_callback("RecordingStarted")])
    outbox.acknowledge(1, now_ms=0)
    outbox.acknowledge(2, now_ms=3_600_001)
    assert outbox.recall(0) == 1
    assert waiting(outbox) == [(2, "RecordingStarted")]
    outbox.append([new_callback("DesiredStateApplied", generation=1)] * TOLD_LIMIT)
    outbox.acknowledge(outbox.last_sequence(), now_ms=0)
    assert outbox.recall(0) == TOLD_LIMIT


def test_an_outbox_of_an_earlier_release_is_gone_on_with(opened: OpenOutbox, tmp_path: Path) -> None:
    outbox = opened(Writer.RECORDER)
    outbox.append([new_callback("RecordingConnecting")])
    with sqlite3.connect(tmp_path / "work" / "outbox.sqlite3") as earlier:
        earlier.execute("DROP TABLE told")
    earlier.close()
    outbox = opened(Writer.RECORDER)
    assert (waiting(outbox), outbox.acknowledged()) == ([(1, "RecordingConnecting")], 0)
    outbox.acknowledge(1, now_ms=0)


def test_what_another_pod_told_is_not_told_again(opened: OpenOutbox) -> None:
    outbox = opened(Writer.SUPERVISOR)
    outbox.claim("one")
    outbox.append([new_callback("RecordingConnecting")])
    outbox.acknowledge(1, now_ms=0)
    outbox.claim("another")
    assert (outbox.recall(0), outbox.acknowledged()) == (0, 0)


def test_a_pod_that_goes_on_with_a_part_does_not_say_that_it_is_over(opened: OpenOutbox) -> None:
    """Promise: what the pod before had not told any more is told, and nobody takes its end for this one's."""
    outbox = opened(Writer.SUPERVISOR)
    outbox.claim("one")
    outbox.append([new_callback("RecordingStopped"), new_callback("Finished")])
    outbox.acknowledge(2, now_ms=1)
    outbox.append([new_callback("RecordingUploaded"), new_callback("Finished")])
    outbox.claim("rescuer", takes_over=True)
    outbox.forget(CallbackName.FINISHED)
    outbox.begin_after(1_000)
    outbox.append([new_callback("RunnerStarted")])
    assert waiting(outbox) == [(3, "RecordingUploaded"), (1001, "RunnerStarted")]
    assert outbox.acknowledged() == 2
    outbox.recall(0)
    assert waiting(outbox) == [(1, "RecordingStopped"), (3, "RecordingUploaded"), (1001, "RunnerStarted")]
    outbox.begin_after(7)
    outbox.append([new_callback("RecordingUploaded")])
    assert outbox.last_sequence() == 1002


def test_a_stored_callback_is_what_the_wire_knows(opened: OpenOutbox) -> None:
    outbox = opened(Writer.RECORDER)
    outbox.append([new_callback("UploaderFailure", code=439, message="会议")])
    (stored,) = outbox.pending(limit=1)
    assert stored.as_sent() == {
        "sequence": 1,
        "type": "UploaderFailure",
        "time": "2023-11-14T22:13:20.123Z",
        "code": 439,
        "message": "会议",
    }
    CALLBACK.validate_python(stored.as_sent())


def test_only_the_newest_figures_wait(opened: OpenOutbox) -> None:
    outbox = opened(Writer.RECORDER)
    outbox.append([new_callback("Snapshot"), new_callback("RecordingStarted"), new_callback("Snapshot")])
    outbox.append(
        [new_callback("RecordingUploadingProgress", progressPercent=1, playlist="p"), new_callback("Snapshot")]
    )
    assert [kind for _, kind in waiting(outbox)] == ["RecordingStarted", "RecordingUploadingProgress", "Snapshot"]


def test_what_only_informs_is_bounded_and_what_decides_is_not(opened: OpenOutbox) -> None:
    outbox = opened(Writer.RECORDER)
    deciding = [new_callback("RecordingStarted"), new_callback("RecorderFailure", code=434, message="nobody")]
    outbox.append(deciding)
    for _ in range(3):
        outbox.append([new_callback("UploaderFailure", code=439, message="no")] * INFORMATIVE_LIMIT)
    outbox.append([new_callback("RecordingStopped")])
    kinds = [kind for _, kind in waiting(outbox)]
    assert kinds.count("UploaderFailure") == INFORMATIVE_LIMIT
    assert (kinds[:2], kinds[-1]) == (["RecordingStarted", "RecorderFailure"], "RecordingStopped")


def test_facts_are_stored_with_the_callbacks_that_told_them(opened: OpenOutbox) -> None:
    outbox = opened(Writer.SUPERVISOR)
    unstorable = NewCallback(type=CallbackName.FINISHED, time_ms=0, payload={"summary": object()})
    with pytest.raises(TypeError):
        outbox.append([unstorable], facts={"facts": "new"})
    assert (outbox.fact("facts"), waiting(outbox)) == (None, [])
    outbox.append([new_callback("Finished", summary={})], facts={"facts": json.dumps({"a": 1})})
    assert opened(Writer.RECORDER).fact("facts") == '{"a": 1}'


def test_another_pods_outbox_is_begun_anew_but_for_its_numbers(opened: OpenOutbox) -> None:
    outbox = opened(Writer.SUPERVISOR)
    outbox.claim("the first pod")
    outbox.append([new_callback("RecordingStarted")], facts={"facts": "old"})
    outbox.claim("the first pod")
    assert len(waiting(outbox)) == 1
    outbox.claim("the second pod")
    assert (waiting(outbox), outbox.fact("facts")) == ([], None)
    outbox.append([new_callback("RecordingConnecting")])
    assert waiting(outbox) == [(2, "RecordingConnecting")]


def test_only_what_informs_can_be_dropped(opened: Callable[[Writer], Outbox]) -> None:
    outbox = opened(Writer.RECORDER)
    outbox.append(
        [
            new_callback("UploaderFailure", code=439, message="no"),
            new_callback("RecordingStopped"),
            new_callback("Snapshot"),
        ]
    )
    assert [outbox.drop(sequence) for sequence in (1, 2, 3)] == [True, False, True]
    assert waiting(outbox) == [(2, "RecordingStopped")]
