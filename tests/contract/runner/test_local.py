# SPDX-License-Identifier: Apache-2.0
"""`cloud-recording run`: a manifest, a real engine, a real bucket, and no cluster."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.contract.runner.pod import ROOT
from tests.support import media
from tests.support.forward_proxy import forward_proxy
from tests.support.livekit import API_KEY, API_SECRET, LiveKitServer, livekit_library, livekit_server, publisher, token
from tests.support.participants import participant
from tests.support.room_recordings import LEFT
from tests.support.rtmp import RtmpServer, rtmp_server
from tests.support.s3 import ACCESS_KEY, SECRET_KEY, Bucket, s3_server
from tests.support.waiting import await_true

ENGINE = ROOT / "build" / "lib" / "libagora-cloud-recording-client.so"
DEADLINE_SECONDS = 120


@dataclass
class Run:
    """A running `cloud-recording run` and what it has printed."""

    process: asyncio.subprocess.Process
    lines: list[str] = field(default_factory=list)

    async def until(self, words: str) -> None:
        """Waits for a line with these words."""
        assert self.process.stdout is not None
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not any(words in line for line in self.lines):
                line = await self.process.stdout.readline()
                assert line, f"{words!r} is not among {self.lines}"
                self.lines.append(line.decode())

    def recording_id(self) -> str:
        """The id in the first line."""
        found = re.search(r" as ([0-9a-f]{32});", self.lines[0])
        assert found
        return found[1]

    async def ended(self) -> int:
        """Waits for the end and returns the exit status."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            rest, _ = await self.process.communicate()
        self.lines += rest.decode().splitlines()
        assert self.process.returncode is not None
        return self.process.returncode


Starter = Callable[..., AbstractAsyncContextManager[Run]]


@pytest.fixture
def run(tmp_path: Path) -> Starter:
    """Starts the command with a manifest of these documents."""

    @asynccontextmanager
    async def start(
        *documents: dict[str, Any], resume: str | None = None, arguments: Sequence[str] = ()
    ) -> AsyncIterator[Run]:
        manifest = tmp_path / "recording.yaml"
        manifest.write_text(yaml.safe_dump_all(documents))
        options = [*arguments] if not documents else ["-f", str(manifest), *arguments]
        options += ["--engine", str(ENGINE), "--work-directory", str(tmp_path / "work")]
        options += [] if resume is None else ["--resume", resume]
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cloud_recording", "run", *options),
            env={**os.environ, "PYTHONPATH": str(ROOT / "operator")},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            yield Run(process)
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()

    return start


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Bucket]:
    """An empty bucket."""
    with s3_server(tmp_path / "s3") as server:
        yield server.bucket("recordings")


@pytest.fixture
def rtmp(tmp_path: Path) -> Iterator[RtmpServer]:
    """An RTMP server with one participant, who is live."""
    with rtmp_server(tmp_path / "rtmp") as server, participant(server.url("alice"), log=tmp_path / "alice.log"):
        yield server


def recording(bucket: Bucket, url: str, **spec: Any) -> dict[str, Any]:
    """A manifest for one participant."""
    secret = {"secretRef": {"name": "bucket"}}
    return {
        "apiVersion": "cloudrecording.dev/v1alpha1",
        "kind": "CloudRecording",
        "metadata": {"name": "talk"},
        "spec": {
            "channel": {"name": "room", "uid": 1, "streams": [{"uid": 2, "url": url}]},
            "recording": {
                "sliceSeconds": 2,
                "maxIdleSeconds": 5,
                "maxWaitSeconds": 5,
                "video": {"width": 320, "height": 240},
            },
            "storage": {"bucket": bucket.name, "endpoint": bucket.server.endpoint, "credentials": secret},
            **spec,
        },
    }


