# SPDX-License-Identifier: Apache-2.0
"""Has a recorder process put one playlist, and one MP4 if asked for, over several parts, and hears what came of it."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from cloud_recording.api.wire import MergeAnswer
from cloud_recording.runner.control_protocol import Answer, Command, Mode
from cloud_recording.runner.one_shot import OneShotPod
from cloud_recording.runner.outbox import Outbox, Writer
from cloud_recording.runner.supervisor.mounted_secrets import MountedSecrets
from cloud_recording.runner.supervisor.part_events import Event, ProcessAnswered, ProcessExited, ProcessLoaded
from cloud_recording.runner.supervisor.part_store import OUTBOX
from cloud_recording.runner.supervisor.recorder_child import RecorderChild
from cloud_recording.runner.supervisor.recorder_job import JobBuilder

WAITING_FOR_SECRET: Final = "WaitingForSecret"  # noqa: S105 - a word of the status, no secret
UNSUPPORTED: Final = "MergeUnsupported"
_FAILED: Final = "MergeFailed"


async def merge(pod: OneShotPod) -> MergeAnswer:
    """What became of it."""
    secrets = MountedSecrets(pod.document, pod.secrets)
    missing = "; ".join(one.sentence() for one in secrets.missing())
    if missing:
        return MergeAnswer(cause=WAITING_FOR_SECRET, message=missing)
    outbox = Outbox(pod.work / OUTBOX, writer=Writer.SUPERVISOR)
    try:
        return await _merged(pod, secrets)
    finally:
        outbox.close()


async def _merged(pod: OneShotPod, secrets: MountedSecrets) -> MergeAnswer:
    jobs = JobBuilder(pod.document, secrets, work=pod.work, scratch=Path(tempfile.gettempdir()))
    events: asyncio.Queue[Event] = asyncio.Queue()
    child = RecorderChild(
        library=pod.document.engine.library_path,
        outbox=pod.work / OUTBOX,
        on_event=events.put_nowait,
        on_callbacks=lambda: None,
    )
    answer = MergeAnswer(cause=_FAILED, message="the recorder process ended, as its log says")
    while True:
        match await events.get():
            case ProcessLoaded(extended=False):
                answer = MergeAnswer(cause=UNSUPPORTED, message="this engine has only the published interface")
                child.kill()
            case ProcessLoaded():
                job = jobs.job(Mode.MERGE, pod.desired)
                child.send({"command": Command.BEGIN, "job": job.as_json()})
            case ProcessAnswered(answer=Answer.MERGE) as answered:
                answer = _answer(answered)
            case ProcessExited():
                return answer


def _answer(answered: ProcessAnswered) -> MergeAnswer:
    if answered.refusal:
        return MergeAnswer(cause=UNSUPPORTED, message=answered.refusal)
    try:
        return MergeAnswer.model_validate_json(answered.told)
    except ValidationError:
        return MergeAnswer(cause=_FAILED, message="the engine gave an answer that cannot be read")
