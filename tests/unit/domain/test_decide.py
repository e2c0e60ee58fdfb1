# SPDX-License-Identifier: Apache-2.0
"""What is decided, case by case: the row says what is known, and what then becomes of the recording and its pods."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from cloud_recording.api.reasons import ConditionType, Reason
from cloud_recording.api.recording import CloudRecording
from cloud_recording.api.status import Amounts, CloudRecordingStatus, Outcome, PartState
from cloud_recording.common.error_codes import RecordingErrorCode
from cloud_recording.domain import conditions, parts
from cloud_recording.domain.apply_callbacks import apply_callbacks
from cloud_recording.domain.decide import decide
from cloud_recording.domain.decision import AnnotatePod, Decision
from cloud_recording.domain.desired_state import duration_left
from cloud_recording.domain.observed_state import PodRefusal
from cloud_recording.domain.pod_documents import desired_state_document
from cloud_recording.domain.pod_view import PodView
from tests.unit.domain.builders import (
    NOW,
    SETTINGS,
    PodBuilder,
    a_callback,
    a_part,
    a_pod,
    a_recording,
    a_summary,
    after,
    context,
    pod_name,
    pods,
)


@dataclass(frozen=True, kw_only=True)
class Expected:
    """The gist of a decision."""

    reason: Reason
    ready: str = "False"
    parts: list[PartState] = field(default_factory=list)
    actions: list[str] = field(default_factory=list)
    due: float | None = None
    finished: bool = False
    add_finalizer: bool = False


@pytest.mark.parametrize(
    ("overload", "lost_at"),
    [
        pytest.param({}, 60, id="nobody was turned away"),
        pytest.param({"turned_away_at": after(-30)}, 60, id="somebody was, while the node was still heard of"),
        pytest.param({"turned_away_at": after(50)}, 110, id="somebody was since, and it may have been this recorder"),
        pytest.param(
            {"turned_away_at": after(50), "listening_since": after(55)}, 115, id="or the operator began since"
        ),
        pytest.param(
            {"turned_away_at": after(3600)}, 360, id="an overload that lasts keeps no recording on a dead node"
        ),
    ],
)
def test_a_node_is_not_lost_whose_recorder_may_have_been_turned_away(overload: dict[str, Any], lost_at: int) -> None:
    recording = a_recording().parts(a_part(state=PartState.RECORDING, start_time=NOW, heard_time=after(-10))).build()
    operator = dataclasses.replace(context(), **overload)
    silent = pods(a_pod().on_a_silent_node(NOW))
    before = decide(recording, silent, now=after(lost_at - 1), context=operator)
    assert before.status.parts[0].state is PartState.RECORDING
    assert before.requeue_after == timedelta(seconds=1)
    assert decide(recording, silent, now=after(lost_at), context=operator).status.parts[0].reason is Reason.NODE_LOST


def gist(decision: Decision) -> Expected:
    ready = conditions.get(decision.status, ConditionType.READY)
    assert ready is not None
    return Expected(
        reason=ready.reason,
        ready=ready.status.value,
        parts=[part.state for part in decision.status.parts],
        actions=[type(action).__name__ for action in decision.actions],
        due=decision.requeue_after.total_seconds() if decision.requeue_after is not None else None,
        finished=conditions.is_true(decision.status, ConditionType.FINISHED),
        add_finalizer=decision.add_finalizer,
    )


RECORDING: dict[str, Any] = {"state": PartState.RECORDING, "start_time": NOW, "pod_ready": True}
EARLY: dict[str, Any] = {**RECORDING, "start_time": after(-3600), "create_time": NOW}
DRAINED: dict[str, Any] = {
    "state": PartState.CONCLUDED,
    "outcome": Outcome.DRAINED,
    "create_time": NOW,
    "start_time": NOW,
    "stop_time": after(60),
    "end_time": after(60),
    "recorded_milliseconds": 60_000,
    "slices": Amounts(written=4, uploaded=4),
}
FAILED: dict[str, Any] = {
    "state": PartState.UPLOADING,
    "error_code": RecordingErrorCode.RECORDER_FAILED,
    "create_time": NOW,
    "start_time": NOW,
    "stop_time": NOW,
}
EMPTIED = a_summary("Uploaded", slices={"written": 4, "uploaded": 4}, nothingLeft=True).termination_message()
UPLOADED = a_summary("Uploaded", slices={"written": 4, "uploaded": 4}, somebodyJoined=True).termination_message()
FATAL_RETRY = a_summary(
    "Fatal", code=RecordingErrorCode.CONNECT_ERROR, message="the channel refused"
).termination_message()

CASES = {
    "a new recording is held, planned, and its pod is created": (
        a_recording().unheld().build(),
        {},
        NOW,
        Expected(reason=Reason.PENDING, parts=[PartState.PLANNED], actions=["CreatePod"], add_finalizer=True),
    ),
    "a part that was planned before a crash gets its pod now": (
        a_recording().parts(a_part(pod_uid=None)).build(),
        {},
        NOW,
        Expected(reason=Reason.PENDING, parts=[PartState.PLANNED], actions=["CreatePod"]),
    ),
    "a pod without a node waits with the scheduler's words": (
        a_recording().parts(a_part(pod_uid=None)).build(),
        pods(a_pod().unschedulable("0/3 nodes are available: 3 Insufficient cpu.")),
        NOW,
        Expected(reason=Reason.UNSCHEDULABLE, parts=[PartState.PENDING], actions=["AnnotatePod"]),
    ),
    **{
        f"a pod waits for its claim: {message}": (
            a_recording().parts(a_part(pod_uid=None)).build(),
            pods(a_pod().unschedulable(message)),
            NOW,
            Expected(reason=Reason.WAITING_FOR_VOLUME, parts=[PartState.PENDING], actions=["AnnotatePod"]),
        )
        for message in (
            '0/1 nodes are available: persistentvolumeclaim "films" not found. preemption: 0/1 nodes are available',
            "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: not eligible",
            "0/3 nodes are available: 3 node(s) didn't find available persistent volumes to bind.",
        )
    },
    "a pod whose image cannot be pulled waits and says so": (
        a_recording().parts(a_part(state=PartState.PENDING)).build(),
        pods(a_pod().waiting("ImagePullBackOff", "no such image")),
        NOW,
        Expected(reason=Reason.IMAGE_PULL_FAILED, parts=[PartState.PENDING], actions=["AnnotatePod"]),
    ),
    "a container on its way is just pending": (
        a_recording().parts(a_part(state=PartState.PENDING)).build(),
        pods(a_pod().waiting("ContainerCreating")),
        NOW,
        Expected(reason=Reason.PENDING, parts=[PartState.PENDING], actions=["AnnotatePod"]),
    ),
    "a recording pod that is ready records": (
        a_recording().parts(a_part(**RECORDING)).build(),
        pods(a_pod().running()),
        NOW,
        Expected(reason=Reason.RECORDING, ready="True", parts=[PartState.RECORDING], actions=["AnnotatePod"]),
    ),
    "a recording pod that is not ready is not relied on": (
        a_recording().parts(a_part(**RECORDING)).build(),
        pods(a_pod().running(ready=False)),
        NOW,
        Expected(reason=Reason.RECORDER_NOT_READY, parts=[PartState.RECORDING], actions=["AnnotatePod"]),
    ),
    "a pod on a silent node is waited for until the administrator's limit": (
        a_recording().parts(a_part(**RECORDING)).build(),
        pods(a_pod().on_a_silent_node(NOW)),
        after(40),
        Expected(reason=Reason.RECORDER_NOT_READY, parts=[PartState.RECORDING], actions=["AnnotatePod"], due=20),
    ),
    "a pod whose kubelet alone is silent is there for as long as it is heard of": (
        a_recording().parts(a_part(**RECORDING, heard_time=after(50))).build(),
        pods(a_pod().on_a_silent_node(NOW)),
        after(100),
        Expected(reason=Reason.RECORDER_NOT_READY, parts=[PartState.RECORDING], actions=["AnnotatePod"], due=10),
    ),
    "a pod on a node that stays silent is lost, told to end and let go": (
        a_recording().parts(a_part(**RECORDING)).build(),
        pods(a_pod().on_a_silent_node(NOW)),
        after(60),
        Expected(
            reason=Reason.RESTARTING,
            parts=[PartState.LOST],
            actions=["DeletePod", "ReleasePod"],
            due=2,
        ),
    ),
    "a readiness gate of somebody else is no silence of the node, and the recorder is as ready as it was": (
        a_recording().parts(a_part(**RECORDING)).build(),
        pods(a_pod().running().gated()),
        after(4000),
        Expected(reason=Reason.RECORDING, ready="True", parts=[PartState.RECORDING], actions=["AnnotatePod"]),
    ),
    "a part is over when its recorder is, and the sidecar that runs on is ended": (
        a_recording().stopped().parts(a_part(state=PartState.UPLOADING, start_time=NOW)).build(),
        pods(a_pod().ended(UPLOADED).beside_a_sidecar()),
        after(60),
        Expected(
            reason=Reason.COMPLETED,
            ready="True",
            parts=[PartState.CONCLUDED],
            actions=["DeletePod", "ReleasePod", "ReleaseRecording"],
            finished=True,
        ),
    ),
    "a sidecar is ended also where the recorder has told its end and has yet to go": (
        a_recording().stopped().parts(a_part(state=PartState.CONCLUDED, start_time=NOW, end_time=after(50))).build(),
        pods(a_pod().running().beside_a_sidecar()),
        after(60),
        Expected(
            reason=Reason.COMPLETED,
            ready="True",
            parts=[PartState.CONCLUDED],
            actions=["DeletePod", "ReleasePod", "ReleaseRecording"],
            finished=True,
        ),
    ),
    "a pod whose recorder ended alone is left to its kubelet, and to whoever wants its log": (
        a_recording().stopped().parts(a_part(state=PartState.UPLOADING, start_time=NOW)).build(),
        pods(a_pod().ended(UPLOADED).not_wound_up()),
        after(60),
        Expected(
            reason=Reason.COMPLETED,
            ready="True",
            parts=[PartState.CONCLUDED],
            actions=["ReleasePod", "ReleaseRecording"],
            finished=True,
        ),
    ),
    "a recorder that failed beside a sidecar is started again by its kubelet": (
        a_recording().parts(a_part(**RECORDING)).build(),
        pods(a_pod().ended("", exit_code=1).beside_a_sidecar()),
        after(60),
        Expected(reason=Reason.RECORDER_NOT_READY, parts=[PartState.RECORDING], actions=["AnnotatePod"]),
    ),
    "a drained pod is over when its recorder is, while its sidecar takes its time": (
        a_recording().stopped().parts(a_part(state=PartState.UPLOADING, start_time=NOW)).build(),
        pods(a_pod().ended(UPLOADED, exit_code=0).beside_a_sidecar().deleted(after(330))),
        after(60),
        Expected(
            reason=Reason.COMPLETED,
            ready="True",
            parts=[PartState.CONCLUDED],
            actions=["ReleasePod", "ReleaseRecording"],
            finished=True,
        ),
    ),
    "a claim on which nothing is left goes with the part's end": (
        a_recording()
        .stopped()
        .spec(work={"persistentVolumeClaim": {"size": "1Gi"}})
        .parts(a_part(state=PartState.UPLOADING, start_time=NOW))
        .build(),
        pods(a_pod().ended(EMPTIED)),
        after(60),
        Expected(
            reason=Reason.COMPLETED,
            ready="True",
            parts=[PartState.CONCLUDED],
            actions=["DeleteClaim", "DeletePod", "ReleasePod", "ReleaseRecording"],
            finished=True,
        ),
    ),
    "a claim on which something may be left stays": (
        a_recording()
        .spec(work={"persistentVolumeClaim": {"size": "1Gi"}})
        .parts(a_part(state=PartState.CONNECTING))
        .build(),
        pods(a_pod().ended(FATAL_RETRY)),
        after(60),
        Expected(reason=Reason.RESTARTING, parts=[PartState.CONCLUDED], actions=["ReleasePod"], due=2),
    ),
    "of pods that have ended the newest three stay": (
        a_recording().parts(*(a_part(number, **DRAINED) for number in range(3))).build(),
        {},
        after(61),
        Expected(
            reason=Reason.RESTARTING,
            parts=[PartState.CONCLUDED] * 3 + [PartState.PLANNED],
            actions=["DeleteEndedPod", "CreatePod"],
        ),
    ),
    "an older pod goes when its part is over": (
        a_recording()
        .parts(
            a_part(0, state=PartState.UPLOADING, start_time=NOW, stop_time=NOW),
            *(a_part(number, **DRAINED) for number in (1, 2)),
            a_part(3, **RECORDING),
        )
        .build(),
        pods(a_pod().ended(UPLOADED), a_pod(3).running()),
        after(61),
        Expected(
            reason=Reason.RECORDING,
            ready="True",
            parts=[PartState.CONCLUDED] * 3 + [PartState.RECORDING],
            actions=["DeletePod", "ReleasePod", "AnnotatePod"],
        ),
    ),
    "no more parts begin than may upload at once": (
        a_recording().parts(*(a_part(number, **FAILED) for number in range(10))).build(),
        {a_pod(number).build().name: a_pod(number).running().build() for number in range(10)},
        after(4000),
        Expected(reason=Reason.UPLOADING, parts=[PartState.UPLOADING] * 10, actions=["AnnotatePod"] * 10),
    ),
    "a pod that vanished is lost; what it had recorded long makes no haste with the next": (
        a_recording().parts(a_part(**RECORDING)).build(),
        {},
        after(0),
        Expected(reason=Reason.RESTARTING, parts=[PartState.LOST], due=2),
    ),
    "the next part begins when its time has come": (
        a_recording()
        .parts(a_part(state=PartState.LOST, reason=Reason.POD_LOST, start_time=NOW, stop_time=NOW, end_time=NOW))
        .build(),
        {},
        after(2),
        Expected(reason=Reason.RESTARTING, parts=[PartState.LOST, PartState.PLANNED], actions=["CreatePod"]),
    ),
    "a drained part that stopped capturing makes way at once, while it uploads": (
        a_recording().parts(a_part(state=PartState.UPLOADING, start_time=NOW, stop_time=after(9))).build(),
        pods(a_pod().running().deleted(after(339)).disrupted("node is drained")),
        after(9),
        Expected(
            reason=Reason.RESTARTING,
            parts=[PartState.UPLOADING, PartState.PLANNED],
            actions=["AnnotatePod", "CreatePod"],
            due=390,
        ),
    ),
    "a part that still captures though its pod was deleted keeps the next one waiting": (
        a_recording().parts(a_part(**RECORDING)).build(),
        pods(a_pod().running().deleted(after(330))),
        NOW,
        Expected(reason=Reason.STOPPING, parts=[PartState.RECORDING], actions=["AnnotatePod"], due=390),
    ),
    "an evicted pod is lost, and says why": (
        a_recording().parts(a_part(**RECORDING)).build(),
        pods(a_pod().evicted("The node was low on resource: memory.")),
        NOW,
        Expected(reason=Reason.RESTARTING, parts=[PartState.LOST], actions=["ReleasePod"], due=2),
    ),
    "a stop is passed on to the pod": (
        a_recording().stopped().parts(a_part(**RECORDING)).build(),
        pods(a_pod().running()),
        NOW,
        Expected(reason=Reason.STOPPING, parts=[PartState.RECORDING], actions=["AnnotatePod"]),
    ),
    "a stop before any pod ends the recording with nothing recorded": (
        a_recording().stopped().build(),
        {},
        NOW,
        Expected(reason=Reason.NOTHING_RECORDED, ready="True", actions=["ReleaseRecording"], finished=True),
    ),
    "a stop while the pod has no node removes the pod": (
        a_recording().stopped().parts(a_part(state=PartState.PENDING)).build(),
        pods(a_pod().unschedulable("no room")),
        NOW,
        Expected(reason=Reason.UNSCHEDULABLE, parts=[PartState.PENDING], actions=["DeletePod"]),
    ),
    "a stop is over once the pod that never ran is gone": (
        a_recording().stopped().parts(a_part(state=PartState.PENDING)).build(),
        pods(a_pod().unschedulable("no room").deleted()),
        NOW,
        Expected(
            reason=Reason.NOTHING_RECORDED,
            ready="True",
            parts=[PartState.CONCLUDED],
            actions=["ReleasePod", "ReleaseRecording"],
            finished=True,
        ),
    ),
    "and so it is where its kubelet was told before it had started the recorder": (
        a_recording().stopped().parts(a_part(state=PartState.PENDING)).build(),
        pods(a_pod().ended(reason="ContainerStatusUnknown", exit_code=137).deleted()),
        NOW,
        Expected(
            reason=Reason.NOTHING_RECORDED,
            ready="True",
            parts=[PartState.CONCLUDED],
            actions=["ReleasePod", "ReleaseRecording"],
            finished=True,
        ),
    ),
    "a part that uploads after the stop is waited for": (
        a_recording().stopped().parts(a_part(state=PartState.UPLOADING, start_time=NOW, stop_time=after(5))).build(),
        pods(a_pod().running()),
        after(5),
        Expected(reason=Reason.UPLOADING, parts=[PartState.UPLOADING], actions=["AnnotatePod"]),
    ),
    "a summary in the termination message completes the recording": (
        a_recording().stopped().parts(a_part(state=PartState.UPLOADING, start_time=NOW)).build(),
        pods(a_pod().ended(UPLOADED)),
        after(60),
        Expected(
            reason=Reason.COMPLETED,
            ready="True",
            parts=[PartState.CONCLUDED],
            actions=["ReleasePod", "ReleaseRecording"],
            finished=True,
        ),
    ),
    "slices that are in no store make the recording incomplete": (
        a_recording().stopped().parts(a_part(state=PartState.UPLOADING, start_time=NOW)).build(),
        pods(
            a_pod().ended(
                a_summary("Incomplete", slices={"written": 4, "uploaded": 3, "pending": 1}).termination_message()
            )
        ),
        after(60),
        Expected(
            reason=Reason.UPLOAD_INCOMPLETE,
            parts=[PartState.CONCLUDED],
            actions=["ReleasePod", "ReleaseRecording"],
            finished=True,
        ),
    ),
    "an idle channel that people had been in is a success": (
        a_recording()
        .parts(a_part(state=PartState.UPLOADING, start_time=NOW, error_code=RecordingErrorCode.NO_USERS))
        .build(),
        pods(
            a_pod().ended(
                a_summary("Idle", code=RecordingErrorCode.NO_USERS, somebodyJoined=True).termination_message()
            )
        ),
        after(60),
        Expected(
            reason=Reason.CHANNEL_IDLE,
            ready="True",
            parts=[PartState.CONCLUDED],
            actions=["ReleasePod", "ReleaseRecording"],
            finished=True,
        ),
    ),
    "a channel that nobody ever joined is a failure": (
        a_recording().parts(a_part(state=PartState.CONNECTING, error_code=RecordingErrorCode.NO_USERS)).build(),
        pods(a_pod().ended(a_summary("Idle", code=RecordingErrorCode.NO_USERS).termination_message())),
        after(60),
        Expected(
            reason=Reason.NO_USERS,
            parts=[PartState.CONCLUDED],
            actions=["ReleasePod", "ReleaseRecording"],
            finished=True,
        ),
    ),
    "a fatal error that may pass is tried again after a while": (
        a_recording().parts(a_part(state=PartState.CONNECTING)).build(),
        pods(a_pod().ended(FATAL_RETRY)),
        after(60),
        Expected(reason=Reason.RESTARTING, parts=[PartState.CONCLUDED], actions=["ReleasePod"], due=2),
    ),
    "a fatal error of the call itself ends the recording": (
        a_recording().parts(a_part(state=PartState.CONNECTING)).build(),
        pods(
            a_pod().ended(
                a_summary("Fatal", code=RecordingErrorCode.INVALID_PARAMETER, message="width").termination_message()
            )
        ),
        after(60),
        Expected(
            reason=Reason.INVALID_PARAMETER,
            parts=[PartState.CONCLUDED],
            actions=["ReleasePod", "ReleaseRecording"],
            finished=True,
        ),
    ),
    "restart policy Never ends the recording at the first failure": (
        a_recording().spec(restart={"policy": "Never"}).parts(a_part(state=PartState.CONNECTING)).build(),
        pods(a_pod().ended(FATAL_RETRY)),
        after(60),
        Expected(
            reason=Reason.PARTS_EXHAUSTED,
            parts=[PartState.CONCLUDED],
            actions=["ReleasePod", "ReleaseRecording"],
            finished=True,
        ),
    ),
    "maxParts ends the recording when it is used up": (
        a_recording().spec(restart={"maxParts": 1}).parts(a_part(state=PartState.CONNECTING)).build(),
        pods(a_pod().ended(FATAL_RETRY)),
        after(60),
        Expected(
            reason=Reason.PARTS_EXHAUSTED,
            parts=[PartState.CONCLUDED],
            actions=["ReleasePod", "ReleaseRecording"],
            finished=True,
        ),
    ),
    "maxDurationSeconds is kept by the recorder, whose clock may be an hour behind": (
        a_recording().spec(maxDurationSeconds=90).parts(a_part(**EARLY), start_time=after(-3600)).build(),
        pods(a_pod().running()),
        after(30),
        Expected(reason=Reason.RECORDING, ready="True", parts=[PartState.RECORDING], actions=["AnnotatePod"]),
    ),
    "maxDurationSeconds is over between two parts": (
        a_recording().spec(maxDurationSeconds=90).parts(a_part(**DRAINED), start_time=NOW).build(),
        {},
        after(60 + 30),
        Expected(
            reason=Reason.MAX_DURATION_REACHED,
            ready="True",
            parts=[PartState.CONCLUDED],
            actions=["ReleaseRecording"],
            finished=True,
        ),
    ),
    "a part that waits for a node does not wait beyond maxDurationSeconds": (
        a_recording()
        .spec(maxDurationSeconds=90)
        .parts(a_part(**DRAINED), a_part(1, state=PartState.PENDING, offset_seconds=60, create_time=after(60)))
        .build(),
        pods(a_pod(1).unschedulable("no room")),
        after(60 + 30),
        Expected(reason=Reason.UNSCHEDULABLE, parts=[PartState.CONCLUDED, PartState.PENDING], actions=["DeletePod"]),
    ),
    "the next part is not late though the last one's clock was an hour ahead": (
        a_recording()
        .parts(a_part(**DRAINED | {"start_time": after(3600), "stop_time": after(3660), "end_time": after(3660)}))
        .build(),
        {},
        after(61),
        Expected(reason=Reason.RESTARTING, parts=[PartState.CONCLUDED, PartState.PLANNED], actions=["CreatePod"]),
    ),
    "deletion stops the recording and waits for its files until the deadline": (
        a_recording().deleted().parts(a_part(**RECORDING)).build(),
        pods(a_pod().running()),
        after(600),
        Expected(reason=Reason.DELETING, parts=[PartState.RECORDING], actions=["AnnotatePod"], due=3000),
    ),
    "the deletion deadline gives up what is not uploaded": (
        a_recording().deleted().parts(a_part(**RECORDING)).build(),
        pods(a_pod().running()),
        after(3600),
        Expected(
            reason=Reason.DEADLINE_EXCEEDED,
            parts=[PartState.LOST],
            actions=["DeletePod", "ReleasePod", "ReleaseRecording"],
            finished=True,
        ),
    ),
    "the discard annotation gives up at once": (
        a_recording().deleted().discarded().parts(a_part(**RECORDING)).build(),
        pods(a_pod().running()),
        after(1),
        Expected(
            reason=Reason.DISCARDED,
            parts=[PartState.LOST],
            actions=["DeletePod", "ReleasePod", "ReleaseRecording"],
            finished=True,
        ),
    ),
    "the discard annotation without a deletion does nothing": (
        a_recording().discarded().parts(a_part(**RECORDING)).build(),
        pods(a_pod().running()),
        after(1),
        Expected(reason=Reason.RECORDING, ready="True", parts=[PartState.RECORDING], actions=["AnnotatePod"]),
    ),
    "a deleted recording that is durable is let go": (
        a_recording().deleted().parts(a_part(state=PartState.UPLOADING, start_time=NOW)).build(),
        pods(a_pod().ended(UPLOADED)),
        after(60),
        Expected(
            reason=Reason.DELETED,
            ready="True",
            parts=[PartState.CONCLUDED],
            actions=["ReleasePod", "ReleaseRecording"],
            finished=True,
        ),
    ),
    "an engine that nobody allowed is refused before there is a pod": (
        a_recording().spec(engine={"name": "other"}).build(),
        {},
        NOW,
        Expected(reason=Reason.NOT_ALLOWED),
    ),
    "a container that crashes again and again is given up": (
        a_recording().parts(a_part(**RECORDING)).build(),
        pods(a_pod().running().waiting("CrashLoopBackOff", restarts=5).restarted(5)),
        NOW,
        Expected(reason=Reason.RESTARTING, parts=[PartState.LOST], actions=["DeletePod", "ReleasePod"], due=2),
    ),
}


@pytest.mark.parametrize(
    ("recording", "around", "now", "expected"), CASES.values(), ids=[name.replace(" ", "-") for name in CASES]
)
def test_decision(recording: CloudRecording, around: Mapping[str, PodView], now: datetime, expected: Expected) -> None:
    assert gist(decide(recording, around, now=now, context=context())) == expected


def test_a_refused_pod_is_asked_for_again_and_the_status_keeps_the_reason() -> None:
    recording = a_recording().parts(a_part(pod_uid=None)).build()
    pause = timedelta(seconds=30)
    refusal = PodRefusal(part=0, reason=Reason.QUOTA_EXCEEDED, message="exceeded quota: pods=10", retry_after=pause)
    first = decide(recording, {}, now=NOW, context=context(), refusal=refusal)
    again = decide(recording.model_copy(update={"status": first.status}), {}, now=after(15), context=context())
    expected = Expected(
        reason=Reason.QUOTA_EXCEEDED,
        parts=[PartState.PLANNED],
        actions=["CreatePod"],
    )
    assert (gist(first), gist(again)) == (dataclasses.replace(expected, due=30), expected)


def test_finished_recordings_are_deleted_when_their_time_is_over() -> None:
    done = decide(a_recording().stopped().build(), {}, now=NOW, context=context()).status
    recording = a_recording().unheld().stopped().spec(ttlSecondsAfterFinished=60).status(done).build()
    waiting = decide(recording, {}, now=after(20), context=context())
    over = decide(recording, {}, now=after(60), context=context())
    assert (gist(waiting).due, gist(waiting).actions) == (40, [])
    assert gist(over).actions == ["DeleteRecording"]


def test_the_older_part_is_told_to_stop_while_the_newer_one_records() -> None:
    old = a_part(state=PartState.UPLOADING, start_time=NOW, stop_time=after(5), reason=Reason.RESTARTING)
    recording = a_recording().parts(old, a_part(1, state=PartState.CONNECTING)).build()
    decision = decide(recording, pods(a_pod().running(), a_pod(1).running()), now=after(9), context=context())
    told = {
        action.pod.name: '"state":"Stopped"' in action.annotations["cloudrecording.dev/desired"]
        for action in decision.actions
        if isinstance(action, AnnotatePod)
    }
    assert told == {pod_name(0): True, pod_name(1): False}


@pytest.mark.parametrize(
    ("spec", "claims"),
    [
        ({"storage": {"directory": {"claimName": "films"}}}, "claim 'films'"),
        (
            {
                "storage": {"directory": {"claimName": "films"}},
                "backup": {"directory": {"claimName": "spare"}},
            },
            "claim 'films' and claim 'spare'",
        ),
        ({}, None),
    ],
)
def test_a_node_that_does_not_mount_a_claim_is_named(spec: dict[str, Any], claims: str | None) -> None:
    """The kubelet tells why in Events of the pod, which the operator has no right to read."""
    recording = a_recording().spec(**spec).parts(a_part(state=PartState.PENDING)).build()
    status = decide(recording, pods(a_pod().unmounted()), now=NOW, context=context()).status
    ready = conditions.get(status, ConditionType.READY)
    assert ready is not None
    assert ready.reason is Reason.PENDING
    if claims is None:
        assert ready.message == ""
    else:
        assert ready.message.startswith(f"node 'node-1' has not yet mounted {claims}, or has no network")
        assert f"`kubectl describe pod {pod_name(0)}`" in ready.message


def test_a_crash_for_want_of_memory_is_told_with_its_remedy_and_the_part_goes_on() -> None:
    pod = a_pod().running().restarted(1, reason="OOMKilled", exit_code=137)
    decision = decide(a_recording().parts(a_part(**RECORDING)).build(), pods(pod), now=NOW, context=context())
    error = decision.status.last_error
    assert error is not None
    assert (error.reason, "memory" in error.remedy) == (Reason.OUT_OF_MEMORY, True)
    assert decision.status.parts[0].state is PartState.RECORDING


def test_failures_in_a_row_are_tried_more_and_more_rarely() -> None:
    delays = []
    failed = []
    for number in range(10):
        failed.append(
            a_part(
                number,
                state=PartState.CONCLUDED,
                outcome=Outcome.FATAL,
                error_code=RecordingErrorCode.CONNECT_ERROR,
                end_time=NOW,
            )
        )
        decision = decide(a_recording().parts(*failed).build(), {}, now=NOW, context=context())
        delays.append(gist(decision).due)
    assert delays == [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


@pytest.mark.parametrize(
    ("restart", "reason"), [({"policy": "Never"}, Reason.UPLOADING), ({"policy": "OnFailure"}, Reason.RESTARTING)]
)
def test_a_part_that_none_follows_is_said_to_upload_and_no_other_to_start(
    restart: dict[str, Any], reason: Reason
) -> None:
    waits = {**FAILED, "reason": Reason.RECORDER_FAILED, "slices": Amounts(written=4, uploaded=1, pending=3)}
    recording = a_recording().spec(restart=restart).parts(a_part(**waits)).build()
    decision = decide(recording, pods(a_pod().running()), now=after(70), context=context())
    assert gist(decision).reason is reason


def test_parts_beyond_the_list_are_kept_as_totals() -> None:
    status = CloudRecordingStatus()
    for number in range(25):
        recording = a_recording().status(status).build()
        status = decide(recording, {}, now=after(number * 100), context=context()).status
        part = status.parts[-1].model_copy(
            update={
                "state": PartState.CONCLUDED,
                "outcome": Outcome.DRAINED,
                "start_time": after(number * 100),
                "stop_time": after(number * 100 + 90),
                "end_time": after(number * 100 + 90),
                "recorded_milliseconds": 90_000,
                "slices": status.parts[-1].slices.model_copy(update={"written": 6, "uploaded": 6}),
            }
        )
        status = status.model_copy(update={"parts": (*status.parts[:-1], part)})
        assert part.number == number
    settled = decide(a_recording().stopped().status(status).build(), {}, now=after(2490), context=context()).status
    assert len(settled.parts) == 20
    assert settled.slices is not None
    assert (settled.slices.uploaded, settled.recorded_seconds) == (150, 2250)
    assert (settled.gap_seconds, settled.gap_count) == (240, 24)


Told = tuple[str, dict[str, Any]]
TERMINATING: Told = ("RunnerTerminating", {})
STOPPED: Told = ("RecordingStopped", {})
UNDER_WAY: list[Told] = [("RecordingConnecting", {}), ("RecordingStarted", {})]


@pytest.mark.parametrize(
    ("spec", "told", "states", "reason"),
    [
        pytest.param({}, [TERMINATING], [PartState.RECORDING], Reason.STOPPING, id="as long as it captures none"),
        pytest.param(
            {}, [TERMINATING, STOPPED], [PartState.UPLOADING, PartState.PLANNED], Reason.RESTARTING, id="then at once"
        ),
        pytest.param(
            {},
            [TERMINATING, *UNDER_WAY, STOPPED],
            [PartState.UPLOADING, PartState.PLANNED],
            Reason.RESTARTING,
            id="whatever crosses it",
        ),
        pytest.param(
            {},
            [STOPPED, TERMINATING],
            [PartState.UPLOADING, PartState.PLANNED],
            Reason.RESTARTING,
            id="in whichever order",
        ),
        pytest.param({}, [STOPPED], [PartState.UPLOADING], Reason.UPLOADING, id="a stop without it: the end tells"),
        pytest.param(
            {"desiredState": "Stopped"},
            [TERMINATING, STOPPED],
            [PartState.UPLOADING],
            Reason.UPLOADING,
            id="none of a recording that is to stop",
        ),
        pytest.param(
            {"restart": {"policy": "Never"}},
            [TERMINATING, STOPPED],
            [PartState.UPLOADING],
            Reason.UPLOADING,
            id="none against the policy",
        ),
        pytest.param(
            {"restart": {"maxParts": 1}},
            [TERMINATING, STOPPED],
            [PartState.UPLOADING],
            Reason.UPLOADING,
            id="nor beyond it",
        ),
    ],
)
def test_another_part_follows_one_that_its_node_told_to_end(
    spec: dict[str, Any], told: list[Told], states: list[PartState], reason: Reason
) -> None:
    """At a node's shutdown nobody deletes the pod, and it runs on while it uploads."""
    recording = a_recording().spec(**spec).parts(a_part(**RECORDING, node="node-1", sequence=10)).build()
    callbacks = [a_callback(kind, at, at=after(60), **fields) for at, (kind, fields) in enumerate(told, 11)]
    heard = apply_callbacks(recording.status, number=0, callbacks=callbacks, received_at=after(60))
    recording = recording.model_copy(update={"status": heard})
    decision = decide(recording, pods(a_pod().running()), now=after(60), context=context())
    assert (gist(decision).parts, gist(decision).reason) == (states, reason)
    if TERMINATING in told:
        first = decision.status.parts[0]
        assert (first.reason, first.message) == (Reason.POD_ENDED, "node 'node-1' told the recorder to end")