@pytest.fixture
def livekit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveKitServer]:
    """A LiveKit server, and its client library where the recorder finds it."""
    monkeypatch.setenv("CLOUD_RECORDING_LIVEKIT_LIBRARY", str(livekit_library()))
    with livekit_server(tmp_path / "livekit") as server:
        yield server


def of_room(bucket: Bucket, url: str, **secret: str) -> tuple[dict[str, Any], ...]:
    """A manifest for a room, and its Secrets."""
    manifest = recording(bucket, "")
    by_token = {"tokenSecretRef": {"name": "livekit", "key": "token"}}
    by_key = {"apiKeySecretRef": {"name": "livekit"}}
    room = {"name": "room", "uid": 1, "livekit": {"url": url, **({} if "token" in secret else by_key)}}
    manifest["spec"]["channel"] = room | (by_token if "token" in secret else {})
    livekit = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "livekit"}, "stringData": secret}
    return manifest, keys(), livekit


def keys(secret_key: str = SECRET_KEY) -> dict[str, Any]:
    """The bucket's Secret."""
    content = {"accessKey": ACCESS_KEY, "secretKey": secret_key}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bucket"}, "stringData": content}


async def test_ctrl_c_stops_in_order_and_everything_is_in_the_bucket(
    run: Starter, bucket: Bucket, rtmp: RtmpServer
) -> None:
    async with run(recording(bucket, rtmp.url("alice")), keys()) as running:
        await running.until("slices 1/1 uploaded")
        running.process.send_signal(signal.SIGINT)
        assert await running.ended() == 0
    assert running.lines[-1].startswith("recorded: ")
    objects = await asyncio.to_thread(bucket.objects)
    assert any(key.endswith("_room.m3u8") for key in objects)


async def test_a_store_behind_a_proxy_is_reached_through_it(run: Starter, bucket: Bucket, rtmp: RtmpServer) -> None:
    """Promise: that which the manifest names, whatever this machine's environment names."""
    manifest = recording(bucket, rtmp.url("alice"))
    with forward_proxy(store=bucket.server.port) as proxy, pytest.MonkeyPatch.context() as environment:
        environment.setenv("HTTP_PROXY", "http://127.0.0.1:9")
        manifest["spec"]["storage"] |= {"endpoint": "http://store.invalid", "proxyURL": proxy.url}
        async with run(manifest, keys()) as running:
            await running.until("slices 1/1 uploaded")
            running.process.send_signal(signal.SIGINT)
            assert await running.ended() == 0
        assert any(passed.startswith("PUT ") for passed in proxy.passed)
    assert running.lines[-1].startswith("recorded: ")


async def test_ctrl_c_is_nothing_to_a_recording_that_is_over(run: Starter, bucket: Bucket, rtmp: RtmpServer) -> None:
    """Promise: whoever presses it once too often gets the same status, and no traceback."""
    async with run(recording(bucket, rtmp.url("alice")), keys()) as running:
        await running.until("slices 1/1 uploaded")
        running.process.send_signal(signal.SIGINT)
        await running.until("recorded: ")
        ended = asyncio.create_task(running.ended())
        while not ended.done():
            # `send_signal` would take the exit status before whoever waits for it.
            with contextlib.suppress(ProcessLookupError):
                os.kill(running.process.pid, signal.SIGINT)
            await asyncio.sleep(0)
        assert await ended == 0
    assert running.lines[-1].startswith("recorded: "), running.lines


