# SPDX-License-Identifier: Apache-2.0
"""The first process of a pod that has one thing to do: it reads the pod's files, and its answer is its last word."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from cloud_recording.api.base import RecordModel
from cloud_recording.api.wire import DesiredState, RecordingDocument
from cloud_recording.common.exit_status import EXIT_FAILED, EXIT_OK
from cloud_recording.common.json_logging import Redactor
from cloud_recording.runner import process_log
from cloud_recording.runner.faults import ProcessFault
from cloud_recording.runner.pod_arguments import add_pod_arguments
from cloud_recording.runner.supervisor.mounted_secrets import MountedSecrets
from cloud_recording.runner.supervisor.mounts import Mounts

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer", bound=RecordModel)


@dataclass(frozen=True, slots=True, kw_only=True)
class OneShotPod:
    """Where the work is done."""

    document: RecordingDocument
    desired: DesiredState
    secrets: Path
    work: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class OneShot(Generic[Answer]):
    """What there is to do, and how the log tells of it."""

    command: str
    """The subcommand, which is the name of the process, too."""
    description: str
    work: Callable[[OneShotPod], Awaitable[Answer]]
    told: Callable[[Answer], tuple[str, Mapping[str, Any]]]
    """The answer as a line of the log: the message, and what belongs to it."""

    def main(self, arguments: Sequence[str] | None = None) -> int:
        """Does the work and returns the exit status.

        0 when there is an answer, whichever (the termination message has it); 1 when the work could not be done; 2 for
        wrong arguments.
        """
        parser = argparse.ArgumentParser(prog=f"cloud-recording {self.command}", description=self.description)
        add_pod_arguments(parser)
        options = parser.parse_args(arguments)
        redactor = Redactor()
        process_log.set_up(process=self.command, redactor=redactor)
        try:
            asyncio.run(self._answered(options, redactor))
        except ProcessFault as error:
            logger.error("%s cannot work", self.command, extra={"error": str(error)})  # noqa: TRY400
            return EXIT_FAILED
        except Exception:
            logger.exception("%s failed", self.command)
            return EXIT_FAILED
        return EXIT_OK

    async def _answered(self, options: argparse.Namespace, redactor: Redactor) -> None:
        mounts = Mounts(pod=options.pod_directory, secrets=options.secrets_directory, token=Path(os.devnull))
        document = mounts.recording()
        redactor.learn(need.path for need in MountedSecrets(document, mounts.secrets).needed())
        desired = mounts.desired().state
        pod = OneShotPod(document=document, desired=desired, secrets=mounts.secrets, work=options.work_directory)
        answer = await self.work(pod)
        text = redactor.redact(answer.model_dump_json(by_alias=True, exclude_none=True))
        options.termination_message.write_text(text, encoding="utf-8")
        message, extra = self.told(answer)
        logger.info(message, extra=extra)
