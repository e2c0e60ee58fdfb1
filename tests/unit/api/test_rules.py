# SPDX-License-Identifier: Apache-2.0
"""What the API server refuses is refused without one, too, but for what only a cluster forbids.

The table is the one that `tests/contract/test_crds.py` feeds to a real API server.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest
import yaml

from cloud_recording.api.generate import generated_files
from cloud_recording.api.rules import Rule, matches, matches_not
from cloud_recording.runner.local.manifest import ManifestError, load
from tests.contract.crds_manifests import a_recording
from tests.contract.crds_table import CREATION_MISTAKES, VALID, Mistake

ONLY_A_CLUSTER_FORBIDS: Final = frozenset(
    {
        "a header with a secret in plain",
        "a local file as a stream",
        "a password in a stream's URL",
        "a passphrase in a stream's query",
        "a metadata service as a stream",
        "a link-local address as a stream",
        "a blank in a stream's URL",
        "a link-local endpoint",
        "a link-local proxy",
        "a password in a LiveKit server's URL",
        "a token in a LiveKit server's URL",
        "a link-local LiveKit server",
    }
)
"""It protects a cluster from its users, and a secret from whoever may read the object; on one's own machine neither."""


def forbidden_by_a_cluster_alone(mistake: Mistake) -> bool:
    secret_in_url = mistake.called.startswith("a secret in a stream's URL")
    return secret_in_url or mistake.called in ONLY_A_CLUSTER_FORBIDS


def refusal(directory: Path, changes: Mapping[str, object]) -> list[str]:
    """What `cloud-recording run` says of the manifest, line by line; nothing where it takes it."""
    file = directory / "recording.yaml"
    file.write_text(yaml.safe_dump(a_recording(changes)))
    try:
        load([file], directory=directory)
    except ManifestError as error:
        return str(error).splitlines()
    return []


@pytest.mark.parametrize("mistake", CREATION_MISTAKES, ids=lambda mistake: mistake.called)
def test_what_the_api_server_refuses_is_refused_without_one(tmp_path: Path, mistake: Mistake) -> None:
    said = refusal(tmp_path, mistake.changes)
    if forbidden_by_a_cluster_alone(mistake):
        assert said == []
    else:
        assert any(line.startswith(mistake.field) for line in said), said


@pytest.mark.parametrize("changes", VALID.values(), ids=VALID)
def test_what_the_api_server_takes_is_taken_without_one(tmp_path: Path, changes: Mapping[str, object]) -> None:
    said = refusal(tmp_path, changes)
    if "directory" in changes.get("backup", {}):  # type: ignore[operator] # as the manifest has it
        assert said == ["spec.backup.directory: is a claim of a cluster; leave `backup` out here, or name a bucket"]
    elif "ref" in changes.get("backup", {}):  # type: ignore[operator] # as above
        (line,) = said
        assert line.startswith("spec.backup.ref: is a RecordingStorage of a cluster")
    else:
        assert said == []


def test_the_list_of_exceptions_names_mistakes_of_the_table() -> None:
    assert {mistake.called for mistake in CREATION_MISTAKES} >= ONLY_A_CLUSTER_FORBIDS


@pytest.mark.parametrize(
    ("rule", "text", "holds"),
    [
        (matches("^[a-z]+$", ""), "abc", True),
        # RE2's `$` is the very end, where Python's lets a line break through.
        (matches("^[a-z]+$", ""), "abc\n", False),
        (matches_not(r"[\s]", ""), "a b", False),
        # Only ASCII's white space is any.
        (matches_not(r"[\s]", ""), "a\u00a0b", True),
    ],
)
def test_a_pattern_means_in_python_what_it_means_in_cel(rule: Rule, text: str, *, holds: bool) -> None:
    assert rule.holds(text) is holds


def test_a_pattern_is_written_for_cel_with_its_backslashes_doubled() -> None:
    assert matches_not(r"[\s]", "").rule == r"!self.matches('[\\s]')"
    assert "x-item" not in "".join(generated_files().values())
