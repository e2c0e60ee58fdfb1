# SPDX-License-Identifier: Apache-2.0
"""What goes wrong in a run and when: a function of the seed and the run's number, and of nothing else."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """What goes wrong."""

    # What the store's answers are like.
    REFUSED = "refused"
    TOO_MANY = "too-many"
    RESET_IN_REQUEST = "reset-in-request"
    RESET_IN_ANSWER = "reset-in-answer"
    ANSWER_LOST = "answer-lost"
    SLOW = "slow"
    HANGING = "hanging"
    WRONG_CHECKSUM = "wrong-checksum"
    TORN_ANSWER = "torn-answer"
    TLS_BROKEN = "tls-broken"
    # The store's server is killed and begun again.
    SERVER_GONE = "server-gone"
    # What the machine does to the recorder.
    NO_DNS = "no-dns"
    CLOCK_SET = "clock-set"
    DISK_FULL = "disk-full"
    DISK_FAILS = "disk-fails"
    # The source's server breaks connections and refuses new ones.
    SOURCE_AWAY = "source-away"
    # kill -9, and the next life some time later.
    KILL_RECORDER = "kill-recorder"
    KILL_SUPERVISOR = "kill-supervisor"


ANSWERS: Final = (
    *(Kind.REFUSED, Kind.TOO_MANY, Kind.RESET_IN_REQUEST, Kind.RESET_IN_ANSWER, Kind.ANSWER_LOST),
    *(Kind.SLOW, Kind.HANGING, Kind.WRONG_CHECKSUM, Kind.TORN_ANSWER, Kind.TLS_BROKEN),
)
MACHINE: Final = (Kind.NO_DNS, Kind.CLOCK_SET, Kind.DISK_FULL, Kind.DISK_FAILS)
KILLS: Final = (Kind.KILL_RECORDER, Kind.KILL_SUPERVISOR)
LOSING: Final = (*KILLS, Kind.SOURCE_AWAY, Kind.DISK_FULL, Kind.DISK_FAILS, Kind.CLOCK_SET)
"""What may cost media, which is then a stated gap; whatever else goes wrong costs none."""

REFUSALS: Final = (403, 404, 500, 502, 503)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong from `at` on for so many `seconds`, both since the run began."""

    kind: Kind
    at: float
    seconds: float
    amount: float = 0.0
    """Of a refusal the status, of `too-many` and `slow` seconds, of `clock-set` by how many seconds it is set."""
    of_three: int = 3
    """Of three requests so many are answered wrongly."""

    @property
    def until(self) -> float:
        return self.at + self.seconds

    def __str__(self) -> str:
        amount = f" {self.amount:g}" if self.amount else ""
        share = f" {self.of_three}/3" if self.of_three != 3 else ""
        return f"{self.kind}{amount}{share} {self.at:.1f}-{self.until:.1f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """One run. It is stopped after `seconds`; whatever is wrong then, or begins later, ends before `quiet`."""

    seed: int
    run: int
    supervised: bool
    """`cloud-recording run` and its two processes, or a program with the library."""
    tls: bool
    backup: bool
    mp4: bool
    seconds: float
    faults: tuple[Fault, ...]

    @property
    def quiet(self) -> float:
        return max([self.seconds, *(fault.until for fault in self.faults)])

    def has(self, *kinds: Kind) -> bool:
        return any(fault.kind in kinds for fault in self.faults)

    def __str__(self) -> str:
        ways = {"supervised": self.supervised, "tls": self.tls, "backup": self.backup, "mp4": self.mp4}
        how = [name for name, is_so in ways.items() if is_so] or ["library"]
        faults = "; ".join(str(fault) for fault in self.faults)
        return f"{' '.join(how)}, stopped after {self.seconds:.1f} s: {faults or 'nothing'}"


def schedule(seed: int, run: int) -> Schedule:
    """What goes wrong in this run. Each run has one to four faults, and up to two kills."""
    chance = random.Random(f"{seed}/{run}")  # noqa: S311 # it has to be the same each time
    supervised = chance.random() < 0.35
    tls = not supervised and chance.random() < 0.25
    seconds = round(chance.uniform(7, 13), 1)
    kinds = _possible(supervised=supervised, tls=tls)
    faults = [_fault(chance, chance.choice(kinds), seconds) for _ in range(chance.randint(1, 4))]
    kills = KILLS if supervised else KILLS[:1]
    faults += [_fault(chance, chance.choice(kills), seconds) for _ in range(chance.choice([0, 0, 1, 1, 2]))]
    return Schedule(
        seed=seed,
        run=run,
        supervised=supervised,
        tls=tls,
        backup=chance.random() < 0.3,
        mp4=chance.random() < 0.3,
        seconds=seconds,
        faults=tuple(sorted(faults, key=lambda fault: fault.at)),
    )


def _possible(*, supervised: bool, tls: bool) -> list[Kind]:
    left_out = set() if tls else {Kind.TLS_BROKEN}
    # What the machine does goes by way of the environment, which a recorder process gets little of.
    left_out |= set(MACHINE) if supervised else set()
    left_out |= {Kind.NO_DNS} if tls else set()
    return [kind for kind in Kind if kind not in left_out and kind not in KILLS]


def _fault(chance: random.Random, kind: Kind, seconds: float) -> Fault:
    amounts = {
        Kind.REFUSED: lambda: float(chance.choice(REFUSALS)),
        Kind.TOO_MANY: lambda: float(chance.randint(1, 2)),
        Kind.SLOW: lambda: round(chance.uniform(0.3, 2), 1),
        Kind.CLOCK_SET: lambda: float(chance.choice([-3600, -60, -5, 5, 60, 600])),
    }
    amount = amounts.get(kind, lambda: 0.0)()
    # A kill's seconds are the pause until the next life; what comes after the stop meets the last uploads.
    lasts = chance.uniform(0.1, 2) if kind in KILLS else chance.uniform(0.5, 6)
    return Fault(
        kind=kind,
        at=round(chance.uniform(0.5, seconds + 2), 1),
        seconds=round(lasts, 1),
        amount=amount,
        of_three=chance.choice([1, 2, 3, 3]) if kind in ANSWERS else 3,
    )
