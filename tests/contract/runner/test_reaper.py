# SPDX-License-Identifier: Apache-2.0
"""Process 1 of a container collects the children it inherits, and leaves its own to whoever waits for them."""

from __future__ import annotations

import subprocess
import sys

from tests.contract.runner.pod import ROOT

PROGRAM = """
import asyncio, os, sys
from pathlib import Path
from cloud_recording.runner.supervisor.reaper import adopt_orphans

def zombies():
    return [path for path in Path("/proc").glob("[0-9]*/stat") if path.read_text().rsplit(")", 1)[1].split()[0] == "Z"]

async def main():
    own = None
    adopt_orphans(lambda: own.pid if own else None)
    own = await asyncio.create_subprocess_exec("sh", "-c", "(sleep 0.2 & exec sleep 0.1 &) ; sleep 0.6; exit 7")
    status = await own.wait()
    async with asyncio.timeout(30):
        while zombies():
            await asyncio.sleep(0.05)
    sys.exit(status)

assert os.getpid() == 1
asyncio.run(main())
"""


def test_orphans_are_collected_and_the_own_childs_status_is_kept() -> None:
    command = ["unshare", "--fork", "--pid", "--mount-proc", sys.executable, "-c", PROGRAM]
    ended = subprocess.run(
        command, check=False, timeout=120, env={"PYTHONPATH": str(ROOT / "operator"), "PATH": "/usr/bin:/bin"}
    )
    assert ended.returncode == 7
