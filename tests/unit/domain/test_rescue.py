# SPDX-License-Identifier: Apache-2.0
"""What a part's pod left: which of it another pod delivers, when that pod is made, and what is said meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest

from cloud_recording.api.reasons import ConditionType, Reason
from cloud_recording.api.recording import CloudRecording
from cloud_recording.api.status import (
    Amounts,
    CloudRecordingStatus,
    Gap,
    Outcome,
    Part,
    Participant,
    ParticipantState,
    PartState,
    PartStorage,
)
from cloud_recording.domain import conditions, names, parts, rescue
from cloud_recording.domain.apply_callbacks import apply_callbacks
from cloud_recording.domain.decide import decide
from cloud_recording.domain.decision import Decision
from cloud_recording.domain.observed_state import PodRefusal
from cloud_recording.domain.pod_documents import recording_document
from cloud_recording.domain.pod_view import PodView
from cloud_recording.domain.totals import with_totals
from tests.unit.domain.builders import (
    NOW,
    SETTINGS,
    UID,
    PodBuilder,
    a_callback,
    a_part,
    a_pod,
    a_recording,
    a_snapshot,
    a_summary,
    after,
    context,
    milliseconds,
    pod_name,
    pods,
)

CLAIM = {"persistentVolumeClaim": {"size": "1Gi"}}
SPARE = {"bucket": "spare", "endpoint": "https://s3.elsewhere.com", "credentials": {"secretRef": {"name": "spare"}}}
WAITS = Amounts(written=4, uploaded=1, pending=3)
AWAY = Amounts(written=4, uploaded=1, backed_up=3)
RECORDED: dict[str, Any] = {
    "engine_extended": True,
    "create_time": NOW,
    "start_time": NOW,
    "stop_time": after(15),
    "end_time": after(60),
    "recorded_milliseconds": 60_000,
    "pending_milliseconds": 45_000,
    "slices": WAITS,
}
LOST: dict[str, Any] = {**RECORDED, "state": PartState.LOST, "lost": True, "reason": Reason.NODE_LOST}
INCOMPLETE: dict[str, Any] = {**RECORDED, "state": PartState.CONCLUDED, "outcome": Outcome.INCOMPLETE}
BACKED_UP: dict[str, Any] = {
    **RECORDED,
    "state": PartState.CONCLUDED,
    "outcome": Outcome.BACKED_UP,
    "slices": AWAY,
    "pending_milliseconds": 0,
    "backup_playlist": "p.m3u8",
}
NOTHING: dict[str, Any] = {**LOST, "start_time": None, "slices": Amounts()}
UNHEARD: dict[str, Any] = {**NOTHING, "engine_extended": None, "running_time": NOW, "pending_milliseconds": 0}
SOON = after(61)
RESCUER = names.pod_name(recording="stand-up", uid=UID, part=0, rescue=1)


def rescued(**fields: Any) -> Part:
    """A lost part whose rescuing pod was seen."""
    known = {**LOST, "state": PartState.RESCUING, "pod": RESCUER, "rescues": 1, "rescue_time": after(60)}
    return a_part(**{**known, **fields})


def look(recording: CloudRecording, around: Mapping[str, PodView] | None = None, *, now: datetime = SOON) -> Decision:
    return decide(recording, around or {}, now=now, context=context())


def ready(status: CloudRecordingStatus) -> tuple[Reason, str]:
    found = conditions.get(status, ConditionType.READY)
    assert found is not None
    return found.reason, found.message


@pytest.mark.parametrize(
    ("spec", "part", "state"),
    [
        pytest.param({"work": CLAIM}, LOST, PartState.RESCUING, id="what a lost pod left is on its claim"),
        pytest.param({"work": CLAIM}, INCOMPLETE, PartState.RESCUING, id="and so is what a drained one left"),
        pytest.param({}, LOST, PartState.LOST, id="an emptyDir went with its pod"),
        pytest.param({}, INCOMPLETE, PartState.CONCLUDED, id="however that ended"),
        pytest.param({"backup": SPARE}, BACKED_UP, PartState.RESCUING, id="what is in the backup comes home"),
        pytest.param(
            {"backup": SPARE},
            {**LOST, "slices": AWAY},
            PartState.LOST,
            id="but not what was never concluded there: its index went with the pod",
        ),
        pytest.param({"work": CLAIM}, NOTHING, PartState.LOST, id="nothing was recorded"),
        pytest.param({"work": CLAIM}, UNHEARD, PartState.RESCUING, id="of what was never heard the journal knows"),
        pytest.param(
            {"work": CLAIM},
            {**NOTHING, "running_time": NOW},
            PartState.RESCUING,
            id="and what one did that was heard of no more once it recorded",
        ),
        pytest.param({}, UNHEARD, PartState.LOST, id="unless that went with its pod"),
        pytest.param(
            {"work": CLAIM}, {**UNHEARD, "running_time": None}, PartState.LOST, id="a pod that never ran left nothing"
        ),
        pytest.param({"work": CLAIM}, {**LOST, "reason": Reason.DISCARDED}, PartState.LOST, id="it was thrown away"),
        pytest.param({"work": CLAIM}, {**LOST, "engine_extended": False}, PartState.LOST, id="no such engine"),
        pytest.param(
            {"work": CLAIM, "backup": SPARE},
            {**INCOMPLETE, "outcome": Outcome.UPLOADED, "slices": Amounts(written=4, uploaded=4)},
            PartState.CONCLUDED,
            id="everything is in the bucket",
        ),
    ],
)  # fmt: skip
def test_what_is_rescued(spec: dict[str, Any], part: dict[str, Any], state: PartState) -> None:
    decision = look(a_recording().spec(**spec).stopped().parts(a_part(**part)).build())
    assert decision.status.parts[0].state is state
    finished = conditions.is_true(decision.status, ConditionType.FINISHED)
    assert finished is (state in parts.OVER)
    assert ("CreatePod" in [type(action).__name__ for action in decision.actions]) is not finished


def test_a_claim_is_waited_for_until_kubernetes_has_ended_its_pod() -> None:
    """Nothing is forced: the status names the node, and the taint by which a person says that it is off for good."""
    recording = a_recording().spec(work=CLAIM).stopped().parts(a_part(**LOST)).build()
    silent = look(recording, pods(a_pod().on_a_silent_node(NOW)))
    assert silent.status.parts[0].state is PartState.AWAITING_RESCUE
    assert [type(action).__name__ for action in silent.actions] == ["DeletePod", "ReleasePod"]
    reason, message = ready(silent.status)
    assert reason is Reason.RESCUING
    assert "'node-1': bring the node back" in message
    assert "kubectl taint node node-1 node.kubernetes.io/out-of-service=nodeshutdown:NoExecute" in message
    waiting = a_recording().spec(work=CLAIM).stopped().status(silent.status).build()
    still = look(waiting, pods(a_pod().on_a_silent_node(NOW).deleted().released()))
    assert not still.actions
    gone = look(waiting)
    assert (gone.status.parts[0].pod, gone.status.parts[0].pod_uid) == (RESCUER, None)
    assert [type(action).__name__ for action in gone.actions] == ["CreatePod"]
    assert recording_document(waiting, gone.status.parts[0], SETTINGS).part.rescue


def test_nobody_is_said_to_be_in_a_channel_that_nobody_records_any_more() -> None:
    joined = Participant(uid=1, state=ParticipantState.JOINED, audio=True)
    status = CloudRecordingStatus(parts=(a_part(**LOST),), participants=(joined,), participant_count=1)
    recording = a_recording().spec(work=CLAIM).stopped().status(status).build()
    rescued_status = look(recording).status
    assert [(one.state, one.audio) for one in rescued_status.participants] == [(ParticipantState.LEFT, False)]
    known = a_snapshot(participants=[{"uid": 1, "state": "Joined", "audio": True}], participantCount=1)
    told = apply_callbacks(
        rescued_status, number=0, callbacks=[a_callback("Snapshot", 1, snapshot=known)], received_at=SOON
    )
    assert (told.participant_count, told.participants[0].state) == (0, ParticipantState.LEFT)


def test_another_part_records_while_one_is_rescued() -> None:
    recording = a_recording().spec(work=CLAIM).parts(a_part(**LOST)).build()
    states = [part.state for part in look(recording, now=after(70)).status.parts]
    assert states == [PartState.RESCUING, PartState.PLANNED]


def test_a_rescue_that_is_lost_itself_is_made_again_later_each_time() -> None:
    first = a_recording().spec(work=CLAIM).stopped().parts(rescued(rescue_time=after(60))).build()
    lost = look(first)
    assert lost.status.parts[0].state is PartState.AWAITING_RESCUE
    assert (lost.status.parts[0].end_time, lost.status.parts[0].reason) == (after(60), Reason.NODE_LOST)
    assert lost.requeue_after is not None
    again = a_recording().spec(work=CLAIM).stopped().status(lost.status).build()
    assert look(again, now=after(62)).status.parts[0].state is PartState.AWAITING_RESCUE
    later = look(again, now=after(61) + lost.requeue_after).status.parts[0]
    assert (later.state, later.rescues) == (PartState.RESCUING, 2)
    pauses = [rescue.BACKOFF.after(number, spread=0.0) for number in range(1, 9)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == rescue.BACKOFF.most_seconds


def test_what_a_rescue_tells_completes_the_part_and_leaves_how_it_ended() -> None:
    """Counts, media and the gap behind it become what they are; that it was lost stays, so another part follows."""
    gap = Gap(start_time=after(15), stop_time=after(90), reason="part 0 ended with NodeLost")
    status = CloudRecordingStatus(
        parts=(rescued(), a_part(1, start_time=after(90), state=PartState.RECORDING)), gaps=(gap,)
    )
    half = {"slices": {"written": 5, "uploaded": 3, "pending": 2}, "pendingMilliseconds": 30_000}
    told = [
        # What the lost pod had not told any more is on the claim, too.
        a_callback("RecordingStarted", 1),
        a_callback("Snapshot", 2, snapshot=a_snapshot(state="Uploading", **half)),
    ]
    during = apply_callbacks(status, number=0, callbacks=told, received_at=after(100))
    assert (during.parts[0].state, during.parts[0].slices.pending) == (PartState.RESCUING, 2)
    assert (during.parts[0].pending_milliseconds, during.parts[0].stop_time) == (30_000, after(15))
    summary = a_summary(
        "Drained",
        slices={"written": 5, "uploaded": 5},
        recordedMilliseconds=75_000,
        stopTime=milliseconds(after(75)),
        nothingLeft=True,
    )
    finished = a_callback("Finished", 3, summary=summary.model_dump(by_alias=True, mode="json"))
    over = apply_callbacks(during, number=0, callbacks=[finished], received_at=after(101))
    part = over.parts[0]
    assert (part.state, part.outcome, part.reason) == (PartState.CONCLUDED, Outcome.UPLOADED, Reason.NODE_LOST)
    assert (part.recorded_milliseconds, part.stop_time, part.nothing_left) == (75_000, after(75), True)
    assert [(one.start_time, one.stop_time) for one in over.gaps] == [(after(75), after(90))]
    ended = a_recording().spec(work=CLAIM).stopped().parts(part).build()
    assert ready(look(ended).status)[0] is Reason.COMPLETED
    goes_on = look(a_recording().spec(work=CLAIM).parts(part).build(), now=after(3600))
    assert [one.state for one in goes_on.status.parts] == [PartState.CONCLUDED, PartState.PLANNED]


PAUSED = {"start": milliseconds(after(20)), "stop": milliseconds(after(40)), "reason": "Paused"}
EARLIER = {"start": milliseconds(after(5)), "stop": milliseconds(after(10)), "reason": "Paused"}


@pytest.mark.parametrize(
    ("told", "durable", "gap_seconds", "listed"),
    [
        pytest.param([], 15, 75, [(15, 90)], id="without a gap of its own"),
        pytest.param([EARLIER], 15, 80, [(5, 10), (15, 90)], id="with one before the last durable slice"),
        pytest.param([PAUSED], 15, 75, [(15, 90)], id="with one behind it, which is a part of the time after the part"),
        pytest.param([EARLIER, PAUSED], 15, 80, [(5, 10), (15, 90)], id="with one before and one behind"),
        pytest.param([EARLIER, PAUSED], 45, 70, [(5, 10), (20, 40), (45, 90)], id="with both before"),
        pytest.param([PAUSED], None, 90, [(0, 90)], id="with nothing durable at all"),
    ],
)
def test_time_that_a_lost_part_did_not_record_counts_once(
    told: list[dict[str, Any]], durable: int | None, gap_seconds: int, listed: list[tuple[int, int]]
) -> None:
    """What is behind the last durable slice is time after the part, as that is where the gap behind it begins."""
    lasted = sum(gap["stop"] - gap["start"] for gap in told)
    figures = a_snapshot(
        recordedMilliseconds=55_000 - lasted,
        gapMilliseconds=lasted,
        gapCount=len(told),
        gaps=told,
        lastDurableSliceTime=None if durable is None else milliseconds(after(durable)),
    )
    begun = CloudRecordingStatus(parts=(a_part(state=PartState.RECORDING, start_time=NOW),))
    known = apply_callbacks(
        begun, number=0, callbacks=[a_callback("Snapshot", 1, snapshot=figures)], received_at=after(55)
    )
    recording = a_recording().status(known).build()
    lost = look(recording, pods(a_pod().on_a_silent_node(NOW)), now=after(120)).status
    assert lost.parts[0].lost
    later = lost.model_copy(update={"parts": (*lost.parts, a_part(1, state=PartState.CONNECTING))})
    started = apply_callbacks(
        later,
        number=1,
        callbacks=[a_callback("RecordingStarted", 1, time=milliseconds(after(90)))],
        received_at=after(90),
    )
    totals = with_totals(started)
    spans = [((gap.start_time - NOW).seconds, (gap.stop_time - NOW).seconds) for gap in totals.gaps if gap.stop_time]
    assert (totals.gap_seconds, totals.gap_count, spans) == (gap_seconds, len(listed), listed)


def test_the_gaps_of_a_lost_part_come_back_as_what_it_left_is_delivered() -> None:
    """Promise: at no moment of a rescue does a second that was not recorded count twice."""
    behind = Gap(start_time=after(15), stop_time=after(90), reason="part 0 ended with NodeLost")
    status = CloudRecordingStatus(
        parts=(rescued(), a_part(1, start_time=after(90), state=PartState.RECORDING)), gaps=(behind,)
    )
    figures = {"gapMilliseconds": 20_000, "gapCount": 1, "gaps": [PAUSED], "recordedMilliseconds": 35_000}
    for sequence, durable, seconds, listed in [(1, 15, 75, [(15, 90)]), (2, 55, 55, [(20, 40), (55, 90)])]:
        figures["lastDurableSliceTime"] = milliseconds(after(durable))
        told = a_callback("Snapshot", sequence, snapshot=a_snapshot(state="Uploading", **figures))
        status = with_totals(apply_callbacks(status, number=0, callbacks=[told], received_at=after(100)))
        spans = [
            ((gap.start_time - NOW).seconds, (gap.stop_time - NOW).seconds) for gap in status.gaps if gap.stop_time
        ]
        assert (status.gap_seconds, status.gap_count, spans) == (seconds, len(listed), listed)


def test_a_rescue_counts_on_from_what_the_outbox_on_the_claim_has_told() -> None:
    """The pod mounts that outbox: what it told is known, and how the pod before ended is not how the rescue did."""
    recording = a_recording().spec(work=CLAIM).stopped().parts(a_part(**{**INCOMPLETE, "sequence": 7})).build()
    begun = look(recording).status
    assert (begun.parts[0].state, begun.parts[0].sequence) == (PartState.RESCUING, 7)
    old = a_callback("Finished", 7, summary=a_summary("Incomplete").model_dump(by_alias=True, mode="json"))
    told = apply_callbacks(begun, number=0, callbacks=[old, a_callback("RecordingStopped", 8)], received_at=SOON)
    assert (told.parts[0].state, told.parts[0].sequence) == (PartState.RESCUING, 8)


def test_a_rescue_of_a_part_that_recorded_nothing_ends_well() -> None:
    recording = a_recording().spec(work=CLAIM).stopped().parts(a_part(**UNHEARD)).build()
    begun = look(recording).status
    summary = a_summary("Uploaded", slices={}, recordedMilliseconds=0, startTime=None, stopTime=None, code=442)
    finished = a_callback("Finished", 1, summary=summary.model_dump(by_alias=True, mode="json"))
    over = apply_callbacks(begun, number=0, callbacks=[finished], received_at=after(70))
    ended = look(a_recording().spec(work=CLAIM).stopped().status(over).build(), now=after(71))
    assert ended.status.parts[0].state is PartState.CONCLUDED
    assert ready(ended.status)[0] is Reason.NOTHING_RECORDED
    assert conditions.is_true(ended.status, ConditionType.FINISHED)


def test_a_part_that_no_pod_can_tell_of_is_given_up_with_the_name_of_its_claim() -> None:
    """What keeps the recorder itself from a word keeps those from it that are to deliver what it left."""
    builder = a_recording().spec(work=CLAIM).stopped()
    tries = {**UNHEARD, "state": PartState.AWAITING_RESCUE, "rescues": rescue.MOST_UNHEARD, "message": "silence"}
    given_up = look(builder.parts(a_part(**tries)).build()).status
    part = given_up.parts[0]
    assert (part.state, part.reason) == (PartState.LOST, Reason.NODE_LOST)
    assert part.message is not None
    assert part.message.startswith(f"silence; its claim '{pod_name()}' may hold media")
    assert conditions.is_true(given_up, ConditionType.FINISHED)
    assert look(builder.status(given_up).build()).status == given_up


def test_that_a_pod_has_run_is_known_once_it_is_over() -> None:
    """The operator may see it first then, after its own absence."""
    waits = a_part(state=PartState.PENDING, create_time=NOW, engine_extended=None)
    builder = a_recording().spec(work=CLAIM).stopped()
    over = look(builder.parts(waits).build(), pods(a_pod().ended("", reason="Error", exit_code=137)))
    assert (over.status.parts[0].state, over.status.parts[0].lost) == (PartState.AWAITING_RESCUE, True)


def test_what_has_no_journal_in_the_backup_stays_there_and_is_not_tried_again() -> None:
    """Recorders of before put none there: the recording is over as it was concluded, and says why."""
    builder = a_recording().spec(backup=SPARE).stopped()
    begun = look(builder.parts(a_part(**BACKED_UP)).build()).status
    over = ended_rescue(begun, "BackedUp", "the backup store: has no journal 'p_journal.jsonl'")
    final = look(builder.status(over).build(), now=after(3600))
    part = final.status.parts[0]
    assert (part.state, part.outcome, part.backup_playlist) == (PartState.CONCLUDED, Outcome.BACKED_UP, "p.m3u8")
    assert (part.slices, part.message) == (AWAY, "the backup store: has no journal 'p_journal.jsonl'")
    assert ready(final.status)[0] is Reason.BACKED_UP
    assert conditions.is_true(final.status, ConditionType.FINISHED)


def test_a_rescue_that_did_not_come_to_the_journal_forgets_nothing_and_is_made_again() -> None:
    builder = a_recording().spec(backup=SPARE).stopped()
    begun = look(builder.parts(a_part(**BACKED_UP)).build()).status
    over = ended_rescue(begun, "Incomplete", "an unknown number of slices could not be uploaded")
    assert (over.parts[0].slices, over.parts[0].backup_playlist) == (AWAY, "p.m3u8")
    again = look(builder.status(over).build(), now=after(3600)).status.parts[0]
    assert (again.state, again.rescues) == (PartState.RESCUING, 2)


def ended_rescue(status: CloudRecordingStatus, outcome: str, message: str) -> CloudRecordingStatus:
    """The status after the end of a rescue that knows nothing of the part."""
    known = a_summary(outcome, slices={}, recordedMilliseconds=0, message=message)
    summary = known.model_dump(by_alias=True, mode="json")
    return apply_callbacks(
        status, number=0, callbacks=[a_callback("Finished", 1, summary=summary)], received_at=after(70)
    )


def test_a_rescue_without_a_claim_has_an_outbox_of_its_own() -> None:
    recording = a_recording().spec(backup=SPARE).stopped().parts(a_part(**{**BACKED_UP, "sequence": 7})).build()
    assert look(recording).status.parts[0].sequence == 0


def test_files_that_stay_in_the_backup_for_more_than_five_minutes_are_overdue() -> None:
    recording = a_recording().spec(backup=SPARE).stopped().parts(a_part(**BACKED_UP)).build()
    early = look(recording)
    assert ready(early.status)[0] is Reason.BACKED_UP
    assert early.requeue_after is not None
    late = look(
        a_recording().spec(backup=SPARE).stopped().status(early.status).build(), now=after(61) + early.requeue_after
    )
    assert ready(late.status)[0] is Reason.BACKUP_OVERDUE
    assert recording_document(recording, early.status.parts[0], SETTINGS).part.from_backup


@pytest.mark.parametrize(("asked", "reason"), [(True, Reason.DISCARDED), (False, Reason.DEADLINE_EXCEEDED)])
def test_a_rescue_is_given_up_by_the_deadline_or_the_annotation_alone(*, asked: bool, reason: Reason) -> None:
    builder = a_recording().spec(work=CLAIM, deletionDeadlineSeconds=100).deleted(NOW).parts(rescued())
    recording = (builder.discarded() if asked else builder).build()
    around = {RESCUER: a_pod().running().build()}
    if not asked:
        assert not conditions.is_true(look(recording, now=after(99)).status, ConditionType.FINISHED)
    decision = look(recording, around, now=after(100))
    assert ready(decision.status)[0] is reason
    assert decision.status.parts[0].reason is reason


def test_what_a_node_that_shuts_down_cut_short_is_rescued_and_its_words_are_kept() -> None:
    """Its kubelet deletes no pod: it ends them within a time of its own, and fails those that it had to kill."""
    words = "Pod was terminated in response to imminent node shutdown."
    part = a_part(state=PartState.UPLOADING, **{**RECORDED, "end_time": None})
    recording = a_recording().spec(work=CLAIM).parts(part).build()
    seen = look(recording, pods(a_pod().ended(reason="Error", exit_code=137).disrupted(words))).status.parts[0]
    assert (seen.state, seen.reason, seen.message) == (PartState.AWAITING_RESCUE, Reason.POD_LOST, words)


@pytest.mark.parametrize(
    ("spec", "part", "words", "reason"),
    [
        (
            {"work": CLAIM},
            {},
            f"(3 slices in no store): claim '{pod_name()}', which it is on, goes with the namespace",
            Reason.UPLOAD_INCOMPLETE,
        ),
        (
            {"backup": SPARE},
            {**BACKED_UP, "lost": False},
            "(0 slices in no store): it is in the backup store alone",
            Reason.BACKED_UP,
        ),
    ],
)
def test_a_namespace_that_ends_is_not_held_for_what_no_pod_can_deliver(
    spec: dict[str, Any], part: dict[str, Any], words: str, reason: Reason
) -> None:
    known = {**part, "state": PartState.RESCUING, "pod_uid": None}
    recording = a_recording().spec(**spec).deleted(NOW).parts(rescued(**known)).build()
    why = Reason.NAMESPACE_TERMINATING
    refusal = PodRefusal(part=0, reason=why, message="it is being terminated", retry_after=timedelta(seconds=15))
    decision = decide(recording, {}, now=SOON, context=context(), refusal=refusal)
    assert ready(decision.status)[0] is reason
    assert "ReleaseRecording" in [type(action).__name__ for action in decision.actions]
    error = decision.status.last_error
    assert error is not None
    assert error.message == (
        f"namespace 'meetings' is being deleted, so no pod can deliver what is left of part 0 {words}"
    )
    assert decision.status.parts[0].message == error.message


@pytest.mark.parametrize(("ended", "known"), [(LOST, " when it was last heard of"), (INCOMPLETE, "")])
def test_what_an_empty_dir_lost_is_stated_in_seconds(ended: dict[str, Any], known: str) -> None:
    """A pod that ended in order told what it left; of another it may be some more, or less."""
    decision = look(a_recording().stopped().parts(a_part(**{**ended, "message": "the pod is gone"})).build())
    part = decision.status.parts[0]
    stated = f"45 s of media that were in no store{known} are gone with its work volume"
    assert part.message == f"the pod is gone; {stated}"
    assert (decision.status.recorded_seconds, part.pending_milliseconds) == (15, 0)


def test_an_empty_dir_is_not_said_to_be_gone_for_good_while_its_node_may_come_back() -> None:
    recording = a_recording().stopped().parts(a_part(**{**LOST, "message": "silence"})).build()
    part = look(recording, pods(a_pod().on_a_silent_node(NOW))).status.parts[0]
    assert part.message is not None
    assert part.message.endswith("are gone with its work volume, unless node 'node-1' comes back")
    assert parts.why_over(part).endswith("are gone with its work volume"), "a gap's reason stays"


LEFT = {"written": 4, "uploaded": 1, "pending": 3}
GONE = "silence; 45 s of media that were in no store when it was last heard of are gone with its work volume"


@pytest.mark.parametrize(
    ("pod", "actions", "message"),
    [
        pytest.param(
            a_pod().on_a_silent_node(NOW),
            ["DeletePod"],
            f"{GONE}, unless node 'node-1' comes back",
            id="it is told to end",
        ),
        pytest.param(
            a_pod().on_a_silent_node(NOW).deleted(), [], f"{GONE}, unless node 'node-1' comes back", id="and waited for"
        ),
        pytest.param(
            a_pod().on_a_silent_node(NOW).deleted().forced(),
            ["ReleasePod"],
            f"{GONE}, unless node 'node-1' comes back",
            id="unless somebody forces its end: its node may yet come back",
        ),
        pytest.param(
            a_pod().ended(exit_code=137).deleted(), ["ReleasePod"], GONE, id="back, and its recorder was gone"
        ),
        pytest.param(
            a_pod()
            .ended(a_summary("Incomplete", message="3 of 4 slices", slices=LEFT).termination_message())
            .deleted(),
            ["ReleasePod"],
            f"{GONE}; 3 of 4 slices",
            id="back, and its recorder could not deliver",
        ),
        pytest.param(
            a_pod().ended(a_summary("Drained", slices={"written": 4, "uploaded": 4}).termination_message()).deleted(),
            ["ReleasePod"],
            "node 'node-1', of which nothing was heard, came back, and what its recorder had is delivered",
            id="back, and its recorder delivered",
        ),
    ],
)
def test_what_is_said_of_an_empty_dir_on_a_lost_node_is_true_when_that_is_back(
    pod: PodBuilder, actions: list[str], message: str
) -> None:
    """Promise: the pod is held until then, and its recorder's last word counts."""
    known = {**LOST, "reason": Reason.NODE_LOST, "message": f"{GONE}, unless node 'node-1' comes back"}
    known |= {"pending_milliseconds": 0, "recorded_milliseconds": 15_000}
    recording = a_recording().parts(a_part(**known), a_part(1, state=PartState.RECORDING, start_time=NOW)).build()
    decision = look(recording, pods(pod, a_pod(1).running()))
    first = decision.status.parts[0]
    assert first.message == message
    mine = [action for action in decision.actions if getattr(action, "pod", None) == pod.build()]
    assert [type(action).__name__ for action in mine] == actions
    again = look(a_recording().status(decision.status).build(), pods(pod, a_pod(1).running()))
    assert again.status.parts[0] == first
    ended = look(a_recording().stopped().parts(a_part(**known)).build(), pods(pod))
    assert "ReleasePod" in [type(action).__name__ for action in ended.actions], "nothing holds it beyond the recording"


