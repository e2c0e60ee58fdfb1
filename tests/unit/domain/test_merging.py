# SPDX-License-Identifier: Apache-2.0
"""Parts become one: when a pod is made for that, what its answer means, and what ends the waiting for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest

from cloud_recording.api.reasons import ConditionType, Reason
from cloud_recording.api.recording import CloudRecording
from cloud_recording.api.status import Amounts, CloudRecordingStatus, Condition, Merge, Outcome, Part, PartState
from cloud_recording.domain import conditions, names
from cloud_recording.domain.decide import decide
from cloud_recording.domain.decision import (
    CreateMergePod,
    CreatePod,
    Decision,
    DeletePod,
    DeleteRecording,
    ReleasePod,
    ReleaseRecording,
)
from cloud_recording.domain.merge_pod import build_merge_pod
from cloud_recording.domain.merging import MOST_TRIES, MOST_TRIES_WITH_MP4, PATIENCE
from cloud_recording.domain.observed_state import PodRefusal
from cloud_recording.domain.pod_view import PodView
from cloud_recording.domain.status_events import transitions
from cloud_recording.domain.summarize import finished
from tests.unit.domain.builders import SETTINGS, UID, PodBuilder, a_part, a_recording, after, context, pods

MERGED = "1_room_merged.m3u8"
FILM = "1_room_merged.mp4"
WITH_MP4: dict[str, Any] = {"recording": {"outputs": ["HLS", "MP4"]}}
DONE = json.dumps({"playlist": MERGED, "manifest": "1_room_merged_manifest.json", "slices": 5})
SOON = after(100)
TWO = Amounts(written=2, uploaded=2)
RECORDED: dict[str, Any] = {
    "state": PartState.CONCLUDED,
    "engine_extended": True,
    "nothing_left": True,
    "outcome": Outcome.UPLOADED,
    "slices": TWO,
}


def part(number: int, **fields: Any) -> Part:
    begun = 30 * number
    times = {"create_time": after(begun), "start_time": after(begun), "stop_time": after(begun + 20)}
    playlist = f"{names.file_prefix(number)}1_room.m3u8"
    known = {**RECORDED, **times, "end_time": after(begun + 25), "recorded_milliseconds": 20_000, "playlist": playlist}
    return a_part(number, **{**known, **fields})


LOST: dict[str, Any] = {"state": PartState.LOST, "lost": True, "outcome": None, "reason": Reason.POD_LOST}


def stopped(*parts: Part, **fields: Any) -> CloudRecording:
    return a_recording().parts(*parts, **fields).stopped().build()


def over(**spec: Any) -> CloudRecording:
    """A stopped recording of two parts, the first of which was lost with its pod."""
    return a_recording().spec(**spec).parts(part(0, **LOST), part(1)).stopped().build()


def look(
    recording: CloudRecording,
    around: Mapping[str, PodView] | None = None,
    *,
    now: datetime = SOON,
    refusal: PodRefusal | None = None,
) -> Decision:
    return decide(recording, around or {}, now=now, context=context(), refusal=refusal)


def then(recording: CloudRecording, decision: Decision) -> CloudRecording:
    """The recording after the decision was written."""
    return recording.model_copy(update={"status": decision.status})


def merging(**spec: Any) -> CloudRecording:
    recording = over(**spec)
    return then(recording, look(recording))


def merge_pod(number: int = 1) -> PodBuilder:
    name = names.merge_pod_name(recording="stand-up", uid=UID, number=number)
    return PodBuilder(metadata={"name": name, "uid": f"merge-{number}"})


def said(status: CloudRecordingStatus, kind: ConditionType = ConditionType.PLAYLIST_MERGED) -> Condition:
    found = conditions.get(status, kind)
    assert found is not None
    return found


def test_a_pod_makes_one_playlist_once_every_part_is_over_and_the_bytes_are_said_to_be_there_meanwhile() -> None:
    recording = over()
    decision = look(recording)
    status = decision.status
    assert not finished(status)
    (create,) = [action for action in decision.actions if isinstance(action, CreateMergePod)]
    assert create.merge.pod == names.merge_pod_name(recording="stand-up", uid=UID, number=1)
    assert (said(status).status, said(status).reason) == ("False", Reason.MERGING)
    assert said(status, ConditionType.READY).reason is Reason.MERGING
    assert status.playlist == "bak0_1_room.m3u8"


def test_everything_is_uploaded_while_it_is_merged() -> None:
    status = look(stopped(part(0), part(1))).status
    assert (said(status, ConditionType.UPLOADED).status, said(status).reason) == ("True", Reason.MERGING)


def test_the_end_names_the_playlist_over_all_parts_and_lists_each() -> None:
    recording = merging()
    seen = look(recording, pods(merge_pod().running()))
    assert seen.status.merge is not None
    assert seen.status.merge.pod_uid == "merge-1"
    assert not seen.actions
    recording = then(recording, seen)
    decision = look(recording, pods(merge_pod().ended(DONE)))
    status = decision.status
    assert finished(status)
    assert (said(status).status, said(status).reason) == ("True", Reason.MERGED)
    assert status.playlist == MERGED
    assert status.playlist_url == f"https://s3.example.com/recordings/{MERGED}"
    assert [(one.part, one.name, one.slices) for one in status.playlists] == [
        (0, "1_room.m3u8", 2),
        (1, "bak0_1_room.m3u8", 2),
    ]
    kinds = [type(action) for action in decision.actions]
    assert kinds == [ReleasePod, ReleaseRecording]
    assert look(then(recording, decision)).status == status


def answered(**more: str) -> str:
    return json.dumps({**json.loads(DONE), **more})


def with_mp4() -> CloudRecording:
    """A stopped recording of two parts with an MP4 each, whose parts are being merged."""
    parts = [part(0, mp4="1_room.mp4"), part(1, mp4="bak0_1_room.mp4")]
    recording = a_recording().spec(**WITH_MP4).parts(*parts).stopped().build()
    return then(recording, look(recording))


def film_is_missing(status: CloudRecordingStatus, why: str) -> bool:
    """Whether it is told in each place that says so, and the newest part's MP4 is named in its stead."""
    known = conditions.get(status, ConditionType.READY)
    assert known is not None
    assert "no MP4 was made over all parts" in known.message
    assert status.merge is not None
    assert (status.playlist, status.mp4, status.merge.mp4) == (MERGED, "bak0_1_room.mp4", None)
    return why in said(status).message and why in (status.merge.mp4_missing or "")


