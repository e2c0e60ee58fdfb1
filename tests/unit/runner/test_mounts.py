# SPDX-License-Identifier: Apache-2.0
"""Documents of operators of other releases: what can be read of them counts, and what cannot is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cloud_recording.api.media import Layout
from cloud_recording.api.recording import DesiredRecordingState
from cloud_recording.api.wire import DesiredState
from cloud_recording.runner.supervisor.mounts import Mounts, UnreadableMount
from cloud_recording.runner.supervisor.part_actions import SPEC_FIELDS
from tests.unit.runner.documents import document, storage

STREAM = {"uid": 11, "url": "rtsp://example.com/a"}
WANTED: dict[str, Any] = {"generation": 1, "state": "Recording", "layout": "BestFit", "uploadGraceSeconds": 60}


@pytest.fixture
def mounts(tmp_path: Path) -> Mounts:
    return Mounts(pod=tmp_path, secrets=tmp_path, token=tmp_path)


def wanted(mounts: Mounts, **fields: Any) -> None:
    mounts.desired_path.write_text(json.dumps(WANTED | fields))


def test_new_fields_of_a_newer_operators_spec_keep_no_pod_from_recording(mounts: Mounts) -> None:
    """Promise: releases of operator and runner may differ by one, also where the spec has grown."""
    told = document(bucket=storage(novelty=1))
    told["spec"]["channel"]["streams"][0]["novelty"] = "none"
    (mounts.pod / "recording.json").write_text(json.dumps(told))
    assert mounts.recording().spec.storage.bucket == "recordings"
    wanted(mounts, storage=storage(novelty=1), streams=[STREAM | {"novelty": 1}])
    read = mounts.desired()
    assert (read.unread, read.state.streams is not None and read.state.streams[0].uid) == ((), 11)


def test_what_cannot_be_read_of_an_edit_is_named_and_the_rest_counts(mounts: Mounts) -> None:
    wanted(mounts)
    known = mounts.desired().state
    wanted(mounts, generation=2, state="Stopped", layout="FromTheFuture", streams=[STREAM | {"uid": -1}])
    read = mounts.desired(known=known)
    assert (read.state.generation, read.state.state) == (2, DesiredRecordingState.STOPPED)
    assert (read.state.layout, read.state.streams) == (Layout.BEST_FIT, None)
    assert read.unread == ("layout", "streams")


def test_a_field_that_only_a_newer_release_has_is_named_with_what_it_says(mounts: Mounts) -> None:
    wanted(mounts, novelty=1, other=None)
    assert mounts.desired().unknown == {"novelty": 1}
    known = mounts.desired().state
    wanted(mounts, novelty={"a": 1}, layout="FromTheFuture")
    read = mounts.desired(known=known)
    assert (read.unread, read.unknown) == (("layout",), {"novelty": {"a": 1}})


def test_a_first_document_that_cannot_be_read_is_an_error_that_names_the_field(mounts: Mounts) -> None:
    wanted(mounts, layout="FromTheFuture")
    with pytest.raises(UnreadableMount, match="layout"):
        mounts.desired()


def test_every_field_that_cannot_be_read_has_a_name_for_people() -> None:
    names = {field.alias for field in DesiredState.model_fields.values()} - {"generation"}
    assert set(SPEC_FIELDS) == names
