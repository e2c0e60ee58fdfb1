# SPDX-License-Identifier: Apache-2.0
"""What is installed in several places is the same in all of them."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REQUIREMENTS = ROOT / "requirements"
LOCKED = re.compile(r"^(\S+==\S+.*?) \\\n((?:    --hash=\S+(?: \\)?\n?)+)", re.MULTILINE)


def locked(name: str) -> set[tuple[str, str]]:
    """The requirements of a lock file, each with its hashes."""
    return set(LOCKED.findall((REQUIREMENTS / f"{name}.lock").read_text()))


@pytest.mark.parametrize("name", ["livekit", "runtime", "testbed"])
def test_the_images_have_what_is_tested(name: str) -> None:
    """Promise: version and hash of what an image installs are those of the environment that tests run in."""
    assert locked(name)
    assert locked(name) <= locked("dev")


def core_in(lock: str, dependencies: set[str]) -> dict[str, str]:
    """Which version of each of these crates the core has by this lock file."""
    packages = tomllib.loads((ROOT / "native" / lock / "Cargo.lock").read_text())["package"]
    (core,) = (package for package in packages if package["name"] == "cloud-recording-core")
    wanted = {crate.split(" ")[0] for crate in core["dependencies"]} & dependencies
    return {package["name"]: package["version"] for package in packages if package["name"] in wanted}


def test_what_is_fuzzed_is_what_is_built() -> None:
    """Promise: `make fuzz`, which locks its crates by itself, builds the core with the very crates of the library."""
    manifest = tomllib.loads((ROOT / "native" / "core" / "Cargo.toml").read_text())
    crates = set(manifest["dependencies"])
    assert core_in("fuzz", crates) == core_in("core", crates)
