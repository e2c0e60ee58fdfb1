# SPDX-License-Identifier: Apache-2.0
"""The whole way on real parts: a manifest is applied; what was in the channel is in the bucket, as the status says."""

from dataclasses import dataclass
from pathlib import Path

import m3u8
import pytest

from tests.support import media
from tests.support.media import Region
from tests.testbed.bucket import Bucket
from tests.testbed.scene import ALICE, BOB, CAROL, Resource, Scene, condition, slices

NAME = "whole-way"
# BestFit, in order of joining: two users side by side, three or four in a grid of two by two. The moving block is in
# the middle of each picture's height, so the regions that are looked at are above it.
PAIR = {"alice": Region(0.05, 0.1, 0.4, 0.25), "bob": Region(0.55, 0.1, 0.4, 0.25)}
GRID = {
    "alice": Region(0.05, 0.02, 0.4, 0.12),
    "bob": Region(0.55, 0.02, 0.4, 0.12),
    "carol": Region(0.05, 0.52, 0.4, 0.12),
}


@dataclass(frozen=True)
class Recorded:
    """A finished recording: the resource as it was last, and the objects as they were fetched."""

    resource: Resource
    files: dict[str, Path]
    content_types: dict[str, str]
    whole: Path

    @property
    def playlist(self) -> Path:
        return self.files[self.resource["status"]["playlist"]]


