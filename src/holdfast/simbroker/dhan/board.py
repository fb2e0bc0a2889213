"""What the exchange shows of each instrument: the day so far, and its minutes.

Everything that the broker tells of the market is cut from here: feed packets, quotes, the option
chain and today's candles. Prices in paise, times in UTC nanoseconds, quantities in contracts.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from holdfast.domain.instrument import Instrument, InstrumentId, Kind, OptionType
from holdfast.domain.market import Candle, Level, Tick

MINUTE_S: Final = 60
_MINUTE_NS: Final = MINUTE_S * 1_000_000_000


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One instrument at one instant, as a feed packet or a quote tells it.

    `traded_at_ns` is the exchange's second of the last trade, `None` before the day's first.
    `close_paise` is the close of the session before (dhan.md 4.3); prices of a day without a
    trade are 0, and so is everything of the book that nobody quotes. `bought` and `sold` sum
    the levels told.
    """

    contract: Instrument
    at_ns: int
    last_paise: int
    last_quantity: int = 0
    traded_at_ns: int | None = None
    average_paise: int = 0
    volume: int = 0
    oi: int = 0
    oi_high: int = 0
    oi_low: int = 0
    open_paise: int = 0
    high_paise: int = 0
    low_paise: int = 0
    close_paise: int = 0
    bids: tuple[Level, ...] = ()
    asks: tuple[Level, ...] = ()

    @property
    def bought(self) -> int:
        """Contracts wanted, over the levels told."""
        return sum(quantity for _, quantity in self.bids)

    @property
    def sold(self) -> int:
        """Contracts offered, over the levels told."""
        return sum(quantity for _, quantity in self.asks)


class Minute(msgspec.Struct, kw_only=True, gc=False):
    """One minute of trades, still growing while it is the newest. `start_ns` is its beginning."""

    start_ns: int
    open_paise: int
    high_paise: int
    low_paise: int
    close_paise: int
    volume: int = 0
    oi: int = 0


class _Day:
    """One instrument's day so far."""

    __slots__ = (
        "close_paise",
        "contract",
        "high_paise",
        "last_quantity",
        "low_paise",
        "minutes",
        "oi_high",
        "oi_low",
        "open_paise",
        "tick",
        "value_paise",
    )

    def __init__(self, contract: Instrument, close_paise: int) -> None:
        self.contract = contract
        self.close_paise = close_paise
        self.tick: Tick | None = None
        self.open_paise = self.high_paise = self.low_paise = 0
        self.last_quantity = self.value_paise = 0
        self.oi_high = self.oi_low = 0
        self.minutes: list[Minute] = []

    def tell(self, tick: Tick) -> None:
        """Take a tick; the first without a trade carries the close of the session before."""
        before, self.tick = self.tick, tick
        if tick.oi:
            self.oi_high = max(self.oi_high, tick.oi)
            self.oi_low = min(self.oi_low or tick.oi, tick.oi)
        if tick.venue_at_ns is None:
            self.close_paise = self.close_paise or tick.last_paise
        elif before is None or _has_traded(before, tick):
            self._trade(tick, tick.volume - (0 if before is None else before.volume))

    def _trade(self, tick: Tick, quantity: int) -> None:
        low = tick.last_paise if tick.last_low_paise is None else tick.last_low_paise
        high = tick.last_paise if tick.last_high_paise is None else tick.last_high_paise
        self.open_paise = self.open_paise or tick.last_paise
        self.high_paise = max(self.high_paise, high)
        self.low_paise = min(self.low_paise or low, low)
        if quantity > 0:
            self.last_quantity = quantity
            self.value_paise += quantity * tick.last_paise
        self._add_to_minute(tick, max(quantity, 0))

    def _add_to_minute(self, tick: Tick, quantity: int) -> None:
        assert tick.venue_at_ns is not None, "only a trade belongs to a minute"
        start_ns = tick.venue_at_ns - tick.venue_at_ns % _MINUTE_NS
        last = tick.last_paise
        if not self.minutes or self.minutes[-1].start_ns < start_ns:
            minute = Minute(
                start_ns=start_ns,
                open_paise=last,
                high_paise=last,
                low_paise=last,
                close_paise=last,
            )
            self.minutes.append(minute)
        minute = self.minutes[-1]
        minute.high_paise = max(minute.high_paise, last)
        minute.low_paise = min(minute.low_paise, last)
        minute.close_paise = last
        minute.volume += quantity
        minute.oi = tick.oi

    def snapshot(self, at_ns: int) -> Snapshot:
        """The day as it stands; an instrument that never spoke has no price."""
        tick = self.tick
        if tick is None:
            return Snapshot(
                contract=self.contract, at_ns=at_ns, last_paise=0, close_paise=self.close_paise
            )
        return Snapshot(
            contract=self.contract,
            at_ns=tick.at_ns,
            last_paise=tick.last_paise,
            last_quantity=self.last_quantity,
            traded_at_ns=tick.venue_at_ns,
            average_paise=self.value_paise // tick.volume if tick.volume else 0,
            volume=tick.volume,
            oi=tick.oi,
            oi_high=self.oi_high,
            oi_low=self.oi_low,
            open_paise=self.open_paise,
            high_paise=self.high_paise,
            low_paise=self.low_paise,
            close_paise=self.close_paise,
            bids=tick.bids,
            asks=tick.asks,
        )


