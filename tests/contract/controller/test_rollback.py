# SPDX-License-Identifier: Apache-2.0
"""The operator put back by one version, under recordings and recorders that a newer one made.

The definition stays the newer one: an older one would have the API server prune what it does not know.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from cloud_recording.common.error_codes import RecordingErrorCode
from cloud_recording.kube.errors import Conflict
from tests.contract.controller.operator_process import OperatorProcess
from tests.contract.controller.stage import Stage, is_true, reason
from tests.contract.controller.test_recordings import summary

Json = dict[str, Any]


async def written_by_a_newer_one(stage: Stage, name: str = "stand-up") -> None:
    """Puts words into the status that this release does not know."""
    written = False
    while not written:
        body = await stage.until(lambda seen: is_of(seen, "Pending"), name=name)
        status = body["status"]
        status["novelty"] = "kept"
        status["parts"][0] |= {"state": "FromTheFuture", "reason": "FromTheFuture", "novelty": "kept"}
        status["conditions"][0]["reason"] = "FromTheFuture"
        try:
            await stage.client.put(stage.recordings(name) + "/status", body)
        except Conflict:
            continue
        written = True


def is_of(body: Json, state: str) -> bool:
    return [part["state"] for part in (body.get("status") or {}).get("parts", [])] == [state]


@pytest.mark.usefixtures("newer_definition")
async def test_what_a_newer_operator_wrote_is_read_and_kept_to_the_end(stage: Stage, operator: OperatorProcess) -> None:
    await stage.apply()
    pod = await stage.new_pod()
    await stage.place(pod)
    await stage.report_running(pod)
    await written_by_a_newer_one(stage)
    recorder = await stage.recorder(pod, url=operator.url)
    snapshot = {"state": "FromTheFuture", "recordingId": "0" * 32, "novelty": {}, "slices": {"written": 1, "fresh": 1}}
    assert (await recorder.tell(("FromTheFuture", {"snapshot": snapshot}))).status == 200
    waiting = await stage.recording()
    assert waiting is not None
    assert [part["state"] for part in waiting["status"]["parts"]] == ["FromTheFuture"], "no second part captures"
    assert (await recorder.tell(("RecordingStarted", {}))).status == 200
    await stage.until(lambda seen: is_true(seen, "Recording"))
    await stage.edit(desiredState="Stopped")
    last = summary(waiting, "FromTheFuture", novelty=1)
    assert (await recorder.tell(("RecordingStopped", {}), ("Finished", {"summary": last}))).status == 200
    finished = await stage.until(lambda seen: is_true(seen, "Finished"))
    assert finished["status"]["novelty"] == "kept"
    (part,) = finished["status"]["parts"]
    assert (part["outcome"], part["novelty"], part["slices"]["uploaded"]) == ("FromTheFuture", "kept", 2)


@pytest.mark.usefixtures("newer_definition")
@pytest.mark.parametrize("discard", [False, True], ids=["awaited", "discarded"])
async def test_a_recording_whose_spec_cannot_be_read_can_be_deleted(
    stage: Stage, operator: OperatorProcess, *, discard: bool
) -> None:
    await stage.apply()
    pod = await stage.new_pod()
    await stage.place(pod)
    await stage.report_running(pod)
    recorder = await stage.recorder(pod, url=operator.url)
    await recorder.tell(("RecordingConnecting", {}), ("RecordingStarted", {}))
    await stage.edit(novelty="unknown", recording={"video": {"layout": "FromTheFuture"}})
    refused = await stage.until(lambda seen: reason(seen) == "InvalidSpec")
    assert (await recorder.tell(("UploaderFailure", {"code": RecordingErrorCode.UPLOADER_FAILED}))).status == 200
    told = await stage.recording()
    assert told is not None
    assert (reason(told), told["status"]["lastError"]["code"]) == ("InvalidSpec", RecordingErrorCode.UPLOADER_FAILED)
    if discard:
        mark = {"metadata": {"annotations": {"cloudrecording.dev/discard": "true"}}}
        await stage.client.patch(stage.recordings("stand-up"), mark)
    await stage.delete(propagation="Foreground")
    if not discard:
        await stage.until(lambda seen: reason(seen) == "Deleting")
        await recorder.tell(("RecordingStopped", {}), ("Finished", {"summary": summary(refused)}))
        await stage.report_ended(pod, json.dumps(summary(refused)))
    await stage.until_gone()
    await stage.end(pod)
    await stage.until_empty("pods", "podtemplates")
