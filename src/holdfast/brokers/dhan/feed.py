"""The market feed of DhanHQ behind `ports.MarketFeed`: connections that are kept, and quotes beside.

What is wanted outlives every connection. Everything goes over the first one; a second brings what
is held once more, so that a reset of one is no outage (T28). While the first is down or silent in
session, quotes come by REST, what is held first.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import aiohttp
import structlog

from holdfast.brokers.dhan.dialing import Dialing, Ended, Loss
from holdfast.brokers.dhan.doubled import Doubled
from holdfast.brokers.dhan.handshake import refuse_redirects
from holdfast.brokers.dhan.quotes import QuoteReader
from holdfast.brokers.dhan.sockets import LOOK_S, QUIET_NS, Hours, Line, Place, Speaker
from holdfast.brokers.dhan.wanted import Wanted
from holdfast.domain.dated import Session
from holdfast.domain.errors import HoldfastError
from holdfast.domain.event import AnyEvent, QuotesRead
from holdfast.domain.instrument import Exchange, Instrument, InstrumentId
from holdfast.domain.market import Tick
from holdfast.facts.ist import SECOND_NS
from holdfast.ports import FeedStatus, Timing

_log = structlog.get_logger("feed")

FALL_BACK_NS: Final = 5 * SECOND_NS // 2
"""Without the feed quotes are read so often when nobody else asks for any."""

LOST_MAX: Final = 3
"""So often packets of one instrument are taken for lost, on one day of asking, before we give in."""


class TokenRefused(HoldfastError):
    """The feed does not take the token: whoever logs in must look at it (dhan.md 4.4)."""

    exit_code = 5


class FeedDay(NamedTuple):
    """What the feed is told of the day.

    `contracts` tells today's instruments once the master is loaded; `held` what is held or has an
    order working. After `until_ns` (UTC) nothing more is to come; `None`: the feed never ends.
    """

    contracts: Callable[[], Sequence[Instrument]]
    sessions: Sequence[Session]
    held: Callable[[], Collection[InstrumentId]] = frozenset
    until_ns: int | None = None


class DhanFeed:
    """Brings what is wanted for as long as `keep` runs; `packets` gives it in order of receipt."""

    can_wait = False
    is_real_time = True

    def __init__(
        self,
        url: str,
        speaker: Speaker,
        timing: Timing,
        *,
        day: FeedDay,
        reader: QuoteReader,
        reject: Callable[[TokenRefused], None],
    ) -> None:
        """`reject` hears that the token of the moment was refused; a new one is waited for."""
        self._timing = timing
        self._day = day
        self._reader = reader
        self._reject = reject
        self._wanted = Wanted(day.held)
        self._dialing = Dialing(day.sessions)
        self._hours = Hours(day.sessions)
        place = Place(url, speaker, timing, self._hours)
        self._main = Line(0, place, self._dialing, desired=self._wanted.all, owner=self)
        self._second = Line(1, place, self._dialing, desired=self._wanted.held, owner=self)
        self._lines = (self._main, self._second)
        self._session: aiohttp.ClientSession | None = None
        self._batch: list[Tick] = []
        self._filled = asyncio.Event()
        self._doubled = Doubled()
        self._link: Callable[[bool, str], None] = lambda _is_up, _reason: None
        self._began_ns = 0
        self._unseen: dict[InstrumentId, int] = {}
        self._lost: dict[InstrumentId, int] = {}
        self._is_over = False
        reader.beside = self._beside

    # -- the port

    async def connect(self) -> None:
        """Be ready to be kept: the connections themselves are made when the broker's rules allow."""
        await self.close()
        self._began_ns = self._timing.now_ns()
        self._session = aiohttp.ClientSession(trust_env=False, middlewares=(refuse_redirects,))
        for line in self._lines:
            line.session = self._session
        self._wanted.know(self._day.contracts())

    async def ping(self) -> None:
        """Nothing is sent: the broker pings (T28). Raises ConnectionError when it is closed."""
        if self._session is None or self._session.closed:
            raise ConnectionError("the feed is closed")

    async def close(self) -> None:
        """Give every connection back. A second call does nothing."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def packets(self) -> Sequence[Tick]:
        """What has come since the last call; waits for something. Empty once the day is over."""
        while not self._batch and not self._is_over:
            self._filled.clear()
            await self._filled.wait()
        batch, self._batch = self._batch, []
        return batch

    async def keep(
        self, link: Callable[[bool, str], None], tell: Callable[[AnyEvent], None]
    ) -> None:
        """Keep the data coming until cancelled.

        `link` hears each change of whether it comes, and why not; `tell` hears of quotes that were
        read outside the connections.
        """
        self._link = link
        async with asyncio.TaskGroup() as group:
            for line in self._lines:
                group.create_task(line.keep(), name=f"feed {line.number}")
            group.create_task(self._serve_quotes(tell), name="feed quotes")

    # -- what is wanted

    def want(self, instruments: Iterable[InstrumentId]) -> None:
        """Bring these as well, from now on, over every connection to come."""
        self._wanted.know(self._day.contracts())
        self._wanted.want(instruments)
        self._poke()

    def drop(self, instruments: Iterable[InstrumentId]) -> tuple[InstrumentId, ...]:
        """Bring these no longer; returns those that stay: what is held cannot be dropped (I-62)."""
        stay = self._wanted.drop(instruments)
        self._poke()
        return stay

    def take_token(self) -> None:
        """The broker takes the token of the moment, by its profile's answer: show it again now."""
        self._dialing.take_token()
        self._poke()

    def _poke(self) -> None:
        for line in self._lines:
            line.poke()

    # -- what the connections tell

    def deliver(self, line: Line, ticks: Sequence[Tick]) -> None:
        """Take ticks of one message, but for what the other connection has told already."""
        if self._second.is_connected:
            ticks = [tick for tick in ticks if self._doubled.is_news(line.number, tick)]
        self._batch.extend(ticks)
        self._filled.set()

    def note_link(self, line: Line, reason: str) -> None:
        """Only the connection that brings everything is the feed's link."""
        if line is self._main:
            self._link(line.is_up, reason)

    def note_end(self, line: Line, ended: Ended) -> None:
        """A connection ended, or was refused: whoever logs in hears of a dead token."""
        self._doubled.forget(line.number)
        if ended.loss is Loss.TOKEN:
            self._reject(TokenRefused(f"the market feed: {ended.reason}\n  the login looks at it"))

    def note_unseen(self, line: Line, instruments: Sequence[InstrumentId]) -> None:
        """They are read once by REST: that tells whether they are quiet or lost (MFH-3)."""
        if line is self._main:
            self._unseen |= dict.fromkeys(instruments, self._timing.now_ns())

    def is_silent(self, now_ns: int) -> bool:
        """Whether nothing has come over any connection for so long that there is an outage (T28).

        A process that has not been connected yet is blind as well: it may begin at any time.
        """
        if not any(line.was_connected for line in self._lines):
            return True
        newest = [line.newest_ns for line in self._lines if line.newest_ns is not None]
        since_ns = max([*newest, self._began_ns])
        exchanges = {one.exchange for one in self._wanted.all()}
        opened = [
            at for one in exchanges if (at := self._hours.open_since(one, now_ns)) is not None
        ]
        return bool(opened) and now_ns - max(since_ns, min(opened)) > QUIET_NS

    # -- quotes beside the connections

    async def _serve_quotes(self, tell: Callable[[AnyEvent], None]) -> None:
        while True:
            await asyncio.sleep(self._timing.wall_s(LOOK_S))
            now_ns = self._timing.now_ns()
            self._end_by(now_ns)
            asked = self._owed(now_ns)
            if not asked:
                continue
            searched, self._unseen = self._unseen, {}
            told = await self._reader.read(asked)
            if told is not None:
                tell(told)
            if isinstance(told, QuotesRead):
                self._search(told, searched)

    def _end_by(self, now_ns: int) -> None:
        if self._day.until_ns is not None and now_ns >= self._day.until_ns and not self._is_over:
            self._is_over = True
            self._filled.set()

    def _owed(self, now_ns: int) -> Sequence[InstrumentId]:
        """What to read now: what was not seen, and all of it while there is no feed."""
        if self._unseen and not self._dialing.is_penalized(now_ns):
            return tuple(self._unseen)
        return self._beside() if self._is_due(now_ns) else ()

    def _is_due(self, now_ns: int) -> bool:
        left_ns = self._reader.left_ns
        return left_ns is None or now_ns - left_ns >= FALL_BACK_NS

    def _beside(self) -> Sequence[InstrumentId]:
        """What a call by REST brings along while there is no feed: what is held first.

        In a penalty nothing but what is held: more could prolong it (T28).
        """
        now_ns = self._timing.now_ns()
        if self._main.is_up or not self._is_missed(now_ns):
            return ()
        if self._dialing.is_penalized(now_ns):
            held = self._day.held()
            return tuple(one.id for one in self._wanted.all() if one.id in held)
        return tuple(one.id for one in self._wanted.all())

    def _is_missed(self, now_ns: int) -> bool:
        """Whether the connection that brings everything is silent while an exchange is open."""
        return self._main.silence_ns(now_ns) > QUIET_NS

    def _search(self, told: QuotesRead, searched: Mapping[InstrumentId, int]) -> None:
        """Traded since it was asked for, and no packet: lost, asked for again. Otherwise quiet."""
        lost: list[InstrumentId] = []
        for quote in told.quotes:
            noted_ns = searched.get(quote.instrument)
            if noted_ns is None or quote.venue_at_ns is None or quote.venue_at_ns < noted_ns:
                continue
            times = self._lost[quote.instrument] = self._lost.get(quote.instrument, 0) + 1
            if times <= LOST_MAX:
                lost.append(quote.instrument)
        if lost:
            _log.warning("packets of instruments are lost", count=len(lost), first=lost[0])
            self._main.ask_again(lost)

    # -- what is asked of it

    def status(self) -> FeedStatus:
        """How it is, for people, from memory."""
        now_ns = self._timing.now_ns()
        newest_ns = self._main.newest_ns
        return FeedStatus(
            is_up=self._main.is_up,
            connections=sum(line.is_connected for line in self._lines),
            dials=sum(line.dials for line in self._lines),
            wanted=len(self._wanted.all()),
            age_ms=None if newest_ns is None else (now_ns - newest_ns) // 1_000_000,
            lag_ms={exchange.value: lag for exchange, lag in self._lags().items()},
            flaws=self._flaws(),
            quotes_read=self._reader.calls,
            penalty_until_ns=self._dialing.penalty_ns,
        )

    def _flaws(self) -> Mapping[str, int]:
        counted: dict[str, int] = {}
        for line in self._lines:
            for flaw, count in line.codec.flaws.items():
                counted[flaw.value] = counted.get(flaw.value, 0) + count
        return counted

    def _lags(self) -> Mapping[Exchange, int]:
        """Newest receipt minus newest trade, of each exchange, in milliseconds."""
        received: dict[Exchange, int] = {}
        traded: dict[Exchange, int] = {}
        for wire in self._main.codec.wires.values():
            tick = wire.tick
            if tick is None:
                continue
            received[wire.exchange] = max(received.get(wire.exchange, 0), tick.at_ns)
            if tick.venue_at_ns is not None:
                traded[wire.exchange] = max(traded.get(wire.exchange, 0), tick.venue_at_ns)
        return {one: (received[one] - at_ns) // 1_000_000 for one, at_ns in traded.items()}
