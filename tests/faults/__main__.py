# SPDX-License-Identifier: Apache-2.0
"""Records under faults and kills, and holds what is left to what was promised: `make faults SEED=1 RUNS=100`.

What a run with a violation left is kept below build/faults; the exit status is 1 where there was one.
"""

import argparse
import shutil
import sys
import time

from tests.faults.campaign import campaign
from tests.support.recorder import REPOSITORY

DIRECTORY = REPOSITORY / "build" / "faults"


def main() -> int:
    """Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="default: another one each time")
    parser.add_argument("--runs", type=int, default=100, help="how many (default: %(default)s)")
    parser.add_argument("--run", type=int, help="this run of the seed alone")
    parser.add_argument("--keep", action="store_true", help="keep what runs without violations left, too")
    parser.add_argument("--at-once", type=int, default=8, help="runs at a time (default: %(default)s)")
    options = parser.parse_args()
    shutil.rmtree(DIRECTORY, ignore_errors=True)
    runs = range(options.runs) if options.run is None else [options.run]
    broken = campaign(options.seed, runs, directory=DIRECTORY, at_once=options.at_once, say=_say, keep=options.keep)
    _say(f"seed {options.seed}: {len(runs)} runs, {len(broken)} with violations")
    return 1 if broken else 0


def _say(words: str) -> None:
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
