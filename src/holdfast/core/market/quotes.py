"""The current best view of each instrument, and whether it may be used (T10).

An old trade is illiquidity; an old packet or a late connection is staleness. Only the second bars
a price from decisions.
"""

from collections import deque

from holdfast.core.market.prints import Prints
from holdfast.core.settings import SECOND_NS, FreshnessSettings
from holdfast.domain.instrument import Instrument, Kind
from holdfast.domain.market import Tick

QUIET = "connection quiet"
_BUCKET_NS = 15 * SECOND_NS
_BUCKETS_BACK = 4


class Connection:
    """What one exchange's stream has shown lately, over every instrument subscribed there.

    Everything subscribed serves as the heartbeat set: its newest trade is at least as new as that
    of the indices and their at-the-money strikes, which are always subscribed.
    """

    __slots__ = ("is_armed", "last_at_ns", "stale_reason", "stale_since_ns", "trade_at_ns")

    def __init__(self) -> None:
        self.last_at_ns: int | None = None
        self.trade_at_ns: int | None = None
        self.stale_since_ns: int | None = None
        self.stale_reason: str | None = None
        self.is_armed = False

    def take(self, tick: Tick) -> None:
        """Note that a packet arrived.

        A trade stamped after its receipt counts as of its receipt: one such stamp, believed, would
        hide every lag of the hours up to it.
        """
        self.last_at_ns = tick.at_ns
        stamp_ns = tick.venue_at_ns
        if stamp_ns is not None and (self.trade_at_ns is None or stamp_ns > self.trade_at_ns):
            self.trade_at_ns = min(stamp_ns, tick.at_ns)

    def fault(self, now_ns: int, limits: FreshnessSettings) -> str | None:
        """Why the stream cannot be trusted now, `None` when it can."""
        if self.last_at_ns is None or now_ns - self.last_at_ns > limits.connection_s * SECOND_NS:
            return QUIET
        if self.trade_at_ns is None:
            return "no trade seen"
        if self.last_at_ns - self.trade_at_ns > limits.lag_s * SECOND_NS:
            return "feed lags"
        return None


