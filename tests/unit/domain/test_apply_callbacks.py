# SPDX-License-Identifier: Apache-2.0
"""Callbacks become facts: each once, in order, whichever way they come."""

from __future__ import annotations

from typing import Any

import pytest

from cloud_recording.api.reasons import ConditionType, Reason
from cloud_recording.api.status import (
    Amounts,
    CloudRecordingStatus,
    Gap,
    LastError,
    Outcome,
    Part,
    Participant,
    ParticipantState,
    PartState,
    PartStorage,
)
from cloud_recording.api.wire import Callback
from cloud_recording.common.error_codes import RecordingErrorCode
from cloud_recording.domain import conditions, parts
from cloud_recording.domain.apply_callbacks import apply_callbacks
from cloud_recording.domain.status_events import transitions
from cloud_recording.domain.summarize import summarized
from tests.unit.domain.builders import (
    NOW,
    a_callback,
    a_part,
    a_recording,
    a_snapshot,
    after,
    milliseconds,
)

NO_RECORDED_DATA = RecordingErrorCode.NO_RECORDED_DATA


def folded(*callbacks: Callback, part: Part | None = None) -> CloudRecordingStatus:
    status = CloudRecordingStatus(parts=(part or a_part(state=PartState.STARTING),))
    return apply_callbacks(status, number=0, callbacks=callbacks, received_at=NOW)


