# SPDX-License-Identifier: Apache-2.0
"""`cloud-recording merge` in the files of its pod, with the real library and a real store."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from cloud_recording.api.settings import OperatorSettings
from cloud_recording.api.status import Amounts, Merge, MergeState, PartState
from cloud_recording.api.wire import MergeAnswer
from cloud_recording.domain import merged_mp4
from cloud_recording.domain.merge_pod import build_merge_pod
from cloud_recording.domain.names import STORAGE_PATH
from tests.cluster.layout import REPOSITORY
from tests.support.forward_proxy import forward_proxy
from tests.support.media import duration, packets
from tests.support.s3 import ACCESS_KEY, SECRET_KEY, Bucket, S3Server, s3_server
from tests.unit.domain.builders import NOW, UID, a_part, a_recording

Json = dict[str, Any]

LIBRARY = REPOSITORY / "build" / "lib" / "libagora-cloud-recording-client.so"
SECONDS = 180
DOCUMENTS = {"recording.json": "cloudrecording.dev/recording", "desired.json": "cloudrecording.dev/desired"}
SETTINGS = OperatorSettings.model_validate(
    {
        "runner": {"image": "cloud-recording:test"},
        "callbacks": {"url": "https://operator.test:8443", "caSecretName": "callback-ca"},
        "leaderElection": {"leaseName": "cloud-recording"},
        "engines": {"default": str(LIBRARY)},
    }
)
STEM = f"{UID.replace('-', '')}_room-1"
MERGED = f"{STEM}_merged.m3u8"


@pytest.fixture
def s3(tmp_path: Path) -> Iterator[S3Server]:
    with s3_server(tmp_path / "s3") as server:
        yield server


@pytest.fixture
def bucket(s3: S3Server) -> Bucket:
    return s3.bucket("films")


def playlist(prefix: str, minute: int) -> str:
    """A part's playlist of one slice."""
    return (
        "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-ALLOW-CACHE:YES\n#EXT-X-TARGETDURATION:15\n"
        f"#EXT-X-PROGRAM-DATE-TIME:2026-05-04T12:00:0{minute}.000Z\n#EXTINF:15.000000,\n"
        f"{prefix}{STEM}_2026050412000{minute}000.ts\n#EXT-X-ENDLIST\n"
    )


PARTS = {f"{prefix}{STEM}.m3u8": playlist(prefix, minute) for minute, prefix in enumerate(("", "bak0_"))}
SLICES = [line for text in PARTS.values() for line in text.splitlines() if line.endswith(".ts")]
FILES = PARTS | dict.fromkeys(SLICES, "what was recorded")


def lay_out(at: Path, storage: Json, **options: Any) -> None:
    """Lays the files of the pod out that merges a recording of two parts; only the store's Secret is there."""
    done = {"state": PartState.CONCLUDED, "engine_extended": True, "slices": Amounts(written=1, uploaded=1)}
    parts = [a_part(number, playlist=name, **done) for number, name in enumerate(PARTS)]
    streams = [{"uid": 1, "urlSecretRef": {"name": "gone", "key": "url"}}]
    channel = {"name": "room-1", "uid": 1000, "streams": streams}
    recording = a_recording().spec(storage=storage, channel=channel, recording=options).parts(*parts).build()
    seconds = merged_mp4.seconds(recording.spec, recording.status)
    merge = Merge(state=MergeState.MERGING, newest_part=1, pods=1, pod="merge", begin_time=NOW, mp4_seconds=seconds)
    template = {"metadata": {"name": "t", "uid": "u"}}
    annotations = build_merge_pod(recording, merge, SETTINGS, template=template)["metadata"]["annotations"]
    for name in ("pod", "work", "secrets/keys"):
        (at / name).mkdir(parents=True)
    for file, annotation in DOCUMENTS.items():
        (at / "pod" / file).write_text(annotations[annotation])
    (at / "secrets/keys/accessKey").write_text(ACCESS_KEY)
    (at / "secrets/keys/secretKey").write_text(SECRET_KEY)


def merged(at: Path) -> MergeAnswer:
    """Runs the pod's process and returns its termination message."""
    message = at / "message"
    command = [sys.executable, "-m", "cloud_recording", "merge", f"--pod-directory={at / 'pod'}"]
    places = [f"--secrets-directory={at / 'secrets'}", f"--work-directory={at / 'work'}"]
    subprocess.run([*command, *places, f"--termination-message={message}"], check=True, timeout=SECONDS)
    return MergeAnswer.model_validate_json(message.read_bytes())