def test_the_mp4_of_the_newest_part_stays_named_beside_it_where_none_of_the_whole_is_asked_for() -> None:
    recording = stopped(part(0), part(1, mp4="bak0_1_room.mp4"))
    recording = then(recording, look(recording))
    status = look(recording, pods(merge_pod().ended(DONE))).status
    assert (status.playlist, status.mp4, said(status).message) == (MERGED, "bak0_1_room.mp4", "")


def test_the_end_names_the_mp4_over_all_parts_and_lists_each() -> None:
    recording = with_mp4()
    assert "one playlist and one MP4 over all parts" in said(recording.status).message
    status = look(recording, pods(merge_pod().ended(answered(mp4=FILM)))).status
    assert finished(status)
    assert (status.mp4, status.mp4_url) == (FILM, f"https://s3.example.com/recordings/{FILM}")
    assert [one.mp4 for one in status.playlists] == ["1_room.mp4", "bak0_1_room.mp4"]
    assert (said(status).status, said(status).message) == ("True", "")
    assert not [one for one in transitions(recording.status, status) if one.warning]
    assert look(then(recording, look(recording, pods(merge_pod().ended(answered(mp4=FILM)))))).status == status


def test_an_mp4_that_a_pod_had_put_before_it_died_is_named_by_the_one_that_is_to_make_none() -> None:
    recording = with_mp4()
    merge = recording.status.merge
    assert merge is not None
    without = merge.model_copy(update={"mp4_seconds": None, "mp4_missing": "no pod lived to finish it"})
    recording = recording.model_copy(update={"status": recording.status.model_copy(update={"merge": without})})
    status = look(recording, pods(merge_pod().ended(answered(mp4=FILM)))).status
    assert status.merge is not None
    assert (status.mp4, status.merge.mp4, status.merge.mp4_missing) == (FILM, FILM, None)
    assert said(status).message == ""


def test_no_mp4_of_fewer_parts_is_named_once_the_recording_went_on() -> None:
    ended = look(with_mp4(), pods(merge_pod().ended(answered(mp4=FILM)))).status
    third = part(2, mp4="bak1_1_room.mp4")
    parts = [part(0, mp4="1_room.mp4"), part(1, mp4="bak0_1_room.mp4"), third]
    recording = a_recording().spec(**WITH_MP4).parts(*parts, merge=ended.merge).stopped().build()
    recording = then(recording, look(recording))
    assert (recording.status.playlist, recording.status.mp4) == ("bak1_1_room.m3u8", third.mp4)
    why = "from x.ts on the recording has another picture size; 1_room_merged.mp4 was made before"
    status = look(recording, pods(merge_pod(2).ended(answered(mp4Missing=why)))).status
    assert status.merge is not None
    assert (status.playlist, status.mp4, status.merge.mp4) == (MERGED, third.mp4, None)
    assert why in said(status).message


