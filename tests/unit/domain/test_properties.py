# SPDX-License-Identifier: Apache-2.0
"""What holds for every recording, every set of pods and every order of callbacks, not only for those in the tables."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_recording.api.reasons import Reason
from cloud_recording.api.recording import CloudRecording
from cloud_recording.api.status import Amounts, CloudRecordingStatus, Outcome, Part, PartState, Pause
from cloud_recording.common.error_codes import RecordingErrorCode
from cloud_recording.domain import parts
from cloud_recording.domain.apply_callbacks import apply_callbacks
from cloud_recording.domain.decide import decide
from cloud_recording.domain.decision import CreatePod, DeletePod, ReleaseRecording
from cloud_recording.domain.pod_view import PodView
from cloud_recording.domain.progress import only_progressed
from cloud_recording.domain.summarize import finished, summarized
from tests.unit.domain.builders import (
    NOW,
    PodBuilder,
    a_callback,
    a_part,
    a_pod,
    a_recording,
    a_snapshot,
    a_summary,
    after,
    context,
)

CODES = st.sampled_from(
    [
        None,
        RecordingErrorCode.CONNECT_ERROR,
        RecordingErrorCode.DISCONNECTED,
        RecordingErrorCode.INVALID_PARAMETER,
        RecordingErrorCode.NO_USERS,
        RecordingErrorCode.NO_RECORDED_DATA,
        RecordingErrorCode.RECORDER_EXIT,
    ]
)
OUTCOMES = st.sampled_from([None, *Outcome])
MOMENTS = st.one_of(st.none(), st.integers(-600, 0).map(after))
LATER = st.integers(0, 90_000)


@st.composite
def parts_of(draw: st.DrawFn, number: int) -> Part:
    state = draw(st.sampled_from(PartState))
    return a_part(
        number,
        state=state,
        pod_uid=None if state is PartState.PLANNED else a_part(number).pod_uid,
        outcome=draw(OUTCOMES),
        error_code=draw(CODES),
        reason=draw(st.sampled_from([None, Reason.RESTARTING, Reason.NO_USERS, Reason.QUOTA_EXCEEDED])),
        pod_ready=draw(st.booleans()),
        somebody_joined=draw(st.booleans()),
        start_time=draw(MOMENTS),
        stop_time=draw(MOMENTS),
        end_time=draw(MOMENTS),
        recorded_milliseconds=draw(st.integers(0, 10**7)),
    )


@st.composite
def statuses(draw: st.DrawFn) -> CloudRecordingStatus:
    """Any number of parts of which, as always, all but the last two are over."""
    count = draw(st.integers(0, 4))
    listed = [draw(parts_of(number)) for number in range(count)]
    listed = [
        part if part.state in parts.OVER or number >= count - 1 else part.model_copy(update={"state": PartState.LOST})
        for number, part in enumerate(listed)
    ]
    return CloudRecordingStatus(parts=tuple(listed))


@st.composite
def recordings(draw: st.DrawFn) -> CloudRecording:
    builder = a_recording().spec(
        desiredState=draw(st.sampled_from(["Recording", "Paused", "Stopped"])),
        restart={"policy": draw(st.sampled_from(["OnFailure", "Never"]))},
    )
    if draw(st.booleans()):
        builder = builder.spec(maxDurationSeconds=60)
    if draw(st.booleans()):
        builder = builder.deleted()
    if draw(st.booleans()):
        builder = builder.discarded()
    if draw(st.booleans()):
        builder = builder.unheld()
    return builder.status(draw(statuses())).build()


@st.composite
def pods_of(draw: st.DrawFn, recording: CloudRecording) -> dict[str, PodView]:
    found = {}
    for part in recording.status.parts:
        if not draw(st.booleans()):
            continue
        pod = a_pod(part.number)
        draw(st.sampled_from(SHAPES))(pod)
        if draw(st.booleans()):
            pod = pod.deleted(draw(st.integers(-600, 600).map(after)))
        if draw(st.booleans()):
            pod = pod.released()
        view = pod.build()
        found[view.name] = view
    return found


def shape(method: str, *arguments: Any, **options: Any) -> Any:
    def apply(pod: PodBuilder) -> None:
        getattr(pod, method)(*arguments, **options)

    return apply


SHAPES = [
    shape("unschedulable", "no room"),
    shape("waiting", "ContainerCreating"),
    shape("waiting", "CrashLoopBackOff", restarts=9),
    shape("running"),
    shape("running", ready=False),
    shape("on_a_silent_node", NOW - timedelta(seconds=59)),
    shape("evicted", "low on memory"),
    shape("ended", "not a summary", exit_code=137),
    *(shape("ended", a_summary(outcome).termination_message()) for outcome in Outcome),
]


@given(data=st.data(), later=LATER)
@settings(max_examples=400, deadline=None)
def test_a_decision_that_was_written_asks_for_no_other_status(data: st.DataObject, later: int) -> None:
    """Idempotent: the same world at the same time has the same answer after the status was written."""
    recording = data.draw(recordings())
    around = data.draw(pods_of(recording))
    now = after(later)
    first = decide(recording, around, now=now, context=context())
    written = _written(recording, first.status)
    again = decide(written, around, now=now, context=context())
    assert again.status == first.status


def _written(recording: CloudRecording, status: CloudRecordingStatus) -> CloudRecording:
    dumped = status.model_dump(mode="json", by_alias=True, exclude_none=True)
    return recording.model_copy(update={"status": CloudRecordingStatus.model_validate(dumped)})


@given(data=st.data(), later=st.integers(0, 60), figures=st.integers(1, 500))
@settings(max_examples=400, deadline=None)
def test_progress_alone_asks_for_nothing(data: st.DataObject, later: int, figures: int) -> None:
    """What is known of a recording and only grew is no reason for another pass: it would do the same."""
    recording = data.draw(recordings())
    around = {view.name: view for view in (a_pod(part.number).running().build() for part in recording.status.parts)}
    settled = _written(recording, decide(recording, around, now=after(later), context=context()).status)
    grown = tuple(
        part
        if part.state in parts.OVER
        else part.model_copy(
            update={"sequence": part.sequence + 1, "slices": Amounts(written=figures), "heard_time": after(later)}
        )
        for part in settled.status.parts
    )
    progressed = settled.status.model_copy(update={"parts": grown, "slices": Amounts(written=figures)})
    assert only_progressed(settled.status, progressed)
    before, afterwards = (
        decide(_written(settled, status), around, now=after(later), context=context())
        for status in (settled.status, progressed)
    )
    assert [type(action) for action in afterwards.actions] == [type(action) for action in before.actions]


@pytest.mark.parametrize(
    "changed",
    [
        {"state": PartState.UPLOADING},
        {"slices": Amounts(uploaded=1)},
        {"pause": Pause(reason="Paused", start_time=NOW)},
        {"desired_generation": 2},
        {"recorder_restarts": 1},
    ],
    ids=str,
)
def test_what_decisions_depend_on_is_no_progress(changed: dict[str, Any]) -> None:
    part = a_part(0, state=PartState.RECORDING)
    before, later = (CloudRecordingStatus(parts=(one,)) for one in (part, part.model_copy(update=changed)))
    assert not only_progressed(before, later)


@given(data=st.data(), later=LATER)
@settings(max_examples=400, deadline=None)
def test_never_two_parts_capture(data: st.DataObject, later: int) -> None:
    recording = data.draw(recordings())
    decision = decide(recording, data.draw(pods_of(recording)), now=after(later), context=context())
    assert sum(parts.captures(part) for part in decision.status.parts) <= 1
    created = [action.part for action in decision.actions if isinstance(action, CreatePod)]
    assert all(part in decision.status.parts for part in created)


@given(data=st.data(), later=LATER)
@settings(max_examples=200, deadline=None)
def test_the_end_is_the_end(data: st.DataObject, later: int) -> None:
    """A finished recording's status stays as it is, whatever its spec, its pods and the clock do."""
    ended = decide(a_recording().stopped().build(), {}, now=NOW, context=context()).status
    assert finished(ended)
    recording = data.draw(recordings()).model_copy(update={"status": ended})
    decision = decide(recording, data.draw(pods_of(recording)), now=after(later), context=context())
    assert decision.status == ended
    assert not any(isinstance(action, CreatePod) for action in decision.actions)


