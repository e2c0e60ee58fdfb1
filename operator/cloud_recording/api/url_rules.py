# SPDX-License-Identifier: Apache-2.0
"""What a URL in a manifest must not be, as rules of the object that has it.

The API server repeats the value of whatever a rule is attached to, and its messages end in logs of pipelines: a rule of
the URL itself would publish the very password that it refuses. So each is a rule of the URL's parent, told at it.
"""

from __future__ import annotations

from typing import Final

from cloud_recording.api.base import Rule

_CONFIDENTIAL: Final = (
    "([^=&?,:]*(pass|pwd|secret|token|signature|credential)[^=&?,:]*"
    "|[^=&?,:]*key"
    "|([^=&?,:]*[_.-])?(auth|jwt|sig|sign|hdnts|hdnea|p))"
)
"""Names of parameters that carry a secret: wherever the word stands, at the end, or as a word of its own."""

_SEPARATOR: Final = "([?&,:]|%3[fF]|%26|%2[cC]|%3[aA])"
_EQUALS: Final = "(=|%3[dD])"


def of_field(name: str, *rules: Rule) -> tuple[Rule, ...]:
    """The rules, written for `self`, as rules of the object whose optional field `name` they are about."""
    return tuple(
        Rule(f"!has(self.{name}) || ({rule.rule.replace('self', f'self.{name}')})", rule.message, field=f".{name}")
        for rule in rules
    )


def no_secrets(way_out: str) -> tuple[Rule, ...]:
    """Neither before '@', nor as a parameter, nor in SRT's streamid: `p=` of '#!::', or 'publish:NAME:USER:PASS'."""
    return (
        Rule("!self.matches('^[a-z]+://[^/?#@]+@')", f"must not carry credentials before '@'; {way_out}"),
        Rule(
            f"!self.matches('(?i)[?&]{_CONFIDENTIAL}=')",
            f"must not carry a password, key, token or signature in its query; {way_out}",
        ),
        Rule(
            f"!self.matches('(?i)[?&]streamid=[^&]*{_SEPARATOR}{_CONFIDENTIAL}{_EQUALS}') && "
            "!self.matches('(?i)[?&]streamid=(publish|read|request)(:|%3a)[^:&]+(:|%3a)[^:&]+(:|%3a)[^:&]')",
            f"must not carry a password, key or token in its streamid; {way_out}",
        ),
    )


NO_LINK_LOCAL: Final = Rule(
    r"!self.matches('^[a-z]+://@?(169[.]254[.]|100[.]100[.]100[.]200|\\[[fF][eE][89abAB]"
    r"|\\[[fF][dD]00:[eE][cC]2:(0:)*:?254\\])')",
    "must not name a link-local address or a cloud's metadata service",
)
"""Other spellings, and names that lead there, are the recorder's to refuse, which knows the address it connects to."""
