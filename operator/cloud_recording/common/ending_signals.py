# SPDX-License-Identifier: Apache-2.0
"""What tells a process to end in order: the kubelet, and a person at the terminal."""

from __future__ import annotations

import signal
from typing import Final

ENDING_SIGNALS: Final = frozenset({signal.SIGTERM, signal.SIGINT})
