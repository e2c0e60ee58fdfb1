# SPDX-License-Identifier: Apache-2.0
"""Parts of one recording, as recorders leave them in a directory."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.support.participants import participant
from tests.support.recorder import recorder

RECORDING_ID: Final = "0123456789abcdef0123456789abcdef"
STEM: Final = f"{RECORDING_ID}_room"


def record_parts(url: str, directory: Path) -> Path:
    """Records three parts of a channel, the last of which has pictures of another size; where their files are."""
    films = directory / "films"
    films.mkdir()
    with participant(url, log=directory / "alice.log"):
        with _recording(url, films, "", directory=directory / "first", seconds="7"):
            pass
        other = {"width": "320", "height": "180"}
        with (
            _recording(url, films, "bak0_", directory=directory / "second", seconds="3"),
            _recording(url, films, "bak1_", directory=directory / "third", seconds="3", **other),
        ):
            pass
    return films


@contextlib.contextmanager
def _recording(url: str, films: Path, prefix: str, *, directory: Path, **options: str) -> Iterator[None]:
    """Records a part into the directory of films for the time of the block, and until it is whole there."""
    document = {
        "recordingId": RECORDING_ID,
        "filePrefix": prefix,
        "sliceSeconds": 2,
        "workDir": str(directory / "work"),
        "storage": {"directory": str(films)},
        "channels": [{"streams": [{"uid": 1, "url": url}]}],
    }
    directory.mkdir()
    dashed = {f"--{name}": value for name, value in {"bucket": "", **options}.items()}
    with recorder(document, directory=directory, options=dashed, keys=("", "")) as running:
        yield
        assert running.wait() == 0
