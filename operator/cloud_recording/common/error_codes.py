# SPDX-License-Identifier: Apache-2.0
"""The recorder SDK's error codes by name; `api.error_facts` says what each means for people.

Standard library only, for the recorder process, which counts its memory.
"""

from __future__ import annotations

from enum import IntEnum


class RecordingErrorCode(IntEnum):
    """`RecordingErrorCode` of the published interface, value by value."""

    OK = 0
    CONNECT_ERROR = 430
    DISCONNECTED = 431
    INVALID_PARAMETER = 432
    INVALID_OPERATION = 433
    NO_USERS = 434
    NO_RECORDED_DATA = 435
    RECORDER_INIT = 436
    RECORDER_FAILED = 437
    UPLOADER_INIT = 438
    UPLOADER_FAILED = 439
    BACKUP_FAILED = 440
    RECORDER_EXIT = 441
    GENERAL_ERROR = 442
