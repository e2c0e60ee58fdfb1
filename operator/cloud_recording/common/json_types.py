# SPDX-License-Identifier: Apache-2.0
"""The type of JSON objects that are passed on as they are."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