@pytest.mark.parametrize(
    ("pod", "message"),
    [
        pytest.param(a_pod().running().deleted(after(339)), "the pod was told to end", id="by its deletion"),
        pytest.param(
            a_pod().running().deleted(after(339)).disrupted("node is drained"), "node is drained", id="for a reason"
        ),
        pytest.param(
            a_pod().ended(UPLOADED, exit_code=0).disrupted("imminent node shutdown"),
            "imminent node shutdown",
            id="by the kubelet, which says so at the pod's end",
        ),
    ],
)
def test_who_told_a_recorder_to_end_is_said_once_the_pod_shows_it(pod: PodBuilder, message: str) -> None:
    told: dict[str, Any] = {"reason": Reason.POD_ENDED, "message": "node 'node-1' told the recorder to end"}
    uploading: dict[str, Any] = {"state": PartState.UPLOADING, "start_time": NOW, "stop_time": after(9)}
    recording = a_recording().parts(a_part(**uploading, **told)).build()
    first = decide(recording, pods(pod), now=after(60), context=context()).status.parts[0]
    assert first.message == message


@pytest.mark.parametrize("code", [None, 435], ids=["this release", "an earlier release"])
def test_another_part_follows_one_that_was_drained_before_it_recorded(code: int | None) -> None:
    """A node is drained while the recording waits for a Secret, or while everybody refuses it."""
    summary = {"recordingId": "1" * 32, "part": 0, "outcome": "Drained", "code": code, "nothingLeft": True}
    waiting = a_recording().parts(a_part(state=PartState.STARTING, create_time=NOW)).build()
    status = apply_callbacks(
        waiting.status,
        number=0,
        callbacks=[a_callback("Finished", at=after(60), summary=summary)],
        received_at=after(60),
    )
    decision = decide(a_recording().status(status).build(), {}, now=after(60), context=context())
    assert (gist(decision).finished, len(decision.status.parts)) == (False, 2)
    assert decision.status.last_error is None


