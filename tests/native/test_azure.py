# SPDX-License-Identifier: Apache-2.0
"""What is Azure's alone: tokens that end, blocks, and what is stated of them."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.native.test_merge import MERGED, OF_ROOM, _killed, _merge, _segments
from tests.native.test_verified import PART, RECORDING_ID, STEM, _left
from tests.support.azure import CLIENT, TENANT, AzureContainer
from tests.support.parts import STEM as OF_PART
from tests.support.recorder import Recorder
from tests.support.rtmp import RtmpServer
from tests.support.stores import AzureStore, any_store
from tests.support.waiting import await_true

Make = Callable[..., Any]
IDLE = {"idle": "600"}
NAME = f"{STEM}_20231114221320000.ts"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AzureStore]:
    with any_store("AzureBlobStorage", tmp_path / "store") as running:
        assert isinstance(running, AzureStore)
        yield running


@pytest.fixture
def films(store: AzureStore) -> AzureContainer:
    return store.server.bucket("films")


@pytest.fixture
def recorded(configuration: Make, record: Make, store: AzureStore) -> Make:
    """Starts a recording into the store; fields of the storage and of the document as given."""

    def start(
        url: str, *, storage: Mapping[str, Any] | None = None, options: Mapping[str, str] | None = None, **fields: Any
    ) -> contextlib.AbstractContextManager[Recorder]:
        document = {**configuration(url, **fields), "storage": {**store.document, **(storage or {})}}
        started: contextlib.AbstractContextManager[Recorder] = record(document, keys=("", ""), **(options or {}))
        return started

    return start


def test_a_token_that_ended_is_told_and_another_is_used_at_once(
    rtmp: RtmpServer, store: AzureStore, films: AzureContainer, recorded: Make
) -> None:
    """Promise: an end is told as such, by the server's clock, and no word of the token is."""
    token = store.server.sas("films", "cw", seconds=-5)
    store.use_token(token)
    with recorded(rtmp.url("nobody"), options=IDLE) as recorder:
        told = recorder.await_line("uploader-failure")
        assert "says that the SAS token has expired: make another one" in told
        assert token.rpartition("sig=")[2] not in "\n".join(recorder.lines)
        store.use_token(f"?{store.server.sas('films', 'cw')}\n")
        films.await_keys(".m3u8", 1)


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch, store: AzureStore, tmp_path: Path) -> Path:
    """The environment that Azure's webhook gives a pod, whose token, of this file, is trusted."""
    path = tmp_path / "token"
    path.write_text("the-pods-own-token")
    store.server.trusted = "the-pods-own-token"
    named = {"CLIENT_ID": CLIENT, "TENANT_ID": TENANT, "FEDERATED_TOKEN_FILE": str(path)}
    for name, value in {**named, "AUTHORITY_HOST": f"{store.server.endpoint}/"}.items():
        monkeypatch.setenv(f"AZURE_{name}", value)
    return path


@pytest.fixture
def by_identity(store: AzureStore) -> dict[str, Any]:
    store.files = {}
    fields = {name: value for name, value in store.document.items() if name != "credentialFiles"}
    return {**fields, "identity": "Environment"}


@pytest.mark.usefixtures("token")
def test_an_identity_opens_the_container_with_tokens_that_are_renewed(
    alice: str, store: AzureStore, films: AzureContainer, configuration: Make, record: Make, by_identity: dict[str, Any]
) -> None:
    """Promise: a recording outlives any token it is given."""
    store.server.token_seconds = 302  # which is renewed after two, as five minutes are kept to spare
    with record({**configuration(alice), "storage": by_identity}, keys=("", "")) as recorder:
        films.await_keys(".ts", 2)
        store.server.token_seconds = 3600
        store.server.revoke()
        known = len([key for key in films.objects() if key.endswith(".ts")])
        films.await_keys(".ts", known + 1)
        recorder.stop()
        assert recorder.wait() == 0
    assert recorder.callbacks()[-1].startswith("uploaded ")
    assert len(store.server.given) >= 3


def test_who_gives_no_token_is_named_and_the_container_is_not(
    rtmp: RtmpServer,
    films: AzureContainer,
    configuration: Make,
    record: Make,
    by_identity: dict[str, Any],
    store: AzureStore,
    token: Path,
) -> None:
    """Promise: nobody looks for the fault at the container that was never asked; what is mended heals by itself."""
    token.write_text("somebody-elses")
    document = {**configuration(rtmp.url("nobody")), "storage": by_identity}
    with record(document, keys=("", ""), **IDLE) as recorder:
        told = recorder.await_line("uploader-failure")
        assert "this process' identity is given no keys" in told
        assert f"client {CLIENT} of tenant {TENANT} at {store.server.endpoint}: 401 Unauthorized" in told
        assert "AADSTS700213: No matching federated identity record" in told
        assert "somebody-elses" not in told
        token.write_text("the-pods-own-token")
        films.await_keys(".m3u8", 1)


