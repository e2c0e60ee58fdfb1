# SPDX-License-Identifier: Apache-2.0
"""Which channel is recorded and how the recorder gets into it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from pydantic import ConfigDict, Field

from cloud_recording.api.base import SpecModel, Uid
from cloud_recording.api.livekit import Decryption, LiveKit
from cloud_recording.api.rules import Rule, kubernetes, matches, matches_not
from cloud_recording.api.secret_refs import SecretKeyRef
from cloud_recording.api.url_rules import NO_LINK_LOCAL, no_secrets, of_field

MAX_STREAMS: Final = 17
"""The layouts of the interface place up to seventeen users."""

URL_SCHEMES: Final = ("rtmp", "rtmps", "rtsp", "rtsps", "srt", "http", "https", "udp", "rtp", "tcp")
"""What a stream may be fetched by inside a cluster. `file` is left out: it would read the pod's own files."""


class ChannelType(StrEnum):
    COMMUNICATION = "Communication"
    LIVE = "Live"


_SCHEME_LIST: Final = ", ".join(f"'{scheme}'" for scheme in URL_SCHEMES)

_URL_RULES: Final = of_field(
    "url",
    matches(
        f"^({'|'.join(URL_SCHEMES)})://", f"must be a URL whose scheme is one of {_SCHEME_LIST}", cluster_only=True
    ),
    *no_secrets("put the whole URL into a Secret and name it in `urlSecretRef`"),
    NO_LINK_LOCAL,
    # The name of a file of one's own, which only a recording without a cluster may take, may have blanks in it.
    matches_not(r"[\s\x00-\x1f\x7f]", "must not contain white space or control characters", cluster_only=True),
)

StreamUrl = Annotated[str, Field(min_length=1, max_length=2048)]


_SECRET_HEADERS: Final = ("authorization", "cookie", "proxy-authorization")
_RESERVED_HEADERS: Final = (
    *("accept-encoding", "connection", "content-length", "expect", "host", "range", "te", "transfer-encoding"),
    "upgrade",
)


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _has_scheme(url: str | None, *schemes: str) -> bool:
    """Whether the URL has one of these schemes; of one in a Secret nothing is known."""
    return url is None or url.partition("://")[0] in schemes


class Header(SpecModel):
    """A header of HTTP that the participant's server asks for."""

    model_config = ConfigDict(
        json_schema_extra=kubernetes(
            Rule(
                "has(self.value) != has(self.valueSecretRef)",
                "must have exactly one of `value` and `valueSecretRef`",
                lambda header: (header.value is None) != (header.value_secret_ref is None),
            ),
            Rule(
                f"!has(self.value) || !(self.name.lowerAscii() in [{_names(_SECRET_HEADERS)}])",
                "must have its value in a Secret that `valueSecretRef` names: that of this header is secret",
                lambda header: header.value is None or header.name.lower() not in _SECRET_HEADERS,
                cluster_only=True,
            ),
            Rule(
                f"!(self.name.lowerAscii() in [{_names(_RESERVED_HEADERS)}])",
                "must not be a header that the recorder sends by itself",
                lambda header: header.name.lower() not in _RESERVED_HEADERS,
                field=".name",
            ),
        )
    )

    name: Annotated[
        str,
        Field(
            min_length=1,
            max_length=64,
            json_schema_extra=kubernetes(matches("^[A-Za-z0-9._!~-]+$", "must be the name of an HTTP header")),
        ),
    ] = Field(description="Name of the header, for example `Referer`, `User-Agent` or `Authorization`.")
    value: (
        Annotated[
            str,
            Field(
                min_length=1,
                max_length=1024,
                json_schema_extra=kubernetes(matches("^[ -~]+$", "must be one line of printable ASCII characters")),
            ),
        ]
        | None
    ) = Field(default=None, description="Its value, unless it is a secret.")
    value_secret_ref: SecretKeyRef | None = Field(
        default=None, description="Secret key that holds the value, as one line; read when recording begins."
    )


