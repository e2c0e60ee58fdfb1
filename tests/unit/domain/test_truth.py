# SPDX-License-Identifier: Apache-2.0
"""The status never says what is not true: what was once said wrongly of a recording, row by row."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from cloud_recording.api.reasons import REASONS, ConditionType, Reason
from cloud_recording.api.recording import CloudRecording
from cloud_recording.api.status import (
    CloudRecordingStatus,
    Gap,
    Outcome,
    Part,
    Participant,
    ParticipantState,
    PartState,
)
from cloud_recording.api.wire import Callback
from cloud_recording.common.error_codes import RecordingErrorCode
from cloud_recording.domain import conditions, parts
from cloud_recording.domain.apply_callbacks import apply_callbacks
from cloud_recording.domain.completion import completion
from cloud_recording.domain.decide import decide, summary
from cloud_recording.domain.pod_builder import RUN_AS
from cloud_recording.domain.pod_documents import desired_state_document, recording_document
from cloud_recording.domain.ready_reason import FIRST_PROBE, FIRST_REPORT_TIMEOUT, REPORT_TIMEOUT
from cloud_recording.domain.restart_policy import EndRecording
from cloud_recording.domain.status_events import Transition, transitions
from cloud_recording.domain.summarize import summarized
from tests.unit.domain.builders import (
    NOW,
    SETTINGS,
    a_callback,
    a_part,
    a_pod,
    a_recording,
    a_snapshot,
    a_summary,
    after,
    context,
    milliseconds,
    pods,
)

FAILING = {
    "state": "Failing",
    "since": milliseconds(after(3)),
    "cause": "NoSuchBucket",
    "message": 'bucket "films" at https://s3.example.com does not exist (NoSuchBucket)',
}
READY = {"state": "Ready", "since": milliseconds(after(9))}
RUNNER_STARTED = a_callback("RunnerStarted", runnerVersion="1", engineName="default", engineExtended=True)


def begun(recording: CloudRecording) -> CloudRecordingStatus:
    """The status of a recording whose pod was just decided on."""
    return decide(recording, {}, now=NOW, context=context()).status


def told(
    recording: CloudRecording, status: CloudRecordingStatus, *callbacks: Callback, at: datetime = NOW
) -> CloudRecordingStatus:
    number = status.parts[-1].number
    return summarized(recording, apply_callbacks(status, number=number, callbacks=callbacks, received_at=at), now=at)


def condition(status: CloudRecordingStatus, kind: ConditionType) -> tuple[str, Reason]:
    found = conditions.get(status, kind)
    assert found is not None
    return found.status.value, found.reason


def recording_part(**fields: Any) -> Part:
    return a_part(state=PartState.RECORDING, start_time=NOW, pod_ready=True, engine_extended=True, **fields)


# A1


def test_a_full_work_volume_is_no_pause_that_somebody_asked_for() -> None:
    recording = a_recording().build()
    status = begun(recording)
    snapshot = a_snapshot(
        state="Paused",
        slices={"written": 4, "pending": 4},
        pause={"reason": "WorkVolumeFull", "since": milliseconds(after(10))},
        workVolumeFull=True,
    )
    status = told(recording, status, RUNNER_STARTED, a_callback("RecordingStarted", 2))
    full = told(
        recording,
        status,
        a_callback(
            "RecorderFailure",
            3,
            at=after(10),
            code=RecordingErrorCode.RECORDER_FAILED,
            message="the work volume is nearly full",
        ),
        a_callback("Snapshot", 4, at=after(40), snapshot=snapshot),
        at=after(40),
    )
    assert condition(full, ConditionType.READY) == ("False", Reason.WORK_VOLUME_FULL)
    assert condition(full, ConditionType.RECORDING) == ("False", Reason.WORK_VOLUME_FULL)
    assert full.display == "WorkVolumeFull"
    assert full.gaps == (Gap(start_time=after(10), reason="WorkVolumeFull"),)
    assert (full.gap_seconds, full.gap_count) == (30, 1)
    over = a_snapshot(gapMilliseconds=35_000, gapCount=1, gaps=[_gap(10, 45)])
    after_it = told(recording, full, a_callback("Snapshot", 5, at=after(45), snapshot=over), at=after(45))
    assert after_it.gaps == (Gap(start_time=after(10), stop_time=after(45), reason="WorkVolumeFull"),)
    assert (after_it.gap_seconds, after_it.gap_count) == (35, 1)


PAUSED = {"reason": "Paused", "since": milliseconds(after(10))}


def _paused_since_ten(recording: CloudRecording, status: CloudRecordingStatus, *, at: int) -> CloudRecordingStatus:
    """Its recorder began at once, paused after 10 s with all of them in the bucket, and was last heard of then."""
    account = a_snapshot(
        state="Paused",
        pause=PAUSED,
        recordedMilliseconds=10_000,
        slices={"written": 1, "uploaded": 1},
        lastDurableSliceTime=milliseconds(after(10)),
    )
    started = (RUNNER_STARTED, a_callback("RecordingStarted", 2))
    return told(recording, status, *started, a_callback("Snapshot", 3, at=after(at), snapshot=account), at=after(at))


def test_the_pause_of_a_part_that_is_lost_is_time_between_parts_and_counted_once() -> None:
    """The list said of the pause that it lasts, for ever, and `gapSeconds` had it both in the part and after it."""
    recording = a_recording().build()
    paused = _paused_since_ten(recording, begun(recording), at=40)
    assert (paused.gaps, paused.gap_seconds, paused.gap_count) == (
        (Gap(start_time=after(10), reason="Paused"),),
        30,
        1,
    )
    seen = paused.parts[0].model_copy(update={"pod_uid": "gone", "create_time": NOW, "running_time": NOW})
    known = a_recording().status(paused.model_copy(update={"parts": (seen,)})).build()
    lost = decide(known, {}, now=after(50), context=context()).status
    assert (lost.gaps, lost.gap_seconds, lost.gap_count) == ((), 0, 0)
    again = decide(a_recording().status(lost).build(), {}, now=after(70), context=context()).status
    assert len(again.parts) == 2
    again = told(recording, again, a_callback("RecordingStarted", at=after(80)), at=after(80))
    (gap,) = again.gaps
    assert (gap.start_time, gap.stop_time, again.gap_seconds, again.gap_count) == (after(10), after(80), 70, 1)


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(("RecordingStopped", {}), id="stopped for it by its supervisor"),
        pytest.param(("RecordingFatalError", {"code": 437, "message": "gone"}), id="failed"),
    ],
)
def test_no_pause_outlives_the_recorder_that_paused(end: tuple[str, Any]) -> None:
    """What a supervisor tells for a process that died has that one's last account beside it, in which it is paused."""
    recording = a_recording().build()
    status = _paused_since_ten(recording, begun(recording), at=40)
    kind, fields = end
    last = a_snapshot(state="Paused", pause=PAUSED, recordedMilliseconds=10_000)
    status = told(recording, status, a_callback(kind, 4, at=after(60), snapshot=last, **fields), at=after(60))
    status = told(recording, status, a_callback("RecorderExited", 5, at=after(70), restarts=1, snapshot=last))
    assert (status.parts[0].pause, status.gaps, status.gap_seconds, status.gap_count) == (None, (), 0, 0)


def test_no_rescue_has_the_pause_of_whom_it_rescues() -> None:
    recording = a_recording().build()
    part = a_part(state=PartState.RESCUING, lost=True, start_time=NOW, stop_time=after(10))
    last = a_snapshot(state="Paused", pause=PAUSED, recordedMilliseconds=10_000)
    status = a_recording().parts(part).build().status
    status = told(recording, status, a_callback("UploaderFailure", at=after(90), code=439, message="no", snapshot=last))
    assert (status.parts[0].pause, status.gaps, status.gap_seconds, status.gap_count) == (None, (), 0, 0)


ROOM_ACCOUNT = {
    "inChannel": True,
    "participants": [{"uid": 1, "name": "alice", "state": "Joined", "audio": True, "video": True}],
    "participantCount": 1,
    "pause": {"reason": "WorkVolumeFull", "since": milliseconds(NOW)},
}


def _nobody_is_there(status: CloudRecordingStatus) -> bool:
    (part,) = status.parts
    people = [(one.state, one.audio, one.video) for one in status.participants]
    empty = people == [(ParticipantState.LEFT, False, False)] and status.participant_count == 0
    return empty and (part.in_channel, part.pause, status.gaps) == (False, None, ())