FACTS = {
    "a started runner is starting": (
        [a_callback("RunnerStarted", runnerVersion="1", engineName="default", engineExtended=True)],
        {"state": PartState.STARTING, "engine_extended": True},
    ),
    "a missing Secret is named with its key and field": (
        [
            a_callback(
                "WaitingForSecret",
                missing=[
                    {
                        "secretName": "bucket",
                        "key": "accessKey",
                        "field": "spec.storage.credentials.secretRef",
                    }
                ],
            )
        ],
        {
            "state": PartState.STARTING,
            "reason": Reason.WAITING_FOR_SECRET,
            "message": "Secret 'bucket' with the key 'accessKey', named by `spec.storage.credentials.secretRef`, "
            "is not there",
        },
    ),
    "connecting": ([a_callback("RecordingConnecting")], {"state": PartState.CONNECTING}),
    "started": (
        [a_callback("RecordingStarted", at=after(3))],
        {"state": PartState.RECORDING, "start_time": after(3), "somebody_joined": True},
    ),
    "a second start keeps the time of the first": (
        [a_callback("RecordingStarted", at=after(3)), a_callback("RecordingStarted", 2, at=after(9))],
        {"state": PartState.RECORDING, "start_time": after(3), "somebody_joined": True},
    ),
    "stopped": (
        [a_callback("RecordingStopped", at=after(9))],
        {"state": PartState.UPLOADING, "stop_time": after(9)},
    ),
    "uploaded": (
        [a_callback("RecordingUploaded", fileName="sid_room-1.m3u8")],
        {"outcome": Outcome.UPLOADED, "playlist": "sid_room-1.m3u8"},
    ),
    "backed up": (
        [a_callback("RecordingBackedUp", fileName="sid_room-1.m3u8")],
        {"outcome": Outcome.BACKED_UP, "backup_playlist": "sid_room-1.m3u8"},
    ),
    "a fatal error ends the capture": (
        [a_callback("RecordingFatalError", code=RecordingErrorCode.CONNECT_ERROR, message="refused")],
        {
            "state": PartState.UPLOADING,
            "error_code": RecordingErrorCode.CONNECT_ERROR,
            "reason": Reason.CONNECT_ERROR,
            "message": "refused",
        },
    ),
    "an error after the stop says nothing of how capture ended": (
        [
            a_callback("RecordingStarted"),
            a_callback("RecorderFailure", 2, code=RecordingErrorCode.NO_USERS, message="nobody"),
            a_callback("RecordingStopped", 3),
            a_callback(
                "RecordingFatalError", 4, code=RecordingErrorCode.UPLOADER_FAILED, message="the bucket takes nothing"
            ),
        ],
        {
            "state": PartState.UPLOADING,
            "start_time": NOW,
            "stop_time": NOW,
            "somebody_joined": True,
            "error_code": RecordingErrorCode.NO_USERS,
            "reason": Reason.CHANNEL_IDLE,
            "message": "everybody had left the channel",
        },
    ),
    "a recorder that crashed connects again": (
        [a_callback("RecordingStarted"), a_callback("RecorderExited", 2, signal=11, restarts=1)],
        {"state": PartState.CONNECTING, "start_time": NOW, "recorder_restarts": 1, "somebody_joined": True},
    ),
    "nobody who ever came ends the part by itself": (
        [
            a_callback("RecordingConnecting"),
            a_callback("RecorderFailure", 2, code=RecordingErrorCode.NO_USERS, message="nobody"),
        ],
        {
            "state": PartState.STOPPING,
            "error_code": RecordingErrorCode.NO_USERS,
            "reason": Reason.NO_USERS,
            "message": "nobody",
        },
    ),
    "everybody who left ends the part as it should": (
        [
            a_callback("RecordingStarted"),
            a_callback("RecorderFailure", 2, code=RecordingErrorCode.NO_USERS, message="nobody"),
        ],
        {
            "state": PartState.STOPPING,
            "start_time": NOW,
            "somebody_joined": True,
            "error_code": RecordingErrorCode.NO_USERS,
            "reason": Reason.CHANNEL_IDLE,
            "message": "everybody had left the channel",
        },
    ),
    "a recorder that crashes as it leaves does not connect again": (
        [
            a_callback("RecordingConnecting"),
            a_callback("RecorderFailure", 2, code=RecordingErrorCode.NO_USERS, message="nobody"),
            a_callback("RecorderExited", 3, signal=11, restarts=1),
        ],
        {
            "state": PartState.STOPPING,
            "recorder_restarts": 1,
            "error_code": RecordingErrorCode.NO_USERS,
            "reason": Reason.NO_USERS,
            "message": "nobody",
        },
    ),
    "a container that is started again does not connect where its recorder was leaving": (
        [
            a_callback("RecordingConnecting"),
            a_callback("RecorderFailure", 2, code=RecordingErrorCode.NO_USERS, message="nobody"),
            a_callback("RunnerStarted", 3, runnerVersion="1", engineName="default", engineExtended=True),
        ],
        {
            "state": PartState.STOPPING,
            "engine_extended": True,
            "error_code": RecordingErrorCode.NO_USERS,
            "reason": Reason.NO_USERS,
            "message": "nobody",
        },
    ),
    "a container that is started again keeps why its part failed": (
        [
            a_callback("RecordingFatalError", code=RecordingErrorCode.CONNECT_ERROR, message="refused"),
            a_callback("RunnerStarted", 2, runnerVersion="1", engineName="default", engineExtended=True),
        ],
        {
            "state": PartState.UPLOADING,
            "engine_extended": True,
            "error_code": RecordingErrorCode.CONNECT_ERROR,
            "reason": Reason.CONNECT_ERROR,
            "message": "refused",
        },
    ),
    "a container that is started again is let in no more than before until somebody is": (
        [
            a_callback("RecordingRefused", code=RecordingErrorCode.CONNECT_ERROR, message="refused"),
            a_callback("RunnerStarted", 2, runnerVersion="1", engineName="default", engineExtended=True),
        ],
        {
            "state": PartState.STARTING,
            "engine_extended": True,
            "reason": Reason.STREAMS_REFUSED,
            "message": "refused",
        },
    ),
    "who joins a recording that is paused is not recorded": (
        [a_callback("RecordingStarted", snapshot=a_snapshot(state="Paused"))],
        {"state": PartState.PAUSED, "somebody_joined": True, "engine_extended": True},
    ),
    "the first media comes when the pause before it is over": (
        [
            a_callback("RecordingStarted", snapshot=a_snapshot(state="Paused")),
            a_callback("Snapshot", 2, at=after(9), snapshot=a_snapshot(state="Recording")),
        ],
        {"state": PartState.RECORDING, "start_time": after(9), "somebody_joined": True, "engine_extended": True},
    ),
    "what a supervisor says of its own accord has no newer account beside it": (
        [
            a_callback("RecordingStarted"),
            a_callback("DesiredStateApplied", 2, generation=4, snapshot=a_snapshot(state="Connecting")),
        ],
        {
            "state": PartState.RECORDING,
            "start_time": NOW,
            "somebody_joined": True,
            "desired_generation": 4,
            "engine_extended": True,
        },
    ),
    "a failed upload changes nothing about the capture": (
        [
            a_callback("RecordingStarted"),
            a_callback("UploaderFailure", 2, code=RecordingErrorCode.UPLOADER_FAILED, message="no such bucket"),
        ],
        {"state": PartState.RECORDING, "start_time": NOW, "somebody_joined": True},
    ),
    "a pause is told by the snapshot": (
        [
            a_callback("RecordingStarted"),
            a_callback("DesiredStateApplied", 2, generation=4),
            a_callback("Snapshot", 3, snapshot=a_snapshot(state="Paused")),
        ],
        {
            "state": PartState.PAUSED,
            "start_time": NOW,
            "somebody_joined": True,
            "desired_generation": 4,
            "engine_extended": True,
        },
    ),
    "a late snapshot does not bring a stopped part back to work": (
        [
            a_callback("RecordingStopped", at=after(9)),
            a_callback("Snapshot", 2, snapshot=a_snapshot(state="Recording")),
        ],
        {"state": PartState.UPLOADING, "stop_time": after(9), "engine_extended": True},
    ),
    "a callback of a newer runner is counted and changes nothing": (
        [a_callback("SomethingNew", 7)],
        {"state": PartState.STARTING},
    ),
}