def put(bucket: Bucket, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        bucket.client.put_object(Bucket=bucket.name, Key=name, Body=text.encode())


def of_bucket(bucket: Bucket) -> Json:
    keys = {"secretRef": {"name": "keys"}}
    return {"vendor": "S3", "bucket": bucket.name, "endpoint": bucket.server.endpoint, "credentials": keys}


def test_parts_in_a_bucket_become_one_though_the_channels_secrets_are_gone(bucket: Bucket, tmp_path: Path) -> None:
    put(bucket, FILES)
    lay_out(tmp_path / "pod", of_bucket(bucket))
    answer = merged(tmp_path / "pod")
    assert (answer.playlist, answer.slices, answer.cause) == (MERGED, 2, "")
    lines = bucket.read(MERGED).decode().splitlines()
    assert [line for line in lines if line.endswith(".ts")] == SLICES
    assert lines.count("#EXT-X-DISCONTINUITY") == 1
    assert answer.manifest is not None
    manifest = json.loads(bucket.read(answer.manifest))
    assert [part["filePrefix"] for part in manifest["parts"]] == ["", "bak0_"]


def test_parts_of_a_store_behind_a_proxy_become_one_through_it(bucket: Bucket, tmp_path: Path) -> None:
    put(bucket, FILES)
    with forward_proxy(store=bucket.server.port) as proxy:
        lay_out(tmp_path / "pod", of_bucket(bucket) | {"endpoint": "http://store.invalid", "proxyURL": proxy.url})
        answer = merged(tmp_path / "pod")
        assert (answer.playlist, answer.slices, answer.cause) == (MERGED, 2, "")
        assert {passed.split()[0] for passed in proxy.passed} >= {"GET", "PUT"}


def test_parts_become_one_mp4_too_where_the_recording_is_to_have_one(bucket: Bucket, tmp_path: Path) -> None:
    """Promise: of the slices in the store; one that is gone is named, and the playlist is there all the same."""
    put(bucket, PARTS)
    media = ["-f", "lavfi", "-i", "testsrc=size=64x64:rate=5:duration=15", "-f", "lavfi", "-i", "sine=duration=15"]
    coded = ["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", "-f", "mpegts", "-"]
    content = subprocess.run(["ffmpeg", "-v", "error", *media, *coded], capture_output=True, check=True).stdout
    bucket.client.put_object(Bucket=bucket.name, Key=SLICES[0], Body=content)
    at = tmp_path / "pod"
    lay_out(at, of_bucket(bucket), outputs=["HLS", "MP4"])
    answer = merged(at)
    assert (answer.playlist, answer.mp4) == (MERGED, None)
    assert answer.mp4_missing == f"{SLICES[1]} is not where it was stored any more"
    bucket.client.put_object(Bucket=bucket.name, Key=SLICES[1], Body=content)
    answer = merged(at)
    assert (answer.playlist, answer.mp4, answer.mp4_missing) == (MERGED, f"{STEM}_merged.mp4", None)
    film = tmp_path / "film.mp4"
    film.write_bytes(bucket.read(answer.mp4 or ""))
    assert duration(film) == pytest.approx(30, abs=0.2)
    assert len(packets(film, "video")) == 2 * 75
    assert not list((at / "work").glob("*_merged"))


def test_parts_in_a_directory_become_one(tmp_path: Path) -> None:
    films = tmp_path / "films"
    (films / "2026").mkdir(parents=True)
    for name, text in FILES.items():
        (films / "2026" / name).write_text(text)
    at = tmp_path / "pod"
    lay_out(at, {"directory": {"claimName": "films"}, "prefix": "2026"})
    document = at / "pod" / "recording.json"
    document.write_text(document.read_text().replace(f'"{STORAGE_PATH}"', json.dumps(str(films))))
    assert merged(at).playlist == MERGED
    assert (films / "2026" / MERGED).read_text().endswith("#EXT-X-ENDLIST\n")


def test_why_there_is_none_is_a_reason_of_the_status_and_the_librarys_sentence(bucket: Bucket, tmp_path: Path) -> None:
    """Promise: the object that is not there is named; a key that may only put is told as that."""
    lay_out(tmp_path / "pod", of_bucket(bucket))
    answer = merged(tmp_path / "pod")
    assert (answer.playlist, answer.cause) == (None, "StoredFileGone")
    assert f"{STEM}.m3u8" in answer.message
    bucket.client.put_object(Bucket=bucket.name, Key=f"{STEM}.m3u8", Body=b"<html>")
    access, secret = bucket.key_that_only_puts()
    (tmp_path / "pod/secrets/keys/accessKey").write_text(access)
    (tmp_path / "pod/secrets/keys/secretKey").write_text(secret)
    answer = merged(tmp_path / "pod")
    assert (answer.cause, "s3:GetObject" in answer.message) == ("NoReadRight", True)
    (tmp_path / "pod/secrets/keys/secretKey").unlink()
    answer = merged(tmp_path / "pod")
    assert (answer.cause, "'secretKey'" in answer.message) == ("WaitingForSecret", True)
