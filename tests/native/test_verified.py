# SPDX-License-Identifier: Apache-2.0
"""What is said to be in the bucket was proved by it, whatever its answers look like, and is never large in memory."""

import fcntl
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.files import Files
from tests.support.s3 import ACCESS_KEY, SECRET_KEY, Bucket, S3Server
from tests.support.s3_proxy import Headers, S3Proxy, s3_proxy
from tests.support.waiting import await_true

Make = Callable[..., Any]
RECORDING_ID = "0123456789abcdef0123456789abcdef"
STEM = f"{RECORDING_ID}_room"
NO_DIGEST = '"0123456789abcdef0123456789abcdef"'
MEGABYTE = 1 << 20
PART = 8 * MEGABYTE
"""Files up to this size are put by one request."""


@pytest.fixture
def proxy(s3: S3Server) -> Iterator[S3Proxy]:
    with s3_proxy(s3) as proxy:
        yield proxy


def _without(*names: str, **more: str) -> Callable[[str, str, Headers], None]:
    """Changes answers: without these headers, and with others, `_` for `-`."""

    def change(_method: str, _path: str, headers: Headers) -> None:
        for name in [name for name in headers if name.lower() in names]:
            del headers[name]
        headers.update({name.replace("_", "-"): value for name, value in more.items()})

    return change


@pytest.mark.parametrize("left_out", [[], ["x-amz-checksum-sha256"]], ids=["with a checksum", "without"])
def test_a_bucket_with_a_key_of_its_own_by_default_takes_each_slice_once(
    left_out: list[str], alice: str, bucket: Bucket, proxy: S3Proxy, configuration: Make, record: Make
) -> None:
    """Promise: under SSE-KMS an ETag of 32 hexadecimal digits is no MD5, though the document names no encryption."""
    proxy.change = _without(*left_out, "etag", ETag=NO_DIGEST, x_amz_server_side_encryption="aws:kms")
    with record(configuration(alice, storage={"endpoint": proxy.endpoint})) as recorder:
        bucket.await_keys(".ts", 2)
        recorder.stop()
        assert recorder.wait() == 0
    assert not [line for line in recorder.lines if line.startswith("uploader-failure")]
    puts = [asked.path for asked in proxy.puts(".ts")]
    assert len(puts) == len(set(puts))
    looks = [asked for asked in proxy.asked if asked.method == "HEAD"]
    assert bool(looks) is bool(left_out)
    Files(bucket, f"{recorder.recording_id}_room").check_manifest()


