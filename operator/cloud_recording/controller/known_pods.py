# SPDX-License-Identifier: Apache-2.0
"""The pods of recordings in the API server, and as they were last seen there.

That a pod is not there is never remembered: it is a fact only when the API server says so.
"""

from __future__ import annotations

from collections.abc import Callable

from cloud_recording.common.json_types import Json
from cloud_recording.controller.recently_seen import RecentlySeen
from cloud_recording.domain.pod_view import PodView
from cloud_recording.kube.client import KubeClient
from cloud_recording.kube.pods import Pods


class KnownPods(Pods):
    """Reads and writes pods, and remembers what came of it."""

    def __init__(self, client: KubeClient, *, clock: Callable[[], float]) -> None:
        super().__init__(client)
        self._known: RecentlySeen[tuple[str, str], PodView] = RecentlySeen(clock=clock)

    def seen(self, namespace: str, pod: PodView) -> None:
        """Takes in what the watch told."""
        self._known.seen((namespace, pod.name), pod.version, pod)

    def remembered(self, *, namespace: str, name: str) -> PodView | None:
        """The pod as it was last seen; None where it has to be read."""
        return self._known.of((namespace, name))

    def forget(self, *, namespace: str, name: str) -> None:
        """The pod is gone."""
        self._known.forget((namespace, name))

    def forget_all(self) -> None:
        """Others may have changed all of them since."""
        self._known.forget_all()

    async def view(self, *, namespace: str, name: str) -> PodView | None:
        """The pod as it is now, or None when the API server says that there is none."""
        body = await self.read(namespace=namespace, name=name)
        if body is None:
            self._known.forget((namespace, name))
            return None
        pod = PodView.of(body)
        self.seen(namespace, pod)
        return pod

    async def create(self, pod: Json) -> Json:
        """As of all pods; what the watch has yet to tell of an older one of this name counts no more."""
        made = await super().create(pod)
        view = PodView.of(made)
        self._known.wrote((made["metadata"]["namespace"], view.name), view.version, view)
        return made
