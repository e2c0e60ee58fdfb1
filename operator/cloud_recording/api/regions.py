# SPDX-License-Identifier: Apache-2.0
"""The recorder SDK's storage regions: the number of each name, per vendor."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from cloud_recording.api.storage import StorageVendor

REGIONS: Final[Mapping[StorageVendor, tuple[str, ...]]] = MappingProxyType(
    {
        StorageVendor.QINIU: ("east-china", "north-china", "south-china", "north-america"),
        StorageVendor.AWS: (
            "us-east-1",
            "us-east-2",
            "us-west-1",
            "us-west-2",
            "eu-west-1",
            "eu-west-2",
            "eu-west-3",
            "eu-central-1",
            "ap-southeast-1",
            "ap-southeast-2",
            "ap-northeast-1",
            "ap-northeast-2",
            "sa-east-1",
            "ca-central-1",
            "ap-south-1",
            "cn-north-1",
            "cn-northwest-1",
            "us-gov-west-1",
        ),
        StorageVendor.ALIYUN: (
            "hangzhou",
            "shanghai",
            "qingdao",
            "beijing",
            "zhangjiakou",
            "huhehaote",
            "shenzhen",
            "hongkong",
            "us-west-1",
            "us-east-1",
            "ap-southeast-1",
            "ap-southeast-2",
            "ap-southeast-3",
            "ap-southeast-5",
            "ap-northeast-1",
            "ap-south-1",
            "eu-central-1",
            "eu-west-1",
        ),
    }
)
"""In the order of the SDK's numbers, from 0."""


def region_name(vendor: StorageVendor, region: int | str) -> str:
    """The name of a region given by name or by the SDK's number."""
    if isinstance(region, str):
        return region
    return REGIONS[vendor][region]


def region_number(vendor: StorageVendor, region: int | str) -> int | None:
    """The SDK's number of a region, or None for a region that the SDK has no number for."""
    if isinstance(region, int):
        return region
    names = REGIONS.get(vendor, ())
    return names.index(region) if region in names else None
