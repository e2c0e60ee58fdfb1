# SPDX-License-Identifier: Apache-2.0
"""What an engine is given to begin with, read from the job; secrets are read from their files here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cloud_recording.runner.control_protocol import Job
from cloud_recording.runner.recorder.engine import StartParameters


def start_parameters(job: Job) -> StartParameters:
    """The arguments of StartCloudRecording."""
    return StartParameters(
        app_id=job.app_id.read() or "",
        channel_name=job.channel_name,
        token=job.token.read() if job.token else None,
        uid=job.uid,
        secret=job.decryption_secret.read() if job.decryption_secret else None,
        bucket=job.bucket,
        access_key=job.access_key.read() or "",
        secret_key=job.secret_key.read() or "",
        **job.numbers,
    )


def secret_files(job: Job) -> Iterator[Path]:
    """Every file whose content an engine is given, or reads itself, and may quote."""
    texts = (job.app_id, job.token, job.access_key, job.secret_key, job.decryption_secret)
    yield from (Path(text.path) for text in texts if text is not None and text.path is not None)
    for store in ("storage", "backup"):
        yield from map(Path, job.configuration.get(store, {}).get("credentialFiles", {}).values())
    for channel in job.configuration.get("channels", ()):
        yield from files_of_streams(channel.get("streams", ()))
        yield from (Path(path) for field, path in channel.get("livekit", {}).items() if field.endswith("File"))


def files_of_streams(streams: Iterable[Mapping[str, Any]]) -> Iterator[Path]:
    """The same of participants alone."""
    for stream in streams:
        if "urlFile" in stream:
            yield Path(stream["urlFile"])
        yield from (Path(header["valueFile"]) for header in stream.get("headers", ()) if "valueFile" in header)
