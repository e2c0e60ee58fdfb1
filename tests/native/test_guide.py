# SPDX-License-Identifier: Apache-2.0
"""The library guide, followed as a stranger would: its file, its program, its commands, in its order."""

import os
import re
import signal
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import self_signed
from tests.support.files import Files
from tests.support.livekit import livekit_library
from tests.support.media import streams
from tests.support.participants import participant
from tests.support.recorder import REPOSITORY
from tests.support.rtmp import RtmpServer
from tests.support.s3 import ACCESS_KEY, SECRET_KEY, Bucket, S3Server

GUIDE = (REPOSITORY / "docs" / "library.md").read_text()
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def block(language: str, *, under: str) -> str:
    """Returns the guide's first block of this language under this heading, whatever there is elsewhere."""
    (section,) = re.findall(rf"^## {re.escape(under)}\n(.*?)(?=^## |\Z)", GUIDE, re.MULTILINE | re.DOTALL)
    return next(found[2] for found in BLOCK.finditer(section) if found[1] == language)


def filled(text: str, values: dict[str, str]) -> str:
    """Returns the text with what a person must fill in, all of which must be there."""
    for written, real in values.items():
        assert written in text, written
        text = text.replace(written, real)
    return text


def run(script: str, directory: Path, **environment: str) -> str:
    """Runs commands as they stand and returns what they print."""
    done = subprocess.run(
        ["bash", "-o", "errexit", "-c", script],
        cwd=directory,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=540,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.usefixtures("built")
def test_the_guide_can_be_followed_from_the_build_to_the_recording(
    alice: str, rtmp: RtmpServer, s3: S3Server, tmp_path: Path
) -> None:
    """Promise: the guide's program is built and run by the guide's words against what the guide installs."""
    install, build = block("sh", under="Build and install"), block("sh", under="A program")
    document, program = block("json", under="Where the channel is"), block("cpp", under="A program")
    prefix = str(tmp_path / "usr")
    bob = rtmp.url("bob")
    (tmp_path / "bob-url").write_text(bob + "\n")
    (tmp_path / "record.cpp").write_text(program)
    places = {
        "/var/lib/recordings": str(tmp_path / "work"),
        "https://s3.example.com": s3.endpoint,
        "rtmp://media.example.com/live/alice": alice,
        "/run/secrets/bob-url": str(tmp_path / "bob-url"),
    }
    (tmp_path / "channel.json").write_text(filled(document, places))
    bucket = s3.bucket("recordings")

    installing = filled(install, {"/usr/local": prefix}) + f"cd {tmp_path}\n"
    keys = {"AWS_ACCESS_KEY_ID=YOURS": f"AWS_ACCESS_KEY_ID={ACCESS_KEY}", "KEY=YOURS": f"KEY={SECRET_KEY}"}
    recording = filled(build, {**keys, "recordings 45": "recordings 8"})
    with participant(bob, log=tmp_path / "bob.log", colour="blue"):
        printed = run(installing + recording, REPOSITORY)
    playlist = printed.split("in the bucket: ")[1].strip()
    files = Files(bucket, playlist.removesuffix(".m3u8"))
    files.check_playlist(slice_seconds=15)
    files.check_manifest()
    assert [person["name"] for person in files.manifest["participants"]] == ["alice", "bob"]


@pytest.fixture
def camera(built: Path, tmp_path: Path) -> Iterator[str]:
    """The host and port of a server that has signed its certificate itself, and serves /media.ts."""
    certificate, key = self_signed(tmp_path, called="camera")
    media = built.parents[1] / "native" / "abi"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=media)) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_camera_s_certificate_is_pinned_by_what_the_guides_command_prints(
    camera: str, bucket: Bucket, configuration: Callable[..., Any], record: Callable[..., Any], tmp_path: Path
) -> None:
    """Promise: a server that no authority vouches for is recorded by the fingerprint that the command tells."""
    command = block("sh", under="Sources and their servers")
    printed = run(filled(command, {"camera.example.com:322": camera}), tmp_path)
    (fingerprint,) = re.findall(r"Fingerprint=([0-9A-F:]{95})$", printed, re.MULTILINE)
    document = configuration(f"https://{camera}/media.ts")
    document["channels"][0]["streams"][0]["certificateSha256"] = fingerprint
    with record(document) as recording:
        bucket.await_key(".ts")
        recording.stop()
        assert recording.wait() == 0


@pytest.mark.usefixtures("built")
def test_urls_are_recorded_into_a_directory_by_the_command_of_guide_and_readme(alice: str, tmp_path: Path) -> None:
    """Promise: a first recording is one command, without manifest and bucket, and its end says what to play."""
    command = block("sh", under="URLs into a directory").strip()
    assert f"```sh\n{command}\n```" in (REPOSITORY / "README.md").read_text()
    command = filled(command, {"rtmp://media.example.com/live/alice": alice, "media.example.com": "127.0.0.1"})
    (tmp_path / "build").symlink_to(REPOSITORY / "build")
    with subprocess.Popen(
        ["bash", "-c", f"exec {command}"],
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert any("participant 1 has joined" in line for line in process.stdout)
            process.send_signal(signal.SIGINT)
            last = process.communicate(timeout=120)[0].splitlines()[-1]
            assert process.returncode == 0
        finally:
            process.kill()
    playlist = Path(last.removeprefix("play "))
    assert playlist.parent == tmp_path / "recordings"
    assert {stream["codec_type"] for stream in streams(playlist)} == {"audio", "video"}


@pytest.mark.usefixtures("built")
def test_a_manifest_is_recorded_without_a_program_by_the_guides_command(
    alice: str, s3: S3Server, tmp_path: Path
) -> None:
    """Promise: `cloud-recording run` records the example's manifest on this machine, and Ctrl-C stops it in order."""
    command = block("sh", under="Without a program").strip()
    addresses = {"https://s3.example.com": s3.endpoint, "rtmp://media.example.com/live/alice": alice}
    keys = {"accessKey: replace-me": f"accessKey: {ACCESS_KEY}", "secretKey: replace-me": f"secretKey: {SECRET_KEY}"}
    for name, values in {"minimal": addresses, "bucket-secret": keys}.items():
        example = Path("docs/examples") / f"{name}.yaml"
        (tmp_path / example.parent).mkdir(parents=True, exist_ok=True)
        (tmp_path / example).write_text(filled((REPOSITORY / example).read_text(), values))
    (tmp_path / "build").symlink_to(REPOSITORY / "build")
    bucket = s3.bucket("recordings")
    log = (tmp_path / "run.log").open("ab")
    with (
        log,
        subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=tmp_path,
            env={**os.environ, "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state")},
            stdout=log,
            stderr=log,
        ) as process,
    ):
        try:
            bucket.await_key(".ts")
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=120) == 0, (tmp_path / "run.log").read_text()
        finally:
            process.kill()
    files = Files(bucket, bucket.await_playlist().removesuffix(".m3u8"))
    files.check_playlist(slice_seconds=15)
    files.check_manifest()


def test_the_client_library_of_rooms_is_where_the_guides_commands_say(tmp_path: Path) -> None:
    """Promise: whoever follows them has the very library that rooms are tested with."""
    (tmp_path / "requirements").symlink_to(REPOSITORY / "requirements")
    commands = block("sh", under="A LiveKit room") + 'printf "%s" "$CLOUD_RECORDING_LIVEKIT_LIBRARY" >named\n'
    run(commands, tmp_path, PATH=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert Path((tmp_path / "named").read_text()).read_bytes() == livekit_library().read_bytes()
