# SPDX-License-Identifier: Apache-2.0
"""Turns a CloudRecording's status into rows of a table; a row is printed when it says something new."""

from typing import Any

HEADER = f"{'TIME':>6}  {'STATUS':<16} {'PARTICIPANTS':<32} {'WRITTEN':>7} {'UPLOADED':>8} {'PROGRESS':>8}"


def condition(recording: dict[str, Any], name: str) -> dict[str, Any]:
    """Returns the condition of that name, empty where there is none yet."""
    conditions: list[dict[str, Any]] = recording.get("status", {}).get("conditions", [])
    return next((entry for entry in conditions if entry["type"] == name), {})


def row(recording: dict[str, Any]) -> str:
    """Returns what the status says, without the time."""
    status = recording.get("status", {})
    here = [entry for entry in status.get("participants", []) if entry.get("state") == "Joined"]
    names = ", ".join(entry.get("name") or entry.get("identity") or str(entry["uid"]) for entry in here) or "-"
    slices = status.get("slices", {})
    progress = status.get("progressPercent")
    return (
        f"{condition(recording, 'Ready').get('reason', '-'):<16} {names:<32} {slices.get('written', 0):>7} "
        f"{slices.get('uploaded', 0):>8} {'-' if progress is None else f'{progress} %':>8}"
    )


class Table:
    """Prints the rows of one recording as its status changes."""

    def __init__(self) -> None:
        self._last = ""
        print(HEADER)

    def show(self, recording: dict[str, Any], *, seconds: float) -> None:
        """Prints a row if the status says something that the last one did not."""
        current = row(recording)
        if current != self._last:
            print(f"{seconds:>5.0f}s  {current}", flush=True)
            self._last = current
