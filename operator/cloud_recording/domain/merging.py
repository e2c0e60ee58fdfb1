# SPDX-License-Identifier: Apache-2.0
"""One playlist over all parts of a recording, and one MP4 if asked for: when a pod is to make them, what came of that.

Everything recorded is where it belongs by then. The recording is not over until it is known whether its parts became
one, so that whoever waits for its end finds what stays; but that is waited for no longer than a few pods and minutes,
and for an MP4 as much longer as its size takes. An MP4 for which there is no room, or which no pod lives to finish,
costs nobody the playlist: a pod without it follows.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from pydantic import ValidationError

from cloud_recording.api.reasons import Reason, reason_facts
from cloud_recording.api.status import MOST_PLAYLISTS, CloudRecordingStatus, Merge, MergeState
from cloud_recording.api.storage_place import at_place
from cloud_recording.api.wire import MergeAnswer, PartFiles
from cloud_recording.common.backoff import Backoff
from cloud_recording.domain import merged_mp4, names, parts, totals
from cloud_recording.domain.admission import stores_denial
from cloud_recording.domain.deletion import deletion_deadline, discard_asked
from cloud_recording.domain.observe_pods import silent_end, why_waiting
from cloud_recording.domain.observed_state import ObservedState
from cloud_recording.domain.playlist_url import url
from cloud_recording.domain.pod_view import PodView

BACKOFF: Final = Backoff(first_seconds=10.0, most_seconds=120.0)
"""How long after a pod that failed the next one is made."""

MOST_TRIES: Final = 5
"""So many pods may fail: by then a store that has just taken every slice has not given one back for minutes."""

MOST_TRIES_WITH_MP4: Final = 3
"""So many of them may end without a word while they are to make an MP4, too."""

PATIENCE: Final = timedelta(minutes=10)
"""How long the end of the recording is held up, pods that cannot start included; not counted what an MP4 takes."""


def with_merge(state: ObservedState) -> ObservedState:
    """The state of a recording all of whose parts are over, with what is to become of one playlist over them."""
    status = state.status
    if len(files_of(status)) < 2:
        return state
    merge = parts.merge_of(status) or _begun(state)
    if merge.state is MergeState.MERGING:
        merge = _refused(state, merge) or _observed(state, merge)
    return state.with_status(totals.with_totals(status.model_copy(update={"merge": merge})))


def files_of(status: CloudRecordingStatus) -> tuple[PartFiles, ...]:
    """What each part that has a slice in the store has there, in order; of too many parts the newest."""
    playlists = {one.part: one.name for one in status.playlists}
    playlists |= {part.number: part.playlist for part in status.parts if part.playlist and totals.in_bucket(part)}
    return tuple(
        PartFiles(file_prefix=names.file_prefix(number), playlist=playlists[number]) for number in sorted(playlists)
    )


def due_at(status: CloudRecordingStatus) -> datetime | None:
    """When something is due of it that no change announces: the next pod, or the end of all patience."""
    merge = parts.merge_of(status)
    if merge is None or merge.state is not MergeState.MERGING:
        return None
    return _next_try(merge) if merge.pod is None else _end_of_patience(merge)


def _begun(state: ObservedState) -> Merge:
    known, part = state.status.merge, parts.newest(state.status)
    merge = Merge(
        state=MergeState.MERGING,
        newest_part=part.number if part is not None else 0,
        pods=known.pods if known is not None else 0,
        begin_time=state.moment,
        mp4_seconds=merged_mp4.seconds(state.recording.spec, state.status),
    )
    return _hopeless(state, merge) or _with_pod(state, merge)


def _hopeless(state: ObservedState, merge: Merge) -> Merge | None:
    """What no pod would change: nothing is tried then."""
    status = state.status
    if totals.is_backed_up(status):
        return _given_up(merge, Reason.BACKED_UP, "files of the recording are in the backup store and not in `storage`")
    if any(part.engine_extended is False for part in status.parts):
        return _given_up(merge, Reason.MERGE_UNSUPPORTED, "the recorder's library has only the published interface")
    if len(files_of(status)) > MOST_PLAYLISTS or len(status.playlists) >= MOST_PLAYLISTS:
        return _given_up(merge, Reason.MERGE_UNSUPPORTED, f"the recording has {MOST_PLAYLISTS} parts or more")
    denied = stores_denial(state.recording.spec, state.settings)
    if denied is not None:
        return _given_up(merge, Reason.NOT_ALLOWED, denied)
    missing = state.context.store_wait
    if missing is not None and state.recording.spec.has_unresolved_store:
        return _given_up(merge, missing.reason, missing.message)
    return None


def _with_pod(state: ObservedState, merge: Merge) -> Merge:
    metadata, number = state.recording.metadata, merge.pods + 1
    pod = names.merge_pod_name(recording=metadata.name, uid=metadata.uid, number=number)
    return merge.model_copy(update={"pods": number, "pod": pod, "pod_uid": None})


def _refused(state: ObservedState, merge: Merge) -> Merge | None:
    """What the API server's refusal of the pod makes of it; None where it refused none."""
    refusal = state.refusal
    if refusal is None or refusal.part is not None:
        return None
    words = f"pod '{merge.pod}', which is to make {parts.what_it_makes(merge)}, is refused: {refusal.message}"
    if reason_facts(refusal.reason).discards:
        return _given_up(merge, refusal.reason, words)
    if state.now >= _end_of_patience(merge):
        return _given_up_or_without_mp4(state, merge, refusal.reason, words)
    return merge.model_copy(update={"message": words})


