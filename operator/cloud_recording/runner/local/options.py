# SPDX-License-Identifier: Apache-2.0
"""The options that every command has which works on this machine: its manifest, its engine, its work directory."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Final

from cloud_recording.runner.local.local_run import LocalHost
from cloud_recording.runner.local.manifest import ManifestError

_LIBRARY: Final = "libagora-cloud-recording-client.so"


def _engine() -> str:
    """The engine of the source tree that this runs from, else the installed one."""
    built = Path(__file__).resolve().parents[4] / "build" / "lib" / _LIBRARY
    return str(built) if built.exists() else _LIBRARY


def _work_directory() -> Path:
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "cloud-recording"


def add_manifest_options(parser: argparse.ArgumentParser) -> None:
    """Which recording, by which engine, and where its files wait."""
    parser.add_argument(
        *("-f", "--filename"),
        dest="files",
        type=Path,
        action="append",
        default=[],
        help="YAML with the CloudRecording and its Secrets; may be given several times",
    )
    parser.add_argument("--name", help="which recording, where the files hold several")
    parser.add_argument("--engine", default=_engine(), help="path of the engine's library (default: %(default)s)")
    parser.add_argument(
        "--work-directory",
        type=Path,
        default=_work_directory(),
        help="where files wait for their upload (default: %(default)s)",
    )


def host_of(options: argparse.Namespace) -> LocalHost:
    """What these options say of this machine."""
    return LocalHost(engine=options.engine, work=options.work_directory.resolve())


def made(directory: Path) -> Path:
    """The directory that files go to, made if need be; raises ManifestError."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ManifestError(f"-o {directory}: {error.strerror}") from error
    return directory.resolve()
