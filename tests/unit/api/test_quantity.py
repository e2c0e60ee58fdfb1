# SPDX-License-Identifier: Apache-2.0
"""Quantities mean what Kubernetes takes them for."""

from __future__ import annotations

import pytest

from cloud_recording.api.quantity import whole
from cloud_recording.api.work_volume import EmptyDirWork


@pytest.mark.parametrize(
    ("quantity", "number"),
    [
        ("0", 0),
        ("1048576", 1048576),
        ("4Gi", 4 * 1024**3),
        ("1.5Gi", 3 * 1024**3 // 2),
        ("64Mi", 64 * 1024**2),
        ("1k", 1000),
        ("2G", 2 * 1000**3),
        ("1E", 10**18),
        ("1e3", 1000),
        ("12E2", 1200),
        (".5Ki", 512),
        ("1m", 1),
        ("1500m", 2),
    ],
)
def test_a_quantity_is_a_number_rounded_up(quantity: str, number: int) -> None:
    assert whole(quantity) == number


@pytest.mark.parametrize("text", ["", "Gi", "4 Gi", "4gi", "4GiB", "1e", "lots", "NaN", "inf"])
def test_what_is_no_quantity_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="is no quantity"):
        whole(text)


def test_the_default_work_volume_has_a_limit_in_bytes() -> None:
    assert EmptyDirWork().size_limit_bytes == 2 * 1024**3
