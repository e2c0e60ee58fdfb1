# SPDX-License-Identifier: Apache-2.0
"""What is wrong with the settings or the environment is said by name, without a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloud_recording.controller.main import main

GOOD = """
runner: {image: cloud-recording}
callbacks: {url: "https://operator.test:8443", caSecretName: callback-ca}
leaderElection: {leaseName: cloud-recording}
"""


@pytest.fixture
def in_a_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("POD_NAMESPACE", "POD_NAME", "POD_UID"):
        monkeypatch.setenv(name, "x")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("runner: {image: x, colour: red}", "runner.colour", id="an-unknown-field"),
        pytest.param(GOOD + "concurrency: 0", "concurrency", id="a-figure-out-of-bounds"),
        pytest.param("runner: [", "is not YAML", id="not-yaml"),
        pytest.param("", "callbacks: Field required", id="an-empty-file"),
    ],
)
@pytest.mark.usefixtures("in_a_pod")
def test_wrong_settings_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, told: str) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(text)
    assert main(["--config", str(config)]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.usefixtures("in_a_pod")
def test_a_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(tmp_path / "config.yaml")]) == 2
    assert "config.yaml" in capsys.readouterr().err


def test_a_missing_variable_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(GOOD)
    monkeypatch.setenv("POD_NAMESPACE", "x")
    monkeypatch.delenv("POD_NAME", raising=False)
    assert main(["--config", str(config)]) == 2
    assert "POD_NAME" in capsys.readouterr().err
