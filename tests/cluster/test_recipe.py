# SPDX-License-Identifier: Apache-2.0
"""An image is built again exactly when something that is in it changed."""

import subprocess
from pathlib import Path

import pytest

from tests.cluster.component import ClusterError
from tests.cluster.image import recipe as recipe_module
from tests.cluster.image.recipe import Recipe

DOCKERFILE = """FROM debian:trixie-slim AS build
# COPY commented out
COPY --chown=1:1 package other/file.txt \\
    /somewhere/
COPY --from=programs tool /usr/local/bin/
RUN echo COPY nothing
"""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(recipe_module, "REPOSITORY", tmp_path)
    _write(tmp_path / "Dockerfile", DOCKERFILE)
    _write(tmp_path / "package" / "module.py", "1")
    _write(tmp_path / "other" / "file.txt", "2")
    _write(tmp_path / "other" / "unused.txt", "3")
    _write(tmp_path / ".gitignore", "*.pyc\n")
    subprocess.run(("git", "init", "--quiet", str(tmp_path)), check=True)
    return tmp_path


def test_the_key_follows_what_the_dockerfile_copies(repository: Path) -> None:
    key = _recipe(repository).key()
    _write(repository / "other" / "unused.txt", "changed")
    _write(repository / "package" / "ignored.pyc", "by git")
    assert _recipe(repository).key() == key
    _write(repository / "package" / "new.py", "")
    assert _recipe(repository).key() != key


@pytest.mark.parametrize("changed", ["Dockerfile", "package/module.py", "other/file.txt"])
def test_the_key_follows_content(repository: Path, changed: str) -> None:
    key = _recipe(repository).key()
    with (repository / changed).open("a") as file:
        file.write("# more")
    assert _recipe(repository).key() != key


def test_the_key_follows_programs_from_outside(repository: Path, tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    _write(tool, "a")
    key = _recipe(repository, tool=tool).key()
    _write(tool, "b")
    assert _recipe(repository, tool=tool).key() != key


def test_staged_is_what_the_key_is_made_of(repository: Path, tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    _write(tool, "a")
    staged = tmp_path / "staged"
    staged.mkdir()
    recipe = _recipe(repository, tool=tool)
    assert recipe.stage(staged) == recipe.key()
    files = {str(path.relative_to(staged)) for path in staged.rglob("*") if path.is_file()}
    assert files == {"Dockerfile", "context/package/module.py", "context/other/file.txt", "programs/tool"}


def test_a_source_that_is_missing_is_named(repository: Path) -> None:
    (repository / "other" / "file.txt").unlink()
    with pytest.raises(ClusterError, match=r"copies other/file\.txt, which does not exist"):
        _recipe(repository).key()


def _recipe(repository: Path, **programs: Path) -> Recipe:
    return Recipe(tag="example.org/team/image:1", dockerfile=repository / "Dockerfile", programs=programs)


def _write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
