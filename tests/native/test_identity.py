# SPDX-License-Identifier: Apache-2.0
"""A bucket that is opened by an identity: keys come from whoever gives them out, in time, and what refuses is named."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.identity_server import ROLE, IdentityServer, identity_server
from tests.support.rtmp import RtmpServer
from tests.support.s3 import ACCESS_KEY, SECRET_KEY, Bucket, S3Server

Make = Callable[..., Any]

TOKEN = "the-pods-own-token"
NO_KEYS = ("", "")
IDLE = {"idle": "600"}


@pytest.fixture
def gate(s3: S3Server) -> Iterator[IdentityServer]:
    with identity_server(s3.port, (ACCESS_KEY, SECRET_KEY), token=TOKEN) as server:
        yield server


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(TOKEN)
    return path


@pytest.fixture
def of_role(monkeypatch: pytest.MonkeyPatch, gate: IdentityServer, token: Path) -> None:
    """The environment that EKS gives a pod whose ServiceAccount is bound to a role."""
    monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", gate.endpoint)


def opened_by(gate: IdentityServer, identity: str) -> dict[str, Any]:
    return {"storage": {"endpoint": gate.endpoint, "identity": identity}}


@pytest.mark.usefixtures("of_role")
def test_a_role_opens_the_bucket_with_keys_that_are_renewed(
    gate: IdentityServer, alice: str, bucket: Bucket, configuration: Make, record: Make
) -> None:
    """Promise: a recording outlives any keys it is given, and no request goes out without the newest ones."""
    gate.seconds = 302  # which is renewed after two, as five minutes are kept to spare
    with record(configuration(alice, **opened_by(gate, "Environment")), keys=NO_KEYS) as recorder:
        bucket.await_keys(".ts", 2)
        gate.seconds = 3600
        gate.revoke()
        known = len(bucket.objects())
        bucket.await_keys(".ts", known + 1)
        recorder.stop()
        assert recorder.wait() == 0
    assert recorder.callbacks()[-1].startswith("uploaded ")
    assert len(set(gate.used)) >= 3
    assert gate.machine_asked == 0


def test_an_agent_opens_the_bucket(
    monkeypatch: pytest.MonkeyPatch,
    gate: IdentityServer,
    token: Path,
    rtmp: RtmpServer,
    bucket: Bucket,
    configuration: Make,
    record: Make,
) -> None:
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{gate.endpoint}/v1/credentials")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(token))
    with record(configuration(rtmp.url("nobody"), **opened_by(gate, "Environment")), keys=NO_KEYS, **IDLE):
        bucket.await_keys(".m3u8", 1)


def test_the_machines_own_identity_opens_the_bucket_where_it_is_named(
    monkeypatch: pytest.MonkeyPatch,
    gate: IdentityServer,
    rtmp: RtmpServer,
    bucket: Bucket,
    configuration: Make,
    record: Make,
) -> None:
    """Promise: whoever may use a machine's identity says so; nobody falls back to it."""
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", gate.endpoint)
    with record(configuration(rtmp.url("nobody"), **opened_by(gate, "Environment")), keys=NO_KEYS, **IDLE) as recorder:
        assert "this process has no identity" in recorder.await_line("uploader-failure")
    assert gate.machine_asked == 0
    assert bucket.objects() == []
    with record(configuration(rtmp.url("nobody"), **opened_by(gate, "Instance")), keys=NO_KEYS, **IDLE):
        bucket.await_keys(".m3u8", 1)


@pytest.mark.usefixtures("of_role")
def test_who_refuses_keys_is_named_and_the_bucket_is_not(
    gate: IdentityServer,
    token: Path,
    rtmp: RtmpServer,
    bucket: Bucket,
    configuration: Make,
    record: Make,
) -> None:
    """Promise: nobody looks for the fault at the bucket that was never asked; what is mended heals by itself."""
    token.write_text("somebody-elses")
    with record(configuration(rtmp.url("nobody"), **opened_by(gate, "Environment")), keys=NO_KEYS, **IDLE) as recorder:
        told = recorder.await_line("uploader-failure")
        assert "this process' identity is given no keys: let it assume the role" in told
        assert f"role {ROLE} at {gate.endpoint}: AccessDenied: Not authorized to perform" in told
        assert "somebody-elses" not in told
        token.write_text(TOKEN)
        bucket.await_keys(".m3u8", 1)


@pytest.mark.usefixtures("of_role")
def test_a_token_that_is_not_there_is_named_by_its_file(
    gate: IdentityServer,
    token: Path,
    rtmp: RtmpServer,
    bucket: Bucket,
    configuration: Make,
    record: Make,
) -> None:
    token.unlink()
    with record(configuration(rtmp.url("nobody"), **opened_by(gate, "Environment")), keys=NO_KEYS, **IDLE) as recorder:
        assert f"({token}: No such file" in recorder.await_line("uploader-failure")
        token.write_text(TOKEN)
        bucket.await_keys(".m3u8", 1)


def test_keys_for_a_while_are_read_with_their_session_token(
    gate: IdentityServer, rtmp: RtmpServer, bucket: Bucket, tmp_path: Path, configuration: Make, record: Make
) -> None:
    names = {"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY, "sessionToken": "session"}
    for name, text in names.items():
        (tmp_path / name).write_text(text)
    gate.given["session"] = float("inf")
    files = {name: str(tmp_path / name) for name in names}
    storage = {"endpoint": gate.endpoint, "credentialFiles": files}
    with record(configuration(rtmp.url("nobody"), storage=storage), **IDLE):
        bucket.await_keys(".m3u8", 1)
    assert set(gate.used) == {"session"}