def test_the_mp4_of_one_part_is_that_of_the_whole() -> None:
    status = look(a_recording().spec(**WITH_MP4).parts(part(0, mp4="1_room.mp4")).stopped().build()).status
    assert finished(status)
    assert (status.merge, status.mp4) == (None, "1_room.mp4")


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"mp4Missing": "from x.ts on the recording has another picture size"}, "another picture size"),
        ({}, "the recorder's library makes none over all parts"),
    ],
)
def test_why_there_is_no_mp4_over_all_parts_is_said_and_the_recording_is_no_failure(
    more: dict[str, str], why: str
) -> None:
    recording = with_mp4()
    status = look(recording, pods(merge_pod().ended(answered(**more)))).status
    assert film_is_missing(status, why)
    assert conditions.is_true(status, ConditionType.SUCCEEDED)
    (event,) = [one for one in transitions(recording.status, status) if one.action == "Merge"]
    assert (event.warning, event.reason) == (True, Reason.MP4_NOT_MADE)
    assert why in event.message


def test_an_mp4_that_no_pod_lives_to_finish_costs_nobody_the_playlist() -> None:
    recording, now = with_mp4(), SOON
    for number in range(1, MOST_TRIES_WITH_MP4 + 1):
        failed = look(recording, pods(merge_pod(number).ended("", reason="OOMKilled", exit_code=137)), now=now)
        assert not finished(failed.status)
        recording = then(recording, failed)
        if number < MOST_TRIES_WITH_MP4:
            now += failed.requeue_after or timedelta()
            recording = then(recording, look(recording, now=now))
    merge = recording.status.merge
    assert merge is not None
    assert (merge.pods, merge.tries, merge.mp4_seconds) == (MOST_TRIES_WITH_MP4 + 1, 0, None)
    assert film_is_missing(
        look(recording, pods(merge_pod(merge.pods).ended(DONE)), now=now).status, "memory than its limit"
    )


def test_a_store_that_fails_is_not_held_against_the_mp4() -> None:
    recording, now = with_mp4(), SOON
    for number in range(1, MOST_TRIES + 1):
        answer = json.dumps({"cause": "StorageTimeout", "message": "late"})
        failed = look(recording, pods(merge_pod(number).ended(answer)), now=now)
        recording = then(recording, failed)
        if not finished(failed.status):
            now += failed.requeue_after or timedelta()
            recording = then(recording, look(recording, now=now))
    assert (finished(recording.status), said(recording.status).reason) == (True, Reason.STORAGE_TIMEOUT)


def test_a_pod_that_finds_no_node_with_room_for_an_mp4_is_followed_by_one_that_needs_none() -> None:
    recording = with_mp4()
    around = pods(merge_pod().unschedulable("0/3 nodes have enough ephemeral-storage"))
    waits = look(recording, around)
    assert waits.requeue_after is not None
    assert waits.requeue_after > PATIENCE
    late = look(then(recording, waits), around, now=SOON + waits.requeue_after)
    assert not finished(late.status)
    kinds = [type(action) for action in late.actions]
    assert CreateMergePod in kinds
    assert DeletePod in kinds
    recording = then(recording, late)
    status = look(recording, pods(merge_pod(2).ended(DONE)), now=SOON + waits.requeue_after).status
    assert film_is_missing(status, "enough ephemeral-storage")


