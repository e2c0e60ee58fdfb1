# SPDX-License-Identifier: Apache-2.0
"""How `cloud-recording run` ends: its exit statuses, and which one a part's summary means."""

from __future__ import annotations

from typing import Final

from cloud_recording.api.phrases import counted
from cloud_recording.api.status import Outcome
from cloud_recording.api.wire import Summary
from cloud_recording.common.exit_status import EXIT_FAILED, EXIT_INVALID, EXIT_OK

EXIT_RECORDED: Final = EXIT_OK
EXIT_NOTHING: Final = 3
EXIT_FATAL: Final = 4
EXIT_INCOMPLETE: Final = 5

EXIT_STATUSES: Final = f"""exit status:
  {EXIT_RECORDED}  recorded, and everything is stored
  {EXIT_FAILED}  the program failed
  {EXIT_INVALID}  wrong arguments, or something that cannot be recorded, or nothing to resume
  {EXIT_NOTHING}  nothing was recorded
  {EXIT_FATAL}  the recording could not go on
  {EXIT_INCOMPLETE}  something could not be uploaded; it is kept in the work directory (see --resume)
"""


def exit_status_of(summary: Summary) -> tuple[int, str]:
    """The exit status that a summary means, and what to say about it."""
    kept = f"{counted(summary.slices.uploaded, 'slice')}, {summary.recorded_milliseconds / 1000:.1f} s"
    if summary.slices.backed_up:
        kept += f"; {counted(summary.slices.backed_up, 'slice')} in the backup store alone"
    match summary.outcome:
        case Outcome.UPLOADED | Outcome.BACKED_UP | Outcome.DRAINED if summary.slices.written:
            return EXIT_RECORDED, f"recorded: {kept}"
        case Outcome.UPLOADED | Outcome.BACKED_UP | Outcome.DRAINED:
            why = "it was paused all the time" if summary.somebody_joined else "nobody had joined when it was stopped"
            return EXIT_NOTHING, f"nothing was recorded: {why}"
        case Outcome.IDLE if summary.somebody_joined:
            return EXIT_RECORDED, f"everybody has left; recorded: {kept}"
        case Outcome.IDLE:
            return (
                EXIT_NOTHING,
                "nobody ever joined: check the participants' URLs, or the room, or allow a longer maxWaitSeconds",
            )
        case Outcome.INCOMPLETE | Outcome.DISCARDED:
            return EXIT_INCOMPLETE, f"incomplete: {summary.message}"
        case Outcome.FATAL:
            return EXIT_FATAL, f"failed: {summary.message or 'the engine gave no reason'} ({summary.code})"
