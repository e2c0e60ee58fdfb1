# SPDX-License-Identifier: Apache-2.0
"""Parts become one on a real API server: the pod that does it, its answer, and an operator that dies meanwhile."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.contract.controller.operator_process import OperatorProcess
from tests.contract.controller.stage import Recorder, Stage, conditions, container, is_true, now, reason

Json = dict[str, Any]

STARTED = ("RunnerStarted", {"runnerVersion": "1", "engineName": "default", "engineExtended": True})
TWO = {"written": 2, "uploaded": 2}


async def begin(stage: Stage, operator: OperatorProcess, *, part: int) -> Recorder:
    """The part's recorder records."""
    recorder = await stage.recorder(await stage.new_pod(part=part), url=operator.url)
    await recorder.tell(STARTED, ("RecordingConnecting", {}), ("RecordingStarted", {}))
    return recorder


async def conclude(stage: Stage, recorder: Recorder, *, part: int, outcome: str) -> None:
    """The part's recorder has stored two slices, and ends so."""
    recording = await stage.recording()
    assert recording is not None
    sid = recording["status"]["recordingId"]
    name = f"{'bak0_' if part else ''}{sid}_room-1.m3u8"
    summary = {"recordingId": sid, "part": part, "outcome": outcome, "slices": TWO, "somebodyJoined": True}
    snapshot = {"state": "Uploading", "recordingId": sid, "slices": TWO, "playlist": name}
    await recorder.tell(
        ("RecordingStopped", {"snapshot": snapshot}),
        ("RecordingUploaded", {"fileName": name}),
        ("Finished", {"summary": {**summary, "nothingLeft": True}}),
    )


async def two_parts(stage: Stage, operator: OperatorProcess) -> Json:
    """A recording that was drained once and then stopped; returns the pod that merges its parts."""
    await stage.apply()
    await conclude(stage, await begin(stage, operator, part=0), part=0, outcome="Drained")
    recorder = await begin(stage, operator, part=1)
    await stage.edit(desiredState="Stopped")
    await conclude(stage, recorder, part=1, outcome="Uploaded")
    known = await stage.until(lambda seen: (seen["status"].get("merge") or {}).get("podUID"))
    pod = await stage.pod(known["status"]["merge"]["pod"])
    assert pod is not None
    return pod


async def warnings(stage: Stage) -> set[str]:
    """The reasons of all Warnings: that a second part began is one."""
    return {event["reason"] for event in await stage.events() if event["type"] == "Warning"}


def merged(body: Json) -> Json:
    found = {one["type"]: one for one in conditions(body)}
    condition: Json = found["PlaylistMerged"]
    return condition


async def test_the_parts_of_a_recording_become_one_before_it_is_over(stage: Stage, operator: OperatorProcess) -> None:
    pod = await two_parts(stage, operator)
    assert pod["metadata"]["name"].endswith("-m1")
    recording = await stage.until(lambda seen: reason(seen) == "Merging")
    assert is_true(recording, "Uploaded")
    assert not is_true(recording, "Finished")
    sid = recording["status"]["recordingId"]
    told = json.loads(pod["metadata"]["annotations"]["cloudrecording.dev/recording"])
    assert [part["playlist"] for part in told["parts"]] == [f"{sid}_room-1.m3u8", f"bak0_{sid}_room-1.m3u8"]
    name = f"{sid}_room-1_merged.m3u8"
    await stage.report_ended(pod, json.dumps({"playlist": name, "manifest": "m", "slices": 4}))
    finished = await stage.until(lambda seen: is_true(seen, "Finished"))
    status = finished["status"]
    assert (merged(finished)["status"], reason(finished), status["playlist"]) == ("True", "Completed", name)
    assert status["playlistURL"].endswith(f"/{name}")
    assert [one["slices"] for one in status["playlists"]] == [2, 2]
    await stage.until_pod(pod["metadata"]["name"], lambda seen: seen is None or not seen["metadata"].get("finalizers"))
    await stage.until_told("Completed")
    assert await warnings(stage) == {"Restarting"}


async def test_a_pod_that_dies_is_followed_by_another_and_what_it_may_not_read_is_said(
    stage: Stage, operator: OperatorProcess
) -> None:
    pod = await two_parts(stage, operator)
    await stage.report_ended(pod, "", exit_code=1)
    known = await stage.until(lambda seen: (seen["status"]["merge"].get("pod") or "").endswith("-m2"))
    second = await stage.until_pod(known["status"]["merge"]["pod"], lambda seen: seen)
    assert second is not None
    words = "x.m3u8: bucket does not let it be read"
    await stage.report_ended(second, json.dumps({"cause": "NoReadRight", "message": words}))
    finished = await stage.until(lambda seen: is_true(seen, "Finished"))
    assert is_true(finished, "Succeeded")
    assert (merged(finished)["reason"], merged(finished)["message"]) == ("NoReadRight", words)
    assert finished["status"]["playlist"].startswith("bak0_")
    await stage.until_told("NoReadRight")
    assert await warnings(stage) == {"Restarting", "NoReadRight"}


async def test_an_operator_that_dies_meanwhile_makes_no_second_pod(
    stage: Stage, operator: OperatorProcess, new_operator: Callable[..., OperatorProcess]
) -> None:
    pod = await two_parts(stage, operator)
    operator.kill()
    running = {"state": {"running": {"startedAt": now()}}}
    await stage.report(pod, phase="Running", containerStatuses=[container(**running)])
    await stage.report_ended(pod, json.dumps({"playlist": "merged.m3u8", "manifest": "m", "slices": 4}))
    new_operator(name="operator-1").start()
    finished = await stage.until(lambda seen: is_true(seen, "Finished"))
    assert (finished["status"]["merge"]["pods"], finished["status"]["playlist"]) == (1, "merged.m3u8")


async def test_a_recording_that_is_deleted_is_merged_and_then_goes(stage: Stage, operator: OperatorProcess) -> None:
    await stage.apply()
    await conclude(stage, await begin(stage, operator, part=0), part=0, outcome="Drained")
    recorder = await begin(stage, operator, part=1)
    await stage.delete()
    await conclude(stage, recorder, part=1, outcome="Uploaded")
    known = await stage.until(lambda seen: (seen["status"].get("merge") or {}).get("podUID"))
    pod = await stage.pod(known["status"]["merge"]["pod"])
    assert pod is not None
    await stage.report_ended(pod, json.dumps({"playlist": "merged.m3u8", "manifest": "m", "slices": 4}))
    await stage.until_gone()
