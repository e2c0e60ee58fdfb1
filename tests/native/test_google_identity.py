# SPDX-License-Identifier: Apache-2.0
"""A bucket of Google's that is opened by the pod's own identity: by tokens of GKE's metadata server and no other's."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.google import GoogleBucket, GoogleServer, google_server
from tests.support.google_metadata import NODE, MetadataServer, metadata_server
from tests.support.rtmp import RtmpServer
from tests.support.waiting import await_true

Make = Callable[..., Any]

FILMS = "films@example.iam.gserviceaccount.com"
NO_KEYS = ("", "")
IDLE = {"idle": "600"}


@pytest.fixture(scope="module")
def google(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GoogleServer]:
    with google_server(tmp_path_factory.mktemp("google")) as server:
        yield server


@pytest.fixture
def films(google: GoogleServer) -> GoogleBucket:
    """An empty bucket of a server that has not been asked for anything."""
    bucket = google.bucket("films")
    for key in bucket.objects():
        google.ask("DELETE", bucket.path(key))
    google.shown.clear()
    google.tokens.clear()
    return bucket


@pytest.fixture
def metadata(
    google: GoogleServer,
    films: GoogleBucket,  # noqa: ARG001 - which forgets what was before
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[MetadataServer]:
    with metadata_server(google) as server:
        monkeypatch.setenv("GCE_METADATA_HOST", server.host)
        # Nobody asks a metadata server through a proxy, which would ask its own machine's.
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        monkeypatch.setenv("NO_PROXY", "localhost")
        yield server


def opened_by(google: GoogleServer, identity: str = "Environment", **fields: str) -> dict[str, Any]:
    return {
        "vendor": "GoogleCloudStorage",
        "endpoint": f"http://localhost:{google.port}",
        "identity": identity,
        **fields,
    }


@pytest.fixture
def idle(google: GoogleServer, rtmp: RtmpServer, configuration: Make, record: Make) -> Make:
    """Begins a recording of a channel in which nobody is, into a bucket that is opened so."""

    def begin(identity: str = "Environment", **fields: str) -> Any:
        document = {**configuration(rtmp.url("nobody")), "storage": opened_by(google, identity, **fields)}
        return record(document, keys=NO_KEYS, **IDLE)

    return begin


def test_a_pods_own_identity_opens_the_bucket_with_tokens_that_are_renewed(
    google: GoogleServer, metadata: MetadataServer, films: GoogleBucket, alice: str, configuration: Make, record: Make
) -> None:
    """Promise: a recording outlives any token, and one that is taken back is asked for again."""
    metadata.seconds = 4  # of which it is used for two
    document = {**configuration(alice, sliceSeconds=2), "storage": opened_by(google)}
    with record(document, keys=NO_KEYS) as recorder:
        await_true(lambda: len({token for _, token in metadata.given} & set(google.shown)) >= 2, seconds=60)
        metadata.seconds = 3600
        metadata.revoke()
        known = len(films.objects())
        films.await_keys(".ts", known + 1)
        recorder.stop()
        assert recorder.wait() == 0
    assert recorder.callbacks()[-1].startswith("uploaded ")
    assert set(google.shown) <= {token for _, token in metadata.given}


def test_a_nodes_token_is_neither_asked_for_nor_sent_anywhere(
    google: GoogleServer, metadata: MetadataServer, films: GoogleBucket, idle: Make
) -> None:
    """Promise: where the metadata server is the machine's, as on node pools without workload identity, nobody gets
    what the node may do; once it is the pod's, the recording goes on by itself."""
    metadata.email = NODE
    with idle() as recorder:
        told = recorder.await_line("uploader-failure")
        assert "is given no token: where it is the pod's own, run it where GKE's metadata server is" in told
        assert f"the metadata server at http://{metadata.host}: gives the identity" in told
        assert NODE in told
        assert (metadata.given, google.shown, films.objects()) == ([], [], [])
        metadata.email = "example.svc.id.goog"
        films.await_keys(".m3u8", 1)
    assert {account for account, _ in metadata.given} == {"example.svc.id.goog"}


def test_a_pod_acts_as_the_google_service_account_that_is_named_and_as_no_other(
    google: GoogleServer, metadata: MetadataServer, films: GoogleBucket, idle: Make
) -> None:
    metadata.email = NODE
    with idle(googleServiceAccount=FILMS) as recorder:
        assert f"and not {FILMS}" in recorder.await_line("uploader-failure")
        assert google.shown == []
        metadata.email = FILMS
        films.await_keys(".m3u8", 1)
    assert {account for account, _ in metadata.given} == {FILMS}


def test_the_machines_identity_opens_the_bucket_where_that_is_said(
    metadata: MetadataServer, films: GoogleBucket, idle: Make
) -> None:
    metadata.email = NODE
    with idle("Instance"):
        films.await_keys(".m3u8", 1)
    assert {account for account, _ in metadata.given} == {NODE}


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (404, "this process' identity is given no token"),
        (403, "this process' identity is given no token"),
        (503, "whoever gives out its keys cannot be reached"),
    ],
)
def test_a_metadata_server_that_refuses_is_named_and_asked_again(
    status: int, words: str, metadata: MetadataServer, films: GoogleBucket, idle: Make
) -> None:
    """Promise: nobody looks for the fault at the bucket that was never asked; what is mended heals by itself."""
    metadata.refusal = (status, {}, b"Not today.")
    with idle() as recorder:
        told = recorder.await_line("uploader-failure")
        assert words in told
        assert f"the metadata server at http://{metadata.host}: {status}" in told
        assert "Not today" in told
        assert films.server.shown == []
        metadata.refusal = None
        films.await_keys(".m3u8", 1)