def test_blobs_of_blocks_have_what_others_have(
    alice: str, store: AzureStore, films: AzureContainer, recorded: Make, tmp_path: Path
) -> None:
    """Promise: tier, tags and type are told where blocks are put together, and each block's CRC64 is believed."""
    _left(tmp_path, "http://127.0.0.1:9", {NAME: 2 * PART + 1})
    told = {"objects": {"storageClass": "Cool", "tags": {"team": "a b"}}}
    with recorded(alice, recordingId=RECORDING_ID, storage=told) as recorder:
        films.await_key(NAME)
        recorder.stop()
        assert recorder.wait() == 0
    for key in (NAME, next(key for key in films.objects() if key.endswith(".m3u8"))):
        headers = films.headers(key)
        assert (headers["x-ms-access-tier"], headers.get("x-ms-tag-count")) == ("Cool", "1"), key
    assert films.content_type(NAME) == "video/MP2T"
    asked = [(method, path) for method, path, _ in store.server.asked if NAME in path]
    assert [method for method, path in asked if "comp=" in path] == ["PUT"] * 4
    assert "HEAD" not in {method for method, _ in asked}


def test_blocks_that_azure_has_forgotten_are_put_anew(
    alice: str, store: AzureStore, films: AzureContainer, recorded: Make, tmp_path: Path
) -> None:
    """Promise: blocks that went after a week of failures are no end."""
    directory = _left(tmp_path, "http://127.0.0.1:9", {NAME: 2 * PART + 1})
    content = (directory / NAME).read_bytes()
    refused: list[str] = []

    def forgotten(_method: str, path: str, _headers: Mapping[str, str]) -> tuple[int, str] | None:
        if "comp=blocklist" in path and not refused:
            refused.append(path)
            return 400, "InvalidBlockList"
        return None

    store.server.refuse = forgotten
    with recorded(alice, recordingId=RECORDING_ID) as recorder:
        films.await_key(NAME)
        recorder.stop()
        assert recorder.wait() == 0
    assert refused
    assert films.read(NAME) == content
    blocks = [path for _, path, _ in store.server.asked if NAME in path and "comp=block&" in path]
    assert len(blocks) == 6


@pytest.mark.parametrize("size", [1000, 2 * PART + 1], ids=["a blob", "a block"])
def test_what_azure_states_otherwise_is_put_again(
    size: int, alice: str, store: AzureStore, films: AzureContainer, recorded: Make, tmp_path: Path
) -> None:
    """Promise: a digest of something else is told, the slice stays on the volume, and is put until it is right."""
    directory = _left(tmp_path, "http://127.0.0.1:9", {NAME: size})
    content = (directory / NAME).read_bytes()

    def wrong(method: str, path: str, headers: dict[str, str]) -> None:
        if method == "PUT" and NAME in path and "comp=blocklist" not in path:
            headers["x-ms-content-crc64"] = "AAAAAAAAAAA="

    store.server.change = wrong
    with recorded(alice, recordingId=RECORDING_ID) as recorder:
        assert "did not prove" in recorder.await_line("uploader-failure")
        assert (directory / NAME).exists()
        store.server.change = lambda *_: None
        await_true(lambda: not (directory / NAME).exists())
        recorder.stop()
        assert recorder.wait() == 0
    assert films.read(NAME) == content


@pytest.mark.parametrize("rights", ["rcwl", "rcw"], ids=["that may list", "that reads and writes"])
def test_slices_that_a_lost_pod_put_are_found_behind_one_that_is_missing(
    store: AzureStore, films: AzureContainer, parts_of_room: Path, built: Path, tmp_path: Path, rights: str
) -> None:
    """Promise: no slice that the container has is in no playlist, whether the token may list or not."""
    listed = (parts_of_room / f"{OF_PART}.m3u8").read_text()
    own = _segments(listed)
    left_out = {f"{OF_PART}_manifest.json", f"{OF_PART}.m3u8", own[1]}
    for file in parts_of_room.iterdir():
        if file.name not in left_out:
            films.put(file.name, file.read_bytes())
    films.put(f"{OF_PART}.m3u8", _killed(listed, 1).encode())
    store.use_token(store.server.sas("films", rights))
    place = {"bucket": "films", "vendor": store.vendor, "endpoint": store.endpoint, **store.account}
    document = {**OF_ROOM, "storage": store.document, "place": place, "workDir": str(tmp_path / "work")}
    code, answer = _merge(built, document)
    assert code == 0, answer
    later = _segments(films.read(f"bak0_{OF_PART}.m3u8").decode())
    assert _segments(films.read(MERGED).decode()) == [own[0], *own[2:], *later]
    lists = [status for _, _, query, status in store.requests() if "comp=list" in query]
    assert lists[0] == (200 if "l" in rights else 403), lists
