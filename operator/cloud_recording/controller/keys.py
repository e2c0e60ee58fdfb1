# SPDX-License-Identifier: Apache-2.0
"""What the work-queue is made of: the names of recordings, and what the watch has told of their pods."""

from __future__ import annotations

from typing import NamedTuple


class RecordingKey(NamedTuple):
    """A recording by its names; whether it still exists is known only after a look."""

    namespace: str
    name: str


class HeldPods:
    """Pods that our finalizer holds, by recording, as the watch tells them.

    Only a hint of where to look: a pass reads each pod live before it does anything about it. It is how the pods of a
    recording are found that is finished, or gone.
    """

    def __init__(self) -> None:
        self._names: dict[RecordingKey, set[str]] = {}

    def note(self, key: RecordingKey, pod: str, *, held: bool) -> None:
        """Takes in what was seen of a pod; one that is gone is not held."""
        known = self._names.setdefault(key, set())
        if held:
            known.add(pod)
        else:
            known.discard(pod)
        if not known:
            del self._names[key]

    def of(self, key: RecordingKey) -> frozenset[str]:
        """The pods that were last seen to be held."""
        return frozenset(self._names.get(key, ()))
