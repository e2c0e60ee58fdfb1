# SPDX-License-Identifier: Apache-2.0
"""What the processes that begin a pod are told alike: where its files are."""

from __future__ import annotations

import argparse
import os
from pathlib import Path


def add_pod_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds where the pod's volumes are mounted, and where its last word goes."""
    parser.add_argument("--pod-directory", type=Path, default=Path("/etc/cloud-recording/pod"))
    parser.add_argument("--secrets-directory", type=Path, default=Path("/etc/cloud-recording/secrets"))
    parser.add_argument(
        "--work-directory",
        type=Path,
        default=Path(os.environ.get("CLOUD_RECORDING_WORK_DIR", "/var/lib/cloud-recording")),
    )
    parser.add_argument("--termination-message", type=Path, default=Path("/dev/termination-log"))