async def test_an_edited_manifest_is_followed_when_it_is_told_to(
    run: Starter, bucket: Bucket, rtmp: RtmpServer, tmp_path: Path
) -> None:
    manifest = recording(bucket, rtmp.url("alice"))
    streams = manifest["spec"]["channel"]["streams"]
    with participant(rtmp.url("bob"), log=tmp_path / "bob.log"):
        async with run(manifest, keys()) as running:

            async def edit(*others: dict[str, Any]) -> None:
                manifest["spec"]["channel"]["streams"] = list(others)
                (tmp_path / "recording.yaml").write_text(yaml.safe_dump_all([manifest, keys()]))
                running.process.send_signal(signal.SIGUSR1)

            await running.until("participant 2 has joined")
            await edit(*streams, {**streams[0], "url": "rtmp://elsewhere.example.com/a"})
            await running.until("the edited manifest is not taken: spec.channel.streams[1]")
            await edit({"uid": 3, "url": rtmp.url("bob"), "name": "bob"})
            await running.until("the manifest was read again")
            await running.until("bob (3) has joined")
            await running.until("participant 2 has left")
            running.process.send_signal(signal.SIGINT)
            assert await running.ended() == 0


async def test_the_longest_duration_stops_it_too(run: Starter, bucket: Bucket, rtmp: RtmpServer) -> None:
    async with run(recording(bucket, rtmp.url("alice"), maxDurationSeconds=3), keys()) as running:
        assert await running.ended() == 0
    assert any("maxDurationSeconds is over" in line for line in running.lines)


async def test_an_empty_channel_has_an_exit_status_of_its_own(run: Starter, bucket: Bucket, rtmp: RtmpServer) -> None:
    async with run(recording(bucket, rtmp.url("nobody")), keys()) as running:
        assert await running.ended() == 3


async def test_who_joins_and_who_is_refused_is_told_with_the_cause(
    run: Starter, bucket: Bucket, rtmp: RtmpServer
) -> None:
    manifest = recording(bucket, rtmp.url("alice"))
    manifest["spec"]["channel"]["streams"][0]["name"] = "alice"
    manifest["spec"]["channel"]["streams"].append({"uid": 3, "url": "rtmp://127.0.0.1:9/live/nobody"})
    async with run(manifest, keys()) as running:
        await running.until("alice (2) has joined")
        await running.until("participant 3 cannot be recorded, and is asked for again: the host refuses the connection")
        await running.until("slices 1/1 uploaded")
        running.process.send_signal(signal.SIGINT)
        assert await running.ended() == 0


async def test_a_stop_before_anybody_came_says_so_in_its_exit_status(
    run: Starter, bucket: Bucket, rtmp: RtmpServer
) -> None:
    manifest = recording(bucket, rtmp.url("nobody"))
    manifest["spec"]["recording"]["maxWaitSeconds"] = 600
    async with run(manifest, keys()) as running:
        await running.until("participant 2 cannot be recorded")
        running.process.send_signal(signal.SIGINT)
        assert await running.ended() == 3
    assert running.lines[-1].startswith("nothing was recorded: nobody had joined")


async def test_urls_are_recorded_into_a_directory_without_manifest_or_bucket(
    run: Starter, rtmp: RtmpServer, tmp_path: Path
) -> None:
    """Promise: a first recording needs URLs and a directory, and its end says what to play."""
    films = tmp_path / "recordings" / "films"
    arguments = [rtmp.url("alice"), rtmp.url("nobody"), "-o", str(films)]
    async with run(arguments=arguments) as running:
        await running.until("participant 1 has joined")
        await running.until("slices 1/1 uploaded")
        running.process.send_signal(signal.SIGUSR1)
        await running.until("there is no manifest that could be read again")
        running.process.send_signal(signal.SIGINT)
        assert await running.ended() == 0
    playlist = films / f"{running.recording_id()}_recording.m3u8"
    assert running.lines[-1] == f"play {playlist}"
    text = playlist.read_text()
    listed = [line for line in text.splitlines() if line.endswith(".ts")]
    assert listed
    assert all((films / name).stat().st_size > 0 for name in listed)
    assert text.rstrip().endswith("#EXT-X-ENDLIST")
    assert not any("bucket" in line for line in running.lines)


