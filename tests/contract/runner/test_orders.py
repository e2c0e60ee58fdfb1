# SPDX-License-Identifier: Apache-2.0
"""What comes down to the pod: secrets that appear, the desired state, and edits that this engine cannot follow."""

from __future__ import annotations

import signal
from pathlib import Path

from cloud_recording.api.status import Outcome
from cloud_recording.common.error_codes import RecordingErrorCode
from tests.contract.runner.pod import ACCESS_KEY, SECRET_KEY, STREAM_URL, Stage


async def test_missing_secrets_are_named_with_their_field_and_picked_up_when_they_appear(stage: Stage) -> None:
    (stage.pod.secrets / "streams" / "alice").unlink()
    (stage.pod.secrets / "bucket" / "secretKey").unlink()
    await stage.record("connecting,started")
    waiting = await stage.operator.until_told("WaitingForSecret")
    assert [(one["secretName"], one["key"], one["field"], one["problem"]) for one in waiting["missing"]] == [
        ("streams", "alice", "spec.channel.streams[0].urlSecretRef", "is not there"),
        ("bucket", "secretKey", "spec.storage.credentials.secretRef", "is not there"),
    ]
    stage.pod.mount_secret("bucket", secretKey=SECRET_KEY)
    waiting = await stage.operator.until_told("WaitingForSecret", times=2)
    assert [secret["secretName"] for secret in waiting["missing"]] == ["streams"]
    stage.pod.mount_secret("streams", alice=STREAM_URL)
    await stage.operator.until_told("RecordingStarted")
    assert stage.operator.types(without=frozenset({"Snapshot", "DesiredStateApplied"})) == [
        "RunnerStarted",
        "WaitingForSecret",
        "WaitingForSecret",
        "SecretsComplete",
        "RecordingConnecting",
        "RecordingStarted",
    ]


async def test_a_secret_that_is_deleted_while_the_part_records_is_told_and_harms_nothing(stage: Stage) -> None:
    await stage.record("connecting,started")
    await stage.operator.until_told("RecordingStarted")
    (stage.pod.secrets / "bucket" / "secretKey").unlink()
    gone = await stage.operator.until_told("SecretsGone")
    assert [secret["secretName"] for secret in gone["missing"]] == ["bucket"]
    stage.want(generation=2, state="Stopped")
    assert await stage.pod.ended() == 0
    assert stage.pod.summary().outcome is Outcome.UPLOADED


async def test_a_stop_is_heard_beside_words_that_only_a_newer_release_knows(stage: Stage) -> None:
    await stage.record("connecting,started")
    await stage.operator.until_told("RecordingStarted")
    stage.want(generation=2, state="Stopped", layout="FromTheFuture", novelty=1)
    assert await stage.pod.ended() == 0
    applied = stage.operator.of("DesiredStateApplied")
    assert applied[-1]["generation"] == 2
    refused = {told["field"] for told in stage.operator.of("EditRefused")}
    assert refused == {"spec.recording.video.layout", "novelty"}
    assert stage.pod.summary().outcome is Outcome.UPLOADED


async def test_a_stop_while_waiting_for_secrets_ends_with_nothing_recorded(stage: Stage) -> None:
    (stage.pod.secrets / "streams" / "alice").unlink()
    await stage.record("connecting,started")
    await stage.operator.until_told("WaitingForSecret")
    stage.want(generation=2, state="Stopped")
    assert await stage.pod.ended() == 0
    summary = stage.pod.summary()
    assert (summary.outcome, summary.code) == (Outcome.UPLOADED, RecordingErrorCode.NO_RECORDED_DATA)
    assert summary.slices.written == 0


async def test_a_stop_never_goes_back(stage: Stage) -> None:
    await stage.record("connecting,started|stopped,sleep=1500,uploaded")
    await stage.operator.until_told("RecordingStarted")
    stage.want(generation=2, state="Stopped")
    await stage.operator.until_told("RecordingStopped")
    stage.want(generation=3, state="Recording")
    assert await stage.pod.ended() == 0
    assert len(stage.operator.of("RecordingStarted")) == 1
    assert stage.pod.summary().outcome is Outcome.UPLOADED


async def test_an_engine_without_the_extension_has_its_edits_refused_by_field(stage: Stage) -> None:
    await stage.record("connecting,started")
    started = await stage.operator.until_told("RunnerStarted")
    assert started["engineExtended"] is False
    await stage.operator.until_told("DesiredStateApplied")
    stage.want(generation=2, state="Paused", layout="BestFit", credentialsGeneration=1)
    await stage.operator.until(lambda: stage.operator.of("DesiredStateApplied")[-1]["generation"] == 2)
    assert {told["field"] for told in stage.operator.of("EditRefused")} == {
        "spec.desiredState",
        "spec.recording.video.layout",
        "spec.storage.credentials",
    }
    assert all("snapshot" not in callback for callback in stage.operator.callbacks)


async def test_probes_and_metrics_follow_the_recording(stage: Stage) -> None:
    (stage.pod.secrets / "streams" / "alice").unlink()
    await stage.record("connecting,started")
    await stage.operator.until_told("WaitingForSecret")
    assert await stage.pod.answers("/healthz") == (200, "ok\n")
    assert await stage.pod.answers("/readyz") == (503, "waiting for secrets\n")
    stage.pod.mount_secret("streams", alice=STREAM_URL)
    await stage.operator.until_told("RecordingStarted")
    status, _ = await stage.pod.answers("/readyz")
    assert status == 200
    _, metrics = await stage.pod.answers("/metrics")
    assert "cloudrecording_runner_ready 1.0" in metrics
    assert "cloudrecording_runner_restarts_total 0.0" in metrics


async def test_no_secret_is_in_a_log_a_callback_an_environment_or_a_command_line(stage: Stage) -> None:
    """G8, with an engine that prints its keys and quotes them in its messages."""
    await stage.record("connecting,started,print=opening the bucket,upload-failure=439")
    await stage.operator.until_told("UploaderFailure")
    assert stage.pod.process is not None
    processes = [stage.pod.process.pid, await stage.pod.recorder_pid()]
    seen = [f"/proc/{pid}/{what}" for pid in processes for what in ("environ", "cmdline")]
    texts = {path: _content(path) for path in seen}
    stage.pod.signal(signal.SIGTERM)
    assert await stage.pod.ended() == 0
    texts |= {"log": stage.pod.log.read_text(), "summary": stage.pod.termination_message.read_text()}
    texts |= {f"request {number}": body for number, body in enumerate(stage.operator.bodies)}
    stream_key = STREAM_URL.rsplit("/", 1)[1]
    for name, text in texts.items():
        for secret in (ACCESS_KEY, SECRET_KEY, stream_key, stage.operator.token):
            assert secret not in text, f"{name} holds a secret"
    assert "opening the bucket with [redacted] [redacted]" in texts["log"]
    assert stage.operator.of("UploaderFailure")[0]["message"] == "the bucket refused [redacted] [redacted] "


def _content(path: str) -> str:
    return Path(path).read_text(errors="replace")
