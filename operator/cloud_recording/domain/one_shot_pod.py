# SPDX-License-Identifier: Apache-2.0
"""Pods made as recordings' are that do one thing and end: what they run, what they need, what is not asked of them."""

from __future__ import annotations

from typing import Any, Final

from cloud_recording.api.pod_options import Resources
from cloud_recording.api.settings import OperatorSettings
from cloud_recording.common.json_types import Json

GRACE_SECONDS: Final = 5
ONE_SHOT_RESOURCES: Final = Resources(
    requests={"cpu": "50m", "memory": "128Mi"}, limits={"memory": "512Mi", "ephemeral-storage": "128Mi"}
)
_OF_RECORDERS: Final = ("ports", "startupProbe", "readinessProbe", "livenessProbe", "lifecycle")
"""What the kubelet and Prometheus ask a recorder, and what its end waits for; such a pod answers nobody."""


def one_shot_spec(spec: Json, *, command: str, deadline_seconds: int) -> Json:
    """The spec of a pod that runs this command once, within so long since the kubelet has seen it."""
    (container,) = spec["containers"]
    return {
        **spec,
        "restartPolicy": "Never",
        "activeDeadlineSeconds": deadline_seconds,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "containers": [{**_without(container, _OF_RECORDERS), "args": [command]}],
    }


def without_usual_resources(settings: OperatorSettings) -> OperatorSettings:
    """What such a pod takes is its own, and nothing of what administrators give recorders, such as a GPU."""
    return settings.model_copy(update={"runner": settings.runner.model_copy(update={"resources": Resources()})})


def _without(body: Json, keys: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in keys}
