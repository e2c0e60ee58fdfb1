# SPDX-License-Identifier: Apache-2.0
"""`cloud-recording run`: records URLs or a manifest on this machine, without a cluster."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path

from cloud_recording.common.exit_status import EXIT_INVALID
from cloud_recording.runner.local.exit_statuses import EXIT_NOTHING, EXIT_STATUSES
from cloud_recording.runner.local.local_run import LocalRun, ResumeError
from cloud_recording.runner.local.manifest import ManifestError, load
from cloud_recording.runner.local.options import add_manifest_options, host_of, made
from cloud_recording.runner.local.urls import of_urls


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cloud-recording run",
        usage="%(prog)s URL ... -o DIRECTORY [options]\n       %(prog)s -f MANIFEST ... [-o DIRECTORY] [options]",
        description="Records on this machine, without a cluster: URLs of live media, participants 1, 2, ..., into a "
        "directory; or a CloudRecording manifest. Ctrl-C stops it; SIGUSR1 has it follow the manifest as it is then.",
        epilog=EXIT_STATUSES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("urls", metavar="URL", nargs="*", help="rtmp, rtsp, srt, http(s) and their like, or file://")
    parser.add_argument(
        *("-o", "--output"),
        metavar="DIRECTORY",
        type=Path,
        help="where the files go, made if need be; with a manifest in place of its `spec.storage`",
    )
    add_manifest_options(parser)
    parser.add_argument(
        "--resume",
        type=uuid.UUID,
        metavar="ID",
        help="go on with a recording that was killed, or upload what is left of one that has ended; "
        "the id is in the first line of its output",
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Records a manifest and returns the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if bool(options.urls) == bool(options.files):
        parser.error("give either URLs and -o DIRECTORY, or -f MANIFEST")
    if options.urls and options.output is None:
        parser.error("-o: is required beside URLs: it says where the recording goes")
    host = host_of(options)
    try:
        directory = made(options.output) if options.output is not None else None
        if directory is not None and options.urls:
            manifest = of_urls(options.urls, directory=directory)
        else:
            manifest = load(options.files, name=options.name, begun=options.resume is not None, directory=directory)
        # Secrets lie in a directory that only this user can read, and only while the recording runs.
        with tempfile.TemporaryDirectory(prefix="cloud-recording-") as mounted:
            run = LocalRun(
                manifest,
                host,
                mounted=Path(mounted),
                resumed=options.resume,
                reread=(lambda: load(options.files, name=manifest.name, begun=True, directory=directory))
                if options.files
                else None,
            )
            return asyncio.run(run.run())
    except ManifestError as error:
        print(error, file=sys.stderr)
        return EXIT_INVALID
    except ResumeError as error:
        print(f"--resume: {error}", file=sys.stderr)
        return EXIT_INVALID
    except KeyboardInterrupt:
        # Before anything began: later it is a wish to stop.
        return EXIT_NOTHING


if __name__ == "__main__":
    sys.exit(main())
