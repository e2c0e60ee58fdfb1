# SPDX-License-Identifier: Apache-2.0
"""The fixtures of the native tests, with MinIO as the S3 server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.native.conftest import alice, bucket, built, configuration, record, rtmp
from tests.support.minio import MinioServer
from tests.support.s3 import running

__all__ = ["alice", "bucket", "built", "configuration", "record", "rtmp"]


@pytest.fixture
def settings() -> dict[str, str]:
    """Variables that the server is configured with; a test that wants others overrides it."""
    return {}


@pytest.fixture
def s3(tmp_path: Path, settings: dict[str, str]) -> Iterator[MinioServer]:
    with running(MinioServer(tmp_path / "s3", settings=settings)) as server:
        yield server
