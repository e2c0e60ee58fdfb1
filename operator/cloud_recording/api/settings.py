# SPDX-License-Identifier: Apache-2.0
"""What the administrator decides for the operator: one file, written by the chart. Unknown fields are errors."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from cloud_recording.api.base import SpecModel
from cloud_recording.api.channel import URL_SCHEMES
from cloud_recording.api.host_patterns import ANY_HOST, HostPattern
from cloud_recording.api.livekit import ROOM_SCHEMES
from cloud_recording.api.pod_options import Resources
from cloud_recording.api.recording import DEFAULT_ENGINE

Name = Annotated[str, Field(min_length=1, max_length=253)]
Port = Annotated[int, Field(ge=1, le=65535)]


class PullPolicy(StrEnum):
    ALWAYS = "Always"
    IF_NOT_PRESENT = "IfNotPresent"
    NEVER = "Never"


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    JSON = "json"
    TEXT = "text"


class RunnerSettings(SpecModel):
    """What every recorder pod is made with."""

    image: Annotated[str, Field(min_length=1, max_length=1024)]
    image_pull_policy: PullPolicy = PullPolicy.IF_NOT_PRESENT
    image_pull_secrets: tuple[Name, ...] = ()
    resources: Resources = Resources()
    pod_labels: dict[str, str] = Field(default_factory=dict)
    pod_annotations: dict[str, str] = Field(default_factory=dict)
    node_lost_seconds: Annotated[int, Field(ge=30, le=86_400)] = 60
    node_disk_free_percent: Annotated[int, Field(ge=0, le=90)] | None = None


class CallbackSettings(SpecModel):
    """Where runners reach the operator, and the Secret of its own namespace that keeps the callback CA."""

    url: Annotated[str, Field(pattern="^https://[^/]+$")]
    port: Port = 8443
    ca_secret_name: Name


class HttpSettings(SpecModel):
    """Probes and metrics."""

    port: Port = 8080


class LoggingSettings(SpecModel):
    level: LogLevel = LogLevel.INFO
    format: LogFormat = LogFormat.JSON


class LeaderElectionSettings(SpecModel):
    """The Lease that one replica holds before it acts; the others wait, ready to answer callbacks."""

    lease_name: Name
    lease_seconds: Annotated[int, Field(ge=5, le=300)] = 25
    renew_seconds: Annotated[int, Field(ge=2, le=299)] = 20
    retry_seconds: Annotated[int, Field(ge=1, le=60)] = 2


class AllowedSettings(SpecModel):
    """What a user may ask for in a recording.

    An entry of `secrets`, `claims`, `labels` or `annotations` is a name or key; `*` ends a prefix.
    """

    protocols: tuple[str, ...] = tuple(dict.fromkeys((*URL_SCHEMES, *ROOM_SCHEMES)))
    link_local: bool = False
    stream_hosts: tuple[HostPattern, ...] = (ANY_HOST,)
    endpoints: tuple[HostPattern, ...] = (ANY_HOST,)
    secrets: tuple[str, ...] = ("*",)
    claims: tuple[str, ...] = ("*",)
    service_accounts: tuple[Name, ...] = ()
    instance_identity: bool = False
    priority_classes: tuple[Name, ...] = ()
    labels: tuple[str, ...] = ("*",)
    annotations: tuple[str, ...] = ()
    node_selectors: bool = True
    tolerations: bool = True
    affinity: bool = True


class OperatorSettings(SpecModel):
    """The operator's configuration file."""

    runner: RunnerSettings
    callbacks: CallbackSettings
    http: HttpSettings = HttpSettings()
    watch_namespaces: tuple[Name, ...] = ()
    logging: LoggingSettings = LoggingSettings()
    leader_election: LeaderElectionSettings
    shards: Annotated[int, Field(ge=1, le=64)] = 1
    """Into how many parts recordings are divided, each of which one replica decides about."""
    concurrency: Annotated[int, Field(ge=1, le=1000)] = 32
    engines: Annotated[dict[str, str], Field(min_length=1)] = Field(
        default_factory=lambda: {DEFAULT_ENGINE: "libagora-cloud-recording-client.so"}
    )
    allowed: AllowedSettings = AllowedSettings()