@pytest.mark.parametrize("how", ["lost", "failed", "stopped", "given up"])
def test_nobody_is_said_to_be_in_a_room_whose_recorder_is_gone(how: str) -> None:
    """What a recorder that died had told of itself stood until the next part, or for good."""
    recording = a_recording().build()
    status = told(recording, begun(recording), RUNNER_STARTED, a_callback("RecordingStarted", 2))
    account = a_snapshot(state="Paused", **ROOM_ACCOUNT)
    status = told(recording, status, a_callback("Snapshot", 3, at=after(30), snapshot=account), at=after(30))
    seen = parts.changed(status.parts[0], pod_uid="gone", create_time=NOW, running_time=NOW)
    status = parts.replaced(status, seen)
    assert status.parts[0].in_channel is True
    known = a_recording().spec(restart={"policy": "Never"}).status(status)
    match how:
        case "lost":
            status = decide(known.build(), {}, now=after(60), context=context()).status
        case "failed":
            failed = a_callback("RecordingFatalError", 4, at=after(60), code=441, message="died", snapshot=account)
            status = told(known.build(), status, failed, at=after(60))
        case "stopped":
            stopped = a_callback("RecordingStopped", 4, at=after(60), snapshot=account)
            status = told(known.build(), status, stopped, at=after(60))
        case _:
            status = decide(known.deleted().discarded().build(), {}, now=after(60), context=context()).status
    assert _nobody_is_there(status)


def test_a_disk_that_others_have_filled_is_told_as_the_nodes() -> None:
    pause = {"reason": "WorkVolumeFull", "since": milliseconds(after(10))}
    recording = a_recording().build()
    status = told(recording, begun(recording), RUNNER_STARTED, a_callback("RecordingStarted", 2))
    full = told(recording, status, a_callback("Snapshot", 3, snapshot=a_snapshot(state="Paused", pause=pause)))
    ready = conditions.get(full, ConditionType.READY)
    assert ready is not None
    assert ready.message.startswith("the disk under the work volume of pod ")


def test_the_error_of_a_participants_track_is_over_when_the_recorder_says_so() -> None:
    recording = a_recording().build()
    status = told(recording, begun(recording), RUNNER_STARTED, a_callback("RecordingStarted", 2))
    code, message = RecordingErrorCode.RECORDER_FAILED, "participant 1: the picture cannot be recorded"
    standing = a_snapshot(lastError={"code": code, "message": message})
    failure = a_callback("RecorderFailure", 3, at=after(10), code=code, message=message, snapshot=standing)
    lost = told(recording, status, failure, a_callback("Snapshot", 4, at=after(20), snapshot=standing), at=after(20))
    assert lost.last_error is not None
    assert (lost.last_error.message, lost.last_error.resolved_time) == (message, None)
    healed = told(recording, lost, a_callback("Snapshot", 5, at=after(30), snapshot=a_snapshot()), at=after(30))
    assert healed.last_error is not None
    assert healed.last_error.resolved_time == after(30)


def test_who_cannot_be_decrypted_is_told_by_name_and_nothing_is_ready_while_nobody_can() -> None:
    recording = a_recording().build()
    status = told(recording, begun(recording), RUNNER_STARTED, a_callback("RecordingStarted", 2))
    words = "the sound cannot be recorded: it is encrypted end to end with another key than the recorder's"
    code, message = RecordingErrorCode.RECORDER_FAILED, f"participant 7 (alice): {words}"
    alice = {"uid": 7, "identity": "alice", "state": "Joined", "message": words, "cause": "DecryptionFailed"}
    alone = _in_room(
        inside=True,
        state="Recording",
        participants=[alice],
        participantCount=1,
        lastError={"code": code, "message": message},
    )
    failure = a_callback(
        "RecorderFailure", 3, code=code, message=message, cause="DecryptionFailed", fact=message, snapshot=alone
    )
    dark = told(recording, status, failure, a_callback("Snapshot", 4, snapshot=alone))
    assert dark.last_error is not None
    assert (dark.last_error.reason, dark.last_error.message) == (Reason.DECRYPTION_FAILED, message)
    assert dark.last_error.remedy == REASONS[Reason.DECRYPTION_FAILED].remedy.text
    assert condition(dark, ConditionType.READY) == ("False", Reason.DECRYPTION_FAILED)
    assert [one.reason for one in dark.participants] == [Reason.DECRYPTION_FAILED]
    bob = {"uid": 8, "identity": "bob", "state": "Joined", "audio": True, "video": True}
    both = {**alone, "participants": [alice, bob], "participantCount": 2}
    heard = told(recording, dark, a_callback("Snapshot", 5, snapshot=both))
    assert condition(heard, ConditionType.READY) == ("True", Reason.RECORDING)
    assert heard.last_error is not None
    assert heard.last_error.resolved_time is None
    mended = _in_room(inside=True, state="Recording", participants=[{**bob, "uid": 7}], participantCount=1)
    clear = told(recording, heard, a_callback("Snapshot", 6, at=after(30), snapshot=mended), at=after(30))
    assert clear.last_error is not None
    assert clear.last_error.resolved_time == after(30)


def test_nothing_is_ready_while_nobody_is_decrypted_whatever_else_fails_meanwhile() -> None:
    """Promise: Ready goes by who is not decrypted now, and neither by the last error nor by who has left."""
    recording = a_recording().build()
    status = told(recording, begun(recording), RUNNER_STARTED, a_callback("RecordingStarted", 2))
    words = "the picture cannot be recorded: it is encrypted end to end, and the recorder was given no key"
    alice = {"uid": 7, "identity": "alice", "state": "Joined", "message": words, "cause": "DecryptionFailed"}
    muted = {"uid": 8, "identity": "bob", "state": "Joined"}
    gone = {"uid": 9, "identity": "carol", "state": "Left", "message": "left the room"}
    error = {"code": RecordingErrorCode.UPLOADER_FAILED, "message": "no such bucket"}
    people: dict[str, Any] = {"participants": [alice, muted, gone], "participantCount": 2}
    dark = a_callback("Snapshot", 4, snapshot=_in_room(inside=True, state="Recording", lastError=error, **people))
    failing = a_callback("UploaderFailure", 3, code=error["code"], message=error["message"])
    status = told(recording, status, failing, dark)
    assert status.last_error is not None
    assert status.last_error.reason is not Reason.DECRYPTION_FAILED
    assert _ready(status) == (Reason.DECRYPTION_FAILED, f"participant 7 'alice': {words}")
    left = {**people, "participants": [{**alice, "state": "Left", "message": "left", "cause": None}, muted]}
    snapshot = _in_room(inside=True, state="Recording", lastError=error, **left)
    assert _ready(told(recording, status, a_callback("Snapshot", 5, snapshot=snapshot)))[0] is Reason.RECORDING


SPARE = {"endpoint": "https://spare.example.com", "bucket": "spare", "credentials": {"secretRef": {"name": "spare"}}}


def test_what_only_the_backup_store_has_is_never_said_to_be_uploaded() -> None:
    begins = begun(a_recording().spec(backup=SPARE).build())
    recording = a_recording().spec(backup=SPARE, desiredState="Stopped").build()
    away = {"written": 3, "uploaded": 1, "backedUp": 2}
    failing = a_snapshot(state="Uploading", slices=away, storage=FAILING, playlist="p.m3u8")
    status = told(recording, begins, RUNNER_STARTED, a_callback("RecordingStarted", 2))
    status = told(recording, status, a_callback("RecordingStopped", 3), a_callback("Snapshot", 4, snapshot=failing))
    assert condition(status, ConditionType.BACKED_UP) == ("True", Reason.BACKED_UP)
    assert condition(status, ConditionType.STORAGE_READY) == ("False", Reason.NO_SUCH_BUCKET)
    assert condition(status, ConditionType.READY)[1] is Reason.UPLOADING
    there = a_snapshot(state="BackedUp", slices=away, storage=FAILING, playlist="p.m3u8")
    waiting = told(recording, status, a_callback("RecordingBackedUp", 5, fileName="p.m3u8", snapshot=there))
    assert condition(waiting, ConditionType.READY)[1] is Reason.BACKED_UP
    assert condition(waiting, ConditionType.UPLOADED)[0] == "False"
    assert [(one.part, one.url) for one in waiting.backup_playlists] == [(0, "https://spare.example.com/spare/p.m3u8")]
    ended = decide(
        a_recording().spec(backup=SPARE, desiredState="Stopped").status(waiting).build(),
        pods(a_pod().ended(a_summary("BackedUp", slices=away, backupPlaylist="p.m3u8").termination_message())),
        now=after(400),
        context=context(),
    ).status
    # Its pod waited for as long as it was to; another one waits for the bucket now.
    assert condition(ended, ConditionType.READY) == ("False", Reason.BACKUP_OVERDUE)
    assert condition(ended, ConditionType.UPLOADED)[0] == "False"
    assert condition(ended, ConditionType.BACKED_UP) == ("True", Reason.BACKED_UP)
    assert condition(ended, ConditionType.FINISHED)[0] == "False"
    assert ended.parts[0].state is PartState.RESCUING
    assert ended.backup_playlists == waiting.backup_playlists
    home = {"written": 3, "uploaded": 3}
    late = a_snapshot(state="Uploaded", slices=home, storage=READY, playlist="p_1_0.m3u8")
    back = told(recording, waiting, a_callback("RecordingUploaded", 6, fileName="p_1_0.m3u8", snapshot=late))
    assert condition(back, ConditionType.BACKED_UP)[0] == "False"
    assert (back.playlist, back.backup_playlists) == ("p_1_0.m3u8", ())


