# SPDX-License-Identifier: Apache-2.0
"""The exit statuses that every sub-command shares; what one has besides, its own help tells."""

from __future__ import annotations

from typing import Final

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_INVALID: Final = 2
"""Wrong arguments, or settings that cannot be used."""