def test_what_a_kubelet_says_is_not_broken_off_by_what_is_added() -> None:
    told = "Pod was terminated in response to imminent node shutdown."
    recording = a_recording().stopped().parts(a_part(**{**LOST, "message": told})).build()
    message = look(recording).status.parts[0].message
    assert message is not None
    assert message.startswith("Pod was terminated in response to imminent node shutdown; 45 s of media")


def test_a_pod_that_its_kubelet_took_no_more_is_told_of_in_the_kubelets_words() -> None:
    rejected = a_pod().evicted("Pod was rejected as the node is shutting down.")
    rejected.status["reason"] = "NodeShutdown"
    recording = a_recording().parts(a_part(state=PartState.STARTING)).build()
    error = look(recording, pods(rejected)).status.last_error
    assert error is not None
    assert error.message == "its container never ran: Pod was rejected as the node is shutting down."


@pytest.mark.parametrize(("later", "expected"), [({"ready": True, "time": NOW}, "True"), ({}, "False")])
def test_what_a_lost_part_left_in_no_store_says_nothing_of_a_store_that_took_what_came_later(
    later: dict[str, Any], expected: str
) -> None:
    """Nobody needs to mend it any more; where it was never tried again, it is as it was last."""
    failing = PartStorage(ready=False, reason=Reason.NO_SUCH_BUCKET, message="no", time=NOW)
    lost = a_part(**{**LOST, "slices": WAITS, "storage": failing})
    next_one = a_part(1, state=PartState.RECORDING, storage=PartStorage(**later))
    found = conditions.get(
        look(a_recording().parts(lost, next_one).build(), pods(a_pod(1).running())).status, ConditionType.STORAGE_READY
    )
    assert found is not None
    assert found.status.value == expected


