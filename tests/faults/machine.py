# SPDX-License-Identifier: Apache-2.0
"""What a machine does to a recorder's process: its clock is set, no name resolves, what it writes fails."""

from __future__ import annotations

import errno
import mmap
import struct
import subprocess
from pathlib import Path
from typing import Final

from tests.faults.schedule import Fault, Kind

_SOURCE: Final = Path(__file__).with_name("interpose.c")
_LAYOUT: Final = struct.Struct("=qii")
_ERRORS: Final = {Kind.DISK_FULL: errno.ENOSPC, Kind.DISK_FAILS: errno.EIO}


def interposer(directory: Path) -> Path:
    """The shared object that stands before the C library, built into the directory."""
    library = directory / "libinterpose.so"
    flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared"]
    subprocess.run(["gcc", *flags, "-o", str(library), str(_SOURCE), "-ldl"], check=True)
    return library


class Machine:
    """The machine of one run's recorders; `work` is the directory that its disk is below."""

    def __init__(self, library: Path, file: Path, work: Path) -> None:
        file.write_bytes(bytes(_LAYOUT.size))
        with file.open("r+b") as opened:
            self._faults = mmap.mmap(opened.fileno(), _LAYOUT.size)
        self.environment = {
            "LD_PRELOAD": str(library),
            "FAULTS_FILE": str(file),
            "FAULTS_DIRECTORY": str(work),
        }

    def apply(self, faults: list[Fault]) -> None:
        """Has exactly these faults."""
        clock = sum(int(fault.amount) for fault in faults if fault.kind is Kind.CLOCK_SET)
        no_dns = any(fault.kind is Kind.NO_DNS for fault in faults)
        error = next((_ERRORS[fault.kind] for fault in faults if fault.kind in _ERRORS), 0)
        self._faults[:] = _LAYOUT.pack(clock, no_dns, error)
