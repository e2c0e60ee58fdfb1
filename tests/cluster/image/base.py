# SPDX-License-Identifier: Apache-2.0
"""The base that the Dockerfiles name, debian:trixie-slim, made from Debian's packages.

So the very Dockerfiles that build elsewhere on the published base build here, where there may be no registry of images.
"""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from tests.cluster.component import ClusterError
from tests.cluster.image.buildah import Buildah
from tests.cluster.progress import report

TAG = "docker.io/library/debian:trixie-slim"
# As the published slim image does: no documentation, and no files that apt could make again.
EXCLUDED = ("/usr/share/doc/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/man/*")
APT_OPTIONS = (
    'Acquire::Languages "none"',
    'Dir::Cache::pkgcache ""',
    'Dir::Cache::srcpkgcache ""',
    'DPkg::Post-Invoke {"rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb || true";}',
)
COMMAND = (
    *("mmdebstrap", "--quiet", "--variant=minbase", "--dpkgopt=force-unsafe-io"),
    *(f"--aptopt={option}" for option in APT_OPTIONS),
    *(f"--dpkgopt=path-exclude={path}" for path in EXCLUDED),
    "--dpkgopt=path-include=/usr/share/doc/*/copyright",
    "trixie",
)


def ensure_base(buildah: Buildah, cache: Path, log: Path) -> None:
    """Returns when the base is in the storage; made once per recipe."""
    identity = hashlib.sha256("\0".join(COMMAND).encode()).hexdigest()[:16]
    if buildah.identity_of(TAG) == identity:
        return
    archive = cache / f"base-{identity}.tar"
    if not archive.exists():
        report("making the Debian base (about 20 s)")
        _bootstrap(archive)
    buildah.make_base(archive=archive, tag=TAG, identity=identity, log=log)


def _bootstrap(archive: Path) -> None:
    partial = archive.with_suffix(".partial.tar")
    result = subprocess.run(("nice", *COMMAND, str(partial)), capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise ClusterError(f"mmdebstrap failed: {result.stderr.strip()}")
    partial.rename(archive)
