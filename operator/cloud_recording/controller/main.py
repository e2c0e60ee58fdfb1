# SPDX-License-Identifier: Apache-2.0
"""`cloud-recording operator`: reads the settings, and runs until told to stop or until it may not go on.

Exit status: 0 told to stop; 1 the Lease was lost, the watch ended or the API server did not answer; 2 the settings or
the environment are wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml
from pydantic import ValidationError

from cloud_recording.api.settings import OperatorSettings
from cloud_recording.common.exit_status import EXIT_FAILED, EXIT_INVALID
from cloud_recording.controller import log_setup
from cloud_recording.controller.operator import Operator, ReplicaIdentity
from cloud_recording.kube.errors import KubeError

logger = logging.getLogger(__name__)


def main(arguments: Sequence[str]) -> int:
    """Runs the operator and returns its exit status."""
    parser = argparse.ArgumentParser(prog="cloud-recording operator", description="Gives each CloudRecording a pod.")
    parser.add_argument("--config", type=Path, required=True, help="the operator's settings, a YAML file")
    options = parser.parse_args(arguments)
    try:
        settings = load_settings(options.config)
        replica = ReplicaIdentity.from_environment(os.environ)
    except (OSError, ValueError) as error:
        print(f"cloud-recording operator: {error}", file=sys.stderr)
        return EXIT_INVALID
    log_setup.set_up(settings.logging)
    _collect_garbage_rarely()
    try:
        return asyncio.run(_run(settings, replica))
    except ValueError as error:
        logger.error("the operator cannot run here", extra={"error": str(error)})  # noqa: TRY400 - told, not traced
        return EXIT_INVALID
    except KubeError as error:
        logger.error("the operator cannot start", extra={"error": error.message})  # noqa: TRY400 - told, not traced
        return EXIT_FAILED


def _collect_garbage_rarely() -> None:
    """Has the collector look at what requests leave behind, less often, and never again at what was imported.

    What they leave behind is freed without it but for rare cycles; looking for those took a tenth of the time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


async def _run(settings: OperatorSettings, replica: ReplicaIdentity) -> int:
    return await Operator(settings, replica).run()


def load_settings(path: Path) -> OperatorSettings:
    """The settings in the file; raises ValueError with each wrong field's name when there is one."""
    try:
        return OperatorSettings.model_validate(yaml.safe_load(path.read_text()) or {})
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {error}") from None
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, one['loc']))}: {one['msg']}"
            for one in error.errors(include_url=False, include_input=False)
        )
        raise ValueError(f"{path}: {wrong}") from None
