# SPDX-License-Identifier: Apache-2.0
"""A LiveKit room as the channel: where its server is, and who the recorder is there."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from pydantic import ConfigDict, Field

from cloud_recording.api.base import SpecModel
from cloud_recording.api.rules import Rule, kubernetes, matches, matches_not
from cloud_recording.api.secret_refs import SecretKey, SecretKeyRef, SecretName
from cloud_recording.api.url_rules import NO_LINK_LOCAL, no_secrets, of_field

ROOM_SCHEMES: Final = ("ws", "wss", "http", "https")
"""What a LiveKit server is reached by; `ws` and `http` mean the same to its clients, and so do `wss` and `https`."""

_SCHEME_LIST: Final = ", ".join(f"'{scheme}'" for scheme in ROOM_SCHEMES)

_URL_RULES: Final = of_field(
    "url",
    matches(f"^({'|'.join(ROOM_SCHEMES)})://", f"must be a URL whose scheme is one of {_SCHEME_LIST}"),
    *no_secrets("name the Secret with the API key in `apiKeySecretRef`, or that with the token in `tokenSecretRef`"),
    NO_LINK_LOCAL,
    matches_not(r"[\s\x00-\x1f\x7f]", "must not contain white space or control characters"),
)

_LONGEST_NAME: Final = 256
"""What LiveKit's server takes for a room's name, and for an identity, in bytes."""


RoomName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=_LONGEST_NAME,
        json_schema_extra=kubernetes(
            Rule(
                f"bytes(self).size() <= {_LONGEST_NAME}",
                f"must be at most {_LONGEST_NAME} bytes long in UTF-8",
                lambda name: len(name.encode()) <= _LONGEST_NAME,
            ),
            matches_not(r"[\x00-\x1f\x7f]", "must not contain control characters"),
        ),
    ),
]

Identity = RoomName
"""What people are told apart by in a room; the same is asked of it."""


class ApiKeySecretRef(SpecModel):
    """A Secret with an API key of a LiveKit server and the secret of that key."""

    name: SecretName = Field(description="Name of the Secret, in the namespace of the recording.")
    api_key_key: SecretKey = Field(default="apiKey", description="Key in the Secret that holds the API key.")
    api_secret_key: SecretKey = Field(default="apiSecret", description="Key in the Secret that holds the API secret.")


_MOST_IDENTITIES: Final = 100

_Identities = Annotated[tuple[Identity, ...], Field(min_length=1, max_length=_MOST_IDENTITIES)]


class RoomMedia(StrEnum):
    CAMERA = "Camera"
    MICROPHONE = "Microphone"
    SCREEN_SHARE = "ScreenShare"
    SCREEN_SHARE_AUDIO = "ScreenShareAudio"


HEARD: Final = frozenset({RoomMedia.MICROPHONE, RoomMedia.SCREEN_SHARE_AUDIO})
"""What is sound; the others are pictures."""


class RoomParticipants(SpecModel):
    """Whose media is recorded, by the identities that they join with."""

    include: _Identities | None = Field(
        default=None, description="Identities of those who are recorded; everybody if left out."
    )
    exclude: _Identities | None = Field(
        default=None, description="Identities of those who are not recorded, also where `include` names them."
    )


class DecryptionMode(StrEnum):
    SHARED_KEY = "SharedKey"


class Decryption(SpecModel):
    """How the media of a room is encrypted end to end."""

    mode: DecryptionMode = Field(
        description="SharedKey: everybody in the room encrypts with the same passphrase, as LiveKit's clients do it."
    )
    secret_ref: SecretKeyRef = Field(
        description="Secret key that holds the passphrase. A line's end behind it is no part of it. The recorder reads "
        "it when it joins, and again while somebody's media is not decrypted."
    )


class LiveKit(SpecModel):
    """A room of a LiveKit server, which the recorder joins as somebody who only listens."""

    model_config = ConfigDict(json_schema_extra=kubernetes(*_URL_RULES))

    url: Annotated[str, Field(min_length=1, max_length=2048)] = Field(
        description="Of the server, for example wss://livekit.example.com. Its media comes to the recorder's pod over "
        "UDP, or over TCP where the server offers that."
    )
    api_key_secret_ref: ApiKeySecretRef | None = Field(
        default=None,
        description="Secret with an API key and its secret, which tokens are made with, a new one for each join: "
        "exactly one of this and `channel.tokenSecretRef`.",
    )
    room: RoomName | None = Field(
        default=None, description="Name of the room, where that is not `channel.name`: up to 256 bytes."
    )
    identity: Identity | None = Field(
        default=None,
        description="Identity of the recorder in the room; `recorder-<recording ID>` if left out. Whoever joins with "
        "the same identity puts the recorder out, which then does not come back.",
    )
    hidden: bool = Field(
        default=True,
        description="Whether nobody in the room sees the recorder. Say to those in it that they are recorded. A token "
        "of `channel.tokenSecretRef` says so itself.",
    )
    participants: RoomParticipants | None = Field(
        default=None,
        description="Who of the room is recorded; everybody if left out. What the others publish is not sent to the "
        "recorder.",
    )
    sources: (
        Annotated[
            tuple[RoomMedia, ...],
            Field(
                min_length=1,
                max_length=len(RoomMedia),
                json_schema_extra=kubernetes(
                    Rule(
                        "self.all(source, self.exists_one(other, other == source))",
                        "must not have the same twice",
                        lambda sources: len(set(sources)) == len(sources),
                    ),
                ),
            ),
        ]
        | None
    ) = Field(
        default=None,
        description="Which of what they publish is recorded; all of it if left out. A track without a source counts as "
        "Camera or Microphone.",
    )