def test_a_part_that_was_lost_before_it_began_leaves_nothing_to_be_uploaded() -> None:
    whole = {**INCOMPLETE, "outcome": Outcome.UPLOADED, "slices": Amounts(written=4, uploaded=4)}
    never_began = {**NOTHING, "recorded_milliseconds": 0, "pending_milliseconds": 0, "stop_time": None}
    recording = a_recording().stopped().parts(a_part(**whole), a_part(1, **never_began)).build()
    assert conditions.is_true(look(recording).status, ConditionType.UPLOADED)


def test_an_empty_dir_is_gone_for_good_once_the_recorder_has_said_so_though_its_pod_winds_up() -> None:
    part = a_part(**{**INCOMPLETE, "reason": Reason.UPLOAD_INCOMPLETE, "message": "3 of 4 slices"})
    status = look(a_recording().stopped().parts(part).build(), pods(a_pod().running().deleted())).status
    assert status.parts[0].message == "3 of 4 slices; 45 s of media that were in no store are gone with its work volume"
    uploaded = conditions.get(status, ConditionType.UPLOADED)
    assert uploaded is not None
    assert (uploaded.status.value, uploaded.message) == ("False", "3 slices are in no store")


def test_every_rescue_has_a_pod_of_its_own_and_all_of_them_one_claim() -> None:
    assert len({RESCUER, pod_name(), names.pod_name(recording="stand-up", uid=UID, part=0, rescue=2)}) == 3
    assert names.claim_name(recording="stand-up", uid=UID, part=0) == pod_name()
