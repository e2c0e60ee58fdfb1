# SPDX-License-Identifier: Apache-2.0
"""`cloud-recording rescue`: uploads what a recording left on this machine, or was copied to it, and records nothing."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import sys
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path

from cloud_recording.api.recording import DesiredRecordingState
from cloud_recording.common.exit_status import EXIT_INVALID
from cloud_recording.runner.local.exit_statuses import EXIT_NOTHING, EXIT_STATUSES
from cloud_recording.runner.local.local_run import LocalRun, ResumeError
from cloud_recording.runner.local.manifest import Manifest, ManifestError, load
from cloud_recording.runner.local.options import add_manifest_options, host_of, made


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cloud-recording rescue",
        usage="%(prog)s ID -f MANIFEST ... [-o DIRECTORY] [options]",
        description="Uploads what a recording left in the work directory, finishes its playlist, and records nothing. "
        "It tries for as long as it runs; Ctrl-C twice gives up, and what is left is kept.",
        epilog=EXIT_STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("id", metavar="ID", type=uuid.UUID, help="the recording's: its directory has that name")
    parser.add_argument(
        *("-o", "--output"),
        metavar="DIRECTORY",
        type=Path,
        help="where the files go, made if need be, in place of the manifest's `spec.storage`",
    )
    add_manifest_options(parser)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Uploads what is left and returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if not options.files:
        parser.error("-f: is required: the manifest says which store the files are for")
    try:
        directory = made(options.output) if options.output is not None else None

        def stopped() -> Manifest:
            manifest = load(options.files, name=options.name, begun=True, directory=directory)
            spec = manifest.spec.model_copy(update={"desired_state": DesiredRecordingState.STOPPED})
            return dataclasses.replace(manifest, spec=spec)

        # Secrets lie in a directory that only this user can read, and only while it runs.
        with tempfile.TemporaryDirectory(prefix="cloud-recording-") as mounted:
            run = LocalRun(
                stopped(), host_of(options), mounted=Path(mounted), resumed=options.id, rescues=True, reread=stopped
            )
            return asyncio.run(run.run())
    except (ManifestError, ResumeError) as error:
        print(error, file=sys.stderr)
        return EXIT_INVALID
    except KeyboardInterrupt:
        # Before anything began: later it is a wish to give up.
        return EXIT_NOTHING


if __name__ == "__main__":
    sys.exit(main())
