"""A broker outside of the program, in real time: its market ticks by the wall, its answers by tasks.

It speaks the ports and no wire. It lives on while the program is away, as a real one does.
"""

import asyncio
from collections.abc import Callable, Sequence
from itertools import dropwhile
from typing import Final

import msgspec

from holdfast.app.chain import Market
from holdfast.brokers.played import PlayedLine
from holdfast.brokers.simulated import SimulatedVenue
from holdfast.domain.command import AnyCommand
from holdfast.domain.event import AnyEvent
from holdfast.domain.instrument import Instrument, InstrumentId
from holdfast.domain.market import Tick
from holdfast.exchange.latency import Latency
from holdfast.exchange.venue import SimulatedExchange
from holdfast.ports import MarketSource, Profile, Token
from holdfast.runtime.beside import Beside
from holdfast.runtime.clock import ScaledClock
from holdfast.runtime.day import Day
from tests.support.chain import until

TURN_S: Final = 0.004
SECOND: Final = 1_000_000_000
DAY: Final = 24 * 3_600 * SECOND

Tell = Callable[[AnyEvent], None]


class Outside:
    """An exchange with an account, moved by the clock and not by whoever listens."""

    def __init__(self, source: MarketSource, facts: object, clock: ScaledClock, seed: int) -> None:
        """The market has gone on to where the clock is."""
        self.instruments: tuple[Instrument, ...] = tuple(source.instruments)
        self.clock = clock
        self.exchange = SimulatedExchange(
            self.instruments,
            facts,  # type: ignore[arg-type]
            cash_paise=500_000_00,
            seed=seed,
        )
        self.venue = SimulatedVenue(self.exchange, Latency(seed=seed), quotes_available=True)
        begun = clock.now_ns()
        self._ticks = dropwhile(lambda tick: tick.at_ns < begun, source.ticks())
        self._next: Tick | None = next(self._ticks, None)
        self.fresh: list[Tick] = []
        self.wanted: list[InstrumentId] = []

    def pass_by(self, tell: Tell | None) -> None:
        """Let everything happen up to now; `tell` hears what the broker says, `None`: nobody does."""
        now_ns = self.clock.now_ns()
        while self._next is not None and self._next.at_ns <= now_ns:
            self.venue.on_tick(self._next)
            self.fresh.append(self._next)
            self._next = next(self._ticks, None)
        if tell is None:
            self.venue.hang_up(now_ns)
            self.fresh.clear()
            return
        for event in self.venue.pop_due(now_ns):
            tell(event)

    def market(self, day: Day) -> Market:
        """What stands behind the ports of one process."""
        self.pass_by(None)
        return Market(
            venue=Asked(self),
            account=Known(self),
            feed=Brought(self),
            updates=PlayedLine(),
            orders=PlayedLine(),
            close=lambda: None,
            want=self.wanted.extend,
            settle=self.settle,
            beside=(Beside("outside", lambda: self.live(day.tell)),),
        )

    async def live(self, tell: Tell) -> None:
        """Go on for ever."""
        while True:
            self.pass_by(tell)
            await asyncio.sleep(TURN_S)

    async def settle(self) -> None:
        """Return when nothing is on its way any more."""
        await until(lambda: not self._is_answering(), every_s=TURN_S)

    def _is_answering(self) -> bool:
        due_ns = self.venue.due_ns
        return due_ns is not None and due_ns < self.clock.now_ns() + SECOND


class Asked:
    """A venue that answers by itself, when it does."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside

    def submit(self, command: AnyCommand, at_ns: int) -> None:
        """Take a request; its answer is told."""
        del at_ns
        self._outside.venue.submit(command, self._outside.clock.now_ns())

    def on_tick(self, tick: Tick) -> None:
        """Its market moves without being told."""

    @property
    def due_ns(self) -> int | None:
        """Nothing is due here."""
        return None

    def pop_due(self, at_ns: int) -> Sequence[AnyEvent]:
        """Nothing."""
        del at_ns
        return ()


class Brought(PlayedLine):
    """The feed: what was new since the last look, stamped as it is received."""

    can_wait = False
    is_real_time = True

    def __init__(self, outside: Outside) -> None:
        super().__init__()
        self._outside = outside

    async def packets(self) -> Sequence[Tick]:
        """The next ticks; waits for them."""
        while not self._outside.fresh:
            await self.ping()
            await asyncio.sleep(TURN_S)
        fresh, self._outside.fresh = self._outside.fresh, []
        now_ns = self._outside.clock.now_ns()
        return [msgspec.structs.replace(tick, at_ns=now_ns) for tick in fresh]


class Known:
    """The account behind its port."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside

    async def login(self) -> Token:
        """Nobody is refused."""
        return Token(valid_until_ns=self._outside.clock.now_ns() + DAY)

    async def profile(self) -> Profile:
        """The account of the default configuration."""
        return Profile(client_id="SIM0001")

    async def instruments(self) -> Sequence[Instrument]:
        """Every contract of the market."""
        return self._outside.instruments
