# SPDX-License-Identifier: Apache-2.0
"""Many runs of a seed, several at once, and what is said of each."""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from tests.faults.driver import Stage, carry_out, set_stage
from tests.faults.oracle import violations
from tests.faults.schedule import Schedule, schedule


def campaign(
    seed: int, runs: Iterable[int], *, directory: Path, at_once: int, say: Callable[[str], None], keep: bool = False
) -> dict[int, list[str]]:
    """Carries the runs out and returns the violations of those that have any; each is said with how to repeat it.

    What a run with violations left stays in the directory; `keep` has that of the others stay, too.
    """
    stage = set_stage(directory)
    broken = {}
    with ThreadPoolExecutor(at_once) as pool:
        planned = {pool.submit(_judge, schedule(seed, run), stage, keep=keep): schedule(seed, run) for run in runs}
        for done in as_completed(planned):
            found = done.result()
            say(_words(planned[done], found, directory))
            if found:
                broken[planned[done].run] = found
    return broken


def _judge(planned: Schedule, stage: Stage, *, keep: bool) -> list[str]:
    try:
        seen, directory = carry_out(planned, stage)
        found = violations(seen)
    except Exception:  # noqa: BLE001 # the other runs go on, and this one counts as broken
        return [f"the run itself failed: {traceback.format_exc()}"]
    if not found and not keep:
        shutil.rmtree(directory)
    return found


def _words(planned: Schedule, found: list[str], directory: Path) -> str:
    if not found:
        return f"seed {planned.seed} run {planned.run}: kept ({planned})"
    kept = directory / f"{planned.seed}-{planned.run}"
    lines = [
        f"seed {planned.seed} run {planned.run}: BROKEN ({planned})",
        *(f"  {words}" for words in found),
        f"  repeat: python -m tests.faults --seed {planned.seed} --run {planned.run}; what is left: {kept}",
    ]
    return "\n".join(lines)
