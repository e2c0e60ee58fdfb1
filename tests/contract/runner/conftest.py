# SPDX-License-Identifier: Apache-2.0
"""A runner pod with real processes, an engine compiled from the published header alone, and a TLS callback server."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.runner.callback_server import Authority, CallbackServer
from tests.contract.runner.pod import ROOT, RunnerPod, Stage


@pytest.fixture(scope="session")
def scripted_engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library of the scripted engine: C++, and nothing of ours in it but the published header."""
    library = tmp_path_factory.mktemp("engine") / "libscripted-engine.so"
    source = Path(__file__).parent / "scripted_engine.cpp"
    subprocess.run(
        [
            "g++",
            "-std=c++17",
            "-O1",
            "-fPIC",
            "-shared",
            "-pthread",
            f"-I{ROOT / 'native' / 'include'}",
            source,
            "-o",
            library,
        ],
        check=True,
    )
    return library


@pytest.fixture
async def stage(tmp_path: Path, scripted_engine: Path) -> AsyncIterator[Stage]:
    """A pod with all its secrets, not yet started, and its operator."""
    authority = Authority("callbacks")
    operator = CallbackServer()
    await operator.start(authority.server_context(tmp_path))
    pod = RunnerPod(tmp_path)
    pod.mount("callback-ca.pem", authority.pem)
    pod.mount_all_secrets()
    yield Stage(pod, operator, scripted_engine)
    await pod.close()
    await operator.stop()
    assert operator.faults == []
