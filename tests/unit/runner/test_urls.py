# SPDX-License-Identifier: Apache-2.0
"""URLs and a directory in place of a manifest."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloud_recording.api.channel import MAX_STREAMS
from cloud_recording.runner.local.main import main
from cloud_recording.runner.local.manifest import ManifestError
from cloud_recording.runner.local.urls import of_urls

DIRECTORY = Path("/films")


def test_each_url_is_a_participant_and_one_with_a_password_is_read_from_a_file() -> None:
    secret = "rtsp://me:hunter2@camera/1"
    manifest = of_urls(["rtmp://media/live/a", secret, "file:///my films/a.ts"], directory=DIRECTORY)
    streams = manifest.spec.channel.streams or ()
    assert [stream.uid for stream in streams] == [1, 2, 3]
    assert (streams[0].url, streams[2].url) == ("rtmp://media/live/a", "file:///my films/a.ts")
    assert streams[1].url is None
    assert streams[1].url_secret_ref is not None
    reference = streams[1].url_secret_ref
    assert manifest.secrets[reference.name][reference.key] == secret.encode()
    assert manifest.directory == DIRECTORY


@pytest.mark.parametrize(
    ("urls", "words"),
    [
        (["rtmp://a", "camera"], "URL 2: must begin with a scheme"),
        (["rtmp://a"] * (MAX_STREAMS + 1), f"there are {MAX_STREAMS + 1} URLs"),
    ],
)
def test_what_cannot_be_recorded_is_said(urls: list[str], words: str) -> None:
    with pytest.raises(ManifestError, match=words):
        of_urls(urls, directory=DIRECTORY)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give either URLs and -o DIRECTORY, or -f MANIFEST"),
        (["rtmp://a", "-f", "a.yaml", "-o", "films"], "give either URLs"),
        (["rtmp://a"], "-o: is required beside URLs"),
    ],
)
def test_the_arguments_say_where_everything_comes_from_and_goes(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_a_directory_that_cannot_be_made_is_said_to_be_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file"
    file.touch()
    assert main(["rtmp://a", "-o", str(file / "films")]) == 2
    assert f"-o {file}/films: Not a directory" in capsys.readouterr().err
