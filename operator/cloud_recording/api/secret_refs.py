# SPDX-License-Identifier: Apache-2.0
"""References to Secrets of the recording's own namespace. The operator never reads them: only the pod mounts them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from cloud_recording.api.base import SpecModel
from cloud_recording.api.rules import kubernetes, matches, object_name

SecretName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=253,
        json_schema_extra=kubernetes(object_name("Secret")),
    ),
]
SecretKey = Annotated[
    str,
    Field(
        min_length=1,
        max_length=253,
        json_schema_extra=kubernetes(
            matches("^[-._a-zA-Z0-9]+$", "must be a key of a Secret: letters, digits, '-', '_' and '.'")
        ),
    ),
]


class SecretKeyRef(SpecModel):
    """One key of a Secret in the recording's namespace."""

    name: SecretName = Field(description="Name of the Secret, in the namespace of the recording.")
    key: SecretKey = Field(description="Key in the Secret whose value is taken.")