def test_a_later_part_is_handed_what_is_left_of_the_longest_duration() -> None:
    """Sixty seconds recorded, ten between the parts: of two minutes fifty seconds are left, and an edit counts."""
    recording = a_recording().spec(maxDurationSeconds=120).parts(a_part(**DRAINED)).build()
    status = decide(recording, {}, now=after(70), context=context()).status
    (_, part) = status.parts
    edited = a_recording().edited(maxDurationSeconds=600).status(status).build()
    assert [duration_left(one, part) for one in (recording, edited)] == [50, 530]
    assert desired_state_document(recording, status, part, now=after(70), settings=SETTINGS).max_duration_seconds == 50


def test_a_pod_is_told_of_participants_once_they_may_have_changed() -> None:
    part = a_part()
    for recording, told in ((a_recording(), False), (a_recording().edited(), True)):
        built = recording.parts(part).build()
        desired = desired_state_document(built, built.status, part, now=NOW, settings=SETTINGS)
        assert desired.streams == (built.spec.channel.streams if told else None)


def test_an_edit_of_a_finished_recording_was_seen_and_changes_nothing() -> None:
    done = decide(a_recording().edited(1, desiredState="Stopped").build(), {}, now=NOW, context=context())
    edited = a_recording().edited(5, maxDurationSeconds=1).status(done.status).build()
    seen = decide(edited, {}, now=after(60), context=context()).status
    assert seen.observed_generation == 5
    assert {one.observed_generation for one in seen.conditions} == {5}
    assert [(one.type, one.status, one.reason, one.last_transition_time) for one in seen.conditions] == [
        (one.type, one.status, one.reason, one.last_transition_time) for one in done.status.conditions
    ]


def test_a_status_full_of_parts_that_upload_is_not_too_full_for_one_more() -> None:
    """As an operator without the bound may have left it: nothing fails, and no part is forgotten."""
    listed = tuple(a_part(number, **FAILED) for number in range(20))
    begun = parts.begun(a_recording().build(), CloudRecordingStatus(parts=listed), now=NOW)
    assert [part.number for part in begun.parts] == list(range(21))
