# SPDX-License-Identifier: Apache-2.0
"""`cloud-recording merge`: the first process of the pod that puts one playlist over all parts of a recording.

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
from cloud_recording.runner.merge.part_merge import MergePod, merge
from cloud_recording.runner.pod_arguments import add_pod_arguments
from cloud_recording.runner.supervisor.mounted_secrets import MountedSecrets
from cloud_recording.runner.supervisor.mounts import Mounts

logger = logging.getLogger(__name__)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cloud-recording merge",
        description="Puts one playlist over a CloudRecording's parts. Runs in a pod that the operator makes for it.",
    )
    add_pod_arguments(parser)
    return parser


async def _merge(options: argparse.Namespace, redactor: Redactor) -> None:
    mounts = Mounts(pod=options.pod_directory, secrets=options.secrets_directory, token=Path(os.devnull))
    document = mounts.recording()
    redactor.learn(need.path for need in MountedSecrets(document, mounts.secrets).needed())
    pod = MergePod(
        document=document, desired=mounts.desired().state, secrets=mounts.secrets, work=options.work_directory
    )
    answer = await merge(pod)
    text = redactor.redact(answer.model_dump_json(by_alias=True, exclude_none=True))
    options.termination_message.write_text(text, encoding="utf-8")
    told = {"playlist": answer.playlist, "cause": answer.cause, "detail": answer.message}
    logger.info("parts merged" if answer.playlist else "parts not merged", extra=told)


def main(arguments: Sequence[str] | None = None) -> int:
    """Merges the parts of one recording and returns the exit status."""
    options = _parser().parse_args(arguments)
    redactor = Redactor()
    process_log.set_up(process="merge", redactor=redactor)
    try:
        asyncio.run(_merge(options, redactor))
    except ProcessFault as error:
        logger.error("the parts cannot be merged", extra={"error": str(error)})  # noqa: TRY400
        return EXIT_FAILED
    except Exception:
        logger.exception("merging the parts failed")
        return EXIT_FAILED
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
