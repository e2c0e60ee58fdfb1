# SPDX-License-Identifier: Apache-2.0
"""Validation rules of the spec, each said twice in one place: in CEL for the API server, in Python for everybody else.

The API server checks the rules of the generated definition. Where there is none, as in `cloud-recording run`,
`violations` checks the same ones, so that a manifest means the same on a laptop and in a cluster.
"""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Final, NamedTuple

from pydantic import BaseModel
from pydantic.config import JsonDict
from pydantic.fields import FieldInfo

VALIDATIONS: Final = "x-kubernetes-validations"
_LIST_MAP_KEYS: Final = "x-kubernetes-list-map-keys"
_ITEM: Final = "x-item"
"""What messages call an item of the list."""


def always(_: object) -> bool:
    """Holds of any value: for rules of which only a change of an object can be in breach."""
    return True


class Rule(NamedTuple):
    """What a value must be like. `rule` and `holds` say the same of it; `field` puts the blame on one of its children.

    A rule that is `cluster_only` protects a cluster, and whoever may read its objects, from a user: it says nothing to
    somebody who records with their own rights on their own machine.
    """

    rule: str
    message: str
    holds: Callable[[Any], bool]
    field: str | None = None
    cluster_only: bool = False


class Violation(NamedTuple):
    """A field that breaks a rule."""

    field: str
    message: str


class _RuleSchema(dict[str, Any]):
    """A rule as the definition has it, which still knows the rule it was made from."""

    def __init__(self, rule: Rule) -> None:
        path = {"fieldPath": rule.field} if rule.field else {}
        super().__init__({"rule": rule.rule, "message": rule.message, **path})
        self.origin = rule


def matches(pattern: str, message: str, *, cluster_only: bool = False) -> Rule:
    """The pattern is found in the text. Patterns are such as CEL (RE2) and Python read alike."""
    found = _search(pattern)
    return Rule(f"self.matches('{_in_cel(pattern)}')", message, found, cluster_only=cluster_only)


def matches_not(pattern: str, message: str, *, cluster_only: bool = False) -> Rule:
    """The pattern is not found in the text."""
    found = _search(pattern)
    return Rule(
        f"!self.matches('{_in_cel(pattern)}')", message, lambda text: not found(text), cluster_only=cluster_only
    )


def keys_match(pattern: str, message: str) -> Rule:
    """The pattern is found in every key of a map."""
    found = _search(pattern)
    return Rule(f"self.all(key, key.matches('{_in_cel(pattern)}'))", message, lambda entries: all(map(found, entries)))


def keys_match_not(pattern: str, message: str) -> Rule:
    """The pattern is found in no key of a map."""
    found = _search(pattern)
    rule = f"self.all(key, !key.matches('{_in_cel(pattern)}'))"
    return Rule(rule, message, lambda entries: not any(map(found, entries)))


def values_match(pattern: str, message: str) -> Rule:
    """The pattern is found in every value of a map."""
    found = _search(pattern)
    rule = f"self.all(key, self[key].matches('{_in_cel(pattern)}'))"
    return Rule(rule, message, lambda entries: all(map(found, entries.values())))


def object_name(kind: str) -> Rule:
    """The name of an object of this kind: a DNS subdomain (RFC 1123), beside which a field says its longest."""
    message = f"must be the name of a {kind}: lower-case letters, digits, '-' and '.'"
    return matches("^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", message)


def all_of(*rules: Rule, message: str, cluster_only: bool = False) -> Rule:
    """Every one of the rules, as one of this message."""
    return Rule(
        " && ".join(rule.rule for rule in rules),
        message,
        lambda value: all(rule.holds(value) for rule in rules),
        cluster_only=cluster_only,
    )


def _in_cel(pattern: str) -> str:
    return pattern.replace("\\", "\\\\")


