# SPDX-License-Identifier: Apache-2.0
"""A store that is reached through an HTTP proxy alone: its host has a name that nobody but the proxy resolves."""

from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.native.test_merge import _merge, _of_parts
from tests.native.test_verified import RECORDING_ID, _rescue
from tests.support.certificates import self_signed
from tests.support.forward_proxy import ForwardProxy, forward_proxy
from tests.support.identity_server import ROLE, identity_server
from tests.support.s3 import ACCESS_KEY, SECRET_KEY, Bucket, S3Server, s3_server
from tests.support.stores import KINDS, any_store
from tests.support.waiting import await_true

Make = Callable[..., Any]
NO_KEYS = ("", "")


@pytest.fixture
def proxy(s3: S3Server) -> Iterator[ForwardProxy]:
    with forward_proxy(store=s3.port) as running:
        yield running


def _behind(proxy: ForwardProxy, **storage: Any) -> dict[str, Any]:
    return {"endpoint": "http://store.invalid", "proxyUrl": proxy.url, **storage}


def _failures(recorder: Any) -> list[str]:
    return [line for line in recorder.lines if line.startswith("uploader-failure")]


@pytest.mark.parametrize("kind", KINDS)
def test_a_store_of_any_kind_is_reached_through_its_proxy(
    kind: str, alice: str, configuration: Make, record: Make, tmp_path: Path
) -> None:
    """Promise: all that is put goes through the proxy, and the host's name is the proxy's to resolve."""
    with any_store(kind, tmp_path / "store") as store:
        films = store.bucket("films")
        with forward_proxy(store=urlsplit(store.endpoint).port or 0) as proxy:
            document = {**configuration(alice), "storage": {**store.document, **_behind(proxy)}}
            # An account is in the path where the host has no domain.
            if kind == "AzureBlobStorage":
                proxy.hosts["store"] = proxy.hosts["store.invalid"]
                document["storage"]["endpoint"] = "http://store"
            with record(document, keys=NO_KEYS) as recorder:
                films.await_key(".ts")
                recorder.stop()
                assert recorder.wait() == 0
        assert _failures(recorder) == []
        assert any(passed.startswith("PUT ") for passed in proxy.passed)


def test_a_store_with_tls_is_reached_through_a_tunnel_and_its_certificate_verified(
    alice: str, configuration: Make, record: Make, tmp_path: Path
) -> None:
    """Promise: a proxy carries what is said to the store, and is trusted with nothing of it."""
    certificate, key = self_signed(tmp_path, names="DNS:store.invalid,IP:127.0.0.1")
    with s3_server(tmp_path / "tls-s3", tls=(certificate, key)) as server, forward_proxy(store=server.port) as proxy:
        films = server.bucket("films")
        storage = _behind(proxy, endpoint="https://store.invalid")
        with record(configuration(alice, storage=storage)) as recorder:
            assert "no trusted TLS connection" in recorder.await_line("uploader-failure")
        with record(configuration(alice, storage={**storage, "caFile": str(certificate)})) as recorder:
            films.await_key(".ts")
            recorder.stop()
            assert recorder.wait() == 0
        assert _failures(recorder) == []
        assert set(proxy.passed) == {"CONNECT store.invalid"}


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_lets_nobody_through_is_told_as_such(
    scheme: str, proxy: ForwardProxy, alice: str, bucket: Bucket, configuration: Make, record: Make
) -> None:
    """Promise: what the proxy refuses is not said of the store, and the proxy is named."""
    for status in (403, 407):
        proxy.refuse = status
        with record(configuration(alice, storage=_behind(proxy, endpoint=f"{scheme}://store.invalid"))) as recorder:
            failure = recorder.await_line("uploader-failure")
        assert "is not reached through its proxy" in failure
        assert f"proxy {proxy.url}: {status} {HTTPStatus(status).phrase}" in failure
    assert bucket.objects() == []


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_with_tls_proves_itself_and_its_certificate_is_not_taken_for_the_stores(
    scheme: str, alice: str, configuration: Make, record: Make, tmp_path: Path
) -> None:
    """Promise: a proxy's certificate is verified by the store's authorities; what is wrong with either is told of that
    one, and so is what the proxy refuses."""
    of_store = self_signed(tmp_path, names="DNS:store.invalid,IP:127.0.0.1", called="store")
    of_proxy = self_signed(tmp_path, called="proxy")
    (tmp_path / "both.pem").write_text("".join(file.read_text() for file, _ in (of_store, of_proxy)))
    with (
        s3_server(tmp_path / "tls-s3", tls=of_store if scheme == "https" else None) as server,
        forward_proxy(store=server.port, tls=of_proxy) as proxy,
    ):
        films = server.bucket("films")
        storage = _behind(proxy, endpoint=f"{scheme}://store.invalid")

        def told(**more: str) -> str:
            with record(configuration(alice, storage={**storage, **more})) as recorder:
                line: str = recorder.await_line("uploader-failure")
                return line

        assert f"proxy {proxy.url}: invalid peer certificate" in told(caFile=str(of_store[0]))
        if scheme == "https":
            assert "no trusted TLS connection" in told(caFile=str(of_proxy[0]))
        proxy.refuse = 403
        assert f"proxy {proxy.url}: 403 Forbidden" in told(caFile=str(tmp_path / "both.pem"))
        proxy.refuse, proxy.passed = None, []
        with record(configuration(alice, storage={**storage, "caFile": str(tmp_path / "both.pem")})) as recorder:
            films.await_key(".ts")
            recorder.stop()
            assert recorder.wait() == 0
        assert _failures(recorder) == []
        assert {passed.split()[1] for passed in proxy.passed} == {"store.invalid"}


