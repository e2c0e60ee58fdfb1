# SPDX-License-Identifier: Apache-2.0
"""What a pod tells about its part: a raw pod is read once, here, and everything else speaks of the result."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

from cloud_recording.api.wire import SUMMARY_FINALIZER
from cloud_recording.common.json_types import Json
from cloud_recording.domain import names


@dataclass(frozen=True, kw_only=True)
class Termination:
    """How the recorder's container ended."""

    exit_code: int
    reason: str
    message: str
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """Why the recorder's container, or the pod, does not run."""

    reason: str
    message: str


@dataclass(frozen=True, kw_only=True)
class PodView:
    """A part's pod at the moment it was read."""

    name: str
    uid: str
    version: str
    recording: str | None
    """The name of the recording that the pod was made for; None when it is none of ours."""
    recording_uid: str | None
    """The recording that the pod was made for, by its label: a reference to an owner can be taken away."""
    phase: str
    reason: str
    message: str
    node: str | None
    created_at: datetime | None
    deleted_at: datetime | None
    """When its grace period ends or ended; None while nobody asked for its end."""
    forced: bool
    """Whether it was deleted without its kubelet's word that it is over, which may then never come."""
    has_finalizer: bool
    """Whether our finalizer keeps it."""
    ready: bool
    """Whether the recorder's container is ready, and its node is heard of.

    Conditions that others have put on the pod, and containers that they have put into it, say nothing of the recorder.
    """
    node_silent_since: datetime | None
    """Since when the node, and not the container, makes the pod unready."""
    unscheduled: Waiting | None
    can_start: bool
    """Whether volumes and network are there for its containers, unless its node says otherwise."""
    waiting: Waiting | None
    running_since: datetime | None
    terminated: Termination | None
    last_terminated: Termination | None
    restarts: int
    has_running_sidecars: bool
    """Whether it has containers of others that run, or will, or are started again."""
    disruption: Waiting | None
    annotations: dict[str, str]

    @property
    def over(self) -> bool:
        """Whether the recorder's container does not run and will not run again, whatever other containers do.

        A deleted pod on a node is over when its kubelet says so, however little has been heard of it; one that never
        had a node has no kubelet to say it.
        """
        if self.ended or (self.deleted_at is not None and self.node is None):
            return True
        # A container that failed is started again, except in a pod that was told to end.
        return self.terminated is not None and (self.terminated.exit_code == 0 or self.deleted_at is not None)

    @property
    def ended(self) -> bool:
        """Whether no container of the pod runs."""
        return self.phase in {"Succeeded", "Failed"}

    @property
    def outlives_recorder(self) -> bool:
        """Whether others' containers would run on in it for ever, once its recorder is over."""
        return self.has_running_sidecars and not self.ended

    @classmethod
    def of(cls, body: Json) -> PodView:
        """Reads a pod as the API server gives it; what it does not tell yet is None or empty."""
        metadata: Json = body["metadata"]
        status: Json = body.get("status") or {}
        conditions = {condition["type"]: condition for condition in status.get("conditions") or []}
        container = _recorder(status)
        state: Json = container.get("state") or {}
        spec: Json = body.get("spec") or {}
        node_silent_since = _node_silent_since(spec, conditions)
        return cls(
            name=metadata["name"],
            uid=metadata["uid"],
            version=str(metadata.get("resourceVersion", "")),
            recording=recording_of(body),
            recording_uid=recording_uid_of(body),
            phase=status.get("phase", "Pending"),
            reason=status.get("reason", ""),
            message=status.get("message", ""),
            node=spec.get("nodeName"),
            created_at=_time(metadata.get("creationTimestamp")),
            deleted_at=_time(metadata.get("deletionTimestamp")),
            forced=metadata.get("deletionGracePeriodSeconds") == 0,
            has_finalizer=SUMMARY_FINALIZER in (metadata.get("finalizers") or []),
            ready=bool(container.get("ready")) and node_silent_since is None,
            node_silent_since=node_silent_since,
            unscheduled=_unscheduled(conditions.get("PodScheduled")),
            can_start=not _is(conditions.get("PodReadyToStartContainers"), "False"),
            waiting=_waiting(state.get("waiting")),
            running_since=_time((state.get("running") or {}).get("startedAt")),
            terminated=_termination(state.get("terminated")),
            last_terminated=_termination((container.get("lastState") or {}).get("terminated")),
            restarts=container.get("restartCount", 0),
            has_running_sidecars=_has_running_sidecars(spec, status),
            disruption=_disruption(conditions.get("DisruptionTarget")),
            annotations=dict(metadata.get("annotations") or {}),
        )

    def annotation_json(self, annotation: str) -> Json | None:
        """The JSON object that an annotation of ours holds; None when there is none."""
        try:
            parsed = json.loads(self.annotations.get(annotation, ""))
        except ValueError:
            return None
        return parsed if isinstance(parsed, dict) else None


