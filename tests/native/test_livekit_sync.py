# SPDX-License-Identifier: Apache-2.0
"""Whether lips move when somebody is heard: a flash and a beep that were sent at one moment, through a real server."""

import contextlib
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bench.native.measure import WORK
from tests.bench.rooms import skew
from tests.bench.rooms.cases import CASES, crowd
from tests.support.bad_network import bad_network
from tests.support.livekit import LiveKitServer, livekit_server
from tests.support.room_recordings import of_room, recorded
from tests.support.s3 import Bucket

pytestmark = pytest.mark.usefixtures("livekit_client")

GOOD, BAD = "a good network", "5 % loss and 80 ms of jitter"

ALONE = CASES[0]
SLICES = 8
"""Of four seconds; there is a flash every two."""

SETTLING = 5
"""Flashes before the buffers against the network's jitter have found their length."""

APART_MS = 60
WORST_MS = 150
"""Of one flash, of which up to 33 are the way to the recording's nearest picture."""

STALLED = 2
"""Flashes that may be further off: when packets, or a busy machine, come late by more than ever before, the client
library holds sound back for longer at once, and says so within a second."""


@contextlib.contextmanager
def way_to(server: LiveKitServer, network: str) -> Iterator[str]:
    """The URL by which the recorder reaches the server."""
    if network == GOOD:
        yield server.url
        return
    with bad_network(server, loss=0.05, jitter=0.08) as way:
        yield way.url
    assert way.lost > way.sent / 40 > 10


@pytest.mark.parametrize("network", [GOOD, BAD])
def test_a_flash_is_seen_when_its_beep_is_heard(
    network: str,
    bucket: Bucket,
    configuration: Callable[..., Any],
    record: Callable[..., Any],
    tmp_path: Path,
) -> None:
    """Promise: picture and sound of a participant are at most 60 ms apart."""
    WORK.mkdir(parents=True, exist_ok=True)
    with livekit_server(tmp_path / "livekit", ice_lite=network == BAD) as server, way_to(server, network) as url:
        document = of_room(configuration(), server)
        document["channels"][0]["livekit"]["url"] = url
        with crowd(server, ALONE) as people, record(document, **ALONE.options()) as recorder:
            recorder.await_line("started")
            bucket.await_keys(".ts", SLICES)
            recorder.stop()
            assert recorder.wait() == 0
            assert people.end()["failed"] == []
    file, _ = recorded(bucket, tmp_path / "bucket")
    apart = skew.milliseconds(file)[SETTLING:]
    assert len(apart) >= SLICES, apart
    assert abs(statistics.median(apart)) <= APART_MS, apart
    assert sorted(map(abs, apart))[-1 - STALLED] <= WORST_MS, apart
