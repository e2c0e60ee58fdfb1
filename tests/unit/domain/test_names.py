# SPDX-License-Identifier: Apache-2.0
"""Names are deterministic, legal, and never shared by two parts or two recordings."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloud_recording.api.storage import Storage
from cloud_recording.domain import names

DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
OBJECT_NAME = st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", fullmatch=True)


@given(recording=OBJECT_NAME, uid=st.uuids().map(str), part=st.integers(0, 999_999))
def test_a_pod_name_is_a_dns_label_that_tells_part_and_recording(recording: str, uid: str, part: int) -> None:
    name = names.pod_name(recording=recording, uid=uid, part=part)
    assert len(name) <= 63
    assert DNS_LABEL.fullmatch(name)
    assert name.endswith(f"-p{part}")
    assert name == names.pod_name(recording=recording, uid=uid, part=part)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(("a", "u1", 0), ("a", "u1", 1), id="parts of one recording"),
        pytest.param(("a", "u1", 0), ("a", "u2", 0), id="recordings of one name, one after the other"),
        pytest.param(("x" * 80 + "1", "u1", 0), ("x" * 80 + "2", "u2", 0), id="long names with the same beginning"),
        pytest.param(("a.b", "u1", 0), ("a-b", "u2", 0), id="names that differ by a dot"),
    ],
)
def test_no_two_pods_share_a_name(one: tuple[str, str, int], other: tuple[str, str, int]) -> None:
    first, second = (names.pod_name(recording=name, uid=uid, part=part) for name, uid, part in (one, other))
    assert first != second


def test_later_parts_prefix_their_files_as_the_service_did() -> None:
    assert [names.file_prefix(part) for part in range(3)] == ["", "bak0_", "bak1_"]


def test_the_recording_id_is_the_uid_without_dashes() -> None:
    assert names.recording_id("11111111-2222-3333-4444-555555555ABC") == "11111111222233334444555555555abc"


@pytest.mark.parametrize(
    ("store", "labels"),
    [
        ({"vendor": "AWS", "region": "eu-west-1"}, {"cloudrecording.dev/pod-identity"}),
        (
            {"vendor": "AzureBlobStorage", "account": "examplefilms"},
            {"cloudrecording.dev/pod-identity", "azure.workload.identity/use"},
        ),
        ({"vendor": "GoogleCloudStorage"}, {"cloudrecording.dev/pod-identity", "cloudrecording.dev/google-identity"}),
    ],
    ids=["AWS", "Azure", "Google"],
)
def test_a_pod_is_labelled_for_who_gives_it_its_identity(store: dict[str, str], labels: set[str]) -> None:
    """Promise: Azure's webhook, which goes by its label, gives nothing to pods that open their store otherwise."""
    by_account = Storage.model_validate({**store, "bucket": "films", "serviceAccountName": "recorder"})
    assert names.identity_labels(by_account, None) == dict.fromkeys(labels, "true")
    azure = {"vendor": "AzureBlobStorage", "account": "examplefilms", "bucket": "films"}
    key = {"credentials": {"accountKeySecretRef": {"name": "account", "key": "key"}}}
    assert names.identity_labels(Storage.model_validate({**azure, **key})) == {}
