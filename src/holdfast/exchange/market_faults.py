"""What goes wrong with market data: the ticks that the feed tells, made of the true ones.

How to use it: some kinds change what the exchange itself trades (`MOVING`: freak prints, gaps,
empty books, prices at the band), the others what the feed tells of it. The venue gets the true
market as its own, the feed what is made of it:

    market = MarketFaults(seed, windows)
    true = list(market.moved(day.ticks()))
    venue = SimulatedVenue(..., faults=faults, market=iter(true))
    broker = PlayedBroker(venue, iter(true), memory, until_ns=..., market_faults=market)
    feed = PlayedFeed(broker, speed=1, cuts=market.cuts)

`struck` counts by kind how many ticks really differ. `cuts` are the instants at which the
connection itself breaks. A process that begins anew makes a new `MarketFaults` of the same seed
and windows, and gives its feed the cuts that are still to come.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from enum import StrEnum
from heapq import heappop, heappush
from typing import Final

import msgspec
from msgspec.structs import replace

from holdfast.domain.instrument import InstrumentId
from holdfast.domain.market import Level, Tick
from holdfast.exchange.draws import draw


class MarketFaultKind(StrEnum):
    """Every fault of the market and of its feed."""

    # -- what the feed tells
    MUTE = "mute"  # connected, and nothing comes
    LAGGING = "lagging"  # everything `delay_ns` later, with fresh times of receipt (T10)
    DISCONNECTED = "disconnected"  # the connection breaks and nothing comes until the end
    DUPLICATED = "duplicated"
    SILENT_INSTRUMENT = "silent_instrument"  # one instrument says nothing, the others go on
    OLD_STAMP = "old_stamp"  # trade times `delay_ns` older
    REORDERED = "reordered"  # a tick comes `delay_ns` late, others overtake it

    # -- what the market itself does
    FREAK_PRINT = "freak_print"  # a trade `bps` away; the book stays
    GAP = "gap"  # all prices `bps` away until the end
    CROSSED_BOOK = "crossed_book"
    EMPTY_BOOK = "empty_book"
    ONE_SIDED_BOOK = "one_sided_book"  # nobody bids
    BAND_EDGE = "band_edge"  # the price runs `bps` away in the window


MOVING: Final = frozenset(
    {
        MarketFaultKind.FREAK_PRINT,
        MarketFaultKind.GAP,
        MarketFaultKind.CROSSED_BOOK,
        MarketFaultKind.EMPTY_BOOK,
        MarketFaultKind.ONE_SIDED_BOOK,
        MarketFaultKind.BAND_EDGE,
    }
)
"""The kinds that happen at the exchange itself."""


_DROPPING: Final = (MarketFaultKind.MUTE, MarketFaultKind.DISCONNECTED)


class MarketFaultWindow(msgspec.Struct, frozen=True, kw_only=True):
    """One kind in [from_ns, until_ns). Of the ticks that it could strike it strikes `share_bps`.

    `instrument` confines it to one contract; `bps` is a signed move of the price. What moves a
    price or a book concerns contracts with a book only, no index.
    """

    kind: MarketFaultKind
    from_ns: int
    until_ns: int
    share_bps: int = 10_000
    delay_ns: int = 5_000_000_000
    bps: int = -2_000
    instrument: InstrumentId | None = None

    def __post_init__(self) -> None:
        """Refuse what could never strike, or would leave no price."""
        if not self.from_ns < self.until_ns or not 0 < self.share_bps <= 10_000:
            raise ValueError(f"{self} never strikes")
        if self.delay_ns <= 0 or self.bps <= -10_000:
            raise ValueError(f"{self} turns back time, or leaves no price")


class _Open:
    """Those of a day's windows that are open at a moment, as they were given, without asking each."""

    def __init__(self, windows: Sequence[MarketFaultWindow]) -> None:
        self.take(windows)

    def take(self, windows: Sequence[MarketFaultWindow]) -> None:
        """From now on these are the windows."""
        self._windows = windows
        self._edges = sorted({edge for one in windows for edge in (one.from_ns, one.until_ns)})
        self._from_ns = self._until_ns = 0
        self._on: Sequence[MarketFaultWindow] = ()

    def at(self, at_ns: int) -> Sequence[MarketFaultWindow]:
        """Which are open; a moment near the one before costs nothing."""
        if not self._from_ns <= at_ns < self._until_ns:
            place = bisect_right(self._edges, at_ns)
            self._from_ns = self._edges[place - 1] if place else 0
            self._until_ns = self._edges[place] if place < len(self._edges) else 1 << 63
            self._on = [one for one in self._windows if one.from_ns <= at_ns < one.until_ns]
        return self._on


