# SPDX-License-Identifier: Apache-2.0
"""`cloud-recording probe`: the only process of the pod that tries a RecordingStorage.

Exit statuses: 0 when it has an answer, whichever (the termination message has it); 1 when it could not do its work; 2
for wrong arguments.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from cloud_recording.common.exit_status import EXIT_FAILED, EXIT_OK
from cloud_recording.common.json_logging import Redactor
from cloud_recording.runner import process_log
from cloud_recording.runner.faults import ProcessFault
from cloud_recording.runner.pod_arguments import add_pod_arguments
from cloud_recording.runner.probe.store_probe import ProbePod, probe
from cloud_recording.runner.supervisor.mounted_secrets import MountedSecrets
from cloud_recording.runner.supervisor.mounts import Mounts

logger = logging.getLogger(__name__)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cloud-recording probe",
        description="Tries whether a RecordingStorage takes files. Runs in a pod that the operator makes for it.",
    )
    add_pod_arguments(parser)
    return parser


async def _probe(options: argparse.Namespace, redactor: Redactor) -> None:
    mounts = Mounts(pod=options.pod_directory, secrets=options.secrets_directory, token=Path(os.devnull))
    document = mounts.recording()
    redactor.learn(need.path for need in MountedSecrets(document, mounts.secrets).needed())
    pod = ProbePod(
        document=document, desired=mounts.desired().state, secrets=mounts.secrets, work=options.work_directory
    )
    answer = await probe(pod)
    text = redactor.redact(answer.model_dump_json(by_alias=True, exclude_none=True))
    options.termination_message.write_text(text, encoding="utf-8")
    logger.info("store tried", extra={"ready": answer.ready, "cause": answer.cause, "detail": answer.message})


def main(arguments: Sequence[str] | None = None) -> int:
    """Tries one store and returns the exit status."""
    options = _parser().parse_args(arguments)
    redactor = Redactor()
    process_log.set_up(process="probe", redactor=redactor)
    try:
        asyncio.run(_probe(options, redactor))
    except ProcessFault as error:
        logger.error("the probe cannot work", extra={"error": str(error)})  # noqa: TRY400
        return EXIT_FAILED
    except Exception:
        logger.exception("the probe failed")
        return EXIT_FAILED
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
