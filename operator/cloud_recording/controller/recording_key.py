# SPDX-License-Identifier: Apache-2.0
"""The key of a recording in the work queue, the locks and the log."""

from __future__ import annotations

from typing import NamedTuple


class RecordingKey(NamedTuple):
    """A recording by its names; whether it still exists is known only after a look."""

    namespace: str
    name: str