@pytest.mark.parametrize(("callbacks", "facts"), FACTS.values(), ids=[name.replace(" ", "-") for name in FACTS])
def test_facts(callbacks: list[Callback], facts: dict[str, Any]) -> None:
    told = {"sequence": callbacks[-1].sequence, "heard_time": NOW}
    expected: dict[str, Any] = {"state": PartState.STARTING, **facts, **told}
    assert folded(*callbacks).parts == (a_part(**expected),)


@pytest.mark.parametrize("code", sorted(set(RecordingErrorCode) - {RecordingErrorCode.OK, NO_RECORDED_DATA}))
def test_each_error_code_is_told_with_reason_and_remedy(code: RecordingErrorCode) -> None:
    error = folded(a_callback("RecorderFailure", code=int(code), message="what the engine said")).last_error
    assert error is not None
    assert error == LastError(
        code=int(code), reason=error.reason, message="what the engine said", remedy=error.remedy, time=NOW
    )
    assert error.remedy


def test_an_unknown_code_counts_as_a_general_error() -> None:
    error = folded(a_callback("RecordingFatalError", code=999)).last_error
    assert error is not None
    assert (error.code, error.reason) == (999, Reason.GENERAL_ERROR)


def test_a_snapshot_fills_counts_people_and_gaps() -> None:
    snapshot = a_snapshot(
        playlist="p.m3u8",
        slices={"written": 3, "uploaded": 2, "pending": 1},
        bytes={"written": 300, "uploaded": 200, "pending": 100},
        recordedMilliseconds=45_500,
        gapMilliseconds=1_500,
        gapCount=1,
        gaps=[{"start": milliseconds(after(5)), "stop": milliseconds(after(7)), "reason": "paused"}],
        participants=[{"uid": 1, "name": "alice", "state": "Joined", "audio": True, "video": True}],
        participantCount=1,
        somebodyJoined=True,
        lastDurableSliceTime=milliseconds(after(30)),
    )
    callbacks = (a_callback("RecordingStarted"), a_callback("Snapshot", 2, snapshot=snapshot))
    recording = a_recording().build()
    status = summarized(recording, folded(*callbacks), now=after(46))
    assert status.slices == Amounts(written=3, uploaded=2, pending=1)
    assert status.bytes == Amounts(written=300, uploaded=200, pending=100)
    assert (status.recorded_seconds, status.gap_seconds, status.gap_count) == (45, 1, 1)
    assert status.progress_percent == 66
    assert status.playlist == "p.m3u8"
    assert status.last_durable_slice_time == after(30)
    assert status.gaps == (Gap(start_time=after(5), stop_time=after(7), reason="paused"),)
    joined = Participant(uid=1, name="alice", state=ParticipantState.JOINED, audio=True, video=True)
    assert (status.participants, status.participant_count) == ((joined,), 1)


def test_the_time_between_two_parts_is_a_stated_gap() -> None:
    former = a_part(
        state=PartState.CONCLUDED,
        start_time=NOW,
        stop_time=after(60),
        end_time=after(70),
        reason=Reason.POD_ENDED,
        message="the node is drained",
    )
    status = CloudRecordingStatus(parts=(former, a_part(1, state=PartState.CONNECTING)))
    status = apply_callbacks(
        status, number=1, callbacks=[a_callback("RecordingStarted", at=after(75))], received_at=NOW
    )
    status = summarized(a_recording().build(), status, now=after(75))
    assert status.gaps == (
        Gap(start_time=after(60), stop_time=after(75), reason="part 0 ended with PodEnded: the node is drained"),
    )
    assert (status.gap_seconds, status.gap_count) == (15, 1)