class Stream(SpecModel):
    """One participant of a `streams` channel."""

    model_config = ConfigDict(
        json_schema_extra=kubernetes(
            Rule(
                "has(self.url) != has(self.urlSecretRef)",
                "must have exactly one of `url` and `urlSecretRef`",
                lambda stream: (stream.url is None) != (stream.url_secret_ref is None),
            ),
            *_URL_RULES,
            Rule(
                "!has(self.headers) || !has(self.url) || self.url.matches('^https?://')",
                "must be left out unless `url` begins with http:// or https://",
                lambda stream: not stream.headers or _has_scheme(stream.url, "http", "https"),
                field=".headers",
            ),
            Rule(
                "!has(self.caSecretRef) && !has(self.certificateSha256) || !has(self.url) || "
                "self.url.matches('^(https|rtmps|rtsps)://')",
                "must have neither `caSecretRef` nor `certificateSha256` unless `url` begins with https://, rtmps:// "
                "or rtsps://",
                lambda stream: (
                    (stream.ca_secret_ref is None and stream.certificate_sha256 is None)
                    or _has_scheme(stream.url, "https", "rtmps", "rtsps")
                ),
            ),
            Rule(
                "!(has(self.caSecretRef) && has(self.certificateSha256))",
                "must have at most one of `caSecretRef` and `certificateSha256`",
                lambda stream: stream.ca_secret_ref is None or stream.certificate_sha256 is None,
            ),
        )
    )

    uid: Uid = Field(
        description="Number of the participant, unique in the channel. Layouts and the status speak of participants by "
        "it."
    )
    url: StreamUrl | None = Field(
        default=None,
        description="Where the participant's live media comes from: RTMP, RTSP, SRT, HLS or MPEG-TS. A URL that "
        "carries a key or password belongs in a Secret: use `urlSecretRef`.",
    )
    url_secret_ref: SecretKeyRef | None = Field(
        default=None, description="Secret key that holds the URL, for URLs that carry a key or password."
    )
    name: Annotated[str, Field(min_length=1, max_length=64)] | None = Field(
        default=None, description="What the participant is called in the status and in the manifest."
    )
    headers: Annotated[tuple[Header, ...], Field(min_length=1, max_length=16)] | None = Field(
        default=None,
        description="Headers that the server of an `http` or `https` URL asks for. They are sent to that server alone; "
        "`User-Agent` and `Referer` also to those that its playlist names, and nothing to where a redirect leads.",
        json_schema_extra=kubernetes(list_map_keys=("name",), item="header"),
    )
    ca_secret_ref: SecretKeyRef | None = Field(
        default=None,
        description="Secret key with the PEM certificates of authorities that the server of an `https`, `rtmps` or "
        "`rtsps` URL may prove itself by, beside those that every machine trusts.",
    )
    certificate_sha256: (
        Annotated[
            str,
            Field(
                max_length=95,
                json_schema_extra=kubernetes(
                    matches(
                        "^([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$",
                        "must be 64 hexadecimal digits, with or without colons",
                    )
                ),
            ),
        ]
        | None
    ) = Field(
        default=None,
        description="SHA-256 of the only certificate to accept from the server, whoever signed it and whatever name "
        "and dates it bears: for cameras, which sign their own.",
    )
    silence_seconds: Annotated[int, Field(ge=3, le=600)] = Field(
        default=30,
        description="A participant whose connection brings no media for so many seconds has left; until then the last "
        "picture stays. Media servers keep the recorder connected after the publisher is gone.",
    )


AppId = Annotated[str, Field(min_length=1, max_length=128)]
ChannelName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=64,
        json_schema_extra=kubernetes(
            Rule(
                "bytes(self).size() <= 64",
                "must be at most 64 bytes long in UTF-8",
                lambda name: len(name.encode()) <= 64,
            ),
            matches_not(r"[\x00-\x1f\x7f]", "must not contain control characters"),
        ),
    ),
]