async def test_a_directory_takes_the_place_of_a_manifests_storage(
    run: Starter, bucket: Bucket, rtmp: RtmpServer, tmp_path: Path
) -> None:
    films = tmp_path / "films"
    async with run(recording(bucket, rtmp.url("alice")), arguments=["-o", str(films)]) as running:
        await running.until("slices 1/1 uploaded")
        running.process.send_signal(signal.SIGINT)
        assert await running.ended() == 0
    assert (films / f"{running.recording_id()}_room.m3u8").is_file()
    assert await asyncio.to_thread(bucket.objects) == []


async def test_a_second_ctrl_c_gives_the_upload_up_and_keeps_the_files(
    run: Starter, bucket: Bucket, rtmp: RtmpServer, tmp_path: Path
) -> None:
    async with run(recording(bucket, rtmp.url("alice")), keys("a-wrong-key")) as running:
        await running.until("upload: ")
        # The bucket was tried before anything was recorded.
        await asyncio.to_thread(await_true, lambda: len(list((tmp_path / "work").rglob("*.ts"))) > 1)
        running.process.send_signal(signal.SIGINT)
        await running.until("recording has stopped")
        running.process.send_signal(signal.SIGINT)
        assert await running.ended() == 5
    assert str(tmp_path / "work") in running.lines[-1]
    assert f"--resume {running.recording_id()}" in running.lines[-1]
    kept = {path.name for path in (tmp_path / "work").rglob("*.ts")}
    assert kept
    # The key is mended, and nobody needs to be in the channel any more.
    async with run(recording(bucket, rtmp.url("nobody")), keys(), resume=running.recording_id()) as again:
        assert await again.ended() == 0
    objects = {key.rpartition("/")[2] for key in await asyncio.to_thread(bucket.objects)}
    assert kept | {f"{running.recording_id()}_room.m3u8"} <= objects


async def test_a_recording_that_was_killed_goes_on_under_its_id(run: Starter, bucket: Bucket, rtmp: RtmpServer) -> None:
    documents = (recording(bucket, rtmp.url("alice")), keys())
    async with run(*documents) as killed:
        await killed.until("slices 1/1 uploaded")
        killed.process.kill()
    async with run(*documents, resume=killed.recording_id()) as again:
        await again.until("slices 4/4 uploaded")
        async with run(*documents, resume=killed.recording_id()) as twice:
            assert await twice.ended() == 2
        assert "is being recorded by another process" in twice.lines[-1]
        again.process.send_signal(signal.SIGINT)
        assert await again.ended() == 0
    async with run(*documents, resume=killed.recording_id()) as over:
        assert await over.ended() == 0
    assert over.lines[-1] == again.lines[-1], "what has ended is not begun anew"
    (playlist,) = [key for key in await asyncio.to_thread(bucket.objects) if key.endswith(".m3u8")]
    text = (await asyncio.to_thread(bucket.read, playlist)).decode()
    assert text.count("#EXTINF") >= 4
    assert text.count("#EXT-X-DISCONTINUITY\n") == 1
    assert text.rstrip().endswith("#EXT-X-ENDLIST")


async def test_of_a_recording_that_was_killed_the_rest_alone_is_uploaded_if_it_is_to_be_stopped(
    run: Starter, bucket: Bucket, rtmp: RtmpServer
) -> None:
    async with run(recording(bucket, rtmp.url("alice")), keys("a-wrong-key")) as killed:
        await killed.until("slices 0/2 uploaded")
        killed.process.kill()
    stopped = recording(bucket, rtmp.url("alice"), desiredState="Stopped")
    async with run(stopped, keys(), resume=killed.recording_id()) as again:
        assert await again.ended() == 0
    (playlist,) = [key for key in await asyncio.to_thread(bucket.objects) if key.endswith(".m3u8")]
    text = (await asyncio.to_thread(bucket.read, playlist)).decode()
    assert text.count("#EXTINF") >= 2
    assert again.lines[-1].startswith(f"recorded: {text.count('#EXTINF')} slices"), "the open one, too"
    assert "#EXT-X-DISCONTINUITY\n" not in text
    assert text.rstrip().endswith("#EXT-X-ENDLIST")