def test_a_backup_that_fails_is_told_by_its_own_words_beside_the_buckets() -> None:
    recording = a_recording().spec(backup=SPARE).build()
    status = told(recording, begun(recording), RUNNER_STARTED, a_callback("RecordingStarted", 2))
    code, message = RecordingErrorCode.BACKUP_FAILED, "the backup store: access denied"
    both = a_snapshot(storage=FAILING, lastError={"code": code, "message": message})
    failure = a_callback("UploaderFailure", 3, code=code, message=message, snapshot=both)
    failed = told(recording, status, failure, a_callback("Snapshot", 4, snapshot=both))
    assert failed.last_error is not None
    assert (failed.last_error.reason, failed.last_error.message) == (Reason.BACKUP_FAILED, message)
    assert failed.last_error.resolved_time is None
    taken = told(recording, failed, a_callback("Snapshot", 5, snapshot=a_snapshot(storage=FAILING)))
    assert taken.last_error is not None
    assert taken.last_error.resolved_time is not None


MP4 = "0123_room-1.mp4"


def test_an_mp4_is_named_once_the_bucket_has_it_and_its_lack_is_no_failure_that_uploads_mend() -> None:
    recording = a_recording().spec(recording={"outputs": ["HLS", "MP4"]}).build()
    stored = {"playlist": "a.m3u8", "slices": {"written": 1, "uploaded": 1}, "storage": READY, "state": "Uploading"}
    wanted = a_snapshot(**stored, mp4={"state": "Wanted"})
    uploading = told(recording, begun(recording), RUNNER_STARTED, a_callback("Snapshot", 2, snapshot=wanted))
    assert (uploading.mp4, uploading.mp4_url) == (None, None)
    made = a_snapshot(**stored, mp4={"state": "Delivered", "file": MP4, "bytes": 9, "sha256": "0"})
    there = told(recording, uploading, a_callback("Snapshot", 3, snapshot=made))
    assert (there.mp4, there.mp4_url) == (MP4, f"https://s3.example.com/recordings/{MP4}")
    assert [(one.mp4, one.mp4_url) for one in there.playlists] == [(there.mp4, there.mp4_url)]
    without = a_snapshot(**stored, mp4={"state": "GivenUp", "file": MP4, "reason": "the volume is too small"})
    message = "no MP4 was made: the volume is too small. Slices and playlist are complete without it"
    code = RecordingErrorCode.UPLOADER_FAILED
    failure = a_callback("UploaderFailure", 3, code=code, message=message, snapshot=without)
    lacking = told(recording, uploading, failure, a_callback("Snapshot", 4, snapshot=without))
    assert lacking.mp4 is None
    assert lacking.last_error is not None
    assert (lacking.last_error.reason, lacking.last_error.resolved_time) == (Reason.MP4_NOT_MADE, None)
    ended = completion(lacking, EndRecording(Reason.COMPLETED, "", succeeded=True))
    assert (ended.succeeded, ended.message) == (True, "no MP4 was made of part 0")


def test_the_error_of_a_full_work_volume_has_its_own_remedy_and_is_over_with_it() -> None:
    recording = a_recording().build()
    status = told(recording, begun(recording), RUNNER_STARTED, a_callback("RecordingStarted", 2))
    pause = {"reason": "WorkVolumeFull", "since": milliseconds(after(10))}
    snapshot = a_snapshot(state="Paused", pause=pause, workVolumeFull=True)
    failure = a_callback(
        "RecorderFailure",
        3,
        at=after(10),
        code=RecordingErrorCode.RECORDER_FAILED,
        message="full",
        cause="WorkVolumeFull",
        snapshot=snapshot,
    )
    # Told of a track meanwhile, which has no cause in a word.
    track = a_callback(
        "RecorderFailure", 4, at=after(11), code=RecordingErrorCode.RECORDER_FAILED, message="track", snapshot=snapshot
    )
    other = told(recording, status, failure, track).last_error
    assert other is not None
    assert (other.reason, other.message) == (Reason.RECORDER_FAILED, "track")
    full = told(recording, status, failure)
    assert full.last_error is not None
    assert (full.last_error.reason, full.last_error.code) == (
        Reason.WORK_VOLUME_FULL,
        RecordingErrorCode.RECORDER_FAILED,
    )
    assert full.last_error.remedy == REASONS[Reason.WORK_VOLUME_FULL].remedy.text
    assert full.last_error.resolved_time is None
    healed = told(recording, full, a_callback("Snapshot", 4, at=after(50), snapshot=a_snapshot()), at=after(50))
    assert healed.last_error is not None
    assert healed.last_error.resolved_time == after(50)


def _gap(start: int, stop: int) -> dict[str, Any]:
    return {"start": milliseconds(after(start)), "stop": milliseconds(after(stop)), "reason": "WorkVolumeFull"}


# A2


def test_a_dead_bucket_shows_beside_recording_and_ready_stays() -> None:
    recording = a_recording().build()
    status = told(recording, begun(recording), RUNNER_STARTED)
    assert conditions.get(status, ConditionType.STORAGE_READY) is None
    status = status.model_copy(update={"parts": (status.parts[0].model_copy(update={"pod_ready": True}),)})
    failure = a_callback(
        "UploaderFailure",
        3,
        code=RecordingErrorCode.UPLOADER_FAILED,
        message="words",
        snapshot=a_snapshot(storage=FAILING),
    )
    failing = told(recording, status, a_callback("RecordingStarted", 2), failure, at=after(20))
    assert condition(failing, ConditionType.READY) == ("True", Reason.RECORDING)
    assert failing.display == "Recording,NoSuchBucket"
    storage = conditions.get(failing, ConditionType.STORAGE_READY)
    assert storage is not None
    assert (storage.status.value, storage.reason) == ("False", Reason.NO_SUCH_BUCKET)
    assert storage.last_transition_time == after(3)
    assert 'bucket "films"' in storage.message
    assert "`spec.storage.bucket`" in storage.message
    assert failing.last_error is not None
    assert (failing.last_error.reason, failing.last_error.code) == (
        Reason.NO_SUCH_BUCKET,
        RecordingErrorCode.UPLOADER_FAILED,
    )
    assert failing.last_error.remedy == REASONS[Reason.NO_SUCH_BUCKET].remedy_text(stored=False)

    healed = told(recording, failing, a_callback("Snapshot", 4, at=after(9), snapshot=a_snapshot(storage=READY)))
    assert condition(healed, ConditionType.STORAGE_READY) == ("True", Reason.WRITABLE)
    assert healed.display == "Recording"
    assert healed.last_error is not None
    assert healed.last_error.resolved_time == after(9)
    (event,) = transitions(failing, healed)
    assert event == Transition(
        warning=False,
        reason=Reason.WRITABLE,
        action="Upload",
        message="the store takes files again; NoSuchBucket is over",
    )


def test_once_a_slice_is_stored_the_way_out_is_another() -> None:
    recording = a_recording().build()
    status = told(recording, begun(recording), RUNNER_STARTED)
    snapshot = a_snapshot(storage=FAILING, slices={"written": 2, "uploaded": 1, "pending": 1})
    failing = told(
        recording,
        status,
        a_callback("UploaderFailure", 2, code=RecordingErrorCode.UPLOADER_FAILED, message="words", snapshot=snapshot),
    )
    assert failing.last_error is not None
    assert "kubectl cp" in failing.last_error.remedy
    assert "`spec.storage.bucket`" not in failing.last_error.remedy


