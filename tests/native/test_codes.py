# SPDX-License-Identifier: Apache-2.0
"""Each error code of the interface comes from something that really goes wrong, by the way that the code has."""

import contextlib
import json
import re
import resource
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cloud_recording.runner.recorder.engine import Engine, EngineError
from tests.support.participants import participant
from tests.support.recorder import REPOSITORY, Recorder
from tests.support.rtmp import RtmpServer, rtmp_server
from tests.support.s3 import ACCESS_KEY, SECRET_KEY, Bucket

HEADER = REPOSITORY / "native" / "include" / "IAgoraCloudRecording.h"
CODES = {
    int(number): name
    for name, number in re.findall(r"kRecordingError(\w+) = (\d+)", HEADER.read_text(encoding="utf-8"))
    if name != "Ok"
}
RECORDING_ID = "0123456789abcdef0123456789abcdef"
NOBODY_LISTENS = "http://127.0.0.1:9"
# The program's standard streams, its log and its journal; the next descriptors are those that a thread waits with.
FEW_DESCRIPTORS = 6

Make = Callable[..., Any]


@dataclass(frozen=True)
class Scene:
    """A channel with somebody in it, a bucket, and how recorders of them are made."""

    alice: str
    rtmp: RtmpServer
    bucket: Bucket
    configuration: Make
    record: Make
    directory: Path
    library: Path

    def recorder(self, *urls: str, **fields: Any) -> contextlib.AbstractContextManager[Recorder]:
        prepare, options = fields.pop("prepare", None), fields.pop("options", {})
        configuration = self.configuration(*(urls or [self.alice]), **fields)
        started: contextlib.AbstractContextManager[Recorder] = self.record(configuration, prepare=prepare, **options)
        return started

    def ended(self, *urls: str, **fields: Any) -> Recorder:
        """A recorder that ends by itself."""
        with self.recorder(*urls, **fields) as recorder:
            recorder.wait()
            return recorder

    def heard(self, line: str, *urls: str, **fields: Any) -> Recorder:
        """A recorder that is killed as soon as it has said this."""
        with self.recorder(*urls, **fields) as recorder:
            recorder.await_line(line)
            return recorder


def _connect_error(scene: Scene) -> Recorder:
    return scene.ended(scene.rtmp.url("secret", application="locked"))


def _disconnected(scene: Scene) -> Recorder:
    with contextlib.ExitStack() as life:
        server = life.enter_context(rtmp_server(scene.directory / "mortal"))
        bob = server.url("bob")
        with participant(bob, log=scene.directory / "bob.log"), scene.recorder(bob, reconnectSeconds=1) as recorder:
            recorder.await_line("started")
            life.close()
            recorder.await_line("recorder-failure")
            return recorder


def _invalid_parameter(scene: Scene) -> Recorder:
    return scene.ended(options={"uid": "0"})


def _no_users(scene: Scene) -> Recorder:
    return scene.ended(scene.rtmp.url("nobody"), options={"idle": "5"})


def _no_recorded_data(scene: Scene) -> Recorder:
    with scene.recorder(scene.rtmp.url("nobody")) as recorder:
        recorder.await_line("connecting")
        recorder.stop()
        recorder.wait()
        return recorder


def _recorder_init(scene: Scene) -> Recorder:
    (scene.directory / "file").write_text("no directory")
    return scene.ended(workDir=str(scene.directory / "file"))


def _recorder_failed(scene: Scene) -> Recorder:
    def limit_file_size() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    return scene.ended(sliceSeconds=20, prepare=limit_file_size)


def _uploader_init(scene: Scene) -> Recorder:
    return scene.heard("uploader-failure", storage={"caFile": "/nowhere/ca.pem"})


def _uploader_failed(scene: Scene) -> Recorder:
    return scene.heard("uploader-failure", storage={"endpoint": NOBODY_LISTENS})


def _backup_failed(scene: Scene) -> Recorder:
    keys = {"accessKey": scene.directory / "access", "secretKey": scene.directory / "secret"}
    keys["accessKey"].write_text(ACCESS_KEY)
    keys["secretKey"].write_text(SECRET_KEY)
    files = {name: str(path) for name, path in keys.items()}
    backup = {"endpoint": NOBODY_LISTENS, "bucket": "spare", "credentialFiles": files, "afterSeconds": 0}
    with scene.recorder(storage={"endpoint": NOBODY_LISTENS}, backup=backup) as recorder:
        recorder.await_line("uploader-failure", occurrence=2)
        return recorder


def _recorder_exit(scene: Scene) -> Recorder:
    scene.heard("started", recordingId=RECORDING_ID)
    return scene.heard("recorder-failure", recordingId=RECORDING_ID)


def _general_error(scene: Scene) -> Recorder:
    def limit_descriptors() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (FEW_DESCRIPTORS, FEW_DESCRIPTORS))

    return scene.ended(prepare=limit_descriptors)


TOLD: dict[str, Callable[[Scene], Recorder]] = {
    "ConnectError": _connect_error,
    "Disconnected": _disconnected,
    "InvalidParameter": _invalid_parameter,
    "NoUsers": _no_users,
    "NoRecordedData": _no_recorded_data,
    "RecorderInit": _recorder_init,
    "RecorderFailed": _recorder_failed,
    "UploaderInit": _uploader_init,
    "UploaderFailed": _uploader_failed,
    "BackupFailed": _backup_failed,
    "RecorderExit": _recorder_exit,
    "GeneralError": _general_error,
}
"""By a callback; of the codes only InvalidOperation is nothing but an answer."""


@pytest.fixture
def scene(
    alice: str, rtmp: RtmpServer, bucket: Bucket, configuration: Make, record: Make, tmp_path: Path, built: Path
) -> Scene:
    return Scene(alice, rtmp, bucket, configuration, record, tmp_path, built)


@pytest.mark.parametrize("code", CODES, ids=CODES.get)
def test_every_code_is_provoked(code: int, scene: Scene) -> None:
    """Promise: no code of the header is there in name only."""
    assert CODES[code] in {*TOLD, "InvalidOperation"}, "nothing provokes it"
    assert code in (_answer(scene) if CODES[code] == "InvalidOperation" else _told(TOLD[CODES[code]](scene)))


def _told(recorder: Recorder) -> set[int]:
    lines = (line.split() for line in recorder.lines)
    return {int(line[2]) for line in lines if line[0] in {"recorder-failure", "uploader-failure", "fatal"}}


def _answer(scene: Scene) -> set[int]:
    recorder = Engine(str(scene.library)).create_recorder(json.dumps(scene.configuration(scene.alice)))
    with pytest.raises(EngineError) as refused:
        recorder.stop()
    recorder.release(cancel=True)
    return {refused.value.code}