def _observed(state: ObservedState, merge: Merge) -> Merge:
    """The merge after a look at its pod."""
    given_up = _waited_for_no_longer(state)
    if given_up is not None:
        return _given_up(merge, *given_up)
    pod = state.pods.get(merge.pod) if merge.pod is not None else None
    if pod is not None and pod.deleted_at is None and merge.pod_uid in {None, pod.uid}:
        return _with_answer(state, merge.model_copy(update={"pod_uid": pod.uid}), pod)
    if merge.pod is None:
        return _with_next_pod(state, merge)
    if pod is None and merge.pod_uid is None:
        return merge
    words = f"pod '{merge.pod}' ended before it had made {parts.what_it_makes(merge)}"
    return _failed(state, merge, Reason.POD_LOST, words, is_silent=True)


def _with_next_pod(state: ObservedState, merge: Merge) -> Merge:
    return _with_pod(state, merge) if state.now >= _next_try(merge) else merge


def _next_try(merge: Merge) -> datetime:
    return (merge.try_time or merge.begin_time) + timedelta(seconds=BACKOFF.after(merge.tries, spread=0.0))


def _end_of_patience(merge: Merge) -> datetime:
    return merge.begin_time + PATIENCE + timedelta(seconds=merge.mp4_seconds or 0)


def _waited_for_no_longer(state: ObservedState) -> tuple[Reason, str] | None:
    if discard_asked(state.recording):
        return Reason.DISCARDED, "the recording is deleted with the discard annotation"
    deadline = deletion_deadline(state.recording)
    if deadline is not None and state.now >= deadline:
        return Reason.DEADLINE_EXCEEDED, "`spec.deletionDeadlineSeconds` ran out before"
    return None


def _with_answer(state: ObservedState, merge: Merge, pod: PodView) -> Merge:
    """The merge after what its pod has come to."""
    if not pod.over and pod.terminated is None:
        return _awaited(state, merge, pod)
    answer = _answer(pod)
    if answer is None:
        _, how = silent_end(pod)
        return _failed(state, merge, Reason.MERGE_FAILED, f"pod '{pod.name}': {how}", is_silent=True)
    if answer.playlist is not None:
        merged = {"state": MergeState.MERGED, "playlist": answer.playlist, "manifest": answer.manifest}
        urls = {"playlist_url": _url(state, answer.playlist), "mp4_url": answer.mp4 and _url(state, answer.mp4)}
        mp4 = {"mp4": answer.mp4, "mp4_missing": _why_no_mp4(merge, answer)}
        return merge.model_copy(update={**merged, **urls, **mp4, "message": None})
    reason = Reason(answer.cause)
    return _failed(state, merge, reason if reason.known else Reason.MERGE_FAILED, answer.message)


def _why_no_mp4(merge: Merge, answer: MergeAnswer) -> str | None:
    if answer.mp4 is not None:
        return None
    if merge.mp4_seconds is None:
        return merge.mp4_missing
    return answer.mp4_missing or "the recorder's library makes none over all parts"


def _url(state: ObservedState, name: str) -> str | None:
    storage = state.recording.spec.storage
    return None if storage.is_unresolved else url(at_place(storage, parts.stored_place(state.status)), name)


def _awaited(state: ObservedState, merge: Merge, pod: PodView) -> Merge:
    storage = state.recording.spec.storage
    claims = [storage.directory.claim_name] if storage.directory is not None else []
    reason, words = why_waiting(pod, claims) if pod.running_since is None else (None, None)
    waits = f"pod '{pod.name}', which is to make {parts.what_it_makes(merge)}, waits: {words or reason}"
    if state.now >= _end_of_patience(merge):
        late = waits if reason else f"pod '{pod.name}' takes too long"
        return _given_up_or_without_mp4(state, merge, reason or Reason.MERGE_FAILED, late)
    return merge.model_copy(update={"message": waits if reason else None})


def _answer(pod: PodView) -> MergeAnswer | None:
    if pod.terminated is None or pod.terminated.exit_code != 0:
        return None
    try:
        return MergeAnswer.model_validate_json(pod.terminated.message)
    except ValidationError:
        return None


def _failed(state: ObservedState, merge: Merge, reason: Reason, words: str, *, is_silent: bool = False) -> Merge:
    """The merge after a pod without success: another follows after a pause, while that may help.

    One that ended without a word (`is_silent`) may have lacked what an MP4 takes.
    """
    failed = merge.model_copy(
        update={
            "tries": merge.tries + 1,
            "try_time": state.moment,
            "pod": None,
            "pod_uid": None,
            "message": f"{parts.what_it_makes(merge)} is tried again after a pause: {words}",
        }
    )
    if reason_facts(reason).ends_merge or reason is Reason.MERGE_UNSUPPORTED:
        return _given_up(failed, reason, words)
    with_mp4 = is_silent and merge.mp4_seconds is not None
    too_often = failed.tries >= (MOST_TRIES_WITH_MP4 if with_mp4 else MOST_TRIES)
    if not too_often and _next_try(failed) <= _end_of_patience(merge):
        return failed
    return _given_up_or_without_mp4(state, failed, reason, words) if is_silent else _given_up(failed, reason, words)


def _given_up_or_without_mp4(state: ObservedState, merge: Merge, reason: Reason, words: str) -> Merge:
    """The merge after pods that may have lacked what an MP4 takes: begun anew without one, if there was to be one."""
    if merge.mp4_seconds is None:
        return _given_up(merge, reason, words)
    anew = {"mp4_seconds": None, "mp4_missing": words, "begin_time": state.moment, "try_time": None, "tries": 0}
    return _with_pod(state, merge.model_copy(update={**anew, "message": None}))


def _given_up(merge: Merge, reason: Reason, words: str) -> Merge:
    over = {"state": MergeState.GIVEN_UP, "pod": None, "pod_uid": None, "reason": reason, "message": words}
    return merge.model_copy(update=over)
