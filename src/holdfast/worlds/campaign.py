"""Many worlds: judged in several processes, counted, and held against floors."""

import gc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from typing import Final

from holdfast.exchange.faults import FaultKind
from holdfast.exchange.market_faults import MarketFaultKind
from holdfast.worlds.acts import Script
from holdfast.worlds.coverage import wanted
from holdfast.worlds.images import LONG_S
from holdfast.worlds.mixes import script
from holdfast.worlds.verdict import Verdict, judge

STRUCK_MIN: Final = 20
"""So often each kind of fault must really have happened."""

FILLED_BPS_MIN: Final = 4_000
"""Of the worlds so many must have a fill of ours while something is wrong."""

RESTARTED_BPS_MIN: Final = 1_000
"""Of the worlds so many must have more than one life."""

TICKS_MIN: Final = 1_000
"""So many ticks must reach the engine in a world, on the average."""

CHUNK: Final = 8


class Tally:
    """What the worlds of a campaign came to."""

    def __init__(self) -> None:
        """Nothing was judged."""
        self.worlds = self.ticks = self.steps = self.fills = 0
        self.filled_under_fault = self.restarted = 0
        self.seconds = 0.0
        self.slowest_s = 0.0
        self.struck: Counter[str] = Counter()
        self.reached: set[tuple[str, str]] = set()
        self.broken: list[Verdict] = []

    def add(self, verdict: Verdict) -> None:
        """Count one world."""
        self.worlds += 1
        self.ticks += verdict.ticks
        self.steps += verdict.steps
        self.fills += verdict.fills
        self.filled_under_fault += verdict.fills_under_fault > 0
        self.restarted += verdict.lives > 1
        self.seconds += verdict.seconds_of_cpu
        self.slowest_s = max(self.slowest_s, verdict.seconds_of_cpu)
        self.struck.update(verdict.struck)
        self.reached.update(verdict.reached)
        if verdict.checker is not None:
            self.broken.append(verdict)

    def figures(self) -> Iterator[str]:
        """What it came to, in lines."""
        worlds = max(self.worlds, 1)
        yield (
            f"{self.worlds} worlds: {self.ticks // worlds} ticks, {self.steps // worlds} events and"
            f" {self.fills / worlds:.1f} fills in each; {self.seconds / worlds:.3f} s of CPU each,"
            f" the slowest {self.slowest_s:.2f} s"
        )
        yield f"{self.filled_under_fault * 100 // worlds} % with a fill while something was wrong"
        yield f"{self.restarted * 100 // worlds} % with a restart"
        reached = len({pair for pair in self.reached if pair in _wanted()})
        yield f"{reached} of {len(_wanted())} rows of the order table reached"
        least = sorted(_kinds(), key=lambda kind: (self.struck[kind], kind))[:5]
        struck = sum(self.struck[kind] > 0 for kind in _kinds())
        rarest = ", ".join(f"{kind} {self.struck[kind]}" for kind in least)
        yield f"{struck} of {len(_kinds())} kinds of fault struck; the rarest: {rarest}"

    def short_of(self) -> Iterator[str]:
        """Every floor that was not reached: a campaign that shows nothing proves nothing."""
        for kind in _kinds():
            if self.struck[kind] < STRUCK_MIN:
                yield f"{kind} struck {self.struck[kind]} times, at least {STRUCK_MIN} are wanted"
        for state, event in sorted(_wanted() - self.reached):
            yield f"no order was ever {state} when {event!r} came"
        worlds = max(self.worlds, 1)
        if self.filled_under_fault * 10_000 < FILLED_BPS_MIN * worlds:
            yield f"only {self.filled_under_fault} of {worlds} worlds have a fill under a fault"
        if self.restarted * 10_000 < RESTARTED_BPS_MIN * worlds:
            yield f"only {self.restarted} of {worlds} worlds have a restart"
        if self.ticks < TICKS_MIN * worlds:
            yield f"only {self.ticks // worlds} ticks in a world"


def _kinds() -> list[str]:
    return [kind.value for kind in (*FaultKind, *MarketFaultKind)]


def _wanted() -> set[tuple[str, str]]:
    return {(state.value, event.value) for state, event in wanted()}


def judged(scripts: Iterable[Script], *, processes: int) -> Iterator[Verdict]:
    """Every verdict, in the order of the scripts."""
    if processes == 1:
        yield from map(_judge, scripts)
        return
    rest = iter(scripts)
    with ProcessPoolExecutor(processes) as pool:
        while chunk := list(islice(rest, processes * CHUNK * 8)):
            at_once = 1 if any(one.seconds >= LONG_S for one in chunk) else CHUNK
            yield from pool.map(_judge, chunk, chunksize=at_once)


def _judge(one: Script) -> Verdict:
    verdict = judge(one)[0]
    if one.seconds >= LONG_S:
        gc.collect()  # a session leaves hundreds of megabytes that refer to each other
    return verdict


def campaign(
    seeds: Iterable[int],
    *,
    processes: int,
    mix: str | None = None,
    full: bool = False,
    progress: Callable[[Verdict], None] = lambda _verdict: None,
) -> Tally:
    """Judge the worlds of these seeds."""
    tally = Tally()
    for verdict in judged((script(seed, mix, full=full) for seed in seeds), processes=processes):
        tally.add(verdict)
        progress(verdict)
    return tally