def test_an_engine_that_counts_no_slices_tells_its_progress_itself() -> None:
    status = folded(a_callback("RecordingUploadingProgress", progressPercent=40, playlist="p.m3u8"))
    assert summarized(a_recording().build(), status, now=NOW).progress_percent == 40


def test_a_playlist_that_is_put_at_the_end_is_named_once_it_is_there() -> None:
    """Promise: without a live playlist the status names none while slices come, nor of a pod that was lost then."""
    snapshot = a_snapshot(playlist="p.m3u8", playlistPending=True, slices={"written": 3, "uploaded": 2, "pending": 1})
    callbacks = (
        a_callback("RecordingStarted"),
        a_callback("Snapshot", 2, snapshot=snapshot),
        a_callback("RecordingUploadingProgress", 3, progressPercent=66, playlist="p.m3u8"),
    )
    recording = a_recording().build()
    status = summarized(recording, folded(*callbacks), now=after(46))
    assert (status.playlist, status.playlist_url, status.playlists) == (None, None, ())
    put = a_snapshot(playlist="p.m3u8", slices={"written": 3, "uploaded": 3, "pending": 0})
    done = folded(*callbacks, a_callback("Snapshot", 4, snapshot=put))
    status = summarized(recording, done, now=after(46))
    assert (status.playlist, [one.name for one in status.playlists]) == ("p.m3u8", ["p.m3u8"])


def test_known_callbacks_change_nothing() -> None:
    callbacks = [a_callback("RecordingConnecting"), a_callback("RecordingStarted", 2, at=after(3))]
    status = folded(*callbacks)
    assert apply_callbacks(status, number=0, callbacks=callbacks, received_at=NOW) == status


def test_a_broken_connection_shows_as_reconnecting_until_somebody_is_back() -> None:
    """Promise: the status says Reconnecting as soon as the snapshot does, and no error as long as it may come back."""
    told = [
        a_callback("RecordingStarted"),
        a_callback("Snapshot", 2, snapshot=a_snapshot(state="Reconnecting")),
        a_callback("Snapshot", 3, snapshot=a_snapshot(state="Recording")),
    ]
    reasons = []
    for count in (2, 3):
        status = folded(*told[:count])
        ready = conditions.get(summarized(a_recording().build(), status, now=NOW), ConditionType.READY)
        assert ready is not None
        assert status.last_error is None
        reasons.append(ready.reason)
    assert reasons == [Reason.RECONNECTING, Reason.RECORDING]


def test_a_concluded_part_hears_no_more() -> None:
    status = folded(
        a_callback("RecordingStarted"),
        a_callback(
            "Finished",
            2,
            at=after(60),
            summary={
                "recordingId": "1" * 32,
                "part": 0,
                "outcome": "Uploaded",
                "slices": {"written": 4, "uploaded": 4},
                "somebodyJoined": True,
            },
        ),
    )
    assert status.parts[0].state is PartState.CONCLUDED
    assert apply_callbacks(status, number=0, callbacks=[a_callback("RecordingStarted", 3)], received_at=NOW) == status


def test_who_was_there_is_known_still_when_another_process_delivers_the_rest() -> None:
    """Promise: a recorder that died after the stop takes nobody with it; its successor has files and no people."""
    alice = {"uid": 11, "state": "Left", "name": "alice"}
    status = folded(
        a_callback("RecordingStarted", snapshot=a_snapshot(participants=[alice], participantCount=1)),
        a_callback("RecordingStopped", 2),
        a_callback("Snapshot", 3, snapshot=a_snapshot(state="Uploading")),
    )
    assert [one.name for one in status.participants] == ["alice"]


def test_files_that_go_to_another_place_are_of_the_same_storage_still() -> None:
    """Promise: who is to mend it is sent to the RecordingStorage, which has the fields that the recording has not."""
    known = a_part(state=PartState.RECORDING, storage=PartStorage(storage_name="films"))
    storage = folded(a_callback("StorageChanged", place={"bucket": "films"}), part=known).parts[0].storage
    assert storage is not None
    assert (storage.storage_name, storage.ready) == ("films", None)