def _search(pattern: str) -> Callable[[str], bool]:
    # For RE2 `$` is the very end of the text, and `\s` is ASCII.
    compiled = re.compile(pattern.replace("$", r"\Z"), re.ASCII)
    return lambda text: compiled.search(text) is not None


def kubernetes(
    *rules: Rule,
    fixed: bool = False,
    list_map_keys: Sequence[str] = (),
    item: str = "entry",
    list_type: str | None = None,
    extra: Mapping[str, Any] | None = None,
) -> JsonDict:
    """Schema extras that pydantic has no word for; `fixed` becomes a transition rule in the generated definition."""
    schema: JsonDict = {}
    if rules:
        schema[VALIDATIONS] = [_RuleSchema(rule) for rule in rules]
    if fixed:
        schema["x-fixed"] = True
    if list_map_keys:
        schema["x-kubernetes-list-type"] = "map"
        schema[_LIST_MAP_KEYS] = list(list_map_keys)
        schema[_ITEM] = item
    if list_type:
        schema["x-kubernetes-list-type"] = list_type
    schema.update(extra or {})
    return schema


def violations(value: BaseModel, path: str) -> Iterator[Violation]:
    """Every rule that is broken in the value or below it, but for those that only a cluster has."""
    yield from _broken(type(value).model_config.get("json_schema_extra"), value, path)
    for name, field in type(value).model_fields.items():
        yield from _in_field(field, getattr(value, name), f"{path}.{field.alias or name}")


def _in_field(field: FieldInfo, value: object, path: str) -> Iterator[Violation]:
    if value is None:
        return
    for extra in _extras(field):
        yield from _broken(extra, value, path)
        yield from _repeated(extra, value, path)
    if isinstance(value, BaseModel):
        yield from violations(value, path)
    for index, item in enumerate(value if isinstance(value, tuple) else ()):
        if isinstance(item, BaseModel):
            yield from violations(item, f"{path}[{index}]")
        for extra in _item_extras(field):
            yield from _broken(extra, item, f"{path}[{index}]")


def _extras(field: FieldInfo) -> Iterator[object]:
    """The schema extras of a field and of what its type is annotated with."""
    yield field.json_schema_extra
    for option in _options(field):
        yield from _annotated_with(option)


def _item_extras(field: FieldInfo) -> Iterator[object]:
    """The schema extras of what the items of a list are annotated with."""
    for option in _options(field):
        listed = typing.get_args(option)[0] if typing.get_origin(option) is Annotated else option
        if typing.get_origin(listed) is tuple:
            yield from _annotated_with(typing.get_args(listed)[0])


def _options(field: FieldInfo) -> tuple[object, ...]:
    """The types that a field's value may have."""
    is_one = typing.get_origin(field.annotation) not in (typing.Union, types.UnionType)
    return (field.annotation,) if is_one else typing.get_args(field.annotation)


def _annotated_with(option: object) -> Iterator[object]:
    for annotation in getattr(option, "__metadata__", ()):
        yield getattr(annotation, "json_schema_extra", None)


def _broken(extra: object, value: object, path: str) -> Iterator[Violation]:
    for schema in extra.get(VALIDATIONS, ()) if isinstance(extra, dict) else ():
        rule: Rule = schema.origin
        if not rule.cluster_only and not rule.holds(value):
            yield Violation(f"{path}{rule.field or ''}", rule.message)


def _repeated(extra: object, value: object, path: str) -> Iterator[Violation]:
    """Items of a list that have the same key as one before, where the list is a map by its keys."""
    if not isinstance(extra, dict) or _LIST_MAP_KEYS not in extra or not isinstance(value, tuple):
        return
    keys, seen = extra[_LIST_MAP_KEYS], set()
    for index, item in enumerate(value):
        found = tuple(getattr(item, key) for key in keys)
        if found in seen:
            yield Violation(f"{path}[{index}].{keys[0]}", f"another {extra[_ITEM]} has it already")
        seen.add(found)
