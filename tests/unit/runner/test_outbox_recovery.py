# SPDX-License-Identifier: Apache-2.0
"""A supervisor that dies as it begins is begun again: what it had not stored yet is done then."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest

from cloud_recording.api.status import Outcome
from cloud_recording.api.wire import Summary
from cloud_recording.common.json_logging import Redactor
from cloud_recording.runner.local.terminal import Terminal
from cloud_recording.runner.outbox import Outbox, Writer
from cloud_recording.runner.supervisor.mounts import Mounts
from cloud_recording.runner.supervisor.outbox_recovery import recovered_supervisor
from cloud_recording.runner.supervisor.part_state import Facts
from cloud_recording.runner.supervisor.part_store import FACTS, OUTBOX
from cloud_recording.runner.supervisor.supervisor import PodContext, Supervisor
from tests.unit.runner.documents import RECORDING_ID, document

INCOMPLETE = Summary(recording_id=RECORDING_ID, part=1, outcome=Outcome.INCOMPLETE, message="2 slices")


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))


@pytest.fixture
def work(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def begun(work: Path, *, pod_uid: str, rescue: bool = False) -> Supervisor:
    """The supervisor of a pod that has this work volume."""
    mounts = Mounts(pod=work.parent, secrets=work.parent / "secrets", token=work.parent / "token")
    told: dict[str, Any] = document()
    told["part"]["rescue"] = rescue
    (mounts.pod / "recording.json").write_text(json.dumps(told))
    desired = {"generation": 1, "state": "Stopped", "layout": "BestFit", "uploadGraceSeconds": 60}
    mounts.desired_path.write_text(json.dumps(desired))
    pod = PodContext(mounts=mounts, work=work, termination_message=None, pod_uid=pod_uid)
    return recovered_supervisor(pod, receiver=Terminal(on_callback=lambda _: None), redactor=Redactor())


def dies_before_it_stores_anything(monkeypatch: pytest.MonkeyPatch, work: Path, **pod: Any) -> None:
    class DeathError(Exception):
        pass

    def dies(*_: object, **__: object) -> None:
        raise DeathError

    with monkeypatch.context() as patched:
        patched.setattr(Outbox, "append", dies)
        with pytest.raises(DeathError):
            begun(work, **pod)


def test_a_rescue_that_dies_as_it_takes_over_goes_on_in_the_same_pod(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It said of itself what the pod before had said, that slices are left, and so cost another pod."""
    outbox = Outbox(work / OUTBOX, writer=Writer.SUPERVISOR)
    outbox.claim("the part's own")
    summary = INCOMPLETE.model_dump(mode="json", by_alias=True, exclude_none=True)
    outbox.append([], facts={FACTS: json.dumps(Facts(captured=True, started_at=1, summary=summary).as_json())})
    outbox.close()
    (work / RECORDING_ID).mkdir()

    dies_before_it_stores_anything(monkeypatch, work, pod_uid="rescuer", rescue=True)
    again = begun(work, pod_uid="rescuer", rescue=True)
    assert (again.facts.summary, again.facts.captured) == (None, True)
    assert begun(work, pod_uid="rescuer", rescue=True).facts == again.facts, "it is handed over once"


def test_a_supervisor_that_dies_with_a_new_outbox_still_knows_that_it_is_one(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It numbered its callbacks from 1 again, which the operator took for known, and delivered nothing."""
    (work / OUTBOX).write_bytes(b"this is no database" * 1000)
    dies_before_it_stores_anything(monkeypatch, work, pod_uid="own")
    assert begun(work, pod_uid="own").facts.captured
    numbered = Outbox(work / OUTBOX, writer=Writer.SUPERVISOR)
    assert numbered.last_sequence() > 1_000_000
    numbered.close()


def test_an_outbox_that_says_nothing_yet_is_no_lost_one(work: Path) -> None:
    assert not begun(work, pod_uid="own").facts.captured