@pytest.mark.parametrize(
    ("cause", "remedy"),
    [
        ("StorageFull", "Enlarge the claim"),
        ("AccessDenied", f"Let user or group {RUN_AS}, "),
        ("StorageTimeout", "Check the disk of the claim's volume"),
        ("StorageFailed", "Mend what the message names"),
    ],
)
def test_a_directory_that_fails_is_named_by_its_claim_with_a_remedy_of_its_own(cause: str, remedy: str) -> None:
    recording = a_recording().spec(storage={"directory": {"claimName": "films"}}).build()
    status = told(recording, begun(recording), RUNNER_STARTED)
    snapshot = a_snapshot(
        storage={**FAILING, "cause": cause, "message": "directory /mnt/storage fails"},
        slices={"written": 2, "uploaded": 1, "pending": 1},
    )
    failure = a_callback(
        "UploaderFailure",
        2,
        code=RecordingErrorCode.UPLOADER_FAILED,
        message="words",
        cause=cause,
        fact="directory /mnt/storage fails",
        snapshot=snapshot,
    )
    failing = told(recording, status, failure)
    storage = conditions.get(failing, ConditionType.STORAGE_READY)
    assert storage is not None
    assert (storage.status.value, storage.reason) == ("False", cause)
    assert storage.message.startswith(f"claim 'films': directory /mnt/storage fails. {remedy}")
    assert failing.last_error is not None
    assert failing.last_error.message == "claim 'films': directory /mnt/storage fails"
    assert failing.last_error.remedy.startswith(remedy)
    assert not re.search("endpoint|bucket|Secret", failing.last_error.remedy)
    # Nothing of it may change, so that nothing is told to change, and there is no URL to play.
    wanted = desired_state_document(recording, failing, failing.parts[0], now=NOW, settings=SETTINGS)
    assert wanted.storage == recording.spec.storage
    assert failing.playlist_url is None


def test_a_cause_of_another_release_is_a_failure_all_the_same() -> None:
    recording = a_recording().build()
    snapshot = a_snapshot(storage={**FAILING, "cause": "SomethingNew"})
    status = told(recording, begun(recording), RUNNER_STARTED, a_callback("Snapshot", 2, snapshot=snapshot))
    assert condition(status, ConditionType.STORAGE_READY) == ("False", Reason.STORAGE_FAILED)


# A3


def test_the_place_follows_the_spec_until_a_slice_is_stored_and_the_recorder_has_the_last_word() -> None:
    recording = a_recording().build()
    status = begun(recording)
    storage = {"endpoint": "https://s3.example.com", "credentials": {"secretRef": {"name": "bucket-credentials"}}}
    edited = a_recording().edited(storage={**storage, "bucket": "elsewhere"}).status(status).build()
    wanted = desired_state_document(edited, status, status.parts[0], now=NOW, settings=SETTINGS).storage
    assert wanted is not None
    assert wanted.bucket == "elsewhere"

    # The recorder had stored a slice before it heard of it.
    stored = told(edited, status, a_callback("Snapshot", snapshot=a_snapshot(slices={"written": 1, "uploaded": 1})))
    refused = a_callback("EditRefused", 2, field="spec.storage", message="files are there already")
    stored = told(edited, stored, refused)
    assert stored.last_error is not None
    assert "files are there already" in stored.last_error.message
    kept = desired_state_document(edited, stored, stored.parts[0], now=NOW, settings=SETTINGS).storage
    assert kept is not None
    assert kept.bucket == "recordings"
    assert recording_document(edited, stored.parts[0], SETTINGS).storage.bucket == "recordings"


def test_a_place_that_the_administrator_does_not_allow_is_not_gone_to() -> None:
    allowed = SETTINGS.allowed.model_copy(update={"endpoints": ("s3.example.com",)})
    settings = SETTINGS.model_copy(update={"allowed": allowed})
    status = begun(a_recording().build())
    storage = {"endpoint": "https://mine.example.org", "bucket": "mine", "credentials": {"secretRef": {"name": "s"}}}
    edited = a_recording().edited(storage=storage).status(status).build()
    kept = desired_state_document(edited, status, status.parts[0], now=NOW, settings=settings).storage
    assert kept is not None
    assert kept.endpoint == "https://s3.example.com"
    told_so = decide(edited, {}, now=NOW, context=context(settings)).status
    assert condition(told_so, ConditionType.READY) == ("False", Reason.NOT_ALLOWED)
    # A callback between two passes says no other thing.
    heard = summary(edited, told_so, now=after(5), context=context(settings))
    assert condition(heard, ConditionType.READY) == ("False", Reason.NOT_ALLOWED)


def test_the_playlist_is_where_the_recorder_says_that_it_is() -> None:
    recording = a_recording().build()
    moved = a_callback("StorageChanged", place={"bucket": "elsewhere", "endpoint": "https://s3.example.com"})
    snapshot = a_snapshot(playlist="p.m3u8", slices={"written": 1, "uploaded": 1})
    status = told(recording, begun(recording), moved, a_callback("Snapshot", 2, snapshot=snapshot))
    assert status.playlist_url == "https://s3.example.com/elsewhere/p.m3u8"


# A4


def test_a_recording_that_was_made_paused_records_nothing_and_says_so() -> None:
    paused = a_recording().spec(desiredState="Paused").build()
    snapshot = a_snapshot(state="Paused", somebodyJoined=True)
    started = a_callback("RecordingStarted", 2, snapshot=snapshot)
    status = told(paused, begun(paused), RUNNER_STARTED, started)
    assert condition(status, ConditionType.READY) == ("True", Reason.PAUSED)
    assert condition(status, ConditionType.RECORDING) == ("False", Reason.PAUSED)
    assert status.start_time is None

    stopped = a_recording().stopped().status(status).build()
    ended = told(
        stopped,
        status,
        a_callback("RecorderFailure", 3, code=RecordingErrorCode.NO_RECORDED_DATA, message="nothing was recorded"),
        a_callback("RecordingStopped", 4, at=after(9)),
        a_callback("Finished", 5, at=after(9), summary=_summary("Uploaded")),
    )
    end = decide(a_recording().stopped().status(ended).build(), {}, now=after(9), context=context()).status
    assert condition(end, ConditionType.READY) == ("True", Reason.NOTHING_RECORDED)
    assert end.last_error is None


def _summary(outcome: str, **fields: Any) -> dict[str, Any]:
    return a_summary(outcome, **fields).model_dump(mode="json", by_alias=True, exclude_none=True)


# A5


def test_a_pod_that_has_just_begun_is_believed_before_its_first_probe() -> None:
    recording = a_recording().parts(a_part(state=PartState.STARTING)).build()
    pod = a_pod().running(ready=False)
    status = told(recording, recording.status, RUNNER_STARTED, a_callback("RecordingStarted", 2))
    seen = decide(a_recording().status(status).build(), pods(pod), now=after(1), context=context())
    assert condition(seen.status, ConditionType.READY) == ("True", Reason.RECORDING)
    assert seen.requeue_after == FIRST_PROBE - (after(1) - NOW)
    late = decide(a_recording().status(status).build(), pods(pod), now=NOW + FIRST_PROBE, context=context())
    assert condition(late.status, ConditionType.READY) == ("False", Reason.RECORDER_NOT_READY)


def test_a_pod_that_was_ready_and_is_no_more_is_not_believed() -> None:
    recording = a_recording().parts(recording_part(ready_time=NOW)).build()
    seen = decide(recording, pods(a_pod().running(ready=False)), now=after(5), context=context())
    assert condition(seen.status, ConditionType.RECORDING) == ("Unknown", Reason.RECORDER_NOT_READY)


