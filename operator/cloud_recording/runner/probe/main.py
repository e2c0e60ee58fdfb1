# SPDX-License-Identifier: Apache-2.0
"""`cloud-recording probe`: the only process of the pod that tries a RecordingStorage."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from cloud_recording.api.recording_storage import StorageProbe
from cloud_recording.runner.one_shot import OneShot
from cloud_recording.runner.probe.store_probe import probe


def _told(answer: StorageProbe) -> tuple[str, Mapping[str, Any]]:
    return "store tried", {"ready": answer.ready, "cause": answer.cause, "detail": answer.message}


_PROBE: Final = OneShot(
    command="probe",
    description="Tries whether a RecordingStorage takes files. Runs in a pod that the operator makes for it.",
    work=probe,
    told=_told,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Tries one store and returns the exit status."""
    return _PROBE.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