def test_the_pod_has_room_and_time_for_an_mp4_by_its_size_and_only_where_it_makes_one() -> None:
    gigabyte = Amounts(written=1_000_000_000, uploaded=1_000_000_000)
    parts = [part(number, bytes=gigabyte, recorded_milliseconds=3_600_000) for number in (0, 1)]
    recording = a_recording().spec(**WITH_MP4).parts(*parts).stopped().build()
    recording = then(recording, look(recording))
    merge = recording.status.merge
    assert merge is not None
    template = {"metadata": {"name": "t", "uid": "u"}}

    def made(merge: Merge) -> tuple[Any, ...]:
        pod = build_merge_pod(recording, merge, SETTINGS, template=template)
        document = json.loads(pod["metadata"]["annotations"]["cloudrecording.dev/recording"])
        (container,) = pod["spec"]["containers"]
        (work,) = [volume["emptyDir"] for volume in pod["spec"]["volumes"] if volume["name"] == "work"]
        disk = container["resources"]["limits"]["ephemeral-storage"]
        return document["spec"]["recording"]["outputs"], work, disk, pod["spec"]["activeDeadlineSeconds"]

    assert made(merge) == (["HLS", "MP4"], {"sizeLimit": "2354Mi"}, "2482Mi", 980)
    assert made(merge.model_copy(update={"mp4_seconds": None})) == (["HLS"], {"sizeLimit": "2Gi"}, "128Mi", 300)


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([part(0)], id="one part is one already"),
        pytest.param([part(0, slices=Amounts()), part(1)], id="a part without a slice is none"),
    ],
)
def test_nothing_is_merged_where_there_is_nothing_to_merge(parts: list[Part]) -> None:
    decision = look(stopped(*parts))
    assert finished(decision.status)
    assert conditions.get(decision.status, ConditionType.PLAYLIST_MERGED) is None
    assert decision.status.merge is None


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ({"outcome": Outcome.BACKED_UP, "backup_playlist": "p.m3u8", "stays_in_backup": True}, Reason.BACKED_UP),
        ({"engine_extended": False}, Reason.MERGE_UNSUPPORTED),
    ],
)
def test_what_no_pod_would_change_is_said_without_one(other: dict[str, Any], reason: Reason) -> None:
    decision = look(stopped(part(0, **other), part(1)))
    assert finished(decision.status)
    assert (said(decision.status).status, said(decision.status).reason) == ("False", reason)
    assert decision.status.playlist == "bak0_1_room.m3u8"
    assert not any(isinstance(action, CreateMergePod) for action in decision.actions)


@pytest.mark.parametrize(
    ("cause", "reason"),
    [("NoReadRight", Reason.NO_READ_RIGHT), ("PartUnreadable", Reason.PART_UNREADABLE)],
)
def test_what_trying_again_would_not_change_ends_at_once_and_the_recording_is_no_failure(
    cause: str, reason: Reason
) -> None:
    recording = merging()
    answer = json.dumps({"cause": cause, "message": "1_room.m3u8: bucket denies it"})
    status = look(recording, pods(merge_pod().ended(answer))).status
    assert finished(status)
    assert (said(status).status, said(status).reason) == ("False", reason)
    assert "1_room.m3u8" in said(status).message
    assert conditions.is_true(status, ConditionType.SUCCEEDED)
    assert status.playlist == "bak0_1_room.m3u8"
    (event,) = [one for one in transitions(recording.status, status) if one.action == "Merge"]
    assert (event.warning, event.reason) == (True, reason)


@pytest.mark.parametrize(
    "pod",
    [
        pytest.param(merge_pod().ended(json.dumps({"cause": "StorageTimeout", "message": "late"})), id="the store"),
        pytest.param(merge_pod().ended("", reason="Error", exit_code=1), id="its process"),
        pytest.param(merge_pod().ended("no JSON"), id="what it says"),
        pytest.param(merge_pod().evicted("the node is full"), id="its node"),
        pytest.param(merge_pod().running().deleted(), id="somebody"),
        pytest.param(None, id="it is gone"),
    ],
)
def test_a_pod_that_fails_is_followed_by_another_after_a_pause(pod: PodBuilder | None) -> None:
    recording = merging()
    recording = then(recording, look(recording, pods(merge_pod().running())))
    failed = look(recording, pods(pod) if pod is not None else {})
    assert not finished(failed.status)
    assert not [action for action in failed.actions if isinstance(action, CreateMergePod)]
    assert failed.requeue_after is not None
    assert "tried again" in said(failed.status).message
    again = look(then(recording, failed), now=SOON + failed.requeue_after)
    (create,) = [action for action in again.actions if isinstance(action, CreateMergePod)]
    assert create.merge.pod == names.merge_pod_name(recording="stand-up", uid=UID, number=2)


def test_after_a_few_pods_it_is_given_up_in_the_last_ones_words() -> None:
    recording, now = merging(), SOON
    for number in range(1, MOST_TRIES + 1):
        answer = json.dumps({"cause": "StorageTimeout", "message": f"late {number}"})
        failed = look(recording, pods(merge_pod(number).ended(answer)), now=now)
        recording = then(recording, failed)
        if not finished(failed.status):
            now += failed.requeue_after or timedelta()
            recording = then(recording, look(recording, now=now))
    assert finished(recording.status)
    assert (said(recording.status).reason, said(recording.status).message) == (
        Reason.STORAGE_TIMEOUT,
        f"late {MOST_TRIES}",
    )


def test_a_pod_that_cannot_start_holds_the_end_up_for_minutes_and_no_longer() -> None:
    recording = merging()
    around = pods(merge_pod().unschedulable("0/3 nodes are available"))
    waits = look(recording, around)
    assert "0/3 nodes" in said(waits.status, ConditionType.READY).message
    assert waits.requeue_after == PATIENCE
    late = look(then(recording, waits), around, now=SOON + PATIENCE)
    assert finished(late.status)
    assert said(late.status).reason is Reason.UNSCHEDULABLE
    assert DeletePod in [type(action) for action in late.actions]