async def test_a_damaged_outbox_is_said_to_be_so_and_can_be_done_without(
    run: Starter, bucket: Bucket, rtmp: RtmpServer, tmp_path: Path
) -> None:
    documents = (recording(bucket, rtmp.url("alice")), keys())
    async with run(*documents) as killed:
        await killed.until("slices 1/1 uploaded")
        killed.process.kill()
        await killed.ended()
    outbox = list((tmp_path / "work" / killed.recording_id()).glob("outbox.sqlite3*"))
    for file in outbox:
        file.write_bytes(b"nonsense" * 1000)
    async with run(*documents, resume=killed.recording_id()) as refused:
        assert await refused.ended() == 2
    assert "outbox.sqlite3 cannot be used: file is not a database; remove" in refused.lines[-1]
    for file in outbox:
        file.unlink(missing_ok=True)
    stopped = (recording(bucket, rtmp.url("alice"), desiredState="Stopped"), keys())
    async with run(*stopped, resume=killed.recording_id()) as unknowing:
        assert await unknowing.ended() == 2
    assert "outbox.sqlite3 is gone, which knows what was recorded; `run --resume` records on" in unknowing.lines[-1]
    async with run(*documents, resume=killed.recording_id()) as again:
        await again.until("slices 3/3 uploaded")
        again.process.send_signal(signal.SIGINT)
        assert await again.ended() == 0


async def test_an_id_that_is_none_of_this_machines_is_said_to_be_so(
    run: Starter, bucket: Bucket, rtmp: RtmpServer
) -> None:
    async with run(recording(bucket, rtmp.url("alice")), keys(), resume="0" * 32) as unknown:
        assert await unknown.ended() == 2
    assert f"--resume: there is no recording {'0' * 32}" in unknown.lines[-1]


async def test_a_missing_secret_is_named_before_anything_begins(
    run: Starter, bucket: Bucket, rtmp: RtmpServer, tmp_path: Path
) -> None:
    async with run(recording(bucket, rtmp.url("alice"))) as running:
        assert await running.ended() == 2
    assert running.lines == [
        f"spec.storage.credentials.secretRef: the files hold no Secret 'bucket' with the key '{key}'"
        for key in ("accessKey", "secretKey")
    ]
    assert not (tmp_path / "work").exists()


async def test_a_room_is_recorded_and_its_people_told_by_name_and_chosen_by_identity(
    run: Starter, bucket: Bucket, livekit: LiveKitServer, tmp_path: Path
) -> None:
    documents = of_room(bucket, livekit.url, apiKey=API_KEY, apiSecret=API_SECRET)
    documents[0]["spec"]["channel"]["livekit"]["participants"] = {"exclude": ["bob"]}
    video = documents[0]["spec"]["recording"]["video"]
    video.update(layout="Vertical", maxResolutionIdentity="nobody")
    with (
        publisher(livekit, "room", "bob", log=tmp_path / "bob.log"),
        publisher(livekit, "room", "alice", log=tmp_path / "alice.log"),
    ):
        async with run(*documents) as running:
            await running.until("alice (735577801) has joined")
            await running.until("slices 1/1 uploaded")
            video["maxResolutionIdentity"] = "alice"
            (tmp_path / "recording.yaml").write_text(yaml.safe_dump_all(documents))
            running.process.send_signal(signal.SIGUSR1)
            await running.until("the manifest was read again")
            uploaded = len(await asyncio.to_thread(bucket.await_keys, ".ts", 1))
            await asyncio.to_thread(bucket.await_keys, ".ts", uploaded + 2)
            running.process.send_signal(signal.SIGINT)
            assert await running.ended() == 0
    assert not any("bob" in line for line in running.lines), "who is excluded is nobody"
    slices = sorted(file for file in await asyncio.to_thread(bucket.download, tmp_path / "b") if file.suffix == ".ts")
    first, later = (media.pictures(slices[at], per_second=5) for at in (0, -2))
    assert [media.colour(picture, LEFT) for picture in (first[0], later[-1])] == ["black", "red"]