class Quote:
    """One instrument's last packet, what moved with it, and the extremes of the last minute."""

    __slots__ = (
        "_buckets",
        "ask_paise",
        "at_ns",
        "believed_paise",
        "bid_paise",
        "connection",
        "instrument",
        "last_paise",
        "previous_paise",
        "prints",
        "rest_at_ns",
        "tick",
        "traded",
        "venue_at_ns",
        "volume",
    )

    def __init__(self, instrument: Instrument, connection: Connection) -> None:
        self.instrument = instrument
        self.connection = connection
        self.prints = Prints() if instrument.kind is Kind.INDEX else None
        self.tick: Tick | None = None
        self.at_ns: int | None = None
        self.rest_at_ns: int | None = None
        self.venue_at_ns: int | None = None
        self.last_paise = 0
        self.believed_paise = 0
        self.previous_paise = 0
        self.bid_paise: int | None = None
        self.ask_paise: int | None = None
        self.volume = 0
        self.traded = False
        self._buckets: deque[tuple[int, int, int]] = deque()

    def take(self, tick: Tick) -> Tick | None:
        """Take a packet of the feed; returns what is believed of it, `None`: its price is not."""
        self.connection.take(tick)
        self.at_ns = tick.at_ns
        believed = tick if self.prints is None else self.prints.believed(tick)
        if believed is not None:
            self._show(believed)
        return believed

    def take_read(self, tick: Tick) -> None:
        """Take a quote read outside the feed: it renews the price, not the connection."""
        self.rest_at_ns = tick.at_ns
        believed = tick if self.prints is None else self.prints.believed(tick)
        if believed is not None:
            self._show(believed)

    def _show(self, tick: Tick) -> None:
        stamp_ns = tick.venue_at_ns
        is_first = self.tick is None
        is_later = stamp_ns is not None and (
            self.venue_at_ns is None or stamp_ns > self.venue_at_ns
        )
        is_grown = tick.volume > self.volume
        # The first packet shows that a trade was, not that it is now.
        self.traded = not is_first and (is_later or is_grown)
        is_new = is_first or self.traded or tick.last_paise != self.last_paise
        self.tick = tick
        self.previous_paise = self.last_paise or tick.last_paise
        self.last_paise = tick.last_paise
        self.bid_paise = tick.bids[0][0] if tick.bids else None
        self.ask_paise = tick.asks[0][0] if tick.asks else None
        if is_new:  # by the book of its own packet: a later one says nothing about it
            self.believed_paise = self._near_book(tick.last_paise)
        if is_grown:
            self.volume = tick.volume
        if is_later:
            self.venue_at_ns = stamp_ns
        if self.traded or is_first:
            self._remember(tick)

    def _remember(self, tick: Tick) -> None:
        """Keep the extremes of trades by quarter minute; the last five cover a minute."""
        low = high = self.believed_paise
        if tick.last_low_paise is not None:
            low = self._near_book(tick.last_low_paise)
        if tick.last_high_paise is not None:
            high = self._near_book(tick.last_high_paise)
        bucket = tick.at_ns // _BUCKET_NS
        buckets = self._buckets
        if buckets and buckets[-1][0] == bucket:
            _, lowest, highest = buckets[-1]
            if low < lowest or high > highest:
                buckets[-1] = (bucket, min(low, lowest), max(high, highest))
            return
        buckets.append((bucket, low, high))
        while buckets[0][0] < bucket - _BUCKETS_BACK:
            buckets.popleft()

    def extremes(self, now_ns: int) -> tuple[int, int]:
        """Lowest and highest trade of about the last minute, in paise, the last one included.

        Prints that are no market are left out.
        """
        oldest = now_ns // _BUCKET_NS - _BUCKETS_BACK
        recent = [b for b in self._buckets if b[0] >= oldest]
        last = self.believed_paise
        low = min((b[1] for b in recent), default=last)
        high = max((b[2] for b in recent), default=last)
        return min(low, last), max(high, last)

    def _near_book(self, price_paise: int) -> int:
        """A trade's price as far as the book around it makes it one: else the book's own.

        A print at half as much again as the ask, or two thirds of the bid, is no market (T18): no
        band of the exchange lies around it, and a stop or an exit priced by it would not fill.
        """
        bid, ask = self.bid_paise, self.ask_paise
        if ask is not None and 2 * price_paise > 3 * ask:
            return ask
        if bid is not None and 3 * price_paise < 2 * bid:
            return bid
        return price_paise

    @property
    def newest_ns(self) -> int | None:
        """When the price was last renewed, by a packet or a read; `None` when it never was."""
        if self.at_ns is None or self.rest_at_ns is None:
            return self.rest_at_ns if self.at_ns is None else self.at_ns
        return max(self.at_ns, self.rest_at_ns)

    def fault(self, now_ns: int, limits: FreshnessSettings) -> str | None:
        """Why this price is not fresh now, `None` when it is."""
        fault = self.connection.fault(now_ns, limits)
        if fault is not None:
            return fault
        if self.at_ns is not None and now_ns - self.at_ns < limits.packet_s * SECOND_NS:
            return None
        if self.has_read(now_ns, limits):
            return None
        return "never seen" if self.tick is None else "packet old"

    def has_read(self, now_ns: int, limits: FreshnessSettings) -> bool:
        """Whether a quote read outside the feed is young enough to trade on."""
        return (
            self.rest_at_ns is not None and now_ns - self.rest_at_ns <= limits.packet_s * SECOND_NS
        )

    def spread_bps(self) -> int | None:
        """Ask minus bid, of their middle, rounded up; `None` on a one-sided book."""
        if self.bid_paise is None or self.ask_paise is None:
            return None
        spread = self.ask_paise - self.bid_paise
        return -(-spread * 20_000 // (self.ask_paise + self.bid_paise))

    def closing_paise(self, sign: int) -> int | None:
        """The price at which a position of that sign could be closed: bid for long, ask for short."""
        return self.bid_paise if sign == 1 else self.ask_paise
