# SPDX-License-Identifier: Apache-2.0
"""Turns recipes into image archives, each content once."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

from tests.cluster.image.base import ensure_base
from tests.cluster.image.buildah import Buildah
from tests.cluster.image.recipe import Recipe
from tests.cluster.layout import exclusively
from tests.cluster.progress import report

# Enough to go back and forth between a few branches without a build.
ARCHIVES_KEPT_PER_IMAGE = 3
# About a hundred builds of a changed product.
STORAGE_GIGABYTES = 15


class Builder:
    """Builds with a cache that all checkouts of one user share."""

    def __init__(self) -> None:
        self._cache = _cache_directory() / "images"
        self._cache.mkdir(parents=True, exist_ok=True)

    def build(self, recipe: Recipe, *, output: Path) -> None:
        """Returns when the output is the recipe's image; at once if such an image was ever built and is kept."""
        archive = self._archive(recipe, recipe.key())
        if archive.exists():
            report(f"image {recipe.name}: nothing changed")
        else:
            with exclusively(self._cache), tempfile.TemporaryDirectory() as staged:
                # The sources may have changed while this process waited for another, which may have built them.
                archive = self._archive(recipe, recipe.stage(Path(staged)))
                if not archive.exists():
                    self._build(recipe, Path(staged), archive)
        archive.touch()
        self._forget_old(recipe.name)
        _link(archive, output)

    def _archive(self, recipe: Recipe, key: str) -> Path:
        return self._cache / f"{recipe.name}-{key}.tar"

    def _build(self, recipe: Recipe, staged: Path, archive: Path) -> None:
        begun = time.monotonic()
        log = self._cache / f"{recipe.name}.log"
        log.write_text("")
        report(f"image {recipe.name}: building; all output goes to {log}")
        buildah = Buildah(self._cache.parent / "buildah")
        buildah.keep_below(STORAGE_GIGABYTES)
        ensure_base(buildah, self._cache, log)
        buildah.build(staged=staged, tag=recipe.tag, log=log)
        partial = archive.with_suffix(".partial")
        partial.unlink(missing_ok=True)
        buildah.save(tag=recipe.tag, archive=partial)
        partial.rename(archive)
        report(f"image {recipe.name}: built in {time.monotonic() - begun:.0f} s")

    def _forget_old(self, name: str) -> None:
        archives = sorted(self._cache.glob(f"{name}-{'[0-9a-f]' * 16}.tar"), key=lambda path: path.stat().st_mtime)
        for archive in archives[:-ARCHIVES_KEPT_PER_IMAGE]:
            archive.unlink(missing_ok=True)


def _cache_directory() -> Path:
    """The same as in tests/setup/common.sh."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(os.environ.get("CLOUD_RECORDING_CACHE") or f"{home}/cloud-recording")


def _link(archive: Path, output: Path) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    output.unlink(missing_ok=True)
    try:
        output.hardlink_to(archive)
    except OSError:
        shutil.copyfile(archive, output)
