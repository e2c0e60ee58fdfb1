# SPDX-License-Identifier: Apache-2.0
"""`cloud-recording merge`: the first process of the pod that puts one playlist over all parts of a recording."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from cloud_recording.api.wire import MergeAnswer
from cloud_recording.runner.merge.part_merge import merge
from cloud_recording.runner.one_shot import OneShot


def _told(answer: MergeAnswer) -> tuple[str, Mapping[str, Any]]:
    told = {"playlist": answer.playlist, "cause": answer.cause, "detail": answer.message}
    told |= {"mp4": answer.mp4, "mp4Missing": answer.mp4_missing} if answer.mp4 or answer.mp4_missing else {}
    return "parts merged" if answer.playlist else "parts not merged", told


_MERGE: Final = OneShot(
    command="merge",
    description="Puts one playlist over a CloudRecording's parts. Runs in a pod that the operator makes for it.",
    work=merge,
    told=_told,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Merges the parts of one recording and returns the exit status."""
    return _MERGE.main(arguments)


if __name__ == "__main__":
    sys.exit(main())
