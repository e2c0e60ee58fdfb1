# SPDX-License-Identifier: Apache-2.0
"""A release after this one: its definition, and its operator, which writes what this release does not know."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tests.contract.controller.operator_process import REPOSITORY

Json = dict[str, Any]

WORD = {"type": "string", "maxLength": 64}
KEPT = "kept"


def newer(definition: Json) -> Json:
    """The definition with more words and fields than this release knows."""

    def more(schema: Json, name: str) -> None:
        if "enum" in schema and name in {"state", "reason", "outcome", "type", "layout"}:
            schema["enum"] = [*schema["enum"], "FromTheFuture"]
        for child, below in (schema.get("properties") or {}).items():
            more(below, child)
        if "items" in schema:
            more(schema["items"], name)

    (version,) = definition["spec"]["versions"]
    schema = version["schema"]["openAPIV3Schema"]["properties"]
    more(schema["spec"], "spec")
    more(schema["status"], "status")
    schema["spec"]["properties"]["novelty"] = WORD
    schema["status"]["properties"]["novelty"] = WORD
    schema["status"]["properties"]["parts"]["items"]["properties"]["novelty"] = WORD
    return definition


def newer_operator(directory: Path) -> Path:
    """A copy of the operator whose statuses have fields that this release does not know; its PYTHONPATH."""
    package = directory / "newer" / "cloud_recording"
    shutil.copytree(REPOSITORY / "operator" / "cloud_recording", package)
    status = package / "api" / "status.py"
    text = status.read_text()
    for model in ("Part", "CloudRecordingStatus"):
        before = f'class {model}(KeptModel):\n    """'
        assert text.count(before) == 1, before
        text = text.replace(before, f'class {model}(KeptModel):\n    novelty: str = "{KEPT}"\n    """')
    status.write_text(text)
    return package.parent
