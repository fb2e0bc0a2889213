"""Market data as received: ticks with their depth, and candles."""

import msgspec

from holdfast.domain.instrument import InstrumentId

Level = tuple[int, int]
"""One level of a book: (price in paise, quantity in contracts)."""


class Tick(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """One market update, as the engine sees it.

    `at_ns` is when we received it (UTC, stamped once at the edge). `venue_at_ns` is the exchange's
    stamp of the last trade, whole seconds; `None` when the contract has not traded today.
    `volume` is the day's, cumulative. `bids` and `asks` are best first and may be empty.

    A merged tick (`count` > 1) stands for several that arrived while the engine lagged: its own
    fields are the last one's, and the lows and highs cover all of them. On a single tick they are
    `None` and mean the tick's own prices.
    """

    at_ns: int
    instrument: InstrumentId
    last_paise: int
    venue_at_ns: int | None = None
    volume: int = 0
    oi: int = 0
    bids: tuple[Level, ...] = ()
    asks: tuple[Level, ...] = ()
    count: int = 1
    last_low_paise: int | None = None
    last_high_paise: int | None = None
    bid_low_paise: int | None = None
    bid_high_paise: int | None = None
    ask_low_paise: int | None = None
    ask_high_paise: int | None = None

    @property
    def bid_paise(self) -> int | None:
        """The best bid, `None` when nobody bids."""
        return self.bids[0][0] if self.bids else None

    @property
    def ask_paise(self) -> int | None:
        """The best ask, `None` when nobody offers."""
        return self.asks[0][0] if self.asks else None


class Candle(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Open, high, low, close of the trades of one interval, anchored at the session's open.

    `start_ns` is the interval's first instant (UTC); the interval is half open. `complete` is
    False when we did not see the whole interval (the first one after a start).
    """

    instrument: InstrumentId
    interval_s: int
    start_ns: int
    open_paise: int
    high_paise: int
    low_paise: int
    close_paise: int
    volume: int = 0
    complete: bool = True
