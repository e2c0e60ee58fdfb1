# SPDX-License-Identifier: Apache-2.0
"""The live channels that the demo can record: a room of a LiveKit server, and streams of an RTMP server.

Each has alice and bob in it from the start, carol a while later, and a manifest of
`docs/examples/demo` that records it.
"""

import base64
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.client import Kubectl
from tests.cluster.layout import REPOSITORY
from tests.support.livekit import token
from tests.testbed import pods

NAMESPACE = "demo"
EXAMPLES = REPOSITORY / "docs" / "examples" / "demo"
ROOM = "stand-up"
A_MONTH_SECONDS = 30 * 24 * 3600
"""Whoever is in the room comes back with the same token when their pod starts anew."""

ALICE: dict[str, Any] = {"name": "alice", "colour": "red", "tone_hz": 440}
BOB: dict[str, Any] = {"name": "bob", "colour": "green", "tone_hz": 660}
CAROL: dict[str, Any] = {"name": "carol", "colour": "blue", "tone_hz": 880}


@dataclass(frozen=True)
class Timeline:
    """What happens when, in whole seconds, each counted from what is before it."""

    carol_comes: int = 5
    carol_shares: int = 8
    carol_ends_sharing: int = 14
    carol_leaves: int = 8
    recorded: int = 45
    """How long the recording is, from its beginning."""

    @property
    def carol_stays(self) -> int:
        return self.carol_shares + self.carol_ends_sharing + self.carol_leaves


@dataclass(frozen=True)
class LiveChannel:
    """A channel whose servers are in the namespace already."""

    example: Path
    """The manifest that records it."""
    servers: tuple[str, ...]
    """The deployments that carry it."""
    there: Sequence[pods.Manifest]
    """Who is there from the start."""
    late: pods.Manifest
    """Who comes while it is recorded, and leaves by herself."""
    told: str
    """What it is and who is in it."""


def room(kubectl: Kubectl, timeline: Timeline) -> LiveChannel:
    """Starts the LiveKit server, whose key is a Secret beside the recording."""
    new = {"apiKey": "demo", "apiSecret": secrets.token_urlsafe(30)}
    access = kept_or_new(kubectl, "livekit-credentials", new)
    key, secret = access["apiKey"], access["apiSecret"]
    credentials = pods.livekit_credentials(api_key=key, api_secret=secret)
    kubectl.apply(credentials, *pods.livekit_server(), namespace=NAMESPACE)

    def somebody(*, name: str, commands: Sequence[tuple[int, str]] = (), **looks: Any) -> pods.Manifest:
        admission = token(ROOM, name, key=key, secret=secret, seconds=A_MONTH_SECONDS)
        return pods.room_participant(name=name, token=admission, commands=commands, **looks)

    shares = [
        (timeline.carol_shares, "screen orange"),
        (timeline.carol_ends_sharing, "unshare"),
        (timeline.carol_leaves, "leave"),
    ]
    return LiveChannel(
        example=EXAMPLES / "room.yaml",
        servers=("livekit",),
        there=[somebody(**ALICE), somebody(**BOB)],
        late=somebody(**CAROL, commands=shares),
        told=f"The room {ROOM!r} of a LiveKit server, and in it by WebRTC, each with a moving block and a tone:\n"
        "alice (red) and bob (green); carol (blue) comes late, shares her screen (orange) for a while, and leaves.",
    )


def streams(kubectl: Kubectl, timeline: Timeline) -> LiveChannel:
    """Starts the RTMP server."""
    kubectl.apply(*pods.rtmp_server(), namespace=NAMESPACE)
    return LiveChannel(
        example=EXAMPLES / "streams.yaml",
        servers=("rtmp",),
        there=[pods.participant(**ALICE), pods.participant(**BOB)],
        late=pods.participant(**CAROL, leave_after_seconds=timeline.carol_stays),
        told="Three streams of an RTMP server, each with a moving block and a tone:\n"
        "alice (red) and bob (green); carol (blue) comes late, and leaves.",
    )


CHANNELS: dict[str, Callable[[Kubectl, Timeline], LiveChannel]] = {"room": room, "streams": streams}


def kept_or_new(kubectl: Kubectl, name: str, new: dict[str, str]) -> dict[str, str]:
    """What the Secret of the last demo holds, as its servers are still there, or else the new values."""
    for secret in kubectl.list("secret", namespace=NAMESPACE):
        if secret["metadata"]["name"] == name:
            return {key: base64.b64decode(secret["data"][key]).decode() for key in new}
    return new
