# SPDX-License-Identifier: Apache-2.0
"""Every callback has one name, and its facts agree with each other."""

from __future__ import annotations

from typing import get_args

import pytest

from cloud_recording.api.wire import CALLBACK, KnownCallback, UnknownCallback
from cloud_recording.common.callback_names import CallbackName, Retention, callback_facts


def test_the_wire_knows_every_callback_there_is_and_no_other() -> None:
    models = get_args(get_args(KnownCallback)[0])
    assert [model.model_fields["type"].default for model in models] == list(CallbackName)


@pytest.mark.parametrize("name", CallbackName)
def test_what_ends_something_is_never_dropped(name: CallbackName) -> None:
    facts = callback_facts(name)
    assert facts is name.facts
    assert facts.ends_capture or not facts.is_final
    assert facts.retention is Retention.ALWAYS or not facts.ends_capture


def test_of_a_callback_of_another_release_only_the_snapshot_counts() -> None:
    told = CALLBACK.validate_python({"type": "Dreamt", "sequence": 1, "time": "2026-01-01T00:00:00Z"})
    assert isinstance(told, UnknownCallback)
    assert callback_facts(told.type).state_by_snapshot
