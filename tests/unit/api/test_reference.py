# SPDX-License-Identifier: Apache-2.0
"""Promise: the reference says what is true of the resource."""

import re
from typing import Any

from cloud_recording.api.crd import cloud_recording_crd
from cloud_recording.api.reference import reference_page


def _has(schema: dict[str, Any], path: list[str]) -> bool:
    if not path:
        return True
    child = schema.get("properties", {}).get(path[0])
    return child is not None and _has(child, path[1:])


def test_what_is_called_reserved_is_no_field() -> None:
    """A name that has become a field leaves the list of those that are refused."""
    crd = cloud_recording_crd()
    introduction = reference_page(crd).partition("## Columns")[0]
    reserved = re.findall(r"`(spec\.[A-Za-z.]+)`", introduction)
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert _has(schema, ["spec", "channel", "streams"])
    assert reserved
    assert [name for name in reserved if _has(schema, name.split("."))] == []
