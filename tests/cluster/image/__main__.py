# SPDX-License-Identifier: Apache-2.0
"""The command line: `python -m tests.cluster.image build-all`, or `build` for a Dockerfile of one's own."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.cluster.component import ClusterError
from tests.cluster.image.builder import Builder
from tests.cluster.image.recipe import Recipe
from tests.cluster.image.recipes import OUTPUT, recipes


def main() -> int:
    arguments = _parse()
    try:
        arguments.run(arguments)
    except ClusterError as failure:
        print(f"error: {failure}", file=sys.stderr)
        return 1
    return 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster.image", description="Image archives, cached by content."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    everything = commands.add_parser("build-all", help=f"build the product's and the testbed's image into {OUTPUT}")
    everything.set_defaults(run=_build_all)
    build = commands.add_parser("build", help="build one Dockerfile, with the repository as its context")
    build.add_argument("--file", type=Path, required=True, help="the Dockerfile")
    build.add_argument("--tag", required=True, help="the image's full name")
    build.add_argument("--output", type=Path, required=True, help="the archive to write")
    build.add_argument(
        "--program", type=Path, action="append", default=[], help="goes into the build context `programs`"
    )
    build.set_defaults(run=_build)
    return parser.parse_args()


def _build_all(_arguments: argparse.Namespace) -> None:
    builder = Builder()
    for recipe in recipes():
        builder.build(recipe, output=OUTPUT / f"{recipe.name}.tar")


def _build(arguments: argparse.Namespace) -> None:
    programs = {program.name: program for program in arguments.program}
    recipe = Recipe(tag=arguments.tag, dockerfile=arguments.file.resolve(), programs=programs)
    Builder().build(recipe, output=arguments.output)


if __name__ == "__main__":
    sys.exit(main())
