"""A broker whose market is played: the account, the feed and the lines of sim and replay."""

import asyncio
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Final

from holdfast.brokers.memory import BrokerMemory, read_memory
from holdfast.brokers.simulated import SimulatedVenue, rebuilding
from holdfast.domain.instrument import Instrument
from holdfast.domain.market import Tick
from holdfast.exchange.market_faults import MarketFaults
from holdfast.ports import Profile, Token

SECOND_NS: Final = 1_000_000_000
BATCH: Final = 512
TURN: Final = 64
"""Ticks at most between two turns of everybody else, when the pace is lost."""


class PlayedBroker:
    """The simulated broker of a played day: its exchange, what it remembers, and its market.

    Its memory outlives our process. After a kill the exchange is built again, from the market and
    from the requests that it has had, up to the last moment that anybody knows of.
    """

    def __init__(
        self,
        venue: SimulatedVenue,
        ticks: Iterator[Tick],
        memory: Path,
        *,
        until_ns: int | None,
        market_faults: MarketFaults | None = None,
    ) -> None:
        """`ticks` from the beginning of the day. `until_ns`: how far it has come; `None`: nowhere.

        With `market_faults` (new for each process) the feed tells what they make of the ticks; the
        venue should then have a market of its own. Raises what reading the first tick raises.
        """
        self.venue = venue
        if market_faults is not None:
            ticks = market_faults.told(ticks)
        # What a market costs to make is paid here, where nobody waits for an event loop.
        self.ticks: Iterator[Tick] = chain(list(islice(ticks, 1)), ticks)
        self._file = memory
        self._memory: BrokerMemory | None = None
        self._until_ns = until_ns

    async def open(self) -> None:
        """Be as it was left. A second call does nothing. Raises DataRefused at a damaged memory."""
        if self._memory is not None:
            return
        if self._until_ns is not None:
            remembered = read_memory(self._file)
            steps = rebuilding(self.venue, self.ticks, remembered, until_ns=self._until_ns)
            while True:
                try:
                    next(steps)
                except StopIteration as end:
                    self.ticks = end.value
                    break
                await asyncio.sleep(0)
        self._memory = BrokerMemory(self._file)
        self.venue.remember(self._memory)

    def close(self) -> None:
        """Give its memory back: the process ends, the broker does not."""
        if self._memory is not None:
            self._memory.close()


class PlayedAccount:
    """Answers as a broker does, from what the day was made of."""

    def __init__(
        self,
        client_id: str,
        broker: PlayedBroker,
        instruments: Sequence[Instrument],
        *,
        valid_until_ns: int,
    ) -> None:
        """The session that it opens lasts until `valid_until_ns`."""
        self._client_id = client_id
        self._broker = broker
        self._instruments = tuple(instruments)
        self._valid_until_ns = valid_until_ns

    async def login(self) -> Token:
        """Nobody is refused; who comes back after a kill waits until the broker is as it was."""
        await self._broker.open()
        return Token(valid_until_ns=self._valid_until_ns)

    async def profile(self) -> Profile:
        """The account that was asked for."""
        return Profile(client_id=self._client_id)

    async def instruments(self) -> Sequence[Instrument]:
        """Every contract that the market speaks of."""
        return self._instruments


class PlayedLine:
    """A connection to the simulated broker: up until it is closed or cut."""

    def __init__(self) -> None:
        """Not connected."""
        self._is_up = False

    async def connect(self) -> None:
        """Nothing is in the way."""
        self._is_up = True

    async def ping(self) -> None:
        """Answered at once. Raises ConnectionError when it is down."""
        if not self._is_up:
            raise ConnectionError("the line to the simulated broker is down")

    async def close(self) -> None:
        """Down."""
        self._is_up = False


class PlayedFeed(PlayedLine):
    """A day's ticks as a feed brings them: as fast as they are taken, or at their time."""

    def __init__(self, broker: PlayedBroker, *, speed: int, cuts: Sequence[int] = ()) -> None:
        """`speed` times real time; 0 as fast as they are taken.

        At each of `cuts` (UTC ns, in order, none before the first tick to come) the connection
        breaks; what is told from then on comes after the next connect.
        """
        super().__init__()
        self.can_wait = speed == 0
        self.is_real_time = speed == 1
        self._broker = broker
        self._speed = speed
        self._cuts = list(cuts)
        self._next: Tick | None = None
        self._began: tuple[float, int] | None = None

    async def packets(self) -> Sequence[Tick]:
        """The next batch, or what is due by now. Raises ConnectionError where it breaks."""
        await self.ping()
        if not self.can_wait:
            return await self._due()
        await asyncio.sleep(0)  # data that is always there must not keep others from their turn
        if not self._cuts:
            held = [] if self._next is None else [self._next]
            self._next = None
            return (*held, *islice(self._broker.ticks, BATCH))
        return await self._until_cut()

    async def _until_cut(self) -> Sequence[Tick]:
        """What comes before the connection breaks; where nothing does, it breaks."""
        taken: list[Tick] = []
        while len(taken) < BATCH and (tick := self._peek()) is not None:
            if tick.at_ns >= self._cuts[0]:
                break
            taken.append(tick)
            self._next = None
        if not taken and self._peek() is not None:
            await self._break()
        return taken

    async def _break(self) -> None:
        self._cuts.pop(0)
        await self.close()
        raise ConnectionError("the feed was cut")

    async def _due(self) -> Sequence[Tick]:
        """Wait until the next tick is due; it, and those that are due with it."""
        first = self._peek()
        if first is None:
            return ()
        loop = asyncio.get_running_loop()
        if self._began is None:
            self._began = loop.time(), first.at_ns
        is_cut = self._is_cut(first)
        until_ns = self._cuts[0] if is_cut else first.at_ns
        await asyncio.sleep(max(self._due_s(until_ns) - loop.time(), 0.0))
        if is_cut:
            await self._break()
        # From here on nobody else has a turn: one who is cancelled has lost nothing.
        taken = [first]
        self._next = None
        while len(taken) < TURN and (tick := self._peek()) is not None:
            if self._due_s(tick.at_ns) > loop.time() or self._is_cut(tick):
                break
            taken.append(tick)
            self._next = None
        return taken

    def _peek(self) -> Tick | None:
        if self._next is None:
            self._next = next(self._broker.ticks, None)
        return self._next

    def _is_cut(self, tick: Tick) -> bool:
        return bool(self._cuts) and self._cuts[0] <= tick.at_ns

    def _due_s(self, at_ns: int) -> float:
        assert self._began is not None, "it plays"
        began_s, first_ns = self._began
        return began_s + (at_ns - first_ns) / (SECOND_NS * self._speed)