_ROOM_RULES: Final = (
    Rule(
        "has(self.streams) != has(self.livekit)",
        "must have exactly one of `streams` and `livekit`",
        lambda channel: (channel.streams is None) != (channel.livekit is None),
    ),
    Rule(
        "!has(self.livekit) || has(self.livekit.apiKeySecretRef) != has(self.tokenSecretRef)",
        "must have exactly one of `livekit.apiKeySecretRef` and `tokenSecretRef` beside `livekit`",
        lambda channel: (
            channel.livekit is None
            or (channel.livekit.api_key_secret_ref is None) != (channel.token_secret_ref is None)
        ),
    ),
    Rule(
        "!has(self.livekit) || !has(self.livekit.identity) || !has(self.tokenSecretRef)",
        "must be left out beside `tokenSecretRef`: the token says who the recorder is",
        lambda channel: channel.livekit is None or channel.livekit.identity is None or channel.token_secret_ref is None,
        field=".livekit.identity",
    ),
    Rule(
        "!has(self.decryption) || has(self.livekit)",
        "must be left out unless `livekit` is there: streams are not encrypted by the channel",
        lambda channel: channel.decryption is None or channel.livekit is not None,
        field=".decryption",
    ),
    Rule(
        "!has(self.livekit) || !(has(self.appId) || has(self.appIdSecretRef))",
        "must have neither `appId` nor `appIdSecretRef` beside `livekit`: the API key is in the Secret that "
        "`livekit.apiKeySecretRef` names",
        lambda channel: channel.livekit is None or (channel.app_id is None and channel.app_id_secret_ref is None),
    ),
)


class Channel(SpecModel):
    """The channel to record: made of `streams`, or a room of a LiveKit server."""

    model_config = ConfigDict(
        json_schema_extra=kubernetes(
            *_ROOM_RULES,
            Rule(
                "!(has(self.appId) && has(self.appIdSecretRef))",
                "must have at most one of `appId` and `appIdSecretRef`",
                lambda channel: channel.app_id is None or channel.app_id_secret_ref is None,
            ),
            Rule(
                "!has(self.streams) || self.streams.all(stream, stream.uid != self.uid)",
                "must differ from the `uid` of every participant in `streams`",
                lambda channel: all(stream.uid != channel.uid for stream in channel.listed_streams),
                field=".uid",
            ),
        )
    )

    name: ChannelName = Field(
        description="Name of the channel, and of the LiveKit room unless `livekit.room` says otherwise. It is part of "
        "every file's name; bytes other than letters, digits, '.', '_' and '-' are written as =XX there.",
        json_schema_extra=kubernetes(fixed=True),
    )
    app_id: AppId | None = Field(
        default=None,
        description="App ID given to the engine. The default engine needs none for `streams`; another engine may.",
        json_schema_extra=kubernetes(fixed=True),
    )
    app_id_secret_ref: SecretKeyRef | None = Field(
        default=None,
        description="Secret key that holds the App ID, instead of `appId`.",
        json_schema_extra=kubernetes(fixed=True),
    )
    uid: Uid = Field(
        description="Number under which the recorder itself joins; no participant may have the same.",
        json_schema_extra=kubernetes(fixed=True),
    )
    type: ChannelType = Field(
        default=ChannelType.COMMUNICATION,
        description="Profile of the channel, the same as that of the people in it.",
        json_schema_extra=kubernetes(fixed=True),
    )
    token_secret_ref: SecretKeyRef | None = Field(
        default=None,
        description="Secret key that holds the channel's token, given to the engine: with `livekit` a token that lets "
        "its holder join the room, instead of an API key. The default engine needs none for `streams`; another engine "
        "may.",
        json_schema_extra=kubernetes(fixed=True),
    )
    streams: Annotated[tuple[Stream, ...], Field(min_length=1, max_length=MAX_STREAMS)] | None = Field(
        default=None,
        description="The participants, each with a URL its live media is fetched from. They may come and go at any "
        "time; a participant that is not there yet is asked for again and again. The list may change while it records: "
        "who is added joins, who is removed leaves, and one that is fetched otherwise leaves and joins again. Secrets "
        "that no stream named when the recording's pod was made are not in it.",
        json_schema_extra=kubernetes(list_map_keys=("uid",), item="participant"),
    )
    livekit: LiveKit | None = Field(
        default=None,
        description="Instead of `streams`: a room of a LiveKit server. Whoever publishes there is recorded; nobody is "
        "named beforehand. Another engine than the default one records no rooms.",
        json_schema_extra=kubernetes(fixed=True),
    )
    decryption: Decryption | None = Field(
        default=None,
        description="The key of a room that is encrypted end to end. Without it, and with a wrong one, whoever "
        "encrypts is recorded without sound and picture, and `status.lastError` says so.",
        json_schema_extra=kubernetes(fixed=True),
    )

    @property
    def listed_streams(self) -> tuple[Stream, ...]:
        """The participants that are named beforehand: none of a room."""
        return self.streams or ()
