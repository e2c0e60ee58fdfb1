# SPDX-License-Identifier: Apache-2.0
"""Up to which version of each recording there is nothing to do, so that the watch's echo of our writes is no work."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from cloud_recording.controller.recording_key import RecordingKey


class SettledVersions:
    """The version that the last pass left, carried on over writes that ask for no other pass."""

    def __init__(self) -> None:
        self._versions: dict[RecordingKey, str] = {}
        self._writing: dict[RecordingKey, list[Callable[[], None]]] = {}

    def unless_settled(self, key: RecordingKey, version: str, act: Callable[[], None]) -> None:
        """Acts on a version that was seen, if a pass over it may find something to do.

        The watch may be quicker than the answer to a write: what is seen meanwhile waits for that answer.
        """
        if key in self._writing:
            self._writing[key].append(lambda: self.unless_settled(key, version, act))
        elif self._versions.get(key) != version:
            act()

    @contextlib.contextmanager
    def writing(self, key: RecordingKey) -> Iterator[None]:
        """Around a write, up to where it is known whether it settles the recording; not for one key twice at once."""
        self._writing[key] = []
        try:
            yield
        finally:
            for seen in self._writing.pop(key):
                seen()

    def settle(self, key: RecordingKey, version: str) -> None:
        """A pass left this version: another would find nothing to do."""
        self._versions[key] = version

    def carry(self, key: RecordingKey, *, read: str, written: str) -> None:
        """A write that asks for no pass made one version of another.

        Only of a settled one: an edit that nobody has looked at yet would be taken for looked at.
        """
        if self._versions.get(key) == read:
            self._versions[key] = written

    def forget(self, key: RecordingKey) -> None:
        """The recording is over or gone."""
        self._versions.pop(key, None)