def test_a_healthy_recording_has_no_warning_and_its_events_are_in_order() -> None:
    """Every status that is written on the way, and all Events of it."""
    recording = a_recording().build()
    status = begun(recording)
    waiting = {"state": "Connecting", "participants": [{"uid": 1, "state": "Connecting"}]}
    some = {"playlist": "p.m3u8", "participants": [{"uid": 1, "state": "Joined"}], "participantCount": 1}
    one, all_of_it = {"written": 1, "pending": 1}, {"written": 1, "uploaded": 1}
    steps: list[tuple[Sequence[Callback], Any]] = [
        ([RUNNER_STARTED, a_callback("RecordingConnecting", 2)], a_pod().running(ready=False)),
        ([a_callback("Snapshot", 3, snapshot=a_snapshot(**waiting, storage=READY))], None),
        # What the supervisor says of its own accord comes with an account that is a moment old.
        (
            [
                a_callback("RecordingStarted", 4, at=after(2), snapshot=a_snapshot(**some)),
                a_callback("DesiredStateApplied", 5, generation=1, snapshot=a_snapshot(**waiting)),
            ],
            a_pod().running(ready=False),
        ),
        ([], a_pod().running()),
        ([a_callback("Snapshot", 6, at=after(17), snapshot=a_snapshot(**some, slices=one))], a_pod().running()),
    ]
    events: list[Transition] = []
    for number, (callbacks, pod) in enumerate(steps):
        status = _step(recording, status, callbacks, pod, at=after(number), events=events)
    stopped = a_recording().stopped().build()
    ending: list[tuple[Sequence[Callback], Any]] = [
        ([], a_pod().running()),
        ([a_callback("RecordingStopped", 7, at=after(20), snapshot=a_snapshot(state="Uploading", slices=one))], None),
        ([a_callback("RecordingUploaded", 8, fileName="p.m3u8", snapshot=a_snapshot(slices=all_of_it))], None),
        ([a_callback("Finished", 9, summary=_summary("Uploaded", slices=all_of_it))], a_pod().running()),
    ]
    for number, (callbacks, pod) in enumerate(ending, len(steps)):
        status = _step(stopped, status, callbacks, pod, at=after(number), events=events)
    assert [(event.warning, event.reason, event.message) for event in events] == [
        (False, Reason.CONNECTING, "The recorder is joining the channel."),
        (False, Reason.WAITING_FOR_USERS, "The recorder is in the channel and nobody has been seen there yet."),
        (False, Reason.RECORDING, "Media is being recorded."),
        (False, Reason.STOPPING, "`spec.desiredState` is 'Stopped'"),
        (False, Reason.UPLOADING, "1 slice is still to be uploaded"),
        (False, Reason.COMPLETED, "`spec.desiredState` is 'Stopped'"),
    ]
    assert status.last_error is None
    assert [one.reason for one in status.conditions if one.type is ConditionType.STALLED] == []


def _step(
    recording: CloudRecording,
    status: CloudRecordingStatus,
    callbacks: Sequence[Callback],
    pod: Any,
    *,
    at: datetime,
    events: list[Transition],
) -> CloudRecordingStatus:
    """What the callback server writes, then what a pass over the recording does."""
    before = status
    if callbacks:
        status = told(recording, status, *callbacks, at=at)
        events += transitions(before, status)
        before = status
    if pod is not None:
        seen = recording.model_copy(update={"status": status})
        status = decide(seen, pods(pod), now=at, context=context()).status
        events += transitions(before, status)
    return status


# A6

ENDS = {
    "by the user": (a_recording().stopped(), {}, Reason.COMPLETED, "`spec.desiredState` is 'Stopped'"),
    "by its longest duration": (
        a_recording().spec(maxDurationSeconds=60),
        {"stop_time": after(60)},
        Reason.MAX_DURATION_REACHED,
        "`spec.maxDurationSeconds` (60) was over",
    ),
    "by the user, before its longest duration": (
        a_recording().spec(maxDurationSeconds=60).stopped(),
        {"stop_time": after(30)},
        Reason.COMPLETED,
        "`spec.desiredState` is 'Stopped'",
    ),
    "by its deletion": (a_recording().deleted(after(30)), {}, Reason.DELETED, "the recording was deleted"),
    "by whoever put the recorder out of its room": (
        a_recording(),
        {"message": "the recording ends: the recorder was removed from the room"},
        Reason.COMPLETED,
        "the recording ends: the recorder was removed from the room",
    ),
    "by whoever did not say so, after words for something else": (
        a_recording(),
        {"reason": Reason.PENDING, "message": "the image is being pulled"},
        Reason.COMPLETED,
        "the recorder stopped by itself",
    ),
    "by idleness": (
        a_recording(),
        {"outcome": Outcome.IDLE, "error_code": RecordingErrorCode.NO_USERS, "somebody_joined": True},
        Reason.CHANNEL_IDLE,
        "everybody had left the channel",
    ),
}


@pytest.mark.parametrize(("recording", "fields", "reason", "message"), ENDS.values(), ids=ENDS)
def test_each_end_says_which_it_is(recording: Any, fields: dict[str, Any], reason: Reason, message: str) -> None:
    known: dict[str, Any] = {"outcome": Outcome.UPLOADED, "stop_time": after(61), **fields}
    amounts = {"slices": {"written": 2, "uploaded": 2}}
    part = a_part(state=PartState.CONCLUDED, start_time=NOW, end_time=after(70), **known)
    part = Part.model_validate(part.model_dump() | amounts)
    over = recording.parts(part, start_time=NOW).build()
    status = decide(over, {}, now=after(75), context=context()).status
    ready = conditions.get(status, ConditionType.READY)
    assert ready is not None
    assert (ready.status.value, ready.reason, ready.message) == ("True", reason, message)


def test_words_that_were_told_before_the_end_are_not_why_a_part_ended() -> None:
    part = a_part(state=PartState.UPLOADING, start_time=NOW, message="participant 1: late")
    status = a_recording().parts(part, start_time=NOW).build().status
    (over,) = parts.concluded(status, part, a_summary("Uploaded"), now=after(75)).parts
    assert (over.state, over.reason, over.message) == (PartState.CONCLUDED, None, None)


def test_a_channel_that_was_left_ends_without_an_error_or_a_warning() -> None:
    recording = a_recording().build()
    status = told(recording, begun(recording), RUNNER_STARTED, a_callback("RecordingStarted", 2))
    idle = told(
        recording, status, a_callback("RecorderFailure", 3, code=RecordingErrorCode.NO_USERS, message="nobody for 30 s")
    )
    assert idle.last_error is None
    assert not any(event.warning for event in transitions(status, idle))


def test_nobody_who_ever_came_has_no_progress_and_no_playlist() -> None:
    recording = a_recording().build()
    snapshot = a_snapshot(state="Uploading", playlist="p.m3u8", progressPercent=100)
    status = told(
        recording,
        begun(recording),
        RUNNER_STARTED,
        a_callback("RecorderFailure", 2, code=RecordingErrorCode.NO_USERS, message="nobody"),
        a_callback("RecordingUploadingProgress", 3, progressPercent=100, playlist="p.m3u8", snapshot=snapshot),
        a_callback("RecordingUploaded", 4, fileName="p.m3u8"),
        a_callback("Finished", 5, summary=_summary("Idle", code=RecordingErrorCode.NO_USERS, somebodyJoined=False)),
    )
    end = decide(a_recording().status(status).build(), {}, now=after(9), context=context()).status
    assert condition(end, ConditionType.READY) == ("False", Reason.NO_USERS)
    assert (end.progress_percent, end.playlist, end.playlists) == (None, None, ())
    assert end.parts[0].reason is Reason.NO_USERS


def test_nobody_is_in_a_channel_that_is_left() -> None:
    recording = a_recording().stopped().build()
    people = [{"uid": 1, "state": "Joined", "audio": True}]
    snapshot = a_snapshot(participants=people, participantCount=1, slices={"written": 1, "uploaded": 1})
    status = told(
        recording,
        begun(a_recording().build()),
        a_callback("RecordingStarted", snapshot=snapshot),
        a_callback("Finished", 2, summary=_summary("Uploaded", slices={"written": 1, "uploaded": 1})),
    )
    end = decide(a_recording().stopped().status(status).build(), {}, now=after(9), context=context()).status
    assert end.participant_count == 0
    assert [(one.state, one.audio) for one in end.participants] == [(ParticipantState.LEFT, False)]


# A7


def test_a_pod_that_runs_and_was_never_heard_of_is_told() -> None:
    recording = a_recording().parts(a_part(state=PartState.PENDING)).build()
    pod = a_pod().running()
    seen = decide(recording, pods(pod), now=after(30), context=context())
    assert condition(seen.status, ConditionType.READY) == ("False", Reason.PENDING)
    assert seen.requeue_after == FIRST_REPORT_TIMEOUT - (after(30) - NOW)
    silent = decide(recording, pods(pod), now=NOW + FIRST_REPORT_TIMEOUT, context=context()).status
    assert condition(silent, ConditionType.READY) == ("False", Reason.NOT_HEARD)
    ready = conditions.get(silent, ConditionType.READY)
    assert ready is not None
    assert "was never heard of" in ready.message


