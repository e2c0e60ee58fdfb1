# SPDX-License-Identifier: Apache-2.0
"""The README's commands for a cluster of one's own do what it says, in its order, word for word."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import yaml

from tests.cluster.binaries import BUILT
from tests.cluster.layout import REPOSITORY
from tests.testbed.pods import S3_PORT
from tests.testbed.scene import ALICE, Scene, condition

SECTION = re.compile(r"^## Use it on your cluster$(.*?)^## ", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_every_command_for_a_cluster_of_ones_own_works(scene: Scene, tmp_path: Path) -> None:
    """Only what a person must fill in is filled in: the bucket, its key, and the URL of a stream."""
    section = SECTION.search((REPOSITORY / "README.md").read_text())
    assert section is not None
    commands = [line for block in BLOCK.findall(section[1]) for line in _commands(block)]
    programs = ["helm", *["kubectl"] * 5, "AWS_ACCESS_KEY_ID=YOURS", "ffplay"]
    assert [command.split()[0] for command in commands] == programs
    scene.join(ALICE)
    scene.target.kubectl("delete", "secret", "bucket-credentials", f"--namespace={scene.namespace}")
    environment = _environment(scene, tmp_path)
    checkout = _checkout(scene, tmp_path)
    with scene.bucket() as address:
        for command in commands:
            if " patch " in command:
                scene.until_condition("minimal", "Recording", "True")
            runnable = _filled_in(command, scene, address)
            result = subprocess.run(
                ["bash", "-c", runnable], cwd=checkout, env=environment, capture_output=True, text=True, check=False
            )
            assert result.returncode == 0, f"{command}: {result.stderr}"
    ended = scene.get("minimal")
    assert condition(ended, "Succeeded")["status"] == "True"
    assert ended["status"]["playlist"] in {file.name for file in (checkout / "recording").iterdir()}
    # What ffplay says of what it plays: both tracks, and nothing that went wrong.
    assert "Video: h264" in result.stderr
    assert "Audio: aac" in result.stderr


def _filled_in(command: str, scene: Scene, bucket: str) -> str:
    """The command with this scene's key and addresses; the chart is there already, and rendered by the same words."""
    runnable = re.sub(r"^helm install ", "helm template ", command).replace(
        "https://s3.example.com", f"http://{bucket}"
    )
    keys = {"access": scene.credentials.access_key, "secret": scene.credentials.secret_key}
    for kind, value in keys.items():
        for name in (f"{kind}Key", f"AWS_{kind.upper()}_{'KEY_ID' if kind == 'access' else 'ACCESS_KEY'}"):
            runnable = runnable.replace(f"{name}=YOURS", f"{name}={value}")
    return runnable


def _checkout(scene: Scene, tmp_path: Path) -> Path:
    """What the commands read, with the example's addresses replaced by this scene's."""
    checkout = tmp_path / "checkout"
    shutil.copytree(REPOSITORY / "charts", checkout / "charts")
    example = Path("docs/examples/minimal.yaml")
    text = (REPOSITORY / example).read_text()
    addresses = {
        "https://s3.example.com": f"http://s3.{scene.namespace}.svc:{S3_PORT}",
        "rtmp://media.example.com/live/alice": ALICE.stream()["url"],
    }
    for written, real in addresses.items():
        assert written in text
        text = text.replace(written, real)
    (checkout / example.parent).mkdir(parents=True)
    (checkout / example).write_text(text)
    return checkout


def _commands(block: str) -> list[str]:
    return [line for line in block.replace("\\\n", " ").splitlines() if line.strip()]


def _environment(scene: Scene, tmp_path: Path) -> dict[str, str]:
    """kubectl finds the cluster by itself and works in the scene's namespace, as it does for a person."""
    assert scene.target.kubeconfig is not None
    configuration = yaml.safe_load(scene.target.kubeconfig.read_text())
    for context in configuration["contexts"]:
        context["context"]["namespace"] = scene.namespace
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(configuration))
    silent = {"SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy"}
    return {**os.environ, **silent, "KUBECONFIG": str(file), "PATH": f"{BUILT}{os.pathsep}{os.environ['PATH']}"}