def test_what_a_recorder_left_is_rescued_through_the_proxy_of_today_and_merged_through_it(
    proxy: ForwardProxy, alice: str, bucket: Bucket, configuration: Make, record: Make, built: Path, tmp_path: Path
) -> None:
    """Promise: not through the one that was there when it began."""
    document = configuration(alice, recordingId=RECORDING_ID, sliceSeconds=2, storage=_behind(proxy))
    with record(document) as killed:
        bucket.await_playlist()
        proxy.stop()
        killed.await_line("uploader-failure")
        killed.process.kill()
        killed.wait()
    with forward_proxy(store=proxy.hosts["store.invalid"]) as another:
        code, _most, reason = _rescue(built, tmp_path, proxyUrl=another.url)
        assert code == 0, reason
        assert any(passed.startswith("PUT ") for passed in another.passed)
        another.passed.clear()
        merging = _of_parts(bucket, "http://store.invalid", tmp_path)
        merging |= {"parts": [{"filePrefix": ""}], "place": {**merging["place"], "proxyUrl": another.url}}
        code, answer = _merge(built, merging)
        assert code == 0, answer
        assert {passed.split()[0] for passed in another.passed} >= {"GET", "PUT"}
    assert bucket.read(answer["playlist"]).endswith(b"#EXT-X-ENDLIST\n")


def test_a_proxy_that_goes_away_is_told_once_and_nothing_is_lost(
    proxy: ForwardProxy, alice: str, bucket: Bucket, configuration: Make, record: Make, tmp_path: Path
) -> None:
    """Promise: slices wait on the work volume until the proxy is back."""
    with record(configuration(alice, storage=_behind(proxy))) as recorder:
        bucket.await_key(".ts")
        proxy.stop()
        failure = recorder.await_line("uploader-failure")
        assert "is not reached through its proxy" in failure
        assert f"proxy {proxy.url}" in failure
        await_true(lambda: len(list((tmp_path / "work").rglob("*.ts"))) > 1)
        proxy.start()
        bucket.await_keys(".ts", len([key for key in bucket.objects() if key.endswith(".ts")]) + 2)
        recorder.stop()
        assert recorder.wait() == 0
    assert len(_failures(recorder)) == 1
    assert recorder.callbacks()[-1].startswith("uploaded ")


def test_a_roles_keys_are_asked_for_through_the_proxy_and_a_machines_are_not(
    monkeypatch: pytest.MonkeyPatch,
    s3: S3Server,
    alice: str,
    bucket: Bucket,
    configuration: Make,
    record: Make,
    tmp_path: Path,
) -> None:
    """Promise: who gives out keys on the internet is reached as the store is, and what runs on the node directly."""
    (tmp_path / "token").write_text("the-pods-own-token")
    with identity_server(s3.port, (ACCESS_KEY, SECRET_KEY), token="the-pods-own-token") as gate:
        monkeypatch.setenv("AWS_ROLE_ARN", ROLE)
        monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(tmp_path / "token"))
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://sts.invalid")
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", gate.endpoint)
        with forward_proxy(store=gate.port, sts=gate.port) as proxy:
            for identity in ("Environment", "Instance"):
                known, proxy.passed = len(bucket.objects()), []
                storage = _behind(proxy, identity=identity)
                with record(configuration(alice, storage=storage), keys=NO_KEYS) as recorder:
                    bucket.await_keys(".ts", known + 1)
                    recorder.stop()
                    assert recorder.wait() == 0
                hosts = {passed.split()[1] for passed in proxy.passed}
                assert hosts == ({"sts.invalid", "store.invalid"} if identity == "Environment" else {"store.invalid"})
        assert gate.machine_asked > 0
