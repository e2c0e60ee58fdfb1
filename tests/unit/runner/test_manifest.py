# SPDX-License-Identifier: Apache-2.0
"""A manifest that is recorded without a cluster: what is wrong with it is said by the field's name."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from cloud_recording.api.status import Amounts, Outcome
from cloud_recording.api.wire import Summary
from cloud_recording.runner.local.exit_statuses import exit_status_of
from cloud_recording.runner.local.manifest import ManifestError, load

Json = dict[str, Any]
GOOD: Json = {
    "apiVersion": "cloudrecording.dev/v1alpha1",
    "kind": "CloudRecording",
    "metadata": {"name": "talk"},
    "spec": {
        "channel": {"name": "room", "uid": 1, "streams": [{"uid": 2, "url": "file:///a.ts"}]},
        "storage": {
            "bucket": "recordings",
            "endpoint": "http://127.0.0.1:9000",
            "credentials": {"secretRef": {"name": "bucket"}},
        },
    },
}
SECRET: Json = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "bucket"},
    "data": {"accessKey": "YQ==", "secretKey": "Yg=="},
    "stringData": {"secretKey": "c"},
}


def write(path: Path, *documents: Json) -> Path:
    path.write_text(yaml.safe_dump_all(documents))
    return path


def test_a_recording_and_its_secrets_may_be_in_one_file_or_in_several(tmp_path: Path) -> None:
    together = load([write(tmp_path / "all.yaml", SECRET, GOOD, {"kind": "Namespace", "apiVersion": "v1"})])
    apart = load([write(tmp_path / "a.yaml", GOOD), write(tmp_path / "b.yaml", SECRET)])
    assert together == apart
    assert (together.name, together.namespace) == ("talk", "default")
    assert together.secrets == {"bucket": {"accessKey": b"a", "secretKey": b"c"}}


def test_one_of_several_recordings_is_chosen_by_name(tmp_path: Path) -> None:
    other = {**GOOD, "metadata": {"name": "other"}}
    file = write(tmp_path / "two.yaml", GOOD, other)
    assert load([file], name="other").name == "other"
    with pytest.raises(ManifestError, match="--name: talk, other"):
        load([file])
    with pytest.raises(ManifestError, match="no CloudRecording is named 'third'; there are: talk, other"):
        load([file], name="third")


def put(path: str, value: object) -> Callable[[Json], None]:
    """Sets the field at a dotted path."""

    def change(document: Json) -> None:
        *steps, last = path.split(".")
        target: Any = document["spec"]
        for step in steps:
            target = target[int(step)] if step.isdigit() else target.setdefault(step, {})
        target[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("channel.uid", 0), "spec.channel.uid: Input should be greater than or equal to 1"),
        (put("channel.uid", 2), "spec.channel.uid: must differ"),
        (put("channel.name", "会" * 22), "spec.channel.name: must be at most 64 bytes"),
        (put("channel.room", "x"), "spec.channel.room: Extra inputs are not permitted"),
        (put("channel.streams", []), "spec.channel.streams: Tuple should have at least 1 item"),
        (
            put("channel.streams.0.urlSecretRef", {"name": "a", "key": "b"}),
            "spec.channel.streams[0]: must have exactly one",
        ),
        (
            put("channel.streams", [{"uid": 2, "url": "https://h/a", "headers": [{"name": "Referer"}]}]),
            "spec.channel.streams[0].headers[0]: must have exactly one of `value`",
        ),
        (put("channel.streams", [{"uid": 2}]), "spec.channel.streams[0]: must have exactly one of"),
        (put("channel.streams", [{"uid": 2, "url": "u"}] * 2), "spec.channel.streams[1].uid: another participant"),
        (put("recording.video.width", 321), "spec.recording.video.width: must be even"),
        (put("recording.video", {"width": 1920, "height": 1920}), "spec.recording.video: must be at most 1920 by 1080"),
        (put("recording.video.layout", "Vertical"), "spec.recording.video.maxResolutionUid: must be set"),
        (put("recording.video.maxResolutionUid", 9), "spec.recording.video.maxResolutionUid: must be the `uid`"),
        (
            put("recording.video.passthrough", {"longestSliceSeconds": 15}),
            "spec.recording.video.passthrough.longestSliceSeconds: must be more than `sliceSeconds`",
        ),
        (put("recording.outputs", ["MP4"]), "spec.recording.outputs: must have 'HLS'"),
        (put("recording.outputs", ["HLS", "HLS"]), "spec.recording.outputs: must not have the same twice"),
        (put("backup", GOOD["spec"]["storage"]), "spec.backup: must be another place than `storage`"),
        (put("storage.endpoint", None), "spec.storage: must have `endpoint` when `vendor` is 'S3'"),
        (put("storage.region", 2), "spec.storage.region: must be a region's name when `vendor` is 'S3'"),
        (put("storage.vendor", "AWS"), None),
        (
            put("storage", {"directory": {"claimName": "films"}}),
            "spec.storage.directory: is a claim of a cluster; say with -o DIRECTORY where the files go here",
        ),
        (
            put("backup", {"directory": {"claimName": "films"}}),
            "spec.backup.directory: is a claim of a cluster; leave `backup` out here, or name a bucket",
        ),
        (
            put("storage", {"ref": {"name": "films"}}),
            "spec.storage.ref: is a RecordingStorage of a cluster; write the store out here, or say with -o DIRECTORY",
        ),
        (
            put("backup", {"ref": {"name": "films"}}),
            "spec.backup.ref: is a RecordingStorage of a cluster; write the store out here, or leave `backup` out",
        ),
        (put("desiredState", "Stopped"), "spec.desiredState: is Stopped"),
    ],
)
def test_what_cannot_be_recorded_is_named_by_its_field(
    tmp_path: Path, change: Callable[[Json], None], message: str | None
) -> None:
    document = copy.deepcopy(GOOD)
    change(document)
    file = write(tmp_path / "wrong.yaml", document)
    if message is None:
        load([file])
        return
    with pytest.raises(ManifestError) as refused:
        load([file])
    assert any(line.startswith(message) for line in str(refused.value).splitlines()), str(refused.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("a: [", "is no YAML", id="no YAML"),
        pytest.param("just a text", "no Kubernetes object", id="no object"),
        pytest.param("", "no CloudRecording in the files", id="nothing"),
        pytest.param("kind: CloudRecording\napiVersion: v1", "apiVersion: must be", id="another version"),
    ],
)
def test_a_file_that_is_no_manifest_is_refused_in_words(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "file.yaml"
    file.write_text(content)
    with pytest.raises(ManifestError, match=message):
        load([file])


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"missing\.yaml: No such file"):
        load([tmp_path / "missing.yaml"])


@pytest.mark.parametrize(
    ("outcome", "joined", "slices", "status"),
    [
        (Outcome.UPLOADED, True, 1, 0),
        (Outcome.BACKED_UP, True, 1, 0),
        (Outcome.DRAINED, True, 1, 0),
        (Outcome.UPLOADED, False, 0, 3),
        (Outcome.DRAINED, True, 0, 3),
        (Outcome.IDLE, True, 1, 0),
        (Outcome.IDLE, False, 0, 3),
        (Outcome.FATAL, True, 1, 4),
        (Outcome.INCOMPLETE, True, 1, 5),
        (Outcome.DISCARDED, True, 1, 5),
    ],
)
def test_the_exit_status_tells_the_outcome(outcome: Outcome, slices: int, status: int, *, joined: bool) -> None:
    amounts = Amounts(written=slices, uploaded=slices)
    summary = Summary(recording_id="0" * 32, part=0, outcome=outcome, somebody_joined=joined, slices=amounts)
    assert exit_status_of(summary)[0] == status
