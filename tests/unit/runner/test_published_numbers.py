# SPDX-License-Identifier: Apache-2.0
"""Every number that crosses the C border is the header's, and every callback of the header has its name here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum
from pathlib import Path

import pytest

from cloud_recording.api.channel import ChannelType
from cloud_recording.api.media import AudioProfile, Layout, StreamKinds, VideoStream
from cloud_recording.api.storage import StorageVendor
from cloud_recording.common.error_codes import RecordingErrorCode
from cloud_recording.runner.recorder.engine import CallbackType, StartParameters
from cloud_recording.runner.recorder.engine_callbacks import CALLBACK_NAMES
from cloud_recording.runner.supervisor.published_numbers import UNENCRYPTED, number_of

NATIVE = Path(__file__).resolve().parents[3] / "native"
HEADER = (NATIVE / "include" / "IAgoraCloudRecording.h").read_text(encoding="utf-8")
CONVERSION = (NATIVE / "abi" / "shim" / "recorder.cpp").read_text(encoding="utf-8")
SHIM = (NATIVE / "abi" / "shim" / "shim.h").read_text(encoding="utf-8")


def numbers(enumeration: str, *, text: str = HEADER, prefix: str) -> dict[str, int]:
    """The header's enumeration, without what its names have in common; the header's own case varies."""
    body = re.search(rf"enum {enumeration} {{(.*?)}};", text, re.DOTALL)
    assert body is not None
    found = re.findall(r"(\w+) = (\d+)", body[1])
    assert all(name.lower().startswith(prefix.lower()) for name, _ in found)
    return {name[len(prefix) :].lower(): int(number) for name, number in found}


def test_the_shim_lets_through_every_number_that_the_header_has() -> None:
    limits = re.findall(r"within\(start\.(\w+), sdk::(\w+),", CONVERSION)
    enumerations = re.findall(r"enum \w+ {(.*?)};", HEADER, re.DOTALL)
    last = {body.rpartition(" = ")[0].rpartition(" ")[2] for body in enumerations}
    assert {field for field, _ in limits} >= {"layout", "vendor", "stream_types"}
    cut_off = {field: name for field, name in limits if name not in last}
    assert not cut_off, "there are numbers after these, which pods would refuse"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (AudioProfile, numbers("AudioProfile", prefix="kAudioProfile")),
        (VideoStream, numbers("VideoStreamType", prefix="kVideoStreamType")),
        (StreamKinds, numbers("RecordingStreamType", prefix="kStreamType")),
        (Layout, numbers("MixedVideoLayoutType", prefix="kMixedVideoLayoutType")),
        (ChannelType, numbers("ChannelType", prefix="kChannelType")),
    ],
)
def test_the_words_of_the_api_have_the_header_s_numbers(words: type[Enum], expected: Mapping[str, int]) -> None:
    found = {word.value.lower(): number_of(word) for word in words}  # type: ignore[arg-type]
    assert found == expected


def test_vendors_have_the_header_s_numbers_and_one_s_own_server_that_of_aws() -> None:
    known = {vendor.value.lower(): number_of(vendor) for vendor in StorageVendor}
    beyond = {known.pop(name) for name in ("s3", "googlecloudstorage", "azureblobstorage")}
    assert beyond == {known["aws"]}
    assert known == numbers("CloudStorageVendor", prefix="kCloudStorageVendor")


def test_no_encryption_has_the_header_s_number() -> None:
    assert numbers("DecryptionMode", prefix="kMode")["none"] == UNENCRYPTED


def test_error_codes_are_the_header_s() -> None:
    found = {code.name.replace("_", "").lower(): code.value for code in RecordingErrorCode}
    assert found == numbers("RecordingErrorCode", prefix="kRecordingError")


def test_callbacks_are_those_of_the_shim_and_of_the_header() -> None:
    shim = numbers("shim_event_type", text=SHIM, prefix="SHIM_")
    assert {kind.name.lower(): kind.value for kind in CallbackType} == shim
    observer = re.findall(r"virtual void On(\w+)\([^)]*\) = 0", HEADER)
    assert [CALLBACK_NAMES[kind] for kind in CallbackType] == observer


def test_a_start_has_every_argument_that_the_shim_takes_in_its_order() -> None:
    body = re.search(r"typedef struct shim_start {(.*?)} shim_start;", SHIM, re.DOTALL)
    assert body is not None
    declared = re.findall(r"(\w+);", re.sub(r"/\*.*?\*/", "", body[1], flags=re.DOTALL))
    assert declared == ["struct_size", *StartParameters.__dataclass_fields__]