def test_a_pod_that_is_refused_is_asked_for_again_but_not_in_a_namespace_that_goes() -> None:
    recording = merging()
    refused = PodRefusal(
        part=None, reason=Reason.QUOTA_EXCEEDED, message="exceeded quota", retry_after=timedelta(seconds=15)
    )
    waits = look(recording, refusal=refused)
    assert not finished(waits.status)
    assert "exceeded quota" in said(waits.status).message
    assert waits.requeue_after == refused.retry_after
    gone = PodRefusal(
        part=None, reason=Reason.NAMESPACE_TERMINATING, message="being terminated", retry_after=timedelta(seconds=15)
    )
    assert finished(look(recording, refusal=gone).status)


def test_a_deleted_recording_is_merged_too_until_its_deadline_or_the_discard() -> None:
    deleted = a_recording().parts(part(0), part(1)).deleted(at=after(90))
    decision = look(deleted.build())
    assert CreateMergePod in [type(action) for action in decision.actions]
    assert "one playlist" in said(decision.status, ConditionType.READY).message
    late = look(then(deleted.build(), decision), now=after(10_000_000))
    assert (finished(late.status), said(late.status).reason) == (True, Reason.DEADLINE_EXCEEDED)
    assert conditions.is_true(late.status, ConditionType.SUCCEEDED)
    discarded = look(then(deleted.discarded().build(), decision))
    assert (finished(discarded.status), said(discarded.status).reason) == (True, Reason.DISCARDED)


def test_a_recording_that_goes_on_after_all_begins_another_part_and_is_merged_anew() -> None:
    recording = a_recording().parts(part(0), part(1, outcome=Outcome.DRAINED, reason=Reason.POD_ENDED)).build()
    merged = merging()
    goes_on = recording.model_copy(
        update={"status": merged.status.model_copy(update={"parts": recording.status.parts})}
    )
    decision = look(goes_on, pods(merge_pod().running()))
    assert [one.number for one in decision.status.parts] == [0, 1, 2]
    assert conditions.get(decision.status, ConditionType.PLAYLIST_MERGED) is None
    kinds = [type(action) for action in decision.actions]
    assert CreatePod in kinds
    assert DeletePod in kinds
    ended = then(goes_on, decision)
    ended = ended.model_copy(update={"status": ended.status.model_copy(update={"parts": (part(0), part(1), part(2))})})
    again = look(stopped(part(0), part(1), part(2), merge=ended.status.merge))
    (create,) = [action for action in again.actions if isinstance(action, CreateMergePod)]
    assert create.merge.pod == names.merge_pod_name(recording="stand-up", uid=UID, number=2)


def test_the_time_to_live_counts_from_the_last_part_as_before() -> None:
    recording = merging(ttlSecondsAfterFinished=60)
    decision = look(recording, pods(merge_pod().ended(DONE)), now=after(5_000))
    assert decision.status.completion_time == after(55)
    assert DeleteRecording in [type(action) for action in decision.actions]


def test_the_pod_is_made_as_a_parts_is_and_mounts_no_part_s_claim() -> None:
    claim = {"persistentVolumeClaim": {"size": "1Gi"}}
    recording = a_recording().spec(work=claim).parts(part(0), part(1)).stopped().build()
    recording = then(recording, look(recording))
    merge = recording.status.merge
    assert merge is not None
    template = {"metadata": {"name": "t", "uid": "u"}}
    pod = build_merge_pod(recording, merge, SETTINGS, template=template)
    (container,) = pod["spec"]["containers"]
    assert container["args"] == ["merge"]
    assert not {"livenessProbe", "readinessProbe", "ports"} & set(container)
    assert pod["spec"]["restartPolicy"] == "Never"
    assert not [volume for volume in pod["spec"]["volumes"] if "persistentVolumeClaim" in volume]
    labels = pod["metadata"]["labels"]
    assert labels["app.kubernetes.io/component"] == "recorder"
    assert labels[names.LABEL_PART] == "merge"
    assert labels[names.LABEL_RECORDING_UID] == UID
    document = json.loads(pod["metadata"]["annotations"]["cloudrecording.dev/recording"])
    assert document["parts"] == [
        {"filePrefix": "", "playlist": "1_room.m3u8"},
        {"filePrefix": "bak0_", "playlist": "bak0_1_room.m3u8"},
    ]