def test_what_a_store_has_got_wrong_is_put_again(
    alice: str, bucket: Bucket, proxy: S3Proxy, configuration: Make, record: Make
) -> None:
    """Promise: a checksum of something else is told, the slice stays on the volume, and is put until it is right."""
    wrong = _without("x-amz-checksum-sha256", x_amz_checksum_sha256="AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
    proxy.change = lambda method, path, headers: wrong(method, path, headers) if path.endswith(".ts") else None
    with record(configuration(alice, storage={"endpoint": proxy.endpoint})) as recorder:
        assert "did not prove" in recorder.await_line("uploader-failure")
        proxy.change = lambda *_: None
        bucket.await_key(".m3u8")
        recorder.stop()
        assert recorder.wait() == 0
    Files(bucket, f"{recorder.recording_id}_room").check_manifest()


def test_a_key_that_may_only_put_takes_the_stores_word_and_says_so(
    alice: str, bucket: Bucket, proxy: S3Proxy, configuration: Make, record: Make
) -> None:
    """Promise: where nothing can be compared and the key may not look, the manifest says so of each slice."""
    proxy.change = _without("x-amz-checksum-sha256", "etag", ETag=NO_DIGEST, x_amz_server_side_encryption="aws:kms")
    keys = bucket.key_that_only_puts()
    with record(configuration(alice, storage={"endpoint": proxy.endpoint}), keys=keys) as recorder:
        bucket.await_keys(".ts", 2)
        recorder.stop()
        assert recorder.wait() == 0
    assert recorder.callbacks()[-1].startswith("uploaded")
    files = Files(bucket, f"{recorder.recording_id}_room")
    files.check_manifest()
    slices = [file for file in files.manifest["files"] if file["name"].endswith(".ts")]
    assert [file["verified"] for file in slices] == [False] * len(slices)


def _left(
    tmp_path: Path,
    endpoint: str,
    slices: dict[str, bytes | int],
    *,
    recording_id: str = RECORDING_ID,
    closed: bool = True,
) -> Path:
    """A work directory as a process that died left it: each slice with its content, or so many random bytes."""
    directory = tmp_path / "work" / recording_id
    directory.mkdir(parents=True)
    target = {
        "endpoint": endpoint,
        "region": "us-east-1",
        "bucket": "films",
        "pathStyle": True,
        "tags": {},
    }
    begun = {
        "record": "Begun",
        "version": 1,
        "recordingId": recording_id,
        "filePrefix": "",
        "channel": "room",
        "stem": f"{recording_id}_room",
        "sliceSeconds": 60,
        "target": target,
        "participants": [],
    }
    lines = [begun]
    for index, (name, given) in enumerate(slices.items()):
        content = os.urandom(given) if isinstance(given, int) else given
        (directory / name).write_bytes(content)
        start = 1_700_000_000_000 + 60_000 * index
        lines.append({"record": "Opened", "file": name, "start": start, "discontinuity": index == 0, "tracks": []})
        if closed:
            digests = {"sha256": hashlib.sha256(content).hexdigest(), "md5": ""}
            lines.append({"record": "Closed", "file": name, "ticks": 5_400_000, "bytes": len(content), **digests})
    (directory / "index").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return directory


_RESCUE = """
import ctypes, pathlib, re, sys
reason = ctypes.create_string_buffer(4096)
code = ctypes.CDLL(sys.argv[1]).cr_rescue(sys.argv[2].encode(), reason, len(reason))
most = re.search(r"VmHWM:\\s+(\\d+) kB", pathlib.Path("/proc/self/status").read_text())
print(code, int(most[1]) // 1024, reason.value.decode(), sep="\\n")
"""


def _rescue(library: Path, tmp_path: Path, **storage: Any) -> tuple[int, int, str]:
    """Returns the code, the most memory the process had in MiB, and the reason; fields of the storage as given."""
    keys = {"accessKey": tmp_path / "access", "secretKey": tmp_path / "secret"}
    keys["accessKey"].write_text(ACCESS_KEY)
    keys["secretKey"].write_text(SECRET_KEY)
    storage = {"credentialFiles": {name: str(path) for name, path in keys.items()}, **storage}
    document = json.dumps({"workDir": str(tmp_path / "work"), "storage": storage})
    command = [sys.executable, "-c", _RESCUE, str(library), document]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout.splitlines()
    return int(told[0]), int(told[1]), "\n".join(told[2:])


def test_a_large_slice_takes_no_more_memory_than_a_small_one(built: Path, s3: S3Server, tmp_path: Path) -> None:
    """Promise: slices are streamed from the disk, to whatever length a key frame makes them wait."""
    bucket = s3.bucket("films")
    most = {}
    for size in (MEGABYTE, 200 * MEGABYTE):
        place = tmp_path / str(size)
        directory = _left(place, s3.endpoint, {f"{STEM}_20231114221320000.ts": size})
        content = next(directory.glob("*.ts")).read_bytes()
        code, most[size], _ = _rescue(built, place)
        assert code == 0
        assert bucket.read(f"{STEM}_20231114221320000.ts") == content
    assert most[200 * MEGABYTE] - most[MEGABYTE] < 64


def test_a_large_slice_of_a_dead_process_is_repaired_in_little_memory(
    built: Path, s3: S3Server, tmp_path: Path
) -> None:
    """Promise: so is what has to be cut and measured first."""
    s3.bucket("films")
    media = (built.parents[1] / "native" / "abi" / "media.ts").read_bytes()
    most = {}
    for size in (MEGABYTE, 200 * MEGABYTE):
        place = tmp_path / str(size)
        _left(place, s3.endpoint, {f"{STEM}_20231114221320000.ts": media * (size // len(media) + 1)}, closed=False)
        code, most[size], _ = _rescue(built, place)
        assert code == 0
    assert most[200 * MEGABYTE] - most[MEGABYTE] < 64


def test_a_part_that_fails_is_put_again_and_none_before_it(
    alice: str, bucket: Bucket, proxy: S3Proxy, configuration: Make, record: Make, tmp_path: Path
) -> None:
    """Promise: the upload of a large file goes on where it failed."""
    name = f"{STEM}_20231114221320000.ts"
    directory = _left(tmp_path, proxy.endpoint, {name: 5 * PART + 1})
    content = (directory / name).read_bytes()
    failures = iter([503, 503])
    proxy.refuse = lambda _method, _path, query: next(failures, None) if "partNumber=4" in query else None
    document = configuration(alice, recordingId=RECORDING_ID, storage={"endpoint": proxy.endpoint})
    with record(document) as recorder:
        assert "has trouble" in recorder.await_line("uploader-failure")
        bucket.await_key(name)
        recorder.stop()
        assert recorder.wait() == 0
    assert bucket.read(name) == content
    parts = [asked.query for asked in proxy.asked if "partNumber" in asked.query and asked.status == 200]
    assert sorted(int(query.split("partNumber=")[1].split("&")[0]) for query in parts) == [1, 2, 3, 4, 5, 6]
    Files(bucket, STEM).check_manifest()


def test_a_damaged_slice_is_set_aside_named_and_kept(built: Path, s3: S3Server, tmp_path: Path) -> None:
    """Promise: what is not what was written is in no playlist, and still gets into the bucket under its own name."""
    bucket = s3.bucket("films")
    names = [f"{STEM}_202311142{213 + index}20000.ts" for index in range(4)]
    sizes = [3000, 3000, 2 * PART, 3000]
    directory = _left(tmp_path, s3.endpoint, dict(zip(names, sizes, strict=True)))
    changed = {names[1]: b"x" * 3000, names[2]: os.urandom(2 * PART), names[3]: b"short"}
    for name, content in changed.items():
        (directory / name).write_bytes(content)
    code, _, reason = _rescue(built, tmp_path)
    assert (code, reason) == (0, "")
    files = Files(bucket, STEM)
    assert [piece.name for piece in files.slices] == names[:1]
    damaged = {entry["slice"]: entry for entry in files.manifest["damaged"]}
    assert set(damaged) == set(changed)
    for name, content in changed.items():
        assert damaged[name]["name"] == name.replace(".ts", "_bad.ts")
        assert damaged[name]["sha256"] == hashlib.sha256(content).hexdigest()
        assert bucket.read(damaged[name]["name"]) == content
    assert set(files.reasons()) == {"FileDamaged"}
    files.check_manifest()
    assert not list(directory.glob("*.ts"))


def test_a_rescue_goes_on_after_what_it_cannot_rescue_and_tells_of_each(
    built: Path, s3: S3Server, tmp_path: Path
) -> None:
    """Promise: a directory that is damaged, or that another recorder has, costs no other recording its rescue."""
    bucket = s3.bucket("films")
    ids = [digit * 32 for digit in "1234"]
    directories = [
        _left(tmp_path, s3.endpoint, {f"{recording_id}_room_20231114221320000.ts": 3000}, recording_id=recording_id)
        for recording_id in ids
    ]
    damaged, locked, *good = directories
    with (damaged / "index").open("a") as journal:
        journal.write("nonsense\n")
    with (locked / "index").open("r+") as journal:
        fcntl.flock(journal, fcntl.LOCK_EX)
        code, _, reason = _rescue(built, tmp_path)
    assert code == 436
    reasons = sorted(reason.splitlines())
    assert len(reasons) == 2
    assert reasons[0].startswith(str(damaged))
    assert "line 4 is damaged" in reasons[0]
    assert reasons[1].startswith(str(locked))
    assert "another recorder has this recording" in reasons[1]
    assert [key for key in bucket.objects() if key.endswith(".ts")] == [
        f"{directory.name}_room_20231114221320000.ts" for directory in good
    ]
    # Unlocked, it is rescued, too; the damaged one is told of as long as it is there.
    code, _, reason = _rescue(built, tmp_path)
    assert (code, len(reason.splitlines())) == (436, 1)
    assert f"{locked.name}_room.m3u8" in bucket.objects()


def test_a_volume_without_room_keeps_no_playlist_out_of_the_bucket(
    alice: str, bucket: Bucket, configuration: Make, record: Make, tmp_path: Path
) -> None:
    """Promise: the bucket's playlist comes first; its copy on the volume is only a copy."""
    with record(configuration(alice, recordingId=RECORDING_ID)) as recorder:
        await_true((tmp_path / "work" / RECORDING_ID / "index").exists)
        # Nothing can be written under this name any more.
        (tmp_path / "work" / RECORDING_ID / f"{STEM}.m3u8.partial").mkdir()
        bucket.await_key(".m3u8")
        recorder.stop()
        assert recorder.wait() == 0
    assert recorder.callbacks()[-1].startswith("uploaded")