@pytest.mark.parametrize(
    ("part", "ready", "recording", "reason"),
    [
        pytest.param({"state": PartState.RECORDING, "pod_ready": True}, "True", "True", Reason.RECORDING, id="ready"),
        pytest.param({"state": PartState.RECORDING}, "False", "Unknown", Reason.RECORDER_NOT_READY, id="pod-not-ready"),
        pytest.param({"state": PartState.PAUSED}, "True", "False", Reason.PAUSED, id="paused"),
        pytest.param({"state": PartState.CONNECTING}, "False", "False", Reason.CONNECTING, id="connecting"),
        pytest.param(
            {"state": PartState.CONNECTING, "start_time": NOW},
            "False",
            "False",
            Reason.RECONNECTING,
            id="reconnecting",
        ),
    ],
)
def test_recording_is_true_only_while_it_is_known(
    part: dict[str, Any], ready: str, recording: str, reason: Reason
) -> None:
    status = summarized(a_recording().build(), CloudRecordingStatus(parts=(a_part(**part),)), now=NOW)
    told = {kind: conditions.get(status, kind) for kind in (ConditionType.READY, ConditionType.RECORDING)}
    found = [(one.status.value, one.reason) for one in told.values() if one is not None]
    expected_reason = Reason.RECORDER_NOT_READY if recording == "Unknown" else reason
    assert found == [(ready, reason), (recording, expected_reason)]


def test_a_change_of_the_spec_is_reconciled_until_the_recorder_has_taken_it_over() -> None:
    part = a_part(state=PartState.RECORDING, pod_ready=True)
    recording = a_recording().edited(generation=2).build()
    waiting = summarized(recording, CloudRecordingStatus(parts=(part,), acknowledged_generation=1), now=NOW)
    taken = summarized(recording, waiting.model_copy(update={"acknowledged_generation": 2}), now=NOW)
    assert conditions.is_true(waiting, ConditionType.RECONCILING)
    assert conditions.get(taken, ConditionType.RECONCILING) is None
    assert conditions.is_true(waiting, ConditionType.READY)


def test_a_condition_keeps_its_time_until_its_status_changes() -> None:
    part = a_part(state=PartState.CONNECTING)
    recording = a_recording().build()
    first = summarized(recording, CloudRecordingStatus(parts=(part,)), now=NOW)
    again = apply_callbacks(first, number=0, callbacks=[a_callback("RecordingConnecting")], received_at=NOW)
    same = summarized(recording, again, now=after(5))
    started = apply_callbacks(same, number=0, callbacks=[a_callback("RecordingStarted", 2)], received_at=NOW)
    started = started.model_copy(update={"parts": (started.parts[0].model_copy(update={"pod_ready": True}),)})
    changed = summarized(recording, started, now=after(9))
    times = [
        one.last_transition_time
        for status in (first, same, changed)
        if (one := conditions.get(status, ConditionType.READY)) is not None
    ]
    assert times == [NOW, NOW, after(9)]


def test_a_secret_that_goes_while_a_deleted_recording_uploads_is_named_with_both_ways_out() -> None:
    before = CloudRecordingStatus(parts=(a_part(state=PartState.UPLOADING, start_time=NOW, stop_time=NOW),))
    missing = [{"secretName": "bucket-credentials", "key": "secretKey", "field": "spec.storage.credentials"}]
    gone = apply_callbacks(before, number=0, callbacks=[a_callback("SecretsGone", 1, missing=missing)], received_at=NOW)
    recording = a_recording().deleted().build()
    told = summarized(recording, gone, now=NOW)
    ready = conditions.get(told, ConditionType.READY)
    assert ready is not None
    assert "Secret 'bucket-credentials' with the key 'secretKey' is gone; bring it back" in ready.message
    assert "cloudrecording.dev/discard" in ready.message
    (warning, *_) = transitions(before, told)
    assert (warning.warning, "'bucket-credentials'" in warning.message, "discard" in warning.message) == (True,) * 3
    assert told.parts[0].state is PartState.UPLOADING
    again = apply_callbacks(told, number=0, callbacks=[a_callback("SecretsGone", 2, missing=[])], received_at=NOW)
    back = summarized(recording, again, now=NOW)
    assert back.last_error is not None
    assert back.last_error.resolved_time == NOW
    ready = conditions.get(back, ConditionType.READY)
    assert ready is not None
    assert "gone" not in ready.message


def test_what_no_field_of_the_status_is_for_is_refused() -> None:
    """Promise: a figure that the status has no field for is found when it is added, and not missed in a cluster."""
    with pytest.raises(TypeError, match="a part has no nonsense"):
        parts.changed(a_part(), nonsense=1)