class Board:
    """Every instrument of the day. It is told each tick of the true market, in order."""

    def __init__(self, instruments: Iterable[Instrument], history: Iterable[Candle] = ()) -> None:
        """`history` are one-minute candles of sessions before, oldest first."""
        self._history: dict[InstrumentId, list[Candle]] = {}
        for candle in history:
            self._history.setdefault(candle.instrument, []).append(candle)
        self._days = {one.id: _Day(one, self._closed_before(one.id)) for one in instruments}

    def _closed_before(self, instrument: InstrumentId) -> int:
        candles = self._history.get(instrument)
        return candles[-1].close_paise if candles else 0

    @property
    def instruments(self) -> Mapping[InstrumentId, Instrument]:
        """Every contract that is shown, by its key."""
        return {key: day.contract for key, day in self._days.items()}

    def tell(self, tick: Tick) -> None:
        """Take a tick; one of an instrument that is not shown is passed over."""
        day = self._days.get(tick.instrument)
        if day is not None:
            day.tell(tick)

    def has(self, instrument: InstrumentId) -> bool:
        """Whether an instrument is shown."""
        return instrument in self._days

    def has_spoken(self, instrument: InstrumentId) -> bool:
        """Whether it has had a tick today."""
        day = self._days.get(instrument)
        return day is not None and day.tick is not None

    def snapshot(self, instrument: InstrumentId, at_ns: int = 0) -> Snapshot:
        """An instrument that is shown, as it stands; `at_ns` where it has not spoken yet."""
        return self._days[instrument].snapshot(at_ns)

    def minutes(self, instrument: InstrumentId) -> list[Minute]:
        """Minutes of the sessions before and of today, oldest first."""
        earlier = [_minute(candle) for candle in self._history.get(instrument, ())]
        return earlier + self._days[instrument].minutes

    def index(self, underlying: str) -> Instrument | None:
        """The index that options of `underlying` are written on."""
        for day in self._days.values():
            if day.contract.kind is Kind.INDEX and day.contract.underlying == underlying:
                return day.contract
        return None

    def expiries(self, underlying: str) -> list[str]:
        """ISO dates on which its options expire, nearest first."""
        return sorted({one.expiry for one in self._options(underlying) if one.expiry is not None})

    def strikes(self, underlying: str, expiry: str) -> dict[int, dict[OptionType, Instrument]]:
        """The options of one expiry by strike in paise, lowest first."""
        found: dict[int, dict[OptionType, Instrument]] = {}
        for option in self._options(underlying):
            assert option.strike_paise is not None, "an option has a strike"
            assert option.option_type is not None, "an option has a type"
            if option.expiry == expiry:
                found.setdefault(option.strike_paise, {})[option.option_type] = option
        return dict(sorted(found.items()))

    def _options(self, underlying: str) -> list[Instrument]:
        contracts = (day.contract for day in self._days.values())
        return [
            one for one in contracts if one.kind is Kind.OPTION and one.underlying == underlying
        ]


def _has_traded(before: Tick, tick: Tick) -> bool:
    """Whether the trade time or the volume moved; an index has no volume."""
    if before.venue_at_ns is None or tick.venue_at_ns is None:
        return tick.venue_at_ns is not None
    return tick.volume > before.volume or tick.venue_at_ns > before.venue_at_ns


def _minute(candle: Candle) -> Minute:
    return Minute(
        start_ns=candle.start_ns,
        open_paise=candle.open_paise,
        high_paise=candle.high_paise,
        low_paise=candle.low_paise,
        close_paise=candle.close_paise,
        volume=candle.volume,
    )
