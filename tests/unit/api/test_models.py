# SPDX-License-Identifier: Apache-2.0
"""The models hold what the resources promise: strict where people write, tolerant where programs did."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import ValidationError

from cloud_recording.api.base import camel_case
from cloud_recording.api.error_facts import ERRORS, error_facts
from cloud_recording.api.reasons import CONDITIONS, REASONS, ConditionType, Reason
from cloud_recording.api.recording import CloudRecording, CloudRecordingSpec
from cloud_recording.api.regions import REGIONS, region_name, region_number
from cloud_recording.api.settings import OperatorSettings
from cloud_recording.api.storage import Addressing, Storage, StorageVendor
from cloud_recording.common.error_codes import RecordingErrorCode
from tests.cluster.layout import REPOSITORY

SPEC: dict[str, Any] = {
    "channel": {"name": "room-1", "uid": 1000, "streams": [{"uid": 1, "url": "rtmp://media.example.com/live/1"}]},
    "storage": {
        "endpoint": "https://s3.example.com",
        "bucket": "recordings",
        "credentials": {"secretRef": {"name": "bucket-credentials"}},
    },
}
METADATA = {"name": "r", "namespace": "n", "uid": "u", "creationTimestamp": "2026-01-02T03:04:05Z"}


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        ("url", "url"),
        ("url_secret_ref", "urlSecretRef"),
        ("playlist_url", "playlistURL"),
        ("callback_url", "callbackURL"),
        ("pod_uid", "podUID"),
        ("max_resolution_uid", "maxResolutionUid"),
        ("ttl_seconds_after_finished", "ttlSecondsAfterFinished"),
    ],
)
def test_acronyms_keep_one_case(name: str, spelled: str) -> None:
    assert camel_case(name) == spelled


def test_an_unknown_field_of_a_spec_is_an_error() -> None:
    with pytest.raises(ValidationError, match="desired"):
        CloudRecordingSpec.model_validate(SPEC | {"desired": "Recording"})


def test_what_a_newer_release_wrote_into_a_status_is_kept_and_unknown_metadata_is_left_out() -> None:
    condition = {"type": "Sparkling", "status": "Perhaps", "observedGeneration": 1, "reason": "Bubbles", "message": ""}
    newer = {
        "phase": "Running",
        "conditions": [{**condition, "lastTransitionTime": "2026-05-04T12:00:00Z"}],
        "parts": [
            {"number": 0, "pod": "p", "state": "Fermenting", "outcome": "Wine", "reason": "Bubbles", "vintage": 7}
        ],
    }
    body = {"metadata": METADATA | {"selfLink": "x"}, "spec": SPEC, "status": newer}
    recording = CloudRecording.model_validate(body)
    assert recording.status.model_dump(mode="json", by_alias=True, exclude_unset=True) == newer
    assert not hasattr(recording.metadata, "selfLink")
    assert not recording.status.parts[0].state.known


def test_a_spec_reads_as_it_was_written() -> None:
    spec = CloudRecordingSpec.model_validate(SPEC)
    assert CloudRecordingSpec.model_validate(spec.model_dump(mode="json", by_alias=True, exclude_none=True)) == spec


def test_models_do_not_change() -> None:
    spec = CloudRecordingSpec.model_validate(SPEC)
    with pytest.raises(ValidationError, match="frozen"):
        spec.upload_grace_seconds = 1  # type: ignore[misc]


def test_every_reason_and_condition_is_explained() -> None:
    assert set(REASONS) == set(Reason)
    assert set(CONDITIONS) == set(ConditionType)
    assert all(facts.meaning.endswith(".") for facts in REASONS.values())


def test_every_error_code_has_a_reason_and_a_way_out() -> None:
    assert set(ERRORS) == set(RecordingErrorCode) - {RecordingErrorCode.OK}
    assert len({facts.reason for facts in ERRORS.values()}) == len(ERRORS)
    assert all(facts.meaning and facts.remedy.text for facts in ERRORS.values())


@pytest.mark.parametrize("code", [0, 1, 443, -5])
def test_a_code_that_the_interface_does_not_define_is_a_general_error(code: int) -> None:
    assert error_facts(code).reason is Reason.GENERAL_ERROR


@pytest.mark.parametrize(
    ("vendor", "number", "name"),
    [
        (StorageVendor.QINIU, 3, "north-america"),
        (StorageVendor.AWS, 17, "us-gov-west-1"),
        (StorageVendor.ALIYUN, 17, "eu-west-1"),
    ],
)
def test_the_last_region_of_each_vendor_is_where_the_sdk_has_it(vendor: StorageVendor, number: int, name: str) -> None:
    """The tables are lists, so an entry too many or too few anywhere would move the last."""
    assert len(REGIONS[vendor]) == number + 1
    assert region_name(vendor, number) == name
    assert region_number(vendor, name) == number


def test_operator_and_library_number_the_regions_alike() -> None:
    """The library's table also keeps a retired region at its end, which the API no longer takes."""
    source = (REPOSITORY / "native" / "core" / "src" / "storage" / "vendor.rs").read_text(encoding="utf-8")
    for vendor, names in REGIONS.items():
        table = source.split(f"const {vendor.value.upper()}: &[")[1].split("= &[")[1].split("];")[0]
        assert tuple(re.findall(r'\("([a-z0-9-]+)", ', table))[: len(names)] == names


def test_a_region_that_the_sdk_has_no_number_for_is_taken_by_name() -> None:
    assert region_name(StorageVendor.AWS, "eu-north-1") == "eu-north-1"
    assert region_number(StorageVendor.AWS, "eu-north-1") is None
    assert region_number(StorageVendor.S3, "anywhere") is None


def test_the_vendor_decides_the_addressing_unless_the_spec_does() -> None:
    storage = Storage.model_validate(SPEC["storage"])
    assert storage.effective_addressing is Addressing.PATH
    aws = Storage.model_validate(SPEC["storage"] | {"vendor": "AWS"})
    assert aws.effective_addressing is Addressing.VIRTUAL_HOSTED
    chosen = Storage.model_validate(SPEC["storage"] | {"addressing": "VirtualHosted"})
    assert chosen.effective_addressing is Addressing.VIRTUAL_HOSTED


def test_settings_name_the_field_that_is_wrong() -> None:
    wrong = {"runner": {"image": "x", "imagePullPolicy": "Sometimes"}, "callbacks": {"url": "http://x"}}
    with pytest.raises(ValidationError) as refused:
        OperatorSettings.model_validate(wrong)
    named = {".".join(map(str, error["loc"])) for error in refused.value.errors()}
    assert {"runner.imagePullPolicy", "callbacks.url", "callbacks.caSecretName", "leaderElection"} <= named
