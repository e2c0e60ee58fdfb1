# SPDX-License-Identifier: Apache-2.0
"""The library as a file: its symbols, and programs that are built against nothing but its header."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.recorder import REPOSITORY
from tests.support.s3 import ACCESS_KEY, SECRET_KEY, S3Server, s3_server

NATIVE = REPOSITORY / "native"
PROGRAMS = REPOSITORY / "build" / "native" / "abi"
LIBRARY = "libagora-cloud-recording-client.so"


def test_nothing_is_visible_but_the_interface(built: Path) -> None:
    """Promise: the library shows the published function and the documented C functions, and no other symbol."""
    symbols = _run("nm", "--dynamic", "--defined-only", "--format=just-symbols", str(built)).split()
    assert sorted(symbols) == [
        "_ZN5agora15cloud_recording27CreateCloudRecorderInstanceEPNS0_22ICloudRecorderObserverE",
        "cr_api_version",
        "cr_configure_next",
        "cr_merge",
        "cr_rescue",
        "cr_set_layout",
        "cr_set_layout_by_identity",
        "cr_set_paused",
        "cr_set_storage",
        "cr_set_streams",
        "cr_status",
        "cr_wait_drained",
    ]


def test_every_symbol_is_bound_at_start(built: Path) -> None:
    """Promise: what is missing shows as the library is opened, not in the middle of a recording."""
    dynamic = _run("readelf", "--dynamic", str(built))
    assert "BIND_NOW" in dynamic
    assert "[libagora-cloud-recording-client.so]" in dynamic


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize("strings", ["0", "1"], ids=["old string ABI", "new string ABI"])
def test_the_layout_is_the_published_one(strings: str) -> None:
    """Promise: enumerations, structures and virtual tables are laid out as old programs expect."""
    _run(str(PROGRAMS / f"layout-{strings}"))


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize("build", ["0", "1", "sanitized"], ids=["old string ABI", "new string ABI", "sanitizers"])
def test_the_life_cycle_leaves_nothing_behind(build: str) -> None:
    """Promise: stop and release in any state and from anywhere; no late callback, no thread, no descriptor."""
    _run(str(PROGRAMS / f"lifecycle-{build}"), str(PROGRAMS / "media.ts"))


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize("build", ["0", "1", "sanitized"], ids=["old string ABI", "new string ABI", "sanitizers"])
def test_every_precondition_is_checked(build: str) -> None:
    """Promise: what breaks a precondition is refused with its code and callback; the bounds themselves are not."""
    _run(str(PROGRAMS / f"preconditions-{build}"), str(PROGRAMS / "media.ts"))


@pytest.mark.usefixtures("built")
def test_no_argument_harms_the_process() -> None:
    """Promise: null, text that is no UTF-8, numbers of no enumeration, small buffers: each is answered."""
    _run(str(PROGRAMS / "arguments-sanitized"), "5", *map(str, sorted((NATIVE / "fuzz/corpus/arguments").iterdir())))


@pytest.mark.usefixtures("built")
def test_the_shim_stays_within_its_memory() -> None:
    """Promise: a recording driven as Python drives it, and wrong calls, under the sanitizers."""
    _run(str(PROGRAMS / "shim-sanitized"), str(PROGRAMS / "media.ts"))


@pytest.mark.usefixtures("built")
def test_two_hundred_recordings_leave_nothing_behind(s3: S3Server) -> None:
    """Promise: a process that records and uploads again and again grows in no memory, thread or descriptor."""
    s3.bucket("films")
    bucket = {"ENDPOINT": s3.endpoint, "BUCKET": "films", "ACCESS_KEY": ACCESS_KEY, "SECRET_KEY": SECRET_KEY}
    environment = {**os.environ, **{f"CLOUD_RECORDING_CYCLES_{name}": value for name, value in bucket.items()}}
    _run(str(PROGRAMS / "cycles-1"), str(PROGRAMS / "media.ts"), environment=environment)


@pytest.mark.usefixtures("built")
@pytest.mark.parametrize("build", ["1", "sanitized"], ids=["plain", "sanitizers"])
def test_every_ending_leaves_nothing_behind(build: str, s3: S3Server, tmp_path: Path) -> None:
    """Promise: Release within each callback, recorders side by side; no late callback, thread or descriptor."""
    s3.bucket("films")
    (tmp_path / "access").write_text(ACCESS_KEY)
    (tmp_path / "secret").write_text(SECRET_KEY)
    with s3_server(tmp_path / "spare") as spare:
        spare.bucket("spare")
        servers = (s3.endpoint, spare.endpoint)
        _run(str(PROGRAMS / f"endings-{build}"), str(PROGRAMS / "media.ts"), *servers, str(tmp_path))


@pytest.mark.usefixtures("built")
def test_an_installed_library_is_found_by_pkg_config(tmp_path: Path) -> None:
    """Promise: `make install` is all that a C++11 program needs to be built and run."""
    _run("make", "-C", str(NATIVE), "install", f"DESTDIR={tmp_path}", "PREFIX=/opt/recorder")
    prefix = tmp_path / "opt" / "recorder"
    environment = {
        **os.environ,
        "PKG_CONFIG_PATH": str(prefix / "lib" / "pkgconfig"),
        "PKG_CONFIG_SYSROOT_DIR": str(tmp_path),
    }
    flags = _run("pkg-config", "--cflags", "--libs", "agora-cloud-recording-client", environment=environment).split()
    program = tmp_path / "layout"
    _run("g++", "-std=c++11", str(NATIVE / "abi" / "tests" / "layout.cpp"), "-o", str(program), *flags)
    _run(str(program), environment={**os.environ, "LD_LIBRARY_PATH": str(prefix / "lib")})


_OLD_LIBRARY = """
namespace agora { namespace cloud_recording {
class ICloudRecorder;
class ICloudRecorderObserver;
ICloudRecorder *CreateCloudRecorderInstance(ICloudRecorderObserver *) { return nullptr; }
} }
"""
"""What the vendor's demo was linked with: a recording library that brings the C++ runtime along."""


