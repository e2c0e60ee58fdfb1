# SPDX-License-Identifier: Apache-2.0
"""What `make demo` does on its cluster, in less time: a room is recorded, fetched and checked."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.target import Target
from tests.demo.__main__ import demonstrate
from tests.demo.channels import ALICE, BOB, CAROL, NAMESPACE, Timeline
from tests.support import media
from tests.support.media import Region

SHORT = Timeline(carol_comes=0, carol_shares=1, carol_ends_sharing=20, recorded=12)
QUARTERS = tuple(Region(left + 0.05, top + 0.05, 0.4, 0.1) for top in (0, 0.5) for left in (0, 0.5))


@pytest.fixture
def stage(installed: Target) -> Iterator[Target]:
    """The cluster, in which nothing of the demo is left afterwards."""
    yield installed
    installed.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false")


def test_the_demo_records_a_room_with_a_late_guest_and_her_screen(stage: Target, tmp_path: Path) -> None:
    """Promise: it ends with a film that plays, in which all are seen and heard who are said to be; and no warning."""
    recording, fetched = demonstrate(stage, "room", SHORT, tmp_path / "demo")
    identities = {one["identity"] for one in recording["status"]["participants"]}
    assert identities == {"alice", "bob", "carol", "carol/screen"}
    names = {recording["metadata"]["name"], *(part["pod"] for part in recording["status"]["parts"])}
    events = stage.kubectl.list("events.events.k8s.io", namespace=NAMESPACE)
    ours = [event for event in events if event.get("regarding", {}).get("name") in names]
    assert ours
    assert [event["note"] for event in ours if event["type"] == "Warning"] == []
    pictures = media.pictures(fetched.mp4, per_second=2)
    seen = {media.colour(picture, quarter) for picture in pictures for quarter in QUARTERS}
    assert {"red", "green", "blue", "orange"} <= seen
    heard = media.sound(fetched.mp4)
    assert all(media.hears(heard, somebody["tone_hz"]) for somebody in (ALICE, BOB, CAROL))
