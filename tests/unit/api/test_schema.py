# SPDX-License-Identifier: Apache-2.0
"""The generated schema is structural and bounded everywhere, describes every field, and is what lies in the tree."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from cloud_recording.api.base import SpecModel
from cloud_recording.api.crd import cloud_recording_crd
from cloud_recording.api.generate import generated_files, main
from cloud_recording.api.media import Video
from cloud_recording.api.reasons import REASONS
from cloud_recording.api.recording_storage import RecordingStorageSpec
from cloud_recording.api.rules import kubernetes
from cloud_recording.api.schema import FIXED_MESSAGE, structural_schema
from tests.cluster.layout import REPOSITORY

ROOT = cloud_recording_crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]


def _nodes(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from _nodes(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from _nodes(schema[key], f"{path}[]")


NODES = [*_nodes(ROOT["spec"], "spec"), *_nodes(ROOT["status"], "status")]


def _unbounded(schema: dict[str, Any]) -> bool:
    if "enum" in schema or schema.get("format") == "date-time" or schema.get("x-kubernetes-int-or-string"):
        return False
    needed = {
        "string": ("maxLength",),
        "integer": ("minimum", "maximum"),
        "array": ("maxItems", "x-kubernetes-list-type"),
        "object": ("properties",) if "properties" in schema else ("maxProperties",),
        "boolean": (),
    }
    return not all(key in schema for key in needed[schema["type"]])


def test_everything_has_a_bound() -> None:
    """What has no bound can fill etcd, and makes the API server refuse the cost of a rule."""
    assert [path for path, schema in NODES if _unbounded(schema)] == []


def test_every_field_is_described_in_a_sentence() -> None:
    fields = [(path, schema) for path, schema in NODES if not path.endswith("[]")]
    assert [path for path, schema in fields if not schema.get("description", "").endswith(".")] == []


def test_a_status_has_no_defaults() -> None:
    """Only the operator writes it: a default would say what nobody has found out."""
    assert [path for path, schema in NODES if path.startswith("status") and "default" in schema] == []


class _Inner(SpecModel):
    """Inner."""

    size: Annotated[int, Field(ge=0, le=9)] = Field(
        default=1, description="Size.", json_schema_extra=kubernetes(fixed=True)
    )


class _Outer(SpecModel):
    """Outer."""

    must: Annotated[str, Field(max_length=3)] = Field(description="Must.", json_schema_extra=kubernetes(fixed=True))
    may: Annotated[str, Field(max_length=3)] | None = Field(
        default=None, description="May.", json_schema_extra=kubernetes(fixed=True)
    )
    free: Annotated[int, Field(ge=0, le=2**40)] | None = Field(default=None, description="Free.")
    inner: _Inner = Field(default=_Inner(), description="Inner.")
    names: Annotated[tuple[str, ...], Field(max_length=2)] = Field(default=(), description="Names.")


def test_a_fixed_field_that_may_be_absent_is_held_by_its_parent() -> None:
    """The API server skips a field's own transition rule when the field comes or goes."""
    schema = structural_schema(_Outer, with_defaults=True)
    own = {"rule": "self == oldSelf", "message": FIXED_MESSAGE}
    assert schema == {
        "description": "Outer.",
        "type": "object",
        "properties": {
            "must": {"description": "Must.", "type": "string", "maxLength": 3, "x-kubernetes-validations": [own]},
            "may": {"description": "May.", "type": "string", "maxLength": 3},
            "free": {"description": "Free.", "type": "integer", "minimum": 0, "maximum": 2**40, "format": "int64"},
            "inner": {
                "description": "Inner.",
                "type": "object",
                "default": {"size": 1},
                "properties": {
                    "size": {
                        "description": "Size.",
                        "type": "integer",
                        "format": "int32",
                        "minimum": 0,
                        "maximum": 9,
                        "default": 1,
                        "x-kubernetes-validations": [own],
                    }
                },
            },
            "names": {
                "description": "Names.",
                "type": "array",
                "maxItems": 2,
                "x-kubernetes-list-type": "atomic",
                "items": {"type": "string"},
            },
        },
        "required": ["must"],
        "x-kubernetes-validations": [
            {
                "rule": "has(self.may) ? has(oldSelf.may) && self.may == oldSelf.may : !has(oldSelf.may)",
                "message": FIXED_MESSAGE,
                "fieldPath": ".may",
            }
        ],
    }


def test_what_is_generated_is_what_lies_in_the_tree() -> None:
    stale = [str(path) for path, text in generated_files().items() if (REPOSITORY / path).read_text("utf-8") != text]
    assert stale == [], "run `make generate`"


def test_the_check_names_what_is_out_of_date_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--check", "--root", str(tmp_path)]) == 1
    complaint = capsys.readouterr().err
    assert all(f"{path} is out of date" in complaint for path in generated_files())
    assert list(tmp_path.iterdir()) == []
    assert main(["--root", str(tmp_path)]) == 0
    assert main(["--check", "--root", str(tmp_path)]) == 0


def test_the_reference_names_every_field_and_every_reason() -> None:
    page = generated_files()[Path("docs/reference/cloudrecording.md")]
    fields = {path.rpartition(".")[2] for path, _ in NODES if "." in path and not path.endswith("[]")}
    assert [field for field in sorted(fields) if f"| `{field}` |" not in page] == []
    of_storages = generated_files()[Path("docs/reference/recordingstorage.md")]
    for reason, facts in REASONS.items():
        assert (f"| `{reason}` |" in page) is not facts.of_storages_alone, reason
        assert (f"| `{reason}` |" in of_storages) is (facts.remedy_of_storage is not None), reason


def _fixed(model: type[BaseModel]) -> dict[str, bool]:
    """Each field of a model by the name that people give it, and whether it may never change."""
    extras = {field.alias or name: field.json_schema_extra for name, field in model.model_fields.items()}
    return {name: isinstance(extra, dict) and "x-fixed" in extra for name, extra in extras.items()}


@pytest.mark.parametrize(
    ("example", "model", "claim", "is_fixed"),
    [
        ("full.yaml", Video, " may be changed while it records", False),
        ("storage.yaml", RecordingStorageSpec, " never change; all else may", True),
    ],
)
def test_the_examples_say_what_may_change_and_what_may_not(
    example: str, model: type[BaseModel], claim: str, *, is_fixed: bool
) -> None:
    text = (REPOSITORY / "docs" / "examples" / example).read_text("utf-8")
    (sentence,) = re.findall(rf"([^.#]*){claim}", text)
    expected = {name for name, fixed in _fixed(model).items() if fixed is is_fixed}
    assert set(re.findall("`([^`]+)`", sentence)) == expected