def test_a_recorder_that_falls_silent_is_not_known_to_record() -> None:
    recording = a_recording().parts(recording_part(heard_time=NOW, ready_time=NOW)).build()
    pod = a_pod().running()
    fresh = decide(recording, pods(pod), now=after(60), context=context())
    assert condition(fresh.status, ConditionType.RECORDING) == ("True", Reason.RECORDING)
    assert fresh.requeue_after == REPORT_TIMEOUT - (after(60) - NOW)
    silent = decide(recording, pods(pod), now=NOW + REPORT_TIMEOUT, context=context()).status
    assert condition(silent, ConditionType.RECORDING) == ("Unknown", Reason.NOT_HEARD)
    assert condition(silent, ConditionType.READY) == ("False", Reason.NOT_HEARD)
    message = conditions.get(silent, ConditionType.READY)
    assert message is not None
    assert "last heard of at 2026-05-04T12:00:00Z" in message.message
    heard = told(a_recording().status(silent).build(), silent, a_callback("Snapshot", 9, snapshot=a_snapshot()))
    assert condition(heard, ConditionType.RECORDING) == ("True", Reason.RECORDING)


def test_a_recorder_that_may_have_been_turned_away_is_not_said_to_be_silent() -> None:
    """An overloaded operator said of recorders which it answered 503 that nothing was heard of them."""
    recording = a_recording().parts(recording_part(heard_time=NOW, ready_time=NOW)).build()
    overloaded = replace(context(), listening_since=NOW, turned_away_at=after(80))
    seen = decide(recording, pods(a_pod().running()), now=NOW + REPORT_TIMEOUT, context=overloaded)
    assert condition(seen.status, ConditionType.RECORDING) == ("True", Reason.RECORDING)
    assert seen.requeue_after == after(80) - NOW
    later = decide(recording, pods(a_pod().running()), now=after(80) + REPORT_TIMEOUT, context=overloaded).status
    assert condition(later, ConditionType.READY) == ("False", Reason.NOT_HEARD)


def test_silence_while_no_operator_listened_says_nothing() -> None:
    recording = a_recording().parts(recording_part(heard_time=NOW, ready_time=NOW)).build()
    late = context().__class__(settings=SETTINGS, callback_ca="ca", listening_since=after(3600))
    status = decide(recording, pods(a_pod().running()), now=after(3610), context=late).status
    assert condition(status, ConditionType.RECORDING) == ("True", Reason.RECORDING)


# A8


def test_every_parts_playlist_is_listed_in_order() -> None:
    stored = {"slices": {"written": 2, "uploaded": 2}}
    lost = Part.model_validate(
        a_part(state=PartState.LOST, start_time=NOW, stop_time=NOW, playlist="a.m3u8").model_dump() | stored
    )
    next_one = Part.model_validate(recording_part(number=1, playlist="bak0_a.m3u8").model_dump() | stored)
    recording = a_recording().build()
    status = summarized(recording, CloudRecordingStatus(parts=(lost, next_one)), now=after(60))
    base = "https://s3.example.com/recordings"
    assert [(one.part, one.url) for one in status.playlists] == [(0, f"{base}/a.m3u8"), (1, f"{base}/bak0_a.m3u8")]
    assert (status.playlist, status.playlist_url) == ("bak0_a.m3u8", f"{base}/bak0_a.m3u8")
    forgotten = status.model_copy(update={"parts": (next_one,)})
    assert summarized(recording, forgotten, now=after(61)).playlists == status.playlists


# A9


def test_secrets_that_no_participant_can_be_recorded_with_stall_the_recording_until_they_are_mended() -> None:
    recording = a_recording().build()
    unusable = {
        "secretName": "streams",
        "key": "alice",
        "field": "spec.channel.streams[0].urlSecretRef",
        "problem": "holds a URL with a link-local address, which is not allowed",
        "unusable": True,
        "participant": "participant 1 'alice'",
    }
    status = told(recording, begun(recording), RUNNER_STARTED, a_callback("WaitingForSecret", 2, missing=[unusable]))
    assert condition(status, ConditionType.STALLED) == ("True", Reason.SECRET_UNUSABLE)
    ready = conditions.get(status, ConditionType.READY)
    assert ready is not None
    assert ready.message == (
        "key 'alice' of Secret 'streams', named by participant 1 'alice', holds a URL with a link-local address, which "
        "is not allowed"
    )
    mended = told(recording, status, a_callback("SecretsComplete", 3), a_callback("RecordingConnecting", 4))
    assert conditions.get(mended, ConditionType.STALLED) is None
    assert condition(mended, ConditionType.READY) == ("False", Reason.CONNECTING)


FORBIDDEN = "the URL leads to a link-local address or to a cloud's metadata service, which is not allowed here"
REFUSED: dict[str, Any] = {"code": RecordingErrorCode.CONNECT_ERROR, "message": f"participant 1 'alice': {FORBIDDEN}"}


def _of_secret(status: CloudRecordingStatus | None = None) -> CloudRecording:
    stream = {"uid": 1, "name": "alice", "urlSecretRef": {"name": "streams", "key": "alice"}}
    recording = a_recording().spec(channel={"name": "room-1", "uid": 1000, "streams": [stream]})
    return (recording if status is None else recording.status(status)).build()


def _people(state: str, message: str = "") -> dict[str, Any]:
    return a_snapshot(
        state="Connecting", participants=[{"uid": 1, "name": "alice", "state": state, "message": message}]
    )


def test_a_channel_that_refuses_everybody_stalls_the_recording_and_begins_no_part() -> None:
    recording = _of_secret()
    pod = a_pod().running()
    status = told(recording, begun(recording), RUNNER_STARTED, a_callback("RecordingConnecting", 2))
    refused = told(recording, status, a_callback("RecordingRefused", 3, **REFUSED))
    assert condition(refused, ConditionType.READY) == ("False", Reason.STREAMS_REFUSED)
    assert condition(refused, ConditionType.STALLED) == ("True", Reason.STREAMS_REFUSED)
    ready = conditions.get(refused, ConditionType.READY)
    assert ready is not None
    assert ready.message == (
        f"participant 1 'alice': {FORBIDDEN}; key 'alice' of Secret 'streams' holds the URL of participant 1 'alice'"
    )
    (event,) = transitions(status, refused)
    assert (event.warning, event.reason, event.message) == (True, Reason.STREAMS_REFUSED, ready.message)
    assert refused.last_error is not None
    assert (refused.last_error.code, refused.last_error.remedy) == (
        RecordingErrorCode.CONNECT_ERROR,
        REASONS[Reason.STREAMS_REFUSED].remedy.text,
    )
    later = decide(_of_secret(refused), pods(pod), now=after(3600), context=context())
    assert [part.number for part in later.status.parts] == [0]
    assert condition(later.status, ConditionType.STALLED) == ("True", Reason.STREAMS_REFUSED)


def test_another_try_of_what_is_refused_tells_nothing_new() -> None:
    recording = _of_secret()
    refused = told(recording, begun(recording), RUNNER_STARTED, a_callback("RecordingRefused", 2, **REFUSED))
    tried = [
        a_callback("RecordingConnecting", 3, at=after(60)),
        a_callback("Snapshot", 4, at=after(61), snapshot=_people("Connecting")),
        a_callback("Snapshot", 5, at=after(62), snapshot=_people("Refused", FORBIDDEN)),
        a_callback("RecordingRefused", 6, at=after(63), **REFUSED),
    ]
    status = refused
    for callback in tried:
        before, status = status, told(recording, status, callback)
        assert condition(status, ConditionType.STALLED) == ("True", Reason.STREAMS_REFUSED)
        assert transitions(before, status) == ()
    assert status.last_error == refused.last_error


@pytest.mark.parametrize(
    ("state", "message"),
    [("Failed", "the host's name cannot be resolved"), ("Connecting", "the connection stands, and waits for media")],
)
def test_a_refusal_is_over_once_somebody_is_found_in_another_way(state: str, message: str) -> None:
    recording = _of_secret()
    refused = told(recording, begun(recording), RUNNER_STARTED, a_callback("RecordingRefused", 2, **REFUSED))
    found = told(recording, refused, a_callback("Snapshot", 3, snapshot=_people(state, message)))
    assert conditions.get(found, ConditionType.STALLED) is None
    assert condition(found, ConditionType.READY) == ("False", Reason.WAITING_FOR_USERS)
    recorded = told(recording, found, _started(4, at=after(9)), at=after(9))
    assert recorded.last_error is not None
    assert recorded.last_error.resolved_time == after(9)


