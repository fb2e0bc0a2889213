"""What goes wrong with market data: the ticks that the feed tells, made of the true ones.

How to use it: `MarketFaults(seed, windows).told(true_ticks)` gives the feed's ticks in order of
receipt; `struck` counts by kind how many ticks really differ. `cuts` are the instants at which the
connection itself breaks (DISCONNECTED): give them to `PlayedFeed(broker, speed=1, cuts=...)`.

Some kinds change what the exchange itself trades (MOVING: freak prints, gaps, empty books, prices
at the band): pass the true ticks through `moved` first and show the result to both, as in

    market = MarketFaults(seed, windows)
    true = list(market.moved(day.ticks()))
    venue = SimulatedVenue(..., market=iter(true))
    feed = market.told(iter(true))
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Final

import msgspec

from holdfast.domain.instrument import InstrumentId
from holdfast.domain.market import Tick


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
    FREAK_PRINT = "freak_print"  # one trade `bps` away, and back
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


class MarketFaultWindow(msgspec.Struct, frozen=True, kw_only=True):
    """One kind in [from_ns, until_ns). Of what it could strike it strikes `share_bps`.

    `instrument` confines it to one contract; `bps` is a signed move of the price.
    """

    kind: MarketFaultKind
    from_ns: int
    until_ns: int
    share_bps: int = 10_000
    delay_ns: int = 5_000_000_000
    bps: int = -2_000
    instrument: InstrumentId | None = None


class MarketFaults:
    """The windows of one day's market data, and how many ticks each kind really struck."""

    def __init__(
        self,
        seed: int,
        windows: Sequence[MarketFaultWindow] = (),
        *,
        steps_paise: int = 5,
    ) -> None:
        """`steps_paise` is the price step on which moved prices lie."""
        self.windows = tuple(windows)
        self.struck: Counter[MarketFaultKind] = Counter()
        self._seed = seed
        self._step = steps_paise

    @property
    def cuts(self) -> Sequence[int]:
        """When the connection breaks, in order."""
        return sorted(w.from_ns for w in self.windows if w.kind is MarketFaultKind.DISCONNECTED)

    def moved(self, ticks: Iterator[Tick]) -> Iterator[Tick]:
        """The true market with what happens to it."""
        raise NotImplementedError

    def told(self, ticks: Iterator[Tick]) -> Iterator[Tick]:
        """What the feed tells of the true market, in order of receipt."""
        raise NotImplementedError
