"""One `Engine.step` on a tick with 50 open positions: quiet ticks, and ticks that move levels.

The engine is the whole one, with its rules, watermarks, freshness and limits; every position has
its stop resting. Goal (reference: three times NautilusTrader with its checks in Python): 40 bare
steps; far goal: 20.
"""

from collections.abc import Callable, Iterator

from bench.fifty import CALLS, POSITIONS, fifty_positions
from bench.yardstick import Row, compare
from holdfast.core.engine import Engine
from holdfast.domain.market import Tick
from tests.support.desk import NIFTY, SECOND, Desk

TICKS = 100_000


def quotes(desk: Desk, *, walk: Callable[[int], int]) -> list[Tick]:
    """Ticks of the fifty in turn, ten thousand a second; `walk` gives the bid in paise."""
    began = desk.now + SECOND // 10
    ticks = []
    for n in range(TICKS):
        bid = walk(n)
        at_ns = began + n * 2_000
        ticks.append(
            Tick(
                at_ns=at_ns,
                instrument=CALLS[n % POSITIONS].id,
                last_paise=bid,
                venue_at_ns=at_ns // SECOND * SECOND,
                volume=1_000_000 + n,
                bids=((bid, 650),),
                asks=((bid + 5, 650),),
            )
        )
    return ticks


def stepper(engine: Engine, ticks: list[Tick]) -> Callable[[], int]:
    """A round: every tick once."""

    def run() -> int:
        step = engine.step
        for tick in ticks:
            step(tick)
        return len(ticks)

    return run


def builder() -> Callable[[], int]:
    """The cost of the value itself, which the feed pays."""

    def run() -> int:
        for n in range(TICKS):
            Tick(
                at_ns=n, instrument=NIFTY.id, last_paise=n, volume=n, bids=((n, 1),), asks=((n, 1),)
            )
        return TICKS

    return run


def rows() -> Iterator[Row]:
    """Quiet ticks; ticks of which one in ten moves a peak; building a tick."""
    desk = fifty_positions()
    quiet = quotes(desk, walk=lambda n: 100_000 - n % 7 * 5)
    work = stepper(desk.engine, quiet)
    yield compare("step, quiet tick, 50 positions", work, unit="tick", done_min=TICKS)
    moving = fifty_positions()
    rising = quotes(moving, walk=lambda n: 100_000 + (n // 500 * 5 if n % 10 == 0 else -5))
    work = stepper(moving.engine, rising)
    yield compare("step, one tick in ten moves a peak", work, unit="tick", done_min=TICKS)
    yield compare("building the tick itself", builder(), unit="tick", done_min=TICKS)
