# SPDX-License-Identifier: Apache-2.0
"""The watch in a thread and event loop of its own.

At the start it parses every object that there is, for seconds at ten thousand of them; the loop that answers recorders
must not stand still for it. And Kopf, when it ends, cancels every task of its loop that it does not know.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeVar

from cloud_recording.controller.watch import PodSeen, ProbeSeen, RecordingSeen, StorageSeen, watch
from cloud_recording.kube.client import Configuration

logger = logging.getLogger(__name__)

JOIN_SECONDS: Final = 15.0

Seen = TypeVar("Seen")


class WatchThread:
    """Runs the watch beside the loop it was made in; everything seen is told in that loop."""

    def __init__(  # noqa: PLR0913 - what a watch needs, and who hears of its end
        self,
        *,
        configuration: Configuration,
        namespaces: Sequence[str],
        selector: str,
        recording_seen: RecordingSeen,
        pod_seen: PodSeen,
        storage_seen: StorageSeen,
        probe_seen: ProbeSeen,
        ended: Callable[[], None],
    ) -> None:
        loop = asyncio.get_running_loop()

        self._stop = threading.Event()
        self._ended = partial(loop.call_soon_threadsafe, ended)
        self._watch = partial(
            watch,
            configuration=configuration,
            namespaces=namespaces,
            selector=selector,
            recording_seen=lambda seen: _tell(loop, recording_seen, seen),
            pod_seen=lambda seen: _tell(loop, pod_seen, seen),
            storage_seen=lambda seen: _tell(loop, storage_seen, seen),
            probe_seen=lambda seen: _tell(loop, probe_seen, seen),
            stop=self._stop,
        )
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)

    def start(self) -> None:
        """Begins to watch."""
        self._thread.start()

    async def stop(self) -> None:
        """Ends the watch and waits for its end."""
        self._stop.set()
        await asyncio.to_thread(self._thread.join, JOIN_SECONDS)

    def _run(self) -> None:
        try:
            asyncio.run(self._watch())
        except Exception:
            logger.exception("the watch failed")
        finally:
            if not self._stop.is_set():
                self._ended()


def _tell(loop: asyncio.AbstractEventLoop, told: Callable[[Seen], None], seen: Seen) -> None:
    loop.call_soon_threadsafe(told, seen)
