# SPDX-License-Identifier: Apache-2.0
"""Structural schemas, as the API server wants them, made from the models.

A structural schema has no references and no nulls, bounds everything, and carries the rules that pydantic has no word
for. Transition rules are made here from the models' `fixed` marks, because where such a rule must stand depends on
whether the field can be absent: the API server skips it when the old or the new value is not there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel

Schema = dict[str, Any]

FIXED_MESSAGE: Final = "must not change after creation; create a new recording instead"
FIXED_OF_STORAGE_MESSAGE: Final = (
    "must not change after creation, as recordings have their files there; create another RecordingStorage instead"
)
FIXED_MESSAGES: Final = (FIXED_MESSAGE, FIXED_OF_STORAGE_MESSAGE)
FIXED_ONCE_STORED_MESSAGE: Final = (
    "must not change once a slice is in the store, as a recording's files stay together; create a new recording instead"
)
_INT32_MAX: Final = 2**31 - 1
_KEPT_KEYS: Final = (
    "description",
    "type",
    "format",
    "enum",
    "default",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "maxProperties",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-validations",
)


def structural_schema(model: type[BaseModel], *, with_defaults: bool, fixed_message: str = FIXED_MESSAGE) -> Schema:
    """The model as a structural schema; a status has no defaults, since only the operator writes it."""
    raw = model.model_json_schema(by_alias=True)
    converter = _Converter(definitions=raw.get("$defs", {}), with_defaults=with_defaults, fixed_message=fixed_message)
    return converter.convert(raw)


class _Converter:
    def __init__(self, *, definitions: Mapping[str, Schema], with_defaults: bool, fixed_message: str) -> None:
        self._definitions = definitions
        self._fixed_message = fixed_message
        self._with_defaults = with_defaults

    def convert(self, raw: Schema) -> Schema:
        raw = self._resolved(raw)
        schema: Schema = {key: raw[key] for key in _KEPT_KEYS if key in raw}
        if raw.get("x-kubernetes-int-or-string"):
            schema.pop("type", None)
            return schema
        match raw.get("type"):
            case "object":
                self._convert_object(raw, schema)
            case "array":
                schema["items"] = self.convert(raw["items"])
                schema.setdefault("x-kubernetes-list-type", "atomic")
            case "integer":
                schema.setdefault("format", "int32" if raw["maximum"] <= _INT32_MAX else "int64")
        self._trim_default(schema)
        return schema

    def _resolved(self, raw: Schema) -> Schema:
        """The schema with its reference and its nullable alternative replaced; what stands beside them wins."""
        if "$ref" in raw:
            beside = {key: value for key, value in raw.items() if key != "$ref"}
            target = self._resolved(self._definitions[raw["$ref"].rpartition("/")[2]])
            return _merged(target, beside)
        alternatives = [option for option in raw.get("anyOf", ()) if option.get("type") != "null"]
        if len(alternatives) == 1:
            beside = {key: value for key, value in raw.items() if key != "anyOf"}
            return _merged(self._resolved(alternatives[0]), beside)
        return raw

    def _convert_object(self, raw: Schema, schema: Schema) -> None:
        if "properties" not in raw:
            schema["additionalProperties"] = self.convert(raw["additionalProperties"])
            return
        required = raw.get("required", [])
        properties: dict[str, Schema] = {}
        rules: list[Schema] = list(schema.pop("x-kubernetes-validations", ()))
        for name, child in raw["properties"].items():
            properties[name] = self.convert(child)
            if not child.get("x-fixed"):
                continue
            if name in required or "default" in properties[name]:
                properties[name].setdefault("x-kubernetes-validations", [])
                properties[name]["x-kubernetes-validations"] += [
                    {"rule": "self == oldSelf", "message": self._fixed_message}
                ]
            else:
                rules.append(_fixed_optional(name, self._fixed_message))
        schema["properties"] = properties
        if required:
            schema["required"] = list(required)
        if rules:
            schema["x-kubernetes-validations"] = rules

    def _trim_default(self, schema: Schema) -> None:
        """Keep a default that says something: an empty list or map, and null, mean the same as leaving it out."""
        if "default" not in schema:
            return
        is_map = "additionalProperties" in schema
        if not self._with_defaults or schema["default"] in (None, []) or (is_map and not schema["default"]):
            del schema["default"]
        elif schema.get("type") == "object":
            schema["default"] = _without_nothing(schema["default"])


def _merged(target: Schema, beside: Schema) -> Schema:
    rules = [*target.get("x-kubernetes-validations", ()), *beside.get("x-kubernetes-validations", ())]
    return {**target, **beside, **({"x-kubernetes-validations": rules} if rules else {})}


def _fixed_optional(name: str, message: str) -> Schema:
    return {
        "rule": f"has(self.{name}) ? has(oldSelf.{name}) && self.{name} == oldSelf.{name} : !has(oldSelf.{name})",
        "message": message,
        "fieldPath": f".{name}",
    }


def _without_nothing(default: Schema) -> Schema:
    """An object's default whole: the API server checks its rules before it fills in the children's defaults."""
    return {
        name: _without_nothing(value) if isinstance(value, dict) else value
        for name, value in default.items()
        if value is not None and value != []
    }