@given(data=st.data(), later=LATER)
@settings(max_examples=200, deadline=None)
def test_a_recording_is_let_go_only_when_it_is_over_and_a_pod_only_when_it_records_no_more(
    data: st.DataObject, later: int
) -> None:
    recording = data.draw(recordings())
    decision = decide(recording, data.draw(pods_of(recording)), now=after(later), context=context())
    if any(isinstance(action, ReleaseRecording) for action in decision.actions):
        assert finished(decision.status)
    ended = {action.pod.name for action in decision.actions if isinstance(action, DeletePod)}
    assert not any(part.pod in ended for part in decision.status.parts if part.state is PartState.RECORDING)


CALLBACKS = st.sampled_from(
    [
        ("RunnerStarted", {"runnerVersion": "1", "engineName": "default", "engineExtended": True}),
        ("RunnerTerminating", {}),
        ("RecordingConnecting", {}),
        ("RecordingStarted", {}),
        ("RecordingStopped", {}),
        ("RecordingUploaded", {"fileName": "p.m3u8"}),
        ("RecorderFailure", {"code": RecordingErrorCode.NO_USERS}),
        ("UploaderFailure", {"code": RecordingErrorCode.UPLOADER_FAILED}),
        ("RecordingFatalError", {"code": RecordingErrorCode.RECORDER_EXIT}),
        ("RecorderExited", {"exitCode": 1, "restarts": 1}),
        ("Snapshot", {"snapshot": a_snapshot(slices={"written": 2, "uploaded": 1, "pending": 1})}),
        ("DesiredStateApplied", {"generation": 1}),
        ("Finished", {"summary": a_summary("Uploaded").model_dump(mode="json", by_alias=True)}),
        ("FromTheFuture", {}),
    ]
)


@given(told=st.lists(CALLBACKS, max_size=12), split=st.integers(0, 12), repeats=st.integers(1, 3))
@settings(max_examples=200, deadline=None)
def test_callbacks_count_once_however_often_and_in_whatever_batches_they_come(
    told: list[tuple[str, dict[str, Any]]], split: int, repeats: int
) -> None:
    callbacks = [a_callback(kind, number, at=after(number), **fields) for number, (kind, fields) in enumerate(told, 1)]
    start = CloudRecordingStatus(parts=(a_part(state=PartState.STARTING),))
    at_once = apply_callbacks(start, number=0, callbacks=callbacks, received_at=NOW)
    in_batches = start
    for _ in range(repeats):
        in_batches = apply_callbacks(in_batches, number=0, callbacks=callbacks[:split], received_at=NOW)
    for _ in range(repeats):
        in_batches = apply_callbacks(in_batches, number=0, callbacks=callbacks, received_at=NOW)
    assert in_batches == at_once
    recording = a_recording().build()
    settled = summarized(recording, at_once, now=NOW)
    assert summarized(recording, settled, now=after(1)) == settled
