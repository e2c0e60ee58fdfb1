# SPDX-License-Identifier: Apache-2.0
"""Which pods and PodTemplates our finalizer holds, by recording, as far as they were seen."""

from __future__ import annotations

from collections.abc import Callable

from cloud_recording.controller.recording_key import RecordingKey


class FinalizerIndex:
    """Objects that our finalizer holds, by recording, as far as they were seen.

    Only a hint of where to look: a pass reads each one live before it does anything about it. It is how the pods and
    the PodTemplate of a recording are found that is finished, or gone.
    """

    def __init__(self) -> None:
        self._names: dict[RecordingKey, set[str]] = {}

    def note(self, key: RecordingKey, name: str, *, has_finalizer: bool) -> None:
        """Takes in what was seen of an object; one that is gone is not held."""
        known = self._names.setdefault(key, set())
        if has_finalizer:
            known.add(name)
        else:
            known.discard(name)
        if not known:
            del self._names[key]

    def forget(self, unwanted: Callable[[RecordingKey], bool]) -> None:
        """Drops what was seen of these recordings' objects."""
        for key in [key for key in self._names if unwanted(key)]:
            del self._names[key]

    def of(self, key: RecordingKey) -> frozenset[str]:
        """The objects that were last seen to be held."""
        return frozenset(self._names.get(key, ()))
