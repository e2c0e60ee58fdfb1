# SPDX-License-Identifier: Apache-2.0
"""Recordings and pods for tests, in the words in which one would tell of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from cloud_recording.api.recording import CloudRecording
from cloud_recording.api.settings import OperatorSettings
from cloud_recording.api.status import CloudRecordingStatus, Part
from cloud_recording.api.wire import CALLBACK, Callback, Summary
from cloud_recording.domain import names
from cloud_recording.domain.observed_state import OperatorContext
from cloud_recording.domain.pod_view import PodView

Json = dict[str, Any]

NOW = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)
UID = "11111111-2222-3333-4444-555555555555"
POD_UID = "aaaaaaaa-0000-0000-0000-000000000000"
CA = "-----BEGIN CERTIFICATE-----\nauthority\n-----END CERTIFICATE-----\n"

SETTINGS = OperatorSettings.model_validate(
    {
        "runner": {"image": "cloud-recording:test"},
        "callbacks": {"url": "https://operator.test:8443", "caSecretName": "callback-ca"},
        "leaderElection": {"leaseName": "cloud-recording"},
    }
)


def context(settings: OperatorSettings = SETTINGS) -> OperatorContext:
    return OperatorContext(settings=settings, callback_ca=CA)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def pod_name(part: int = 0) -> str:
    return names.pod_name(recording="stand-up", uid=UID, part=part)


def pod_uid(part: int = 0) -> str:
    return POD_UID[:-1] + str(part)


class RecordingBuilder:
    """A recording that was just applied, unless more is said."""

    def __init__(self) -> None:
        self._metadata: Json = {
            "name": "stand-up",
            "namespace": "meetings",
            "uid": UID,
            "generation": 1,
            "resourceVersion": "1",
            "creationTimestamp": time(NOW),
            "finalizers": ["cloudrecording.dev/durable"],
        }
        self._spec: Json = {
            "channel": {
                "name": "room-1",
                "uid": 1000,
                "streams": [{"uid": 1, "url": "rtmp://media.example.com/live/alice"}],
            },
            "storage": {
                "endpoint": "https://s3.example.com",
                "bucket": "recordings",
                "credentials": {"secretRef": {"name": "bucket-credentials"}},
            },
        }
        self._status = CloudRecordingStatus()

    def spec(self, **fields: Any) -> Self:
        self._spec.update(fields)
        return self

    def unheld(self) -> Self:
        self._metadata["finalizers"] = []
        return self

    def edited(self, generation: int = 2, **fields: Any) -> Self:
        self._metadata["generation"] = generation
        return self.spec(**fields)

    def stopped(self) -> Self:
        return self.edited(desiredState="Stopped")

    def paused(self) -> Self:
        return self.edited(desiredState="Paused")

    def deleted(self, at: datetime = NOW) -> Self:
        self._metadata["deletionTimestamp"] = time(at)
        return self

    def discarded(self) -> Self:
        self._metadata["annotations"] = {"cloudrecording.dev/discard": "true"}
        return self

    def status(self, status: CloudRecordingStatus) -> Self:
        self._status = status
        return self

    def parts(self, *parts: Part, **fields: Any) -> Self:
        return self.status(CloudRecordingStatus(parts=parts, **fields))

    def build(self) -> CloudRecording:
        status = self._status.model_dump(mode="json", by_alias=True, exclude_none=True)
        return CloudRecording.model_validate({"metadata": self._metadata, "spec": self._spec, "status": status})


def a_recording() -> RecordingBuilder:
    return RecordingBuilder()


def a_part(number: int = 0, **fields: Any) -> Part:
    """A part whose pod was seen, unless `pod_uid=None` is said."""
    known = {
        "number": number,
        "pod": pod_name(number),
        "pod_uid": pod_uid(number),
        "file_prefix": names.file_prefix(number),
    }
    return Part(**{**known, **fields})


@dataclass
class PodBuilder:
    """A pod of part 0 that was just created, unless more is said."""

    number: int = 0
    metadata: Json = field(default_factory=dict)
    spec: Json = field(default_factory=dict)
    status: Json = field(default_factory=lambda: {"phase": "Pending"})
    conditions: list[Json] = field(default_factory=list)
    container: Json = field(default_factory=dict)
    sidecar: bool = False

    def annotated(self, **annotations: str) -> Self:
        self.metadata["annotations"] = {f"cloudrecording.dev/{key}": value for key, value in annotations.items()}
        return self

    def unschedulable(self, message: str) -> Self:
        self.conditions.append(
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
        )
        return self

    def unmounted(self) -> Self:
        self.conditions.append({"type": "PodReadyToStartContainers", "status": "False"})
        return self.waiting("ContainerCreating")

    def waiting(self, reason: str, message: str = "", *, restarts: int = 0) -> Self:
        self.spec["nodeName"] = "node-1"
        self.container.update({"state": {"waiting": {"reason": reason, "message": message}}, "restartCount": restarts})
        return self

    def running(self, *, ready: bool = True) -> Self:
        self.spec["nodeName"] = "node-1"
        self.status["phase"] = "Running"
        self.container.update({"state": {"running": {"startedAt": time(NOW)}}, "ready": ready})
        value = "True" if ready else "False"
        self.conditions += [{"type": "Ready", "status": value}, {"type": "ContainersReady", "status": value}]
        return self

    def on_a_silent_node(self, since: datetime) -> Self:
        self.running()
        self.conditions[:] = [
            {"type": "Ready", "status": "False", "lastTransitionTime": time(since)},
            {"type": "ContainersReady", "status": "True"},
        ]
        return self

    def gated(self) -> Self:
        """Somebody put a readiness gate on it that is not met."""
        self.spec["readinessGates"] = [{"conditionType": "example.com/healthy"}]
        for condition in self.conditions:
            if condition["type"] == "Ready":
                condition |= {"status": "False", "reason": "ReadinessGatesNotReady", "lastTransitionTime": time(NOW)}
        return self

    def beside_a_sidecar(self) -> Self:
        """Somebody put a container into it that runs on."""
        self.status["phase"] = "Running"
        self.sidecar = True
        return self

    def not_wound_up(self) -> Self:
        """Its kubelet has seen the recorder's end, and not yet told the pod's."""
        self.status["phase"] = "Running"
        return self

    def restarted(self, times: int, *, reason: str = "Error", exit_code: int = 1) -> Self:
        self.container["restartCount"] = times
        self.container["lastState"] = {"terminated": {"exitCode": exit_code, "reason": reason, "finishedAt": time(NOW)}}
        return self

    def ended(self, message: str = "", *, reason: str = "Completed", exit_code: int = 0) -> Self:
        self.spec["nodeName"] = "node-1"
        self.status["phase"] = "Succeeded" if exit_code == 0 else "Failed"
        self.container["state"] = {
            "terminated": {
                "exitCode": exit_code,
                "reason": reason,
                "message": message,
                "startedAt": time(NOW),
                "finishedAt": time(after(60)),
            }
        }
        return self

    def evicted(self, message: str) -> Self:
        self.spec["nodeName"] = "node-1"
        self.status.update({"phase": "Failed", "reason": "Evicted", "message": message})
        return self

    def deleted(self, at: datetime = NOW) -> Self:
        self.metadata["deletionTimestamp"] = time(at)
        return self

    def forced(self) -> Self:
        self.metadata["deletionGracePeriodSeconds"] = 0
        return self

    def disrupted(self, message: str) -> Self:
        self.conditions.append(
            {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": message}
        )
        return self

    def released(self) -> Self:
        self.metadata["finalizers"] = []
        return self

    def body(self) -> Json:
        metadata = {
            "name": pod_name(self.number),
            "namespace": "meetings",
            "uid": pod_uid(self.number),
            "creationTimestamp": time(NOW),
            "finalizers": ["cloudrecording.dev/summary"],
            "labels": names.pod_labels(recording="stand-up", uid=UID, part=self.number),
            **self.metadata,
        }
        metadata["annotations"] = {"cloudrecording.dev/recording-name": "stand-up", **metadata.get("annotations", {})}
        statuses = [{"name": "recorder", **self.container}] if self.container else []
        if self.sidecar:
            statuses.insert(0, {"name": "proxy", "state": {"running": {"startedAt": time(NOW)}}})
        status = {**self.status, "conditions": self.conditions, "containerStatuses": statuses}
        return {"metadata": metadata, "spec": self.spec, "status": status}

    def build(self) -> PodView:
        return PodView.of(self.body())


def a_pod(number: int = 0) -> PodBuilder:
    return PodBuilder(number)


def pods(*builders: PodBuilder) -> dict[str, PodView]:
    return {view.name: view for view in (builder.build() for builder in builders)}


def a_callback(kind: str, sequence: int = 1, *, at: datetime = NOW, **fields: Any) -> Callback:
    return CALLBACK.validate_python({"type": kind, "sequence": sequence, "time": at.isoformat(), **fields})


def a_snapshot(**fields: Any) -> Json:
    return {"state": "Recording", "recordingId": names.recording_id(UID), **fields}


def a_summary(outcome: str, part: int = 0, **fields: Any) -> Summary:
    return Summary.model_validate({"recordingId": names.recording_id(UID), "part": part, "outcome": outcome, **fields})
