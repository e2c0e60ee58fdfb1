# SPDX-License-Identifier: Apache-2.0
"""CONTRIBUTING.md sends nobody to a place that is not there."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
TEXT = (REPOSITORY / "CONTRIBUTING.md").read_text()
# What is below build/ is made, and need not be there.
PLACE = re.compile(r"`(?P<path>(?!build/)[\w.-]+(?:/[\w.-]+)+)`(?:\s*\((?P<names>`[^)]*)\))?")
IMPORTED = re.compile(r"^(?:from|import|use|pub use|#include) .*?(?:\n(?=\S)|;)", re.MULTILINE | re.DOTALL)
PLACES = [(found["path"], tuple(re.findall(r"`([^`]+)`", found["names"] or ""))) for found in PLACE.finditer(TEXT)]


def test_the_map_and_the_recipes_name_many_places() -> None:
    assert len(PLACES) > 50


@pytest.mark.parametrize(("path", "names"), PLACES)
def test_each_place_exists_and_has_in_it_what_is_named(path: str, names: tuple[str, ...]) -> None:
    place = REPOSITORY / path
    assert place.exists(), f"{path} has moved: say in CONTRIBUTING.md where to"
    for name in names:
        there = IMPORTED.sub("", place.read_text())
        assert re.search(rf"\b{re.escape(name)}\b", there), f"{name} is not in {path} any more"


def test_every_package_is_on_the_map() -> None:
    packages = {path.parent for path in REPOSITORY.glob("operator/cloud_recording/*/__init__.py")}
    packages -= {REPOSITORY / "operator/cloud_recording/runner"}
    missing = [package.name for package in packages if f"`{package.relative_to(REPOSITORY)}`" not in TEXT]
    assert not missing


LISTED = re.compile(r"^//! - ((?:`\w+`(?:, )?)+):", re.MULTILINE)
MODULES = sorted(path for path in REPOSITORY.glob("native/core/src/*/**/mod.rs") if LISTED.search(path.read_text()))


def test_the_directories_of_the_core_say_what_is_in_them() -> None:
    assert {"capture", "catalog", "mp4", "recorder", "storage", "upload"} <= {module.parent.name for module in MODULES}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.parent.name)
def test_each_module_of_a_directory_is_on_its_list(module: Path) -> None:
    text = module.read_text()
    modules = re.findall(r"^(?:pub(?:\(\w+\))? )?mod (\w+);", text, re.MULTILINE)
    listed = re.findall(r"`(\w+)`", "".join(LISTED.findall(text)))
    assert sorted(listed) == sorted(modules), f"say at the top of {module.relative_to(REPOSITORY)} what each has"


ROOTS = ("", "native/core/src", "native/core/src/capture", "operator/cloud_recording")


def test_the_architecture_names_files_that_are_there() -> None:
    named = re.findall(r"`([\w./-]+/[\w.-]+\.(?:py|rs|cpp|h))`", (REPOSITORY / "docs" / "architecture.md").read_text())
    assert len(named) > 20
    missing = [path for path in named if not any((REPOSITORY / root / path).exists() for root in ROOTS)]
    assert not missing, f"these have moved: {missing}"


SECTION = (
    (REPOSITORY / "docs" / "architecture.md").read_text().partition("## From cause to status")[2].partition("\n## ")[0]
)
STEP = re.compile(r"^\d+\. `(?P<path>[\w./-]+)`(?: \((?P<names>[^)]*)\))?", re.MULTILINE)


@pytest.mark.parametrize("cause", ["A bucket refuses.", "A pod is deleted."])
def test_a_cause_is_followed_to_the_status_by_opening_at_most_eight_files(cause: str) -> None:
    way = SECTION.partition(f"**{cause}**")[2].partition("\n**")[0]
    steps = list(STEP.finditer(way))
    assert 1 < len({step["path"] for step in steps}) <= 8
    beside = set(re.findall(r"`([\w./-]+\.(?:py|rs|cpp|h))`", way)) - {step["path"] for step in steps}
    assert not beside, f"{beside} is to be opened as well"
    for step in steps:
        text = next(
            (REPOSITORY / root / step["path"]).read_text()
            for root in ROOTS
            if (REPOSITORY / root / step["path"]).exists()
        )
        missing = [name for name in re.findall("`([^`]+)`", step["names"] or "") if name not in text]
        assert not missing, f"{missing} is not in {step['path']} any more"