def _vendors_demo(directory: Path) -> Path:
    """A program as the vendor built its demo: old string ABI, no C++ runtime of its own, DT_RPATH `../lib`."""
    for name in ("bin", "lib", "old"):
        (directory / name).mkdir()
    program, unlinked, old = directory / "bin" / "demo", directory / "demo.o", directory / "old"
    (old / "old.cpp").write_text(_OLD_LIBRARY)
    runtime = ["-static-libstdc++", "-Wl,--whole-archive", "-l:libstdc++.a", "-Wl,--no-whole-archive"]
    library = old / LIBRARY
    _run("g++", "-shared", "-fPIC", "-o", str(library), f"-Wl,-soname,{LIBRARY}", str(old / "old.cpp"), *runtime)
    include = ["-std=c++11", "-D_GLIBCXX_USE_CXX11_ABI=0", f"-I{NATIVE / 'include'}"]
    _run("g++", *include, "-c", str(NATIVE / "abi" / "tests" / "layout.cpp"), "-o", str(unlinked))
    # The C compiler names no C++ runtime.
    _run("gcc", str(unlinked), str(library), "-o", str(program), "-Wl,--disable-new-dtags,-rpath,../lib")
    dynamic = _run("readelf", "--dynamic", str(program))
    assert "(RPATH)" in dynamic
    assert "libstdc++" not in dynamic
    return program


def test_a_program_built_as_the_vendors_demo_starts_with_the_library(built: Path, tmp_path: Path) -> None:
    """Promise: in the old library's place or preloaded, and with the C++ runtime that comes through the library."""
    program = _vendors_demo(tmp_path)
    place = tmp_path / "lib" / built.name

    def starts(**environment: str) -> bool:
        # The demo's search path is relative to where it is started.
        run = subprocess.run(
            [program], cwd=program.parent, env=environment, capture_output=True, timeout=60, check=False
        )
        return run.returncode == 0

    # Something else is in the old library's place: that goes before LD_LIBRARY_PATH, but not before what is preloaded.
    place.write_bytes(b"no library")
    assert not starts(LD_LIBRARY_PATH=str(built.parent))
    assert starts(LD_PRELOAD=str(built))
    place.unlink()
    place.symlink_to(built)
    assert starts()


def _run(*command: str, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
