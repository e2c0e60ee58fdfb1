# SPDX-License-Identifier: Apache-2.0
"""kubectl and helm, on one cluster, with errors that tell what was asked and what the answer was."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.cluster.binaries import Binaries
from tests.cluster.component import ClusterError
from tests.cluster.layout import REPOSITORY

COMMAND_DEADLINE_SECONDS = 300


class CommandFailedError(ClusterError):
    """A command ended with another exit code than 0."""

    def __init__(self, command: Sequence[str], *, exit_code: int, output: str, complaint: str) -> None:
        super().__init__(f"{' '.join(command)} ended with exit code {exit_code}: {complaint.strip() or output.strip()}")
        self.exit_code = exit_code
        self.output = output
        self.complaint = complaint


class Kubectl:
    """kubectl as the user of a kubeconfig file; without one, as kubectl itself finds it."""

    def __init__(self, kubeconfig: Path | None) -> None:
        self._program = Binaries()["kubectl"]
        self._environment = _environment(kubeconfig)

    def __call__(
        self, *arguments: str, stdin: str | None = None, deadline_seconds: float = COMMAND_DEADLINE_SECONDS
    ) -> str:
        """What the command prints; the command is as one types it."""
        return _run((self._program, *arguments), self._environment, stdin=stdin, deadline_seconds=deadline_seconds)

    def apply(self, *manifests: Mapping[str, Any], namespace: str | None = None) -> None:
        """Applies the manifests by server-side apply."""
        content = json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests})
        self("apply", "--server-side", "--filename=-", *_namespaced(namespace), stdin=content)

    def get(self, kind: str, name: str, *, namespace: str | None = None) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self("get", kind, name, "--output=json", *_namespaced(namespace)))
        return found

    def until_established(self, definition: str) -> None:
        """Returns when the API server serves the resources of a CustomResourceDefinition.

        `kubectl wait` fails by itself where the list of conditions is not there yet, as a moment after the creation.
        """
        crd = f"crd/{definition}"
        self("wait", "--for=jsonpath={.status.acceptedNames.kind}", crd, "--timeout=60s")
        self("wait", "--for=condition=Established", crd, "--timeout=60s")

    def list(self, kind: str, *, namespace: str | None = None, selector: str = "") -> list[dict[str, Any]]:
        output = self("get", kind, "--output=json", f"--selector={selector}", *_namespaced(namespace))
        items: list[dict[str, Any]] = json.loads(output)["items"]
        return items


class Helm:
    """helm on the cluster of a kubeconfig file; what helm keeps of its own goes to build/helm."""

    def __init__(self, kubeconfig: Path | None) -> None:
        self._program = Binaries()["helm"]
        homes = {f"HELM_{kind}_HOME": str(REPOSITORY / "build" / "helm" / kind) for kind in ("CACHE", "CONFIG", "DATA")}
        self._environment = _environment(kubeconfig) | homes

    def __call__(self, *arguments: str, deadline_seconds: float = COMMAND_DEADLINE_SECONDS) -> str:
        """What the command prints; the command is as one types it."""
        return _run((self._program, *arguments), self._environment, stdin=None, deadline_seconds=deadline_seconds)


def _environment(kubeconfig: Path | None) -> dict[str, str]:
    return dict(os.environ) if kubeconfig is None else {**os.environ, "KUBECONFIG": str(kubeconfig)}


def _namespaced(namespace: str | None) -> tuple[str, ...]:
    return () if namespace is None else (f"--namespace={namespace}",)


def _run(command: Sequence[str], environment: Mapping[str, str], *, stdin: str | None, deadline_seconds: float) -> str:
    shown = (Path(command[0]).name, *command[1:])
    try:
        result = subprocess.run(
            command,
            env=environment,
            input=stdin,
            stdin=None if stdin is not None else subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=deadline_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as overdue:
        raise ClusterError(f"{' '.join(shown)} has not ended after {deadline_seconds:g} s") from overdue
    if result.returncode != 0:
        raise CommandFailedError(shown, exit_code=result.returncode, output=result.stdout, complaint=result.stderr)
    return result.stdout
