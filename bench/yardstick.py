"""What every measurement is a ratio to: a bare loop over the same number of quotes, in the same run.

The bare loop does the least a watcher of positions can do in Python: find the levels of the
quote's instrument and compare twice. Machines differ and are shared; ratios inside one run hold.
"""

import time
from collections.abc import Callable
from statistics import median
from typing import Final, NamedTuple

ROUNDS: Final = 5
INSTRUMENTS: Final = 50
QUOTES: Final = [(n % INSTRUMENTS, 100_000 + n % 7) for n in range(100_000)]
LEVELS: Final = [(98_000, 104_000)] * INSTRUMENTS


class Row(NamedTuple):
    """One measurement: `done` units of work in a round, and what one cost beside one bare step.

    `done_min` is the floor of work: below it the measurement is refused. `ratio_max` is the bound
    it must keep, `None` where there is no promise yet.
    """

    what: str
    unit: str
    done: int
    done_min: int
    each_ns: float
    bare_ns: float
    ratio_max: float | None

    @property
    def ratio(self) -> float:
        """How many bare steps one unit costs."""
        return self.each_ns / self.bare_ns

    @property
    def fault(self) -> str | None:
        """Why the row is a failure, `None` when it is none."""
        if self.done < self.done_min:
            return f"only {self.done} of {self.done_min} {self.unit}s were done"
        if self.ratio_max is not None and self.ratio > self.ratio_max:
            return f"over its bound of {self.ratio_max:g}"
        return None


def bare_loop() -> int:
    """The bare loop over all quotes; returns how many touched a level."""
    touched = 0
    levels = LEVELS
    for instrument, price in QUOTES:
        low, high = levels[instrument]
        if price <= low or price >= high:
            touched += 1
    return touched


def compare(
    what: str,
    work: Callable[[], int],
    *,
    unit: str,
    done_min: int,
    prepare: Callable[[], None] = lambda: None,
    ratio_max: float | None = None,
) -> Row:
    """Measure `work`, which returns how many units it did, interleaved with the bare loop.

    `prepare` runs before each round and is not measured.
    """
    costs: list[float] = []
    bare: list[float] = []
    counts: list[int] = []
    for _ in range(ROUNDS):
        bare.append(_timed(bare_loop)[0] / len(QUOTES))
        prepare()
        spent, count = _timed(work)
        counts.append(count)
        costs.append(spent / max(count, 1))
    return Row(what, unit, min(counts), done_min, median(costs), median(bare), ratio_max)


def _timed(call: Callable[[], int]) -> tuple[int, int]:
    began = time.perf_counter_ns()
    answer = call()
    return time.perf_counter_ns() - began, answer