@pytest.fixture(scope="module")
def recorded(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    """Alice is there from the start and bob soon after her; carol joins late and leaves early."""
    scene.join(ALICE)
    scene.record(NAME, streams=[who.stream() for who in (ALICE, BOB, CAROL)])
    scene.until_condition(NAME, "Recording", "True")
    scene.join(BOB)
    scene.until(NAME, lambda recording: _joined(recording) == 2, "bob has joined")
    scene.until(NAME, lambda recording: slices(recording) >= 1, "a slice is uploaded while it records")
    scene.join(CAROL)
    scene.until(NAME, lambda recording: _joined(recording) == 3, "carol has joined")
    before = slices(scene.get(NAME))
    scene.until(NAME, lambda recording: slices(recording) >= before + 2, "a whole slice with carol is uploaded")
    scene.leave(CAROL)
    scene.until(NAME, lambda recording: _joined(recording) == 2, "carol has left")
    before = slices(scene.get(NAME))
    scene.until(NAME, lambda recording: slices(recording) >= before + 2, "a whole slice without carol is uploaded")
    scene.stop(NAME)
    resource = scene.finished(NAME)
    directory = tmp_path_factory.mktemp("recorded")
    with scene.bucket() as address:
        return _fetched(scene.opened_bucket(address), resource, directory)


def _joined(recording: Resource) -> int:
    return sum(entry["state"] == "Joined" for entry in recording["status"].get("participants", []))


def _fetched(bucket: Bucket, resource: Resource, directory: Path) -> Recorded:
    files = bucket.download(directory, of=resource["status"]["recordingId"])
    types = {name: bucket.content_type(name) for name in files}
    uris = m3u8.loads(files[resource["status"]["playlist"]].read_text()).segments.uri
    return Recorded(resource, files, types, media.joined((files[uri] for uri in uris), directory / "whole.ts"))


def test_the_status_says_that_it_succeeded(recorded: Recorded) -> None:
    expected = {"Ready": "True", "Succeeded": "True", "Uploaded": "True", "Finished": "True", "Recording": "False"}
    assert {kind: condition(recorded.resource, kind).get("status") for kind in expected} == expected
    assert condition(recorded.resource, "Stalled").get("status") in {None, "False"}
    assert condition(recorded.resource, "Reconciling").get("status") in {None, "False"}
    assert recorded.resource["status"]["progressPercent"] == 100
    assert "lastError" not in recorded.resource["status"]


def test_the_status_counts_what_is_in_the_bucket(recorded: Recorded) -> None:
    """G1: status and playlist never claim what is not in the bucket."""
    in_bucket = [file for key, file in recorded.files.items() if key.endswith(".ts")]
    status = recorded.resource["status"]
    assert status["slices"]["uploaded"] == status["slices"]["written"] == len(in_bucket)
    assert status["slices"].get("pending", 0) == 0
    assert status["bytes"]["uploaded"] == sum(file.stat().st_size for file in in_bucket)
    listed = m3u8.loads(recorded.playlist.read_text()).segments.uri
    assert sorted(listed) == sorted(file.name for file in in_bucket)


def test_the_playlist_is_finished_and_honest(recorded: Recorded) -> None:
    text = recorded.playlist.read_text()
    playlist = m3u8.loads(text)
    assert playlist.is_endlist
    assert playlist.version == 3
    assert playlist.media_sequence == 0
    longest = max(segment.duration for segment in playlist.segments)
    assert playlist.target_duration >= round(longest)
    assert all(segment.duration == 15.0 for segment in playlist.segments[:-1])
    assert text.count("#EXT-X-AGORA-TRACK-EVENT:EVENT=START,TRACK_TYPE=AUDIO") == 1
    assert text.count("#EXT-X-AGORA-TRACK-EVENT:EVENT=START,TRACK_TYPE=VIDEO") == 1


def test_players_are_told_the_content_types(recorded: Recorded) -> None:
    assert recorded.content_types[recorded.playlist.name] == "application/x-mpegURL"
    assert {kind for key, kind in recorded.content_types.items() if key.endswith(".ts")} == {"video/MP2T"}


def test_time_goes_on_across_slices(recorded: Recorded) -> None:
    video, audio = media.packets(recorded.whole, "video"), media.packets(recorded.whole, "audio")
    assert media.breaks(video, tolerance=0.002) == []
    assert media.breaks(audio, tolerance=0.002) == []
    assert abs(video[0].pts - audio[0].pts) <= 0.1


def test_every_slice_begins_with_a_key_frame(recorded: Recorded) -> None:
    for key, file in recorded.files.items():
        if key.endswith(".ts"):
            assert media.packets(file, "video")[0].key, key


def test_everybody_is_seen_in_their_region_and_heard(recorded: Recorded) -> None:
    """Content, not containers: colours where the layout puts them, tones as long as their owners are there."""
    shown = [
        {who: media.colour(picture, region) for who, region in GRID.items()}
        for picture in media.pictures(recorded.whole, per_second=1)
    ]
    everybody = {"alice": "red", "bob": "green", "carol": "blue"}
    together = [second for second, seen in enumerate(shown) if seen == everybody]
    assert len(together) >= 15, shown
    pairs = [
        {who: media.colour(picture, region) for who, region in PAIR.items()}
        for picture in media.pictures(recorded.whole, per_second=1, seconds=together[0])
    ]
    assert {"alice": "red", "bob": "green"} in pairs
    middle = (together[0] + together[-1]) / 2
    heard = media.sound(recorded.whole, start=middle, seconds=2)
    assert [media.hears(heard, who.tone_hz) for who in (ALICE, BOB, CAROL)] == [True, True, True]
    after = media.sound(recorded.whole, start=together[-1] + 6, seconds=2)
    assert [media.hears(after, who.tone_hz) for who in (ALICE, BOB, CAROL)] == [True, True, False]


def test_the_pod_keeps_to_the_restricted_standard_and_holds_no_secret(recorded: Recorded, scene: Scene) -> None:
    """G8: secrets are files in the container and nowhere else; the namespace enforces the standard itself."""
    (pod,) = scene.pods_of(NAME)
    text = str(pod) + str(recorded.resource) + str(scene.events_of(NAME))
    text += scene.target.kubectl("logs", pod["metadata"]["name"], f"--namespace={scene.namespace}")
    assert scene.credentials.secret_key not in text
    assert scene.credentials.access_key not in text
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert pod["metadata"].get("finalizers", []) == []


def test_kubectl_shows_it_in_columns(recorded: Recorded, scene: Scene) -> None:
    header, row = scene.target.kubectl("get", "crec", NAME, f"--namespace={scene.namespace}").splitlines()
    assert header.split() == ["NAME", "READY", "STATUS", "PROGRESS", "SLICES", "DURATION", "AGE"]
    assert row.split()[:3] == [NAME, "True", "Completed"]
    assert row.split()[4] == str(recorded.resource["status"]["slices"]["uploaded"])