def _started(sequence: int, *, at: datetime) -> Callback:
    """Somebody is there."""
    people = a_snapshot(participants=[{"uid": 1, "name": "alice", "state": "Joined"}], participantCount=1)
    return a_callback("RecordingStarted", sequence, at=at, snapshot=people)


def test_a_recording_that_is_stopped_while_everybody_refuses_has_failed_by_that() -> None:
    recording = a_recording().stopped().build()
    refused = told(
        recording, begun(a_recording().build()), RUNNER_STARTED, a_callback("RecordingRefused", 2, **REFUSED)
    )
    summary = a_summary(
        outcome="Fatal", code=RecordingErrorCode.CONNECT_ERROR, message=REFUSED["message"], lastSequence=3
    )
    status = told(recording, refused, a_callback("Finished", 3, summary=summary))
    end = decide(a_recording().stopped().status(status).build(), {}, now=after(9), context=context()).status
    assert condition(end, ConditionType.SUCCEEDED) == ("False", Reason.CONNECT_ERROR)
    assert end.parts[-1].message == REFUSED["message"]


def test_a_key_without_content_is_empty_and_not_absent() -> None:
    recording = a_recording().build()
    missing = [{"secretName": "b", "key": "k", "field": "spec.x", "problem": "is empty"}]
    status = told(recording, begun(recording), a_callback("WaitingForSecret", missing=missing))
    assert status.parts[0].message == "key 'k' of Secret 'b', named by `spec.x`, is empty"


def test_participants_are_told_by_number_and_name() -> None:
    recording = a_recording().build()
    people = [
        {"uid": 1, "name": "alice", "state": "Refused", "message": "a link-local address is not allowed"},
        {"uid": 2, "state": "Connecting"},
    ]
    snapshot = a_snapshot(state="Connecting", participants=people)
    status = told(recording, begun(recording), a_callback("RecordingConnecting", snapshot=snapshot))
    ready = conditions.get(status, ConditionType.READY)
    assert ready is not None
    assert ready.message == "participant 1 'alice': a link-local address is not allowed"


# What was read of a recording that things were done to


def test_a_pod_that_is_told_to_end_is_told_so_and_not_as_one_that_is_not_ready() -> None:
    recording = a_recording().parts(recording_part(ready_time=NOW)).build()
    status = decide(recording, pods(a_pod().running(ready=False).deleted()), now=after(5), context=context()).status
    ready = conditions.get(status, ConditionType.READY)
    assert ready is not None
    assert (ready.reason, ready.message) == (Reason.STOPPING, f"pod '{a_part().pod}': the pod was told to end")


def test_who_waits_for_nothing_any_more_is_not_told_as_one_that_was_never_heard() -> None:
    recording = a_recording().build()
    missing = [{"secretName": "b", "key": "k", "field": "spec.x"}]
    status = told(recording, begun(recording), RUNNER_STARTED, a_callback("WaitingForSecret", 2, missing=missing))
    complete = told(recording, status, a_callback("SecretsComplete", 3))
    assert condition(complete, ConditionType.READY) == ("False", Reason.CONNECTING)


def test_an_empty_channel_that_nobody_came_to_is_told_once_with_its_remedy_and_uploads_nothing() -> None:
    recording = a_recording().build()
    status = told(recording, begun(recording), RUNNER_STARTED, a_callback("RecordingConnecting", 2))
    steps = [
        a_callback(
            "RecorderFailure", 3, code=RecordingErrorCode.NO_USERS, message="nobody came to the channel within 20 s"
        ),
        a_callback("RecordingStopped", 4, snapshot=a_snapshot(state="Uploading")),
        a_callback("Finished", 5, summary=_summary("Idle", code=RecordingErrorCode.NO_USERS, somebodyJoined=False)),
    ]
    events: list[Transition] = []
    for number, callback in enumerate(steps):
        status = _step(recording, status, [callback], a_pod().running(), at=after(number), events=events)
    nobody = "nobody came to the channel within 20 s"
    assert status.last_error is not None
    assert [(event.warning, event.reason, event.message) for event in events] == [
        (False, Reason.STOPPING, nobody),
        (True, Reason.NO_USERS, f"{nobody}. {status.last_error.remedy}"),
    ]


def test_a_recorder_process_that_dies_is_told_once_and_named_while_it_comes_back() -> None:
    recording = a_recording().build()
    status = told(recording, begun(recording), RUNNER_STARTED, _started(2, at=NOW))
    exited: dict[str, Any] = {"signal": 9, "restarts": 1, "message": "the recorder process failed: ended by SIGKILL"}
    again = "an earlier recorder of this recording ended without a stop; what it had recorded is kept"
    died = told(recording, status, a_callback("RecorderExited", 3, **exited))
    ready = conditions.get(died, ConditionType.READY)
    assert ready is not None
    assert (ready.reason, ready.message) == (Reason.RECONNECTING, exited["message"])
    resumed = told(
        recording,
        died,
        a_callback("RecordingConnecting", 4),
        a_callback("RecorderFailure", 5, code=RecordingErrorCode.RECORDER_EXIT, message=again),
    )
    assert resumed.last_error == died.last_error
    assert died.last_error is not None
    assert "it is started again in its pod" in died.last_error.remedy


def test_a_lost_connection_is_not_over_while_an_empty_channel_is_recorded() -> None:
    recording = a_recording().build()
    status = told(recording, begun(recording), RUNNER_STARTED, _started(2, at=NOW))
    gone = {"participants": [{"uid": 1, "name": "alice", "state": "Left", "message": "the connection broke"}]}
    broken = told(recording, status, a_callback("Snapshot", 3, snapshot=a_snapshot(state="Reconnecting", **gone)))
    ready = conditions.get(broken, ConditionType.READY)
    assert ready is not None
    assert (ready.reason, ready.message) == (Reason.RECONNECTING, "participant 1 'alice': the connection broke")
    lost = a_callback(
        "RecorderFailure", 4, code=RecordingErrorCode.DISCONNECTED, message="lost for 60 s", snapshot=a_snapshot(**gone)
    )
    empty = told(recording, broken, lost, a_callback("Snapshot", 5, snapshot=a_snapshot(**gone)))
    assert empty.last_error is not None
    assert empty.last_error.resolved_time is None
    back = told(recording, empty, _started(6, at=after(70)), at=after(70))
    assert back.last_error is not None
    assert back.last_error.resolved_time == after(70)


def test_nothing_arrives_from_anybody_once_a_recording_is_over() -> None:
    left = Participant(uid=1, state=ParticipantState.LEFT, audio=True, video=True)
    ended = a_part(state=PartState.CONCLUDED, outcome=Outcome.UPLOADED, start_time=NOW, end_time=after(9))
    recording = a_recording().stopped().parts(ended, participants=(left,)).build()
    (one,) = decide(recording, {}, now=after(10), context=context()).status.participants
    assert (one.audio, one.video) == (False, False)


# Rooms

WRONG_SECRET = "the channel refuses the recorder: the LiveKit server does not accept the API key with this secret (401)"
UNREACHABLE = "the recorder is not in the channel: the LiveKit server cannot be reached: Connection refused"


def _of_room(status: CloudRecordingStatus | None = None) -> CloudRecording:
    livekit = {"url": "wss://livekit.example.com", "apiKeySecretRef": {"name": "livekit"}}
    recording = a_recording().spec(channel={"name": "room-1", "uid": 1000, "livekit": livekit})
    return (recording if status is None else recording.status(status)).build()


def _in_room(*, inside: bool | None, state: str = "Connecting", **fields: Any) -> dict[str, Any]:
    return a_snapshot(state=state, inChannel=inside, **fields)


def _ready(status: CloudRecordingStatus) -> tuple[Reason, str]:
    found = conditions.get(status, ConditionType.READY)
    assert found is not None
    return found.reason, found.message


