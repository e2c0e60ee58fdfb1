# SPDX-License-Identifier: Apache-2.0
"""What every model shares: frozen values, camelCase names and bounded scalars."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Final, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

GROUP: Final = "cloudrecording.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = "cloudrecording.dev/v1alpha1"

UID_MAX: Final = 2**32 - 1
"""Participants and recorders are numbered by the SDK's unsigned 32-bit `uid_t`; 0 means nobody."""

LIST_TAIL: Final = 20
"""How many of the newest entries a status list keeps; the totals beside it count all of them."""

MESSAGE_LENGTH: Final = 1024
"""Longest message in a status, an Event or a callback, in characters."""

_IRREGULAR_ALIASES: Final = {"pod_uid": "podUID"}


def camel_case(name: str) -> str:
    """The API's spelling of a Python name: `playlist_url` is `playlistURL`, acronyms keep one case."""
    if name in _IRREGULAR_ALIASES:
        return _IRREGULAR_ALIASES[name]
    first, *rest = name.split("_")
    return first + "".join("URL" if word == "url" else word.capitalize() for word in rest)


class SpecModel(BaseModel):
    """What people write: an unknown field is an error, because a misspelt one must not be silently without effect."""

    model_config = ConfigDict(
        alias_generator=camel_case, validate_by_name=True, validate_by_alias=True, frozen=True, extra="forbid"
    )


class RecordModel(BaseModel):
    """What programs wrote: unknown fields are left out, so that releases of operator and runner may differ by one."""

    model_config = ConfigDict(
        alias_generator=camel_case, validate_by_name=True, validate_by_alias=True, frozen=True, extra="ignore"
    )


class KeptModel(RecordModel):
    """What this operator and others of its kind wrote: fields of a newer one are not known, and kept as they are."""

    model_config = ConfigDict(extra="allow")


class OpenEnum(StrEnum):
    """Words that a newer release may have more of: one that is not known is kept as it is, and equals none of these."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        word = str.__new__(cls, value)
        word._name_ = word._value_ = value
        return word

    @property
    def known(self) -> bool:
        """Whether this release has the word."""
        return self.value in type(self)._value2member_map_


def _trim_message(value: object) -> object:
    if isinstance(value, str) and len(value) > MESSAGE_LENGTH:
        return value[: MESSAGE_LENGTH - 1] + "…"
    return value


def _keep_tail(value: object) -> object:
    return value[-LIST_TAIL:] if isinstance(value, (list, tuple)) else value


def _rfc3339_seconds(value: datetime) -> str:
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _rfc3339_milliseconds(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Message = Annotated[str, Field(max_length=MESSAGE_LENGTH), BeforeValidator(_trim_message)]
"""Text for people, cut rather than refused: what a message is about counts more than its end."""

NAME_LENGTH: Final = 320
"""Longest name of somebody in a status: a LiveKit identity with `/screen`, and what servers are set to allow beyond."""


def _cut_name(value: object) -> object:
    return f"{value[: NAME_LENGTH - 1]}…" if isinstance(value, str) and len(value) > NAME_LENGTH else value


GivenName = Annotated[str, Field(max_length=NAME_LENGTH), BeforeValidator(_cut_name)]
"""What people in a room call themselves: cut rather than refused, as nobody who records has chosen it."""

Item = TypeVar("Item")
Tail = Annotated[tuple[Item, ...], Field(max_length=LIST_TAIL), BeforeValidator(_keep_tail)]
"""A list that keeps its newest entries only."""

Time = Annotated[datetime, PlainSerializer(_rfc3339_seconds, return_type=str, when_used="json")]
"""A moment in a resource, in the precision of Kubernetes' own times."""

PreciseTime = Annotated[datetime, PlainSerializer(_rfc3339_milliseconds, return_type=str, when_used="json")]

Uid = Annotated[int, Field(ge=1, le=UID_MAX)]
Count = Annotated[int, Field(ge=0, le=2**53 - 1)]
"""A total; JSON readers of every language take whole numbers up to 2^53 - 1 exactly."""
