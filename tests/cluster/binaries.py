# SPDX-License-Identifier: Apache-2.0
"""Where the cluster's programs are."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.cluster.component import ClusterError
from tests.cluster.layout import REPOSITORY

BUILT = REPOSITORY / "build" / "bin"


class Binaries:
    """Looks programs up: those in the directory that KUBEBUILDER_ASSETS names first, then those that
    tests/setup/go-tools built, then the machine's."""

    def __init__(self) -> None:
        assets = os.environ.get("KUBEBUILDER_ASSETS")
        directories = [Path(assets)] if assets else []
        self._path = os.pathsep.join(map(str, (*directories, BUILT, os.environ.get("PATH", os.defpath))))

    def __getitem__(self, name: str) -> str:
        found = shutil.which(name, path=self._path)
        if found is None:
            raise ClusterError(f"the program {name} is missing: run tests/setup/packages and tests/setup/go-tools")
        return found
