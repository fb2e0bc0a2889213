"""The world behind the server: the exchange, its market and its time, stepped as the wall goes on.

Whatever changes that world from outside is an act: a name, plain values and an instant. Acts are
written down before they are done, and nothing else has a say, so a server that was killed does them
again at their instants and stands where it stood.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from heapq import heappop, heappush
from typing import Any, Final

import msgspec

from holdfast.domain.dated import DayFacts
from holdfast.domain.instrument import Instrument, InstrumentId
from holdfast.domain.market import Tick
from holdfast.exchange.checks import Behaviour
from holdfast.exchange.faults import Faults
from holdfast.exchange.market_faults import MarketFaults
from holdfast.exchange.venue import SimulatedExchange
from holdfast.ports import MarketSource, Timing
from holdfast.simbroker.dhan.order import AccountOrder

Time = Timing
"""The server's time: scaled, and its waits in seconds of the wall."""

YIELD_EVERY: Final = 500
"""Ticks that are shown before other tasks get their turn."""

PAUSE_S: Final = 0.02
"""The longest sleep in seconds of the wall: how soon another speed is felt."""


class World(msgspec.Struct, frozen=True, kw_only=True):
    """What a server is built around: the day's facts, its market, and what is drawn."""

    facts: DayFacts
    source: MarketSource
    seed: int
    cash_paise: int
    behaviour: Behaviour = Behaviour()


Arrival = Callable[[int], None]
"""What happens at an instant (UTC nanoseconds) that is passed to it."""

Values = Mapping[str, Any]
"""What an act says: plain values, as JSON knows them."""

Act = Callable[[Values, int], Any]
"""Does what an act says at its instant, and answers whoever asked for it."""


class Host:
    """Owns exchange, market and time, and does in order what was asked and what becomes due."""

    def __init__(self, world: World, time: Timing) -> None:
        """Nothing has happened yet: the market begins with the source's first tick."""
        self.time = time
        self.facts = world.facts
        self.seed = world.seed
        self.behaviour = world.behaviour
        self.source = world.source
        self.instruments: Sequence[Instrument] = tuple(world.source.instruments)
        self.contracts: dict[InstrumentId, Instrument] = {one.id: one for one in self.instruments}
        self.faults = Faults(world.seed)
        self.market_faults = MarketFaults(world.seed)
        self.exchange = SimulatedExchange(
            self.instruments,
            world.facts,
            cash_paise=world.cash_paise,
            seed=world.seed,
            behaviour=world.behaviour,
            faults=self.faults,
        )
        self.cash_before_paise = world.cash_paise
        self.keep: Callable[[str, Values, int], None] | None = None
        self._ticks = self.market_faults.moved(world.source.ticks())
        self._tick = next(self._ticks, None)
        self._acts: dict[str, Act] = {}
        self._arrivals: list[tuple[int, int, Arrival]] = []
        self._made = 0
        self._at_ns = 0
        self._wake = asyncio.Event()
        self._on_tick: list[Callable[[Tick], None]] = []
        self._on_market: list[Callable[[Tick], None]] = []
        self._on_row: list[Callable[[AccountOrder], None]] = []

    # -- who listens

    def on_tick(self, listener: Callable[[Tick], None]) -> None:
        """Tell `listener` every tick after the exchange has taken it, also while catching up."""
        self._on_tick.append(listener)

    def on_market(self, trader: Callable[[Tick], None]) -> None:
        """Hand every tick to `trader`, who lets the exchange take it. There is one."""
        self._on_market.append(trader)

    def on_row(self, listener: Callable[[AccountOrder], None]) -> None:
        """Tell `listener` every word about an order of the account, ours and everybody else's.

        A word of TRANSIT is told too. A word is not always the book's: a modification that was
        refused later reads REJECTED while the order lives (T15).
        """
        self._on_row.append(listener)

    def tell_row(self, row: AccountOrder) -> None:
        """Say a word about an order to everybody who listens."""
        for listener in self._on_row:
            listener(row)

    # -- acts

    def register(self, name: str, act: Act) -> None:
        """Name what may be done from outside."""
        assert name not in self._acts, f"two acts are called {name}"
        self._acts[name] = act

    def do(self, name: str, values: Values | None = None) -> Any:
        """Do an act now, after everything that is due before it, and remember it."""
        at_ns = self.now()
        told = values or {}
        if self.keep is not None:
            self.keep(name, told, at_ns)
        return self._do(name, told, at_ns)

    def jot(self, name: str, values: Values) -> None:
        """Write down and do what changes nothing in the world: nothing becomes due for it."""
        if self.keep is not None:
            self.keep(name, values, self._at_ns)
        self._acts[name](values, self._at_ns)

    def redo(self, name: str, values: Values, at_ns: int) -> None:
        """Do again what was done at `at_ns` by a server that died."""
        self.advance(at_ns)
        self._do(name, values, at_ns)

    def _do(self, name: str, values: Values, at_ns: int) -> Any:
        answer = self._acts[name](values, at_ns)
        self._wake.set()
        return answer

    # -- time

    def now(self) -> int:
        """Now in UTC nanoseconds, once all that is due by then has happened."""
        at_ns = max(self.time.now_ns(), self._at_ns)
        self.advance(at_ns)
        return at_ns

    @property
    def at_ns(self) -> int:
        """Up to when everything has happened."""
        return self._at_ns

    def at(self, due_ns: int, arrival: Arrival) -> None:
        """Let something happen at `due_ns`; what is late already happens next, in order."""
        self._made += 1
        heappush(self._arrivals, (due_ns, self._made, arrival))

    def advance(self, at_ns: int, *, ticks_max: int | None = None) -> bool:
        """Let everything happen up to `at_ns`; at one instant arrivals come before the market.

        Returns whether all of it has: after `ticks_max` ticks it stops.
        """
        shown = 0
        while ticks_max is None or shown < ticks_max:
            due_ns = self._arrivals[0][0] if self._arrivals else None
            tick = self._tick
            if due_ns is not None and due_ns <= min(at_ns, tick.at_ns if tick else at_ns):
                _, _, arrival = heappop(self._arrivals)
                self._at_ns = max(self._at_ns, due_ns)
                arrival(self._at_ns)
            elif tick is not None and tick.at_ns <= at_ns:
                self._tick = next(self._ticks, None)
                self._at_ns = max(self._at_ns, tick.at_ns)
                self._show(tick)
                shown += 1
            else:
                self._at_ns = max(self._at_ns, at_ns)
                return True
        return False

    async def run(self) -> None:
        """Go on with the time until cancelled."""
        while True:
            self._wake.clear()
            is_done = self.advance(self.time.now_ns(), ticks_max=YIELD_EVERY)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause_s() if is_done else 0):
                    await self._wake.wait()

    def _pause_s(self) -> float:
        stamps = [self._arrivals[0][0]] if self._arrivals else []
        stamps += [self._tick.at_ns] if self._tick is not None else []
        if not stamps:
            return PAUSE_S
        ahead_s = (min(stamps) - self.time.now_ns()) / 1e9
        return min(max(self.time.wall_s(ahead_s), 0.0005), PAUSE_S)

    def _show(self, tick: Tick) -> None:
        for trader in self._on_market:
            trader(tick)
        for listener in self._on_tick:
            listener(tick)