class MarketFaults:
    """The windows of one day's market data, and how many ticks each kind really struck.

    Draws hang on a tick's place in the whole day: both methods want the day from its beginning.
    """

    def __init__(
        self,
        seed: int,
        windows: Sequence[MarketFaultWindow] = (),
        *,
        step_paise: int = 5,
    ) -> None:
        """`step_paise` is the price step on which moved prices lie."""
        self.windows: tuple[MarketFaultWindow, ...] = ()
        self.struck: Counter[MarketFaultKind] = Counter()
        self._moving = _Open(())
        self._seed = seed
        self._step = step_paise
        self.add(windows)

    def add(self, windows: Sequence[MarketFaultWindow]) -> None:
        """Let these move the market too, also one that is being told already."""
        self.windows += tuple(windows)
        self._moving.take([window for window in self.windows if window.kind in MOVING])

    def clear(self) -> None:
        """Let nothing move the market any more."""
        self.windows = ()
        self._moving.take(())

    @property
    def cuts(self) -> Sequence[int]:
        """When the connection breaks, in order."""
        return sorted(w.from_ns for w in self.windows if w.kind is MarketFaultKind.DISCONNECTED)

    def moved(self, ticks: Iterator[Tick]) -> Iterator[Tick]:
        """The true market with what happens to it."""
        printed: Counter[InstrumentId] = Counter()
        for number, tick in enumerate(ticks):
            told = tick
            for window in self._moving.at(tick.at_ns):
                if (tick.bids or tick.asks) and self._strikes(window, tick, number):
                    printed[tick.instrument] += window.kind is MarketFaultKind.FREAK_PRINT
                    told = self._move(window, told)
            # A print is a trade: the day's volume keeps it.
            extra = printed[tick.instrument]
            yield replace(told, volume=told.volume + extra) if extra else told

    def told(self, ticks: Iterator[Tick]) -> Iterator[Tick]:
        """What the feed tells of the true market, in order of receipt."""
        waiting: list[tuple[int, int, Tick]] = []
        windows = _Open([window for window in self.windows if window.kind not in MOVING])
        floor_ns = made = 0
        for number, tick in enumerate(ticks):
            while waiting and waiting[0][0] <= tick.at_ns:
                yield heappop(waiting)[2]
            on = windows.at(tick.at_ns)
            struck = [window for window in on if self._strikes(window, tick, number)]
            for one, is_ordered in self._received(tick, struck):
                due_ns = max(one.at_ns, floor_ns) if is_ordered else one.at_ns
                floor_ns = due_ns if is_ordered else floor_ns
                made += 1
                heappush(waiting, (due_ns, made, replace(one, at_ns=due_ns)))
        while waiting:
            yield heappop(waiting)[2]

    def _received(
        self, tick: Tick, struck: Sequence[MarketFaultWindow]
    ) -> Iterator[tuple[Tick, bool]]:
        """One tick as it comes in, once, twice or never; False beside one that is overtaken.

        On one connection nothing overtakes what lags: it all comes when the lag ends.
        """
        kinds = {window.kind: window for window in struck}
        if any(kind in kinds for kind in _DROPPING) or MarketFaultKind.SILENT_INSTRUMENT in kinds:
            return
        old = kinds.get(MarketFaultKind.OLD_STAMP)
        if old is not None and tick.venue_at_ns is not None:
            tick = replace(tick, venue_at_ns=tick.venue_at_ns - old.delay_ns)
        lag = kinds.get(MarketFaultKind.LAGGING)
        if lag is not None:
            tick = replace(tick, at_ns=tick.at_ns + lag.delay_ns)
        late = kinds.get(MarketFaultKind.REORDERED)
        if late is None:
            yield tick, True
        else:
            yield replace(tick, at_ns=tick.at_ns + late.delay_ns), False
        if MarketFaultKind.DUPLICATED in kinds:
            yield tick, True

    def _move(self, window: MarketFaultWindow, tick: Tick) -> Tick:
        """A tick as the market would tell it then."""
        match window.kind:
            case MarketFaultKind.FREAK_PRINT:
                return replace(tick, last_paise=self._priced(tick.last_paise, window.bps))
            case MarketFaultKind.GAP:
                return self._shifted(tick, window.bps)
            case MarketFaultKind.BAND_EDGE:
                gone, whole = tick.at_ns - window.from_ns, window.until_ns - window.from_ns
                return self._shifted(tick, window.bps * gone // whole)
            case MarketFaultKind.CROSSED_BOOK:
                return replace(tick, bids=tick.asks, asks=tick.bids)
            case MarketFaultKind.ONE_SIDED_BOOK:
                return replace(tick, bids=())
            case _:
                return replace(tick, bids=(), asks=())

    def _shifted(self, tick: Tick, bps: int) -> Tick:
        """All its prices moved alike."""

        def shifted(levels: tuple[Level, ...]) -> tuple[Level, ...]:
            return tuple((self._priced(price, bps), quantity) for price, quantity in levels)

        last_paise = self._priced(tick.last_paise, bps)
        return replace(
            tick, last_paise=last_paise, bids=shifted(tick.bids), asks=shifted(tick.asks)
        )

    def _priced(self, price_paise: int, bps: int) -> int:
        moved = price_paise * (10_000 + bps) // 10_000
        return max(moved - moved % self._step, self._step)

    def _strikes(self, window: MarketFaultWindow, tick: Tick, number: int) -> bool:
        """Whether one that is open strikes this tick; silence of an instrument is drawn once for each."""
        if window.instrument not in (None, tick.instrument):
            return False
        kind = window.kind
        is_whole = kind is MarketFaultKind.SILENT_INSTRUMENT
        key = tick.instrument if is_whole else f"{number}"
        share = draw(self._seed, f"market {kind.value}", key) * 10_000 >> 32
        if share >= window.share_bps:
            return False
        self.struck[kind] += 1
        return True
