# SPDX-License-Identifier: Apache-2.0
"""What a URL in a manifest must not be, as rules of the object that has it.

The API server repeats the value of whatever a rule is attached to, and its messages end in logs of pipelines: a rule of
the URL itself would publish the very password that it refuses. So each is a rule of the URL's parent, told at it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

from cloud_recording.api.rules import Rule, all_of, matches_not

_CONFIDENTIAL: Final = (
    "([^=&?,:]*(pass|pwd|secret|token|signature|credential)[^=&?,:]*"
    "|[^=&?,:]*key"
    "|([^=&?,:]*[_.-])?(auth|jwt|sig|sign|hdnts|hdnea|p))"
)
"""Names of parameters that carry a secret: wherever the word stands, at the end, or as a word of its own."""

_SEPARATOR: Final = "([?&,:]|%3[fF]|%26|%2[cC]|%3[aA])"
_EQUALS: Final = "(=|%3[dD])"


def is_http_url(text: str) -> bool:
    """Whether it is a URL of HTTP with a host, as CEL's `isURL` and its parts have it."""
    try:
        scheme, host = urlsplit(text).scheme, urlsplit(text).hostname
    except ValueError:
        return False
    return scheme in {"http", "https"} and bool(host)


def of_field(name: str, *rules: Rule, attribute: str | None = None) -> tuple[Rule, ...]:
    """The rules, written for `self`, as rules of the object whose optional field `name` they are about.

    `attribute` is the field in Python, where that is spelt otherwise.
    """
    return tuple(
        Rule(
            f"!has(self.{name}) || ({rule.rule.replace('self', f'self.{name}')})",
            rule.message,
            _where_given(attribute or name, rule),
            field=f".{name}",
            cluster_only=rule.cluster_only,
        )
        for rule in rules
    )


def _where_given(name: str, rule: Rule) -> Callable[[Any], bool]:
    def holds(parent: object) -> bool:
        value = getattr(parent, name)
        return value is None or rule.holds(value)

    return holds


def no_secrets(way_out: str) -> tuple[Rule, ...]:
    """Neither before '@', nor as a parameter, nor in SRT's streamid: `p=` of '#!::', or 'publish:NAME:USER:PASS'."""
    return (
        matches_not("^[a-z]+://[^/?#@]+@", f"must not carry credentials before '@'; {way_out}", cluster_only=True),
        matches_not(
            f"(?i)[?&]{_CONFIDENTIAL}=",
            f"must not carry a password, key, token or signature in its query; {way_out}",
            cluster_only=True,
        ),
        all_of(
            matches_not(f"(?i)[?&]streamid=[^&]*{_SEPARATOR}{_CONFIDENTIAL}{_EQUALS}", ""),
            matches_not("(?i)[?&]streamid=(publish|read|request)(:|%3a)[^:&]+(:|%3a)[^:&]+(:|%3a)[^:&]", ""),
            message=f"must not carry a password, key or token in its streamid; {way_out}",
            cluster_only=True,
        ),
    )


NO_LINK_LOCAL: Final = matches_not(
    r"^[a-z]+://@?(169[.]254[.]|100[.]100[.]100[.]200|\[[fF][eE][89abAB]|\[[fF][dD]00:[eE][cC]2:(0:)*:?254\])",
    "must not name a link-local address or a cloud's metadata service",
    cluster_only=True,
)
"""Other spellings, and names that lead there, are the recorder's to refuse, which knows the address it connects to."""
