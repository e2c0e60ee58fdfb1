# SPDX-License-Identifier: Apache-2.0
"""Whom a failure may end: its type says so, and none turns into another by itself.

- A participant's ends that one connection. It is the engine's business, which says it in the snapshot; a URL that can
  never be fetched is a text of `stream_urls`, which nothing raises.
- `RecordingFault` ends the recording's part: nobody could be recorded any more. The operator decides what follows.
- `ProcessFault` ends the process that met it, which is started again; so does whatever nobody foresaw.

What an engine answers (`EngineError`) is of no family until the code that asked has said which: a refused pause ends
nothing, a refused start ends the recording. A `DeliveryError` ends nothing: the operator is asked again.
"""

from __future__ import annotations

from cloud_recording.common.error_codes import RecordingErrorCode


class RecordingFault(Exception):  # noqa: N818 - the word of this family
    """What ends a part, with the code by which people find the remedy."""

    def __init__(self, message: str, *, code: int = RecordingErrorCode.RECORDER_INIT) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class ProcessFault(Exception):  # noqa: N818 - the word of this family
    """What this process cannot work without; the text says what it is."""
