# SPDX-License-Identifier: Apache-2.0
"""What one MP4 over all parts takes of the pod that makes it.

It reads every slice back, and has the whole file on its disk before it is put.
"""

from __future__ import annotations

from typing import Final

from cloud_recording.api.media import Output
from cloud_recording.api.pod_options import Resources
from cloud_recording.api.recording import CloudRecordingSpec
from cloud_recording.api.status import Amounts, CloudRecordingStatus
from cloud_recording.domain.one_shot_pod import ONE_SHOT_RESOURCES
from cloud_recording.domain.sizing import LOG_MEBIBYTES, MEBIBYTE, TMP_MEBIBYTES

SLOWEST_BYTES_PER_SECOND: Final = 8_000_000
"""As fast as a store is at least taken to be, in either direction."""
LEAST_SECONDS: Final = 180
"""Longer than the recorder's library waits for a store that does nothing."""

SLICES_MEBIBYTES: Final = 256
"""For a few slices beside the file, which is a little smaller than all of them."""

MEBIBYTES_PER_HOUR: Final = 48
"""The file's index is in memory until it is written: some 100 bytes for each picture and each block of sound."""
BASE_MEBIBYTES: Final = 128
LIMIT_FACTOR: Final = 4


def seconds(spec: CloudRecordingSpec, status: CloudRecordingStatus) -> int | None:
    """How long making it may take; None where none is asked for."""
    if Output.MP4 not in spec.recording.outputs:
        return None
    return LEAST_SECONDS + 2 * _bytes(status) // SLOWEST_BYTES_PER_SECOND


def disk_mebibytes(status: CloudRecordingStatus) -> int:
    """Mebibytes of the work volume that it takes."""
    return _bytes(status) * 11 // 10 // MEBIBYTE + SLICES_MEBIBYTES


def resources(status: CloudRecordingStatus) -> Resources:
    """Requests and limits of the pod's container."""
    disk = f"{disk_mebibytes(status) + TMP_MEBIBYTES + LOG_MEBIBYTES}Mi"
    memory = BASE_MEBIBYTES + MEBIBYTES_PER_HOUR * (status.recorded_seconds or 0) // 3600
    return Resources(
        requests={**ONE_SHOT_RESOURCES.requests, "memory": f"{memory}Mi", "ephemeral-storage": disk},
        limits={**ONE_SHOT_RESOURCES.limits, "memory": f"{memory * LIMIT_FACTOR}Mi", "ephemeral-storage": disk},
    )


def _bytes(status: CloudRecordingStatus) -> int:
    return (status.bytes or Amounts()).written