def recording_of(body: Json) -> str | None:
    """The name of the recording that a pod or PodTemplate was made for; None when it is none of ours."""
    metadata = body["metadata"]
    if names.LABEL_RECORDING_UID not in (metadata.get("labels") or {}):
        return None
    name: str | None = (metadata.get("annotations") or {}).get(names.RECORDING_NAME_ANNOTATION)
    return name


def storage_of(body: Json) -> str | None:
    """The name of the RecordingStorage that a pod tries; None when it does not."""
    metadata = body["metadata"]
    if names.LABEL_RECORDING_UID not in (metadata.get("labels") or {}):
        return None
    name: str | None = (metadata.get("annotations") or {}).get(names.STORAGE_NAME_ANNOTATION)
    return name


def recording_uid_of(body: Json) -> str | None:
    """The UID of the recording that a pod or PodTemplate was made for."""
    uid: str | None = (body["metadata"].get("labels") or {}).get(names.LABEL_RECORDING_UID)
    return uid


def _has_running_sidecars(spec: Json, status: Json) -> bool:
    # A native sidecar, which is an init container, is ended by the kubelet when the others have ended. What the kubelet
    # has yet to tell of will run by the spec.
    told: list[Json] = status.get("containerStatuses") or []
    others = {one["name"] for one in (*(spec.get("containers") or []), *told)} - {names.RECORDER_CONTAINER}
    return bool(others - {one["name"] for one in told if "terminated" in (one.get("state") or {})})


def _recorder(status: Json) -> Json:
    containers: list[Json] = status.get("containerStatuses") or []
    return next((one for one in containers if one.get("name") == names.RECORDER_CONTAINER), {})


def _node_silent_since(spec: Json, conditions: dict[str, Json]) -> datetime | None:
    # When a node stops reporting, the node controller makes its pods unready and leaves ContainersReady as the kubelet
    # last wrote it. Nothing but a readiness gate makes these two differ besides, so that no right to read nodes is
    # needed to tell a silent node from a recorder that stands still. Behind a gate that is not met a silent node shows
    # by the pod's deletion alone, which Kubernetes asks for after as long a time.
    ready = conditions.get("Ready")
    if not all(_is(conditions.get(gate["conditionType"]), "True") for gate in spec.get("readinessGates") or []):
        return None
    if _is(ready, "True") or not _is(conditions.get("ContainersReady"), "True") or ready is None:
        return None
    return _time(ready.get("lastTransitionTime"))


def _unscheduled(condition: Json | None) -> Waiting | None:
    return _waiting(condition) if _is(condition, "False") else None


def _disruption(condition: Json | None) -> Waiting | None:
    return _waiting(condition) if _is(condition, "True") else None


def _is(condition: Json | None, status: str) -> bool:
    return condition is not None and condition.get("status") == status


def _waiting(source: Json | None) -> Waiting | None:
    if not source:
        return None
    return Waiting(reason=source.get("reason", ""), message=source.get("message", ""))


def _termination(source: Json | None) -> Termination | None:
    if not source:
        return None
    return Termination(
        exit_code=source.get("exitCode", 0),
        reason=source.get("reason", ""),
        message=source.get("message", ""),
        started_at=_time(source.get("startedAt")),
        finished_at=_time(source.get("finishedAt")),
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
