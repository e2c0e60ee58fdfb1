# SPDX-License-Identifier: Apache-2.0
"""Every remedy names what there is: fields, values of the chart and commands. That they work is tried elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cloud_recording.api.crd import cloud_recording_crd, recording_storage_crd
from cloud_recording.api.error_facts import ERRORS
from cloud_recording.api.reasons import (
    FINAL_FAILURES,
    MERGE_CAUSES,
    REASONS,
    RECORDER_CAUSES,
    STORAGE_REASONS,
    ConditionType,
    Reason,
    Remedy,
)

ROOT = Path(__file__).resolve().parents[3]
REMEDIES = [
    pytest.param(reason, remedy, id=f"{reason}-{when}")
    for reason, facts in REASONS.items()
    for when in ("remedy", "remedy_once_stored", "remedy_of_directory", "remedy_while_recording")
    if (remedy := getattr(facts, when)) is not None and remedy.text
]
OF_STORAGES = [
    pytest.param(reason, facts.remedy_of_storage, id=str(reason))
    for reason, facts in REASONS.items()
    if facts.remedy_of_storage is not None and facts.remedy_of_storage.text
]
ELSEWHERE = re.compile(
    "s3:(Put|Get)Object(Tagging)?|kms:(GenerateDataKey|Decrypt)|status[.](parts|playlists|lastError)|"
    'cloudrecording.dev/discard: "true"'
)
"""What a remedy speaks of that is neither the spec's, nor the chart's, nor a command."""


def quoted(text: str) -> Iterator[str]:
    yield from re.findall("`([^`]+)`", text)


def schema_of(path: str, crd: Callable[[], dict[str, Any]] = cloud_recording_crd) -> dict[str, Any] | None:
    (version,) = crd()["spec"]["versions"]
    found: dict[str, Any] | None = version["schema"]["openAPIV3Schema"]
    for name in path.split("."):
        found = (found or {}).get("properties", {}).get(name)
    return found


def chart_has(path: str) -> bool:
    found: Any = yaml.safe_load((ROOT / "charts" / "cloud-recording" / "values.yaml").read_text())
    for name in path.split("."):
        if not isinstance(found, dict) or name not in found:
            return False
        found = found[name]
    return True


@pytest.mark.parametrize(("reason", "remedy"), OF_STORAGES)
def test_a_remedy_of_a_storage_names_what_that_has(reason: Reason, remedy: Remedy) -> None:
    """Promise: nobody is sent to a field that a RecordingStorage has not, or that is fixed there."""
    named = {*remedy.changes, *remedy.values, *remedy.commands}
    assert "spec.bucket" not in remedy.changes
    for word in quoted(remedy.text):
        known = word in named or ELSEWHERE.fullmatch(word)
        there = word.startswith("spec.") and schema_of(word, recording_storage_crd) is not None
        assert known or there, f"{reason} says `{word}`"
    assert all(chart_has(path) for path in remedy.values)


def test_what_refuses_a_recordings_files_has_a_way_out_in_a_storage_too() -> None:
    assert all(REASONS[reason].remedy_of_storage is not None for reason in STORAGE_REASONS)


def test_every_reason_is_explained() -> None:
    assert set(REASONS) == set(Reason)
    assert all(facts.meaning for facts in REASONS.values())


@pytest.mark.parametrize(("reason", "remedy"), REMEDIES)
def test_a_remedy_names_what_there_is(reason: Reason, remedy: Remedy) -> None:
    named = {*remedy.changes, *remedy.creates, *remedy.values, *remedy.commands}
    for word in quoted(remedy.text):
        known = word in named or word in set(ConditionType) or ELSEWHERE.fullmatch(word)
        assert known or (word.startswith("spec.") and schema_of(word) is not None), f"{reason} says `{word}`"
    assert all(f"`{word}`" in remedy.text for word in named), reason
    assert all(schema_of(field) is not None for field in (*remedy.changes, *remedy.creates))
    assert all(chart_has(value) for value in remedy.values)


@pytest.mark.parametrize(
    "text", [facts.remedy.text for facts in ERRORS.values()], ids=[str(int(code)) for code in ERRORS]
)
def test_the_remedies_of_codes_name_what_there_is(text: str) -> None:
    for word in quoted(text):
        assert word in set(ConditionType) or (word.startswith("spec.") and schema_of(word) is not None), word


def test_the_engines_words_for_a_failing_bucket_are_reasons() -> None:
    source = (ROOT / "native" / "core" / "src" / "storage" / "failure.rs").read_text()
    body = source.partition("pub fn word(")[2].partition("\n    }\n")[0]
    assert set(re.findall('=> "([A-Za-z]+)"', body)) == {reason.value for reason in STORAGE_REASONS}


def test_the_recorders_words_for_other_causes_are_reasons() -> None:
    """Promise: what the library tells by a word of its own is told by that reason, and is not taken for its code's."""
    source = (ROOT / "native" / "core" / "src" / "causes.rs").read_text()
    assert set(re.findall('&str = "([A-Za-z0-9]+)"', source)) == RECORDER_CAUSES | FINAL_FAILURES | MERGE_CAUSES


def test_what_follows_from_a_reason_is_said_in_its_row_alone() -> None:
    domain = ROOT / "operator" / "cloud_recording" / "domain"
    sets = {path.name for path in domain.glob("*.py") if re.search(r"[{(]\s*Reason\.\w+,\s*Reason\.", path.read_text())}
    assert not sets, "give `ReasonFacts` a field instead"
