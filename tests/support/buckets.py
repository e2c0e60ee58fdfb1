# SPDX-License-Identifier: Apache-2.0
"""What tests ask of a bucket, whatever it speaks."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from pathlib import Path


class AnyBucket(ABC):
    """A bucket that tests look into."""

    name: str

    @abstractmethod
    def objects(self) -> list[str]:
        """Returns the keys of the bucket's objects, in order."""

    @abstractmethod
    def read(self, key: str) -> bytes:
        """Returns the object's content."""

    @abstractmethod
    def content_type(self, key: str) -> str:
        """Returns the object's content type."""

    def await_key(self, suffix: str) -> str:
        """Returns the first key with this end, once there is one."""
        return self.await_keys(suffix, 1)[0]

    def await_playlist(self, *, seconds: float = 120) -> str:
        """Returns the key of the first playlist that lists something; an empty one says that the bucket answers."""
        deadline = time.monotonic() + seconds
        while True:
            for key in self.objects():
                if key.endswith(".m3u8") and b"#EXTINF" in self.read(key):
                    return key
            if time.monotonic() > deadline:
                raise TimeoutError(f"no playlist in {self.name} lists anything: {self.objects()}")
            time.sleep(0.2)

    def await_keys(self, suffix: str, count: int, *, seconds: float = 120) -> list[str]:
        """Returns the keys with this end, once there are so many."""
        deadline = time.monotonic() + seconds
        while len(keys := [key for key in self.objects() if key.endswith(suffix)]) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"fewer than {count} keys end with {suffix} in {self.name}: {self.objects()}")
            time.sleep(0.2)
        return keys

    def await_quiet(self, suffix: str, *, seconds: float = 120) -> list[str]:
        """Returns the keys with this end, once none has come for three seconds."""
        deadline = time.monotonic() + seconds
        keys, since = None, time.monotonic()
        while time.monotonic() - since < 3:
            if time.monotonic() > deadline:
                raise TimeoutError(f"keys that end with {suffix} do not cease to come in {self.name}")
            now = [key for key in self.objects() if key.endswith(suffix)]
            if now != keys:
                keys, since = now, time.monotonic()
            time.sleep(0.2)
        return keys or []

    def download(self, directory: Path) -> list[Path]:
        """Writes every object into the directory and returns the files, in the order of their keys."""
        files = []
        for key in self.objects():
            file = directory / key
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(self.read(key))
            files.append(file)
        return files
