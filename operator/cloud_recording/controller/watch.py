# SPDX-License-Identifier: Apache-2.0
"""The watch: every event of a recording, of its pods or of a RecordingStorage becomes a key in the work-queue.

Kopf tells of RecordingStorages. Recordings and pods, of which there are thousands and five events for each that is
created, are followed without it: all that they ask of it is the event, and of an event it makes a task, causes, loggers
and a handler's arguments, at five times the cost of parsing the object.

Handlers decide nothing and return nothing. Kopf neither retries nor reports what an event handler raises, and for
each object that has a stateful handler it writes annotations; neither is any use to a level-triggered queue.
"""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, cast

import kopf
from kopf._core.engines.peering import Identity  # the one type of its signature that Kopf does not export

from cloud_recording.api.base import GROUP, VERSION
from cloud_recording.api.recording import PLURAL
from cloud_recording.api.recording_storage import STORAGE_PLURAL
from cloud_recording.common.json_types import Json
from cloud_recording.controller.known_recordings import compact
from cloud_recording.controller.recording_key import RecordingKey
from cloud_recording.controller.storage_key import StorageKey
from cloud_recording.domain import names
from cloud_recording.domain.pod_view import PodView, recording_of, storage_of
from cloud_recording.kube.client import Configuration, KubeClient
from cloud_recording.kube.following import WATCH_SECONDS, Collection, Follower
from cloud_recording.kube.pods import pods_path
from cloud_recording.kube.recordings import recordings_path

USER_AGENT: Final = "cloud-recording-watch"

CREDENTIALS_LAST: Final = timedelta(minutes=10)
"""How long Kopf uses one reading of the service account's token; the kubelet replaces the file in time for it."""

IDLE_SECONDS: Final = 0.05
"""How long Kopf keeps a task for an object of which nothing is seen."""


@dataclass(frozen=True, kw_only=True)
class SeenRecording:
    """What the watch told of a recording."""

    key: RecordingKey
    version: str
    text: bytes | None
    """The recording as `known_recordings.compact` has it; None means that it is gone, or has another label now."""
    bucket: str | None = None
    """Its label."""


@dataclass(frozen=True, kw_only=True)
class SeenPod:
    """What the watch told of a pod of a recording."""

    recording: RecordingKey
    pod: PodView
    gone: bool


@dataclass(frozen=True, kw_only=True)
class SeenStorage:
    """What the watch told of a RecordingStorage."""

    key: StorageKey
    body: dict[str, Any] | None
    """None means that it is gone."""


@dataclass(frozen=True, kw_only=True)
class SeenProbe:
    """A pod that tries this RecordingStorage has changed."""

    storage: StorageKey


StorageSeen = Callable[[SeenStorage], None]
ProbeSeen = Callable[[SeenProbe], None]
RecordingSeen = Callable[[SeenRecording], None]
PodSeen = Callable[[SeenPod], None]


async def watch(  # noqa: PLR0913 - each kind has who hears of it
    *,
    configuration: Configuration,
    namespaces: Sequence[str],
    selector: str = "",
    recording_seen: RecordingSeen,
    pod_seen: PodSeen,
    storage_seen: StorageSeen,
    probe_seen: ProbeSeen,
    stop: asyncio.Event | threading.Event | None = None,
    ready: asyncio.Event | threading.Event | None = None,
) -> None:
    """Watches until told to stop; it ends by itself only when it cannot go on, and then so must the process.

    Of recordings and their pods it sees those whose labels the selector is about; all where that is empty.
    """
    pod_selector = f"{names.POD_SELECTOR},{selector}" if selector else names.POD_SELECTOR
    async with KubeClient(configuration, user_agent=USER_AGENT) as client, asyncio.TaskGroup() as group:
        followers = [
            group.create_task(Follower(client, collection, told).run())
            for namespace in namespaces or (None,)
            for collection, told in (
                (
                    Collection(url=recordings_path(namespace), selector=selector),
                    partial(_tell_recording, recording_seen),
                ),
                (
                    Collection(url=pods_path(namespace), selector=pod_selector),
                    partial(_tell_pod, pod_seen, probe_seen),
                ),
            )
        ]
        await kopf.operator(
            registry=_registry(storage_seen),
            settings=_settings(namespaced=bool(namespaces)),
            # By default Kopf asks who runs it, and ends where that is a number without a name.
            identity=Identity(PLURAL),
            standalone=True,
            clusterwide=not namespaces,
            namespaces=namespaces,
            stop_flag=stop,
            ready_flag=ready,
        )
        for follower in followers:
            follower.cancel()


def _settings(*, namespaced: bool) -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.watching.server_timeout = WATCH_SECONDS
    settings.networking.request_timeout = 30
    # Seeing namespaces and definitions come and go needs cluster-wide rights, which a namespaced operator has not.
    settings.scanning.disabled = namespaced
    settings.posting.enabled = False
    settings.persistence.diffbase_storage = _NoDiffBase()
    settings.queueing.idle_timeout = IDLE_SECONDS
    return settings


class _NoDiffBase(kopf.DiffBaseStorage):
    """Keeps nothing of what objects were: our handlers ask for no differences, for which bodies would be copied."""

    def build(self, **_: object) -> kopf.BodyEssence:
        return cast("kopf.BodyEssence", {})

    def fetch(self, **_: object) -> kopf.BodyEssence | None:
        return None

    def store(self, **_: object) -> None:
        pass


def _registry(storage_seen: StorageSeen) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    def login(**arguments: Any) -> kopf.ConnectionInfo | None:  # noqa: ANN401 - as Kopf calls it
        # Not by way of an installed client: Kopf's use of those breaks with their releases.
        found = kopf.login_with_service_account(**arguments) or kopf.login_with_kubeconfig(**arguments)
        return found and dataclasses.replace(found, expiration=datetime.now(UTC) + CREDENTIALS_LAST)

    @kopf.on.event(GROUP, VERSION, STORAGE_PLURAL, registry=registry)
    async def storage_event(event: kopf.RawEvent, **_: object) -> None:
        body: dict[str, Any] = dict(event["object"])
        gone = event["type"] == "DELETED"
        storage_seen(SeenStorage(key=StorageKey.of_body(body), body=None if gone else body))

    return registry


def _tell_recording(seen: RecordingSeen, body: Json, *, gone: bool) -> None:
    version = str(body["metadata"].get("resourceVersion", ""))
    bucket = (body["metadata"].get("labels") or {}).get(names.LABEL_BUCKET)
    text = None if gone else compact(body)
    seen(SeenRecording(key=RecordingKey.of_body(body), version=version, text=text, bucket=bucket))


def _tell_pod(pod_seen: PodSeen, probe_seen: ProbeSeen, body: Json, *, gone: bool) -> None:
    name, storage = recording_of(body), storage_of(body)
    if storage is not None:
        probe_seen(SeenProbe(storage=StorageKey(body["metadata"]["namespace"], storage)))
    elif name is not None:
        key = RecordingKey(body["metadata"]["namespace"], name)
        pod_seen(SeenPod(recording=key, pod=PodView.of(body), gone=gone))
