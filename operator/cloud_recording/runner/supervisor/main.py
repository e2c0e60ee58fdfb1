# SPDX-License-Identifier: Apache-2.0
"""`cloud-recording runner`: the first process of a recording's pod.

Exit statuses: 0 when the part is concluded, whatever the outcome (the summary tells it, and nobody should restart the
container); 1 when it could not do its work and wants to be restarted; 2 for wrong arguments.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cloud_recording import __version__
from cloud_recording.common.ending_signals import ENDING_SIGNALS
from cloud_recording.common.exit_status import EXIT_FAILED, EXIT_OK
from cloud_recording.common.json_logging import Redactor
from cloud_recording.runner import process_log
from cloud_recording.runner.faults import ProcessFault
from cloud_recording.runner.pod_arguments import add_pod_arguments
from cloud_recording.runner.supervisor.mounts import Mounts
from cloud_recording.runner.supervisor.operator_receiver import OperatorAddress, OperatorReceiver
from cloud_recording.runner.supervisor.outbox_recovery import recovered_supervisor
from cloud_recording.runner.supervisor.part_log import log_fields
from cloud_recording.runner.supervisor.probe_server import ProbeServer
from cloud_recording.runner.supervisor.reaper import adopt_orphans
from cloud_recording.runner.supervisor.supervisor import PodContext

logger = logging.getLogger(__name__)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cloud-recording runner",
        description="Records one part of a CloudRecording and reports to the operator. Runs in a recording's pod.",
    )
    add_pod_arguments(parser)
    parser.add_argument("--token", type=Path, default=Path("/var/run/secrets/cloudrecording.dev/token"))
    parser.add_argument("--host", default=None, help="address of the probes; every address if left out")
    parser.add_argument("--port", type=int, default=8080, help="port of the probes; 0 takes a free one")
    parser.add_argument("--pod-uid", default=os.environ.get("POD_UID"), help="the pod's UID; POD_UID if left out")
    return parser


async def _supervise(options: argparse.Namespace, redactor: Redactor) -> None:
    mounts = Mounts(pod=options.pod_directory, secrets=options.secrets_directory, token=options.token)
    document = mounts.recording()
    process_log.set_up(process="supervisor", redactor=redactor, fields=log_fields(document))
    address = OperatorAddress(
        url=document.callback_url,
        pod_uid=options.pod_uid,
        token=mounts.token,
        authorities=mounts.authorities,
    )
    pod = PodContext(
        mounts=mounts,
        work=options.work_directory,
        termination_message=options.termination_message,
        pod_uid=options.pod_uid,
        scratch=Path(tempfile.gettempdir()),
    )
    supervisor = recovered_supervisor(pod, receiver=OperatorReceiver(address), redactor=redactor)
    probes = ProbeServer(supervisor.probe_state)
    loop = asyncio.get_running_loop()
    for number in ENDING_SIGNALS:
        loop.add_signal_handler(number, supervisor.terminate)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING_SIGNALS)
    adopt_orphans(lambda: supervisor.child_pid)
    port = await probes.start(host=options.host, port=options.port)
    logger.info("supervising", extra={"probes": port, "version": __version__})
    await supervisor.run()
    await asyncio.sleep(probes.seconds_until_quiet())
    await probes.stop()


def main(arguments: Sequence[str] | None = None) -> int:
    """Supervises one part and returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if not options.pod_uid:
        parser.error("the pod's UID is needed: set POD_UID or --pod-uid")
    # Process 1 loses a signal that it has no handler for, and the kubelet sends but one: it waits for the handler. The
    # image's entry point has it wait from the first instruction on, as the imports take a second.
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING_SIGNALS)
    redactor = Redactor()
    process_log.set_up(process="supervisor", redactor=redactor)
    redactor.learn([options.token])
    try:
        asyncio.run(_supervise(options, redactor))
    except ProcessFault as error:
        logger.error("the supervisor cannot work", extra={"error": str(error)})  # noqa: TRY400
        return EXIT_FAILED
    except Exception:
        logger.exception("the supervisor failed")
        return EXIT_FAILED
    return EXIT_OK


if __name__ == "__main__":
    sys.exit(main())
