# SPDX-License-Identifier: Apache-2.0
"""The library and its test programs, built once, and real servers for them to talk to."""

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.livekit import LiveKitServer, livekit_library, livekit_server
from tests.support.participants import participant
from tests.support.parts import record_parts
from tests.support.recorder import REPOSITORY, Recorder, recorder
from tests.support.rtmp import RtmpServer, rtmp_server
from tests.support.s3 import Bucket, S3Server, s3_server

LIBRARY = REPOSITORY / "build" / "lib" / "libagora-cloud-recording-client.so"
BUILD_SECONDS = 3600

Configuration = dict[str, Any]


@pytest.fixture(scope="session")
def built() -> Path:
    """The library, with the programs that use it beside."""
    subprocess.run(["make", "-C", str(REPOSITORY / "native"), "programs"], check=True, timeout=BUILD_SECONDS)
    return LIBRARY


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[S3Server]:
    with s3_server(tmp_path / "s3") as server:
        yield server


@pytest.fixture
def bucket(s3: S3Server) -> Bucket:
    return s3.bucket("films")


@pytest.fixture(scope="session")
def rtmp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RtmpServer]:
    with rtmp_server(tmp_path_factory.mktemp("rtmp")) as server:
        yield server


@pytest.fixture
def alice(rtmp: RtmpServer, tmp_path: Path) -> Iterator[str]:
    """The URL of somebody who is in the channel for the whole test."""
    url = rtmp.url(f"alice-{tmp_path.name}")
    with participant(url, log=tmp_path / "alice.log"):
        yield url


@pytest.fixture(scope="session")
def parts_of_room(built: Path, rtmp: RtmpServer, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: ARG001
    """What recorders left of three parts of one recording. To be copied."""
    return record_parts(rtmp.url("alice-of-parts"), tmp_path_factory.mktemp("parts"))


@pytest.fixture
def livekit_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recorders find the client library that joins rooms."""
    monkeypatch.setenv("CLOUD_RECORDING_LIVEKIT_LIBRARY", str(livekit_library()))


@pytest.fixture
def livekit(tmp_path: Path) -> Iterator[LiveKitServer]:
    with livekit_server(tmp_path / "livekit") as running:
        yield running


@pytest.fixture
def configuration(s3: S3Server, tmp_path: Path) -> Callable[..., Configuration]:
    """Makes the document of a channel with these URLs, participants 1, 2, …; further fields as given."""

    def make(*urls: str, **fields: Any) -> Configuration:
        streams = [{"uid": uid, "url": url} for uid, url in enumerate(urls, start=1)]
        storage = {"endpoint": s3.endpoint, **fields.pop("storage", {})}
        return {
            "workDir": str(tmp_path / "work"),
            "sliceSeconds": 4,
            "storage": storage,
            "channels": [{"streams": streams}],
            **fields,
        }

    return make


@pytest.fixture
def record(built: Path, tmp_path: Path) -> Callable[..., contextlib.AbstractContextManager[Recorder]]:  # noqa: ARG001
    """Starts a recorder of a configuration; options are those of the program without their dashes."""

    def start(
        configuration: Configuration,
        *,
        keys: tuple[str, str] | None = None,
        prepare: Callable[[], None] | None = None,
        **options: str,
    ) -> contextlib.AbstractContextManager[Recorder]:
        dashed = {f"--{name}": value for name, value in {"bucket": "films", **options}.items()}
        given = {} if keys is None else {"keys": keys}
        return recorder(configuration, directory=tmp_path, options=dashed, prepare=prepare, **given)

    return start
