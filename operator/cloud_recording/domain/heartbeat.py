# SPDX-License-Identifier: Apache-2.0
"""Whether what a part's pod reported last still holds: how old a report may be, and what the probes say meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from cloud_recording.api.status import CloudRecordingStatus, Part, PartState
from cloud_recording.domain import parts

FIRST_PROBE: Final = timedelta(seconds=15)
"""A container that began so recently may record before its pod is seen to be ready: its own report is newer."""

FIRST_REPORT_TIMEOUT: Final = timedelta(seconds=60)
"""A runner reports as soon as it has loaded its engine."""

REPORT_TIMEOUT: Final = timedelta(seconds=90)
"""A recorder at work reports every 30 seconds, whatever happens."""

_AT_WORK: Final = frozenset({PartState.CONNECTING, PartState.RECORDING, PartState.PAUSED, PartState.STOPPING})


def is_unready(part: Part, *, now: datetime) -> bool:
    """Whether the pod of a part that said it records is not ready, other than because it has just begun."""
    deadline = _first_probe_deadline(part)
    return not part.pod_ready and (deadline is None or now >= deadline)


def silence_message(part: Part, *, now: datetime, listening_since: datetime | None) -> str:
    """What there is to say of a part that is silent for too long; nothing while it is not."""
    deadline = _report_deadline(part, listening_since)
    if deadline is None or now < deadline:
        return ""
    if part.state is PartState.PENDING and part.running_time is not None:
        return f"pod '{part.pod}' runs since {_clock(part.running_time)} and was never heard of"
    heard = _clock(part.heard_time) if part.heard_time else "never"
    return f"pod '{part.pod}' was last heard of at {heard}"


def next_deadlines(status: CloudRecordingStatus, *, listening_since: datetime | None) -> Iterator[datetime]:
    """The moments at which the newest part's word becomes too old, if nothing changes."""
    part = parts.newest(status)
    if part is None or not parts.captures(part):
        return
    for moment in (
        _first_probe_deadline(part) if not part.pod_ready else None,
        _report_deadline(part, listening_since),
    ):
        if moment is not None:
            yield moment


def _first_probe_deadline(part: Part) -> datetime | None:
    began = part.running_time or part.start_time
    return began + FIRST_PROBE if part.ready_time is None and began is not None else None


def _report_deadline(part: Part, listening_since: datetime | None) -> datetime | None:
    """Nobody could hear it while no operator listened."""
    if part.state is PartState.PENDING and part.running_time is not None:
        return max(filter(None, (part.running_time, listening_since))) + FIRST_REPORT_TIMEOUT
    # An engine of the published interface alone tells nothing while nothing changes.
    if part.state in _AT_WORK and part.engine_extended and part.heard_time is not None:
        return max(filter(None, (part.heard_time, listening_since))) + REPORT_TIMEOUT
    return None


def _clock(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
