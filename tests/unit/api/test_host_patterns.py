# SPDX-License-Identifier: Apache-2.0
"""An administrator's list of hosts: what it lets through, and what it does not."""

import pytest
from pydantic import ValidationError

from cloud_recording.api.host_patterns import is_listed
from cloud_recording.api.settings import AllowedSettings


@pytest.mark.parametrize(
    ("host", "pattern", "listed"),
    [
        ("s3.example.com", "*", True),
        ("10.1.2.3", "*", True),
        ("s3.example.com", "s3.example.com", True),
        ("S3.Example.com.", "s3.example.com", True),
        ("s3.example.com", "*.example.com", True),
        ("a.b.example.com", "*.Example.com", True),
        ("example.com", "*.example.com", False),
        ("evilexample.com", "*.example.com", False),
        ("s3.example.com.evil.net", "*.example.com", False),
        ("10.1.2.3", "10.0.0.0/8", True),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("::ffff:10.1.2.3", "10.0.0.0/8", True),
        ("fd00::1", "fd00::/8", True),
        ("fd00::1", "10.0.0.0/8", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3", "*.2.3", False),
        ("ten.example.com", "10.0.0.0/8", False),
        ("", "*.example.com", False),
    ],
)
def test_a_name_is_matched_by_names_and_an_address_by_addresses(host: str, pattern: str, *, listed: bool) -> None:
    assert is_listed(host, [pattern]) is listed


@pytest.mark.parametrize(
    "pattern", ["", "10.0.0.0/33", "10.1.2.3/8", "s3.*.com", "**", "https://s3.example.com", "a b"]
)
def test_a_pattern_that_means_nothing_is_refused_at_the_operators_start(pattern: str) -> None:
    with pytest.raises(ValidationError):
        AllowedSettings(endpoints=(pattern,))
