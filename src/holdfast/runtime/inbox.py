"""The two lanes into the engine: the account's, never dropped and taken first; the market's.

When the engine lags, the market lane merges ticks of one instrument, keeping the last one and the
extremes of all, so that a stop that was crossed inside the lag still fires.
"""

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec

from holdfast.domain.event import AnyEvent
from holdfast.domain.instrument import InstrumentId
from holdfast.domain.market import Tick

MARKET_ROOM = 4_096
MERGE_ABOVE = 1_024


class Inbox:
    """Events on their way to the engine. Used from the event loop's thread only.

    `is_played`: the market's time is not that of the wall, so that it may stand still.
    """

    def __init__(self, *, merge_above: int = MERGE_ABOVE, market_room: int = MARKET_ROOM) -> None:
        self._account: deque[AnyEvent] = deque()
        self._market: deque[list[Tick]] = deque()
        self._newest: dict[InstrumentId, list[Tick]] = {}
        self._merge_above = merge_above
        self._market_room = market_room
        self._filled = asyncio.Event()
        self._drained = asyncio.Event()
        self._moving = asyncio.Event()
        self._moving.set()
        self._is_closed = False
        self.is_left = False
        self.is_played = False
        self.merged = 0

    def put(self, event: AnyEvent) -> None:
        """Add to the account lane."""
        self._account.append(event)
        self._filled.set()

    def offer(self, tick: Tick) -> None:
        """Add to the market lane at once; merged into a waiting tick when the engine lags."""
        waiting = self._newest.get(tick.instrument)
        if waiting is not None and len(self._market) >= self._merge_above:
            waiting[0] = merge(waiting[0], tick)
            self.merged += 1
        else:
            self._append(tick)
        self._filled.set()

    async def put_market(self, ticks: Sequence[Tick]) -> None:
        """Add to the market lane in order, waiting for room: for sources that can wait."""
        while len(self._market) >= self._market_room and not self._is_closed:
            self._drained.clear()
            await self._drained.wait()
        for tick in ticks:
            self._append(tick)
        self._filled.set()

    def _append(self, tick: Tick) -> None:
        cell = [tick]
        self._market.append(cell)
        self._newest[tick.instrument] = cell

    def end_market(self) -> None:
        """Nothing more comes on the market lane."""
        self._is_closed = True
        self._filled.set()
        self._drained.set()

    def close(self) -> None:
        """Whoever takes should take no more; what waits for room need not wait."""
        self._moving.set()
        self.is_left = True
        self._is_closed = True
        self._filled.set()
        self._drained.set()

    @property
    def is_over(self) -> bool:
        """Whether nothing more is to be taken: left, or the market ended and both lanes are empty."""
        return self.is_left or (self._is_closed and not self._account and not self._market)

    def take_nowait(self) -> AnyEvent | None:
        """The next event, account lane first; `None` when both lanes are empty."""
        if self._account:
            return self._account.popleft()
        if not self._market:
            return None
        cell = self._market.popleft()
        tick = cell[0]
        if self._newest.get(tick.instrument) is cell:
            del self._newest[tick.instrument]
        if len(self._market) <= self._market_room // 2:
            self._drained.set()
        return tick

    def take_account_nowait(self) -> AnyEvent | None:
        """The next event of the account lane; `None` when it is empty."""
        return self._account.popleft() if self._account else None

    async def wait_event(self, within_s: float | None = None) -> None:
        """Wait, `within_s` at most, until there is something to take or the market has ended."""
        if not self._account and not self._market and not self._is_closed:
            await self.wait_poke(within_s)

    @contextmanager
    def standing(self) -> Iterator[None]:
        """Within it the market stands still: who brings ticks that are played waits for its end."""
        self._moving.clear()
        try:
            yield
        finally:
            self._moving.set()

    async def wait_moving(self) -> None:
        """Return when the market does not stand still."""
        await self._moving.wait()

    def poke(self) -> None:
        """Wake whoever waits, although there may be nothing to take."""
        self._filled.set()

    async def wait_poke(self, within_s: float | None) -> None:
        """Wait, `within_s` at most, until something is put in, or somebody pokes.

        When the time is over whoever waits is woken as by a poke, and finds nothing.
        """
        self._filled.clear()
        loop = asyncio.get_running_loop()
        over = None if within_s is None else loop.call_later(within_s, self._filled.set)
        try:
            await self._filled.wait()
        finally:
            if over is not None:
                over.cancel()

    @property
    def depth(self) -> tuple[int, int]:
        """How many events wait: (account, market)."""
        return len(self._account), len(self._market)


def merge(earlier: Tick, later: Tick) -> Tick:
    """One tick for two of one instrument: the later one's figures, the extremes of both."""
    return msgspec.structs.replace(
        later,
        count=earlier.count + later.count,
        last_low_paise=_low(_lows(earlier)[0], _lows(later)[0]),
        last_high_paise=_high(_highs(earlier)[0], _highs(later)[0]),
        bid_low_paise=_low(_lows(earlier)[1], _lows(later)[1]),
        bid_high_paise=_high(_highs(earlier)[1], _highs(later)[1]),
        ask_low_paise=_low(_lows(earlier)[2], _lows(later)[2]),
        ask_high_paise=_high(_highs(earlier)[2], _highs(later)[2]),
    )


def _lows(tick: Tick) -> tuple[int | None, int | None, int | None]:
    if tick.count > 1:
        return tick.last_low_paise, tick.bid_low_paise, tick.ask_low_paise
    return tick.last_paise, tick.bid_paise, tick.ask_paise


def _highs(tick: Tick) -> tuple[int | None, int | None, int | None]:
    if tick.count > 1:
        return tick.last_high_paise, tick.bid_high_paise, tick.ask_high_paise
    return tick.last_paise, tick.bid_paise, tick.ask_paise


def _low(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else min(one, other)


def _high(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else max(one, other)