@pytest.mark.parametrize("key", ["right words", "wrong words"])
async def test_an_encrypted_room_is_recorded_in_clear_and_a_wrong_key_is_named(
    key: str, run: Starter, bucket: Bucket, livekit: LiveKitServer, tmp_path: Path
) -> None:
    """Promise: what the manifest's Secret holds decrypts the room, or it is said of whom it does not."""
    documents = of_room(bucket, livekit.url, apiKey=API_KEY, apiSecret=API_SECRET)
    by_key = {"mode": "SharedKey", "secretRef": {"name": "key", "key": "passphrase"}}
    documents[0]["spec"]["channel"]["decryption"] = by_key
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"}, "stringData": {"passphrase": key}}
    clear = key == "right words"
    with publisher(livekit, "room", "alice", log=tmp_path / "alice.log", shared_key="right words"):
        async with run(*documents, secret) as running:
            await running.until("alice (735577801) has joined")
            if not clear:
                await running.until("it is encrypted end to end with another key than the recorder's")
            await asyncio.to_thread(bucket.await_keys, ".ts", 2)
            running.process.send_signal(signal.SIGINT)
            assert await running.ended() == 0
    assert any("encrypted end to end" in line for line in running.lines) != clear
    assert not any(key in line for line in running.lines)
    slices = sorted(file for file in await asyncio.to_thread(bucket.download, tmp_path / "b") if file.suffix == ".ts")
    picture = media.pictures(slices[1], per_second=5)[0]
    assert media.colour(picture, LEFT) == ("red" if clear else "black")


WRONG_SECRET = "not-the-secret-of-this-key-at-all"


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        ({"apiKey": API_KEY, "apiSecret": WRONG_SECRET}, "does not accept the API key with this secret (401)"),
        ({"token": token("room", "recorder", seconds=-60)}, "the token has expired; make a new one"),
        ({"token": token("other", "recorder")}, 'the token is for the room "other"'),
        (
            {"token": token("room", "recorder", secret=WRONG_SECRET)},
            "the LiveKit server does not accept the token (401)",
        ),
    ],
    ids=["secret", "expired", "room", "signature"],
)
async def test_whom_a_room_refuses_hears_why_and_reads_no_secret(
    secret: dict[str, str], said: str, run: Starter, bucket: Bucket, livekit: LiveKitServer, tmp_path: Path
) -> None:
    async with run(*of_room(bucket, livekit.url, **secret)) as running:
        assert await running.ended() == 4
    assert running.lines[-1].startswith("failed: the channel refuses the recorder: ")
    assert said in running.lines[-1]
    told = [*running.lines, *(file.read_text() for file in (tmp_path / "work").rglob("log.jsonl"))]
    assert not any(word in line for line in told for word in ("eyJ", WRONG_SECRET))


async def test_a_room_that_was_never_reached_is_not_said_to_be_empty(run: Starter, bucket: Bucket) -> None:
    documents = of_room(bucket, "ws://127.0.0.1:9", apiKey=API_KEY, apiSecret=API_SECRET)
    async with run(*documents) as absent:
        assert await absent.ended() == 4
    assert "LiveKit's client library cannot be loaded" in absent.lines[-1]
    assert "name its file in CLOUD_RECORDING_LIVEKIT_LIBRARY" in absent.lines[-1]
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CLOUD_RECORDING_LIVEKIT_LIBRARY", str(livekit_library()))
        async with run(*documents) as running:
            assert await running.ended() == 3
    told = "\n".join(running.lines)
    assert (
        "nobody came to the channel within 5 s: the recorder is not in the channel: the LiveKit server cannot be"
        in told
    )
