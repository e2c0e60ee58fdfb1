# SPDX-License-Identifier: Apache-2.0
"""Builds `cloud_recording.runner.recorder._native`, the cffi (API mode) binding of the C shim, in place.

Run as a program: `python operator/cloud_recording/runner/recorder/native_build.py`. The declarations are read from the
shim's own `shim.cdef`, and the C compiler checks them against `shim.h` as it compiles.
"""

from __future__ import annotations

import sysconfig
import tempfile
from pathlib import Path

from cffi import FFI

_PACKAGE = Path(__file__).resolve().parent
_NATIVE = _PACKAGE.parents[3] / "native"
_SHIM = _NATIVE / "abi" / "shim"


def binding() -> FFI:
    """The description of the extension module: what it declares and what it is compiled from."""
    ffi = FFI()
    ffi.cdef((_SHIM / "shim.cdef").read_text(encoding="utf-8"))
    ffi.set_source(
        "cloud_recording.runner.recorder._native",
        '#include "shim.h"',
        sources=[str(source) for source in sorted(_SHIM.glob("*.cpp"))],
        include_dirs=[str(_SHIM), str(_NATIVE / "include")],
        extra_compile_args=["-O2", "-fvisibility=hidden", "-Wall", "-Wextra"],
        libraries=["dl", "stdc++"],
    )
    return ffi


def build() -> Path:
    """Compiles the extension beside this file and returns where it is; intermediate files leave no trace."""
    target = _PACKAGE / f"_native{sysconfig.get_config_var('EXT_SUFFIX')}"
    with tempfile.TemporaryDirectory(prefix="cloud-recording-native-") as directory:
        compiled = Path(binding().compile(tmpdir=directory, verbose=False))
        replacement = target.with_suffix(".new")
        replacement.write_bytes(compiled.read_bytes())
        # A process that has the old one mapped keeps it: the name is switched, the file is never written into.
        replacement.replace(target)
    return target


if __name__ == "__main__":
    print(build())