def test_a_room_whose_server_is_away_is_a_gap_and_no_pause_that_somebody_asked_for() -> None:
    """Promise: what is not recorded is a gap from when nobody was heard any more, whose condition says why."""
    recording = _of_room()
    broke = "the recorder is not in the channel: the connection to the LiveKit server broke"
    away = _in_room(
        inside=False, state="Reconnecting", pause={"reason": "NotInChannel", "since": milliseconds(after(10))}
    )
    status = told(
        recording,
        begun(recording),
        RUNNER_STARTED,
        a_callback("RecordingStarted", 2),
        a_callback("RecorderFailure", 3, at=after(10), code=RecordingErrorCode.CONNECT_ERROR, message=broke),
        a_callback("Snapshot", 4, at=after(40), snapshot=away),
        at=after(40),
    )
    assert _ready(status) == (Reason.RECONNECTING, broke)
    assert status.gaps == (Gap(start_time=after(10), reason="NotInChannel"),)
    assert status.gap_seconds == 30


def test_a_room_that_refuses_the_recorder_stalls_the_recording_until_somebody_mends_that() -> None:
    """Promise: the status names Secret and keys, and says of itself when the recorder is in the room, alone or not."""
    recording = _of_room()
    status = told(recording, begun(recording), RUNNER_STARTED, a_callback("RecordingConnecting", 2))
    refusal: dict[str, Any] = {
        "code": 430,
        "message": WRONG_SECRET,
        "room": True,
        "snapshot": _in_room(inside=False, state="Failed"),
    }
    refused = told(recording, status, a_callback("RecordingRefused", 3, **refusal))
    where = "keys 'apiKey' and 'apiSecret' of Secret 'livekit' hold the API key and its secret"
    assert _ready(refused) == (Reason.ROOM_REFUSED, f"{WRONG_SECRET}; {where}")
    assert condition(refused, ConditionType.STALLED) == ("True", Reason.ROOM_REFUSED)
    assert refused.last_error is not None
    assert refused.last_error.remedy == REASONS[Reason.ROOM_REFUSED].remedy.text
    later = decide(_of_room(refused), pods(a_pod().running()), now=after(3600), context=context())
    assert [part.number for part in later.status.parts] == [0]
    again = told(
        recording,
        refused,
        a_callback("RecordingConnecting", 4),
        a_callback("Snapshot", 5, snapshot=_in_room(inside=None)),
    )
    assert _ready(again)[0] is Reason.ROOM_REFUSED, "it only asks again"
    inside = told(recording, again, a_callback("Snapshot", 6, snapshot=_in_room(inside=True)))
    assert _ready(inside) == (Reason.WAITING_FOR_USERS, "")
    assert conditions.get(inside, ConditionType.STALLED) is None
    assert inside.last_error is not None
    assert inside.last_error.resolved_time is not None


def test_a_server_that_is_not_there_is_told_while_the_recorder_connects() -> None:
    recording = _of_room()
    failure: dict[str, Any] = {"code": 430, "message": UNREACHABLE, "snapshot": _in_room(inside=False)}
    outside = told(
        recording,
        begun(recording),
        RUNNER_STARTED,
        a_callback("RecordingConnecting", 2),
        a_callback("RecorderFailure", 3, **failure),
    )
    assert _ready(outside) == (Reason.CONNECTING, UNREACHABLE)
    assert outside.last_error is not None
    assert (outside.last_error.reason, outside.last_error.resolved_time) == (Reason.CONNECT_ERROR, None)
    inside = told(recording, outside, a_callback("Snapshot", 4, snapshot=_in_room(inside=True)))
    assert _ready(inside) == (Reason.WAITING_FOR_USERS, "")
    assert inside.last_error is not None
    assert inside.last_error.resolved_time is not None


def test_people_in_a_room_are_known_by_their_identity_however_long_they_made_it() -> None:
    recording = _of_room()
    people = [
        {"uid": 735577801, "identity": "alice", "state": "Joined", "audio": True, "video": True},
        {"uid": 7, "identity": "7" * 4000, "name": "Bob" * 1000, "state": "Left", "message": "gone"},
    ]
    snapshot = _in_room(inside=True, state="Recording", participants=people, participantCount=1)
    status = told(
        recording,
        begun(recording),
        RUNNER_STARTED,
        a_callback("RecordingStarted", 2),
        a_callback("Snapshot", 3, snapshot=snapshot),
    )
    alice, bob = status.participants
    assert (alice.uid, alice.identity, alice.name) == (735577801, "alice", None)
    assert bob.identity is not None
    assert len(bob.identity) < 400


@pytest.mark.parametrize("state", [PartState.CONNECTING, PartState.RECORDING, PartState.PAUSED])
def test_a_pod_that_is_told_to_end_is_stopping_whatever_its_part_was_at(state: PartState) -> None:
    part = a_part(state=state, start_time=NOW, pod_ready=True, engine_extended=True, heard_time=NOW)
    recording = a_recording().spec(desiredState="Paused").parts(part).build()
    at = after(1)
    status = decide(recording, pods(a_pod().running().deleted(at)), now=at, context=context()).status
    assert condition(status, ConditionType.READY) == ("False", Reason.STOPPING)
    assert status.display == "Stopping"
    ready = conditions.get(status, ConditionType.READY)
    assert ready is not None
    assert ready.message == f"pod '{part.pod}': the pod was told to end"
    stopped = told(recording, status, a_callback("RecordingStopped", at=at), at=at)
    assert condition(stopped, ConditionType.READY) == ("False", Reason.RESTARTING)


def test_where_no_backup_is_asked_for_nothing_is_said_of_one() -> None:
    backup = {"bucket": "spare", "endpoint": "https://b.example.com", "credentials": {"secretRef": {"name": "b"}}}
    for builder, running, over in (
        (a_recording(), None, None),
        (a_recording().spec(backup=backup), ("False", Reason.STOPPING), ("False", Reason.UPLOADED)),
    ):
        recording = builder.stopped().parts(recording_part()).build()
        status = told(recording, recording.status, RUNNER_STARTED)
        slices = {"written": 2, "uploaded": 2}
        ended = a_pod().ended(a_summary("Uploaded", slices=slices).termination_message())
        done = decide(recording, pods(ended), now=after(60), context=context()).status
        assert conditions.is_true(done, ConditionType.UPLOADED)
        for said, expected in ((status, running), (done, over)):
            found = conditions.get(said, ConditionType.BACKED_UP)
            assert (None if found is None else condition(said, ConditionType.BACKED_UP)) == expected


def test_a_failure_that_others_followed_at_once_has_its_own_reason_and_one_event() -> None:
    recording = a_recording().build()
    code = RecordingErrorCode.UPLOADER_FAILED
    before = told(recording, begun(recording), RUNNER_STARTED)
    first = a_callback("UploaderFailure", 2, code=code, message="words", cause="AccessDenied", fact="it denies access")
    denied = told(recording, before, first)
    assert denied.last_error is not None
    assert (denied.last_error.reason, denied.last_error.message) == (Reason.ACCESS_DENIED, "it denies access")
    assert denied.last_error.remedy == REASONS[Reason.ACCESS_DENIED].remedy_text(stored=False)
    assert [one.reason for one in transitions(before, denied)] == [Reason.ACCESS_DENIED]
    last = a_callback(
        "UploaderFailure",
        3,
        code=code,
        message="words",
        cause="NoSuchBucket",
        fact="it is gone",
        snapshot=a_snapshot(state="Connecting", storage=FAILING),
    )
    gone = told(recording, denied, last)
    assert [one.reason for one in transitions(denied, gone)] == [Reason.NO_SUCH_BUCKET]
    full = a_callback(
        "RecorderFailure", 4, code=RecordingErrorCode.RECORDER_FAILED, message="words", cause="WorkVolumeFull"
    )
    paused = told(recording, gone, full)
    assert paused.last_error is not None
    assert paused.last_error.reason is Reason.WORK_VOLUME_FULL
    no_mp4 = a_callback("UploaderFailure", 5, code=code, message="no MP4", cause="MP4NotMade", fact="no MP4")
    status = told(recording, paused, no_mp4)
    assert status.last_error is not None
    assert status.last_error.reason is Reason.MP4_NOT_MADE
    lost = a_callback(
        "UploaderFailure",
        6,
        code=code,
        message="a slice: nothing of it is left",
        cause="FileLost",
        fact="a slice: nothing of it is left",
        snapshot=a_snapshot(storage={"state": "Ready", "since": 1}),
    )
    status = told(recording, status, lost)
    assert status.last_error is not None
    assert (status.last_error.reason, status.last_error.resolved_time) == (Reason.FILE_LOST, None)
    new = a_callback("UploaderFailure", 7, code=code, message="words", cause="SomethingNew")
    status = told(recording, status, new)
    assert status.last_error is not None
    assert status.last_error.reason is Reason.STORAGE_FAILED
