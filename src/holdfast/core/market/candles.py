"""Candles by trade time: half-open intervals counted from the opening of a trading window.

An interval is cut where its window ends, and one without a trade has no candle: a gap is shown as
a gap, never filled with the last price.
"""

from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from holdfast.core.settings import MINUTE_NS, SECOND_NS
from holdfast.domain.dated import Session
from holdfast.domain.instrument import InstrumentId
from holdfast.domain.market import Candle, Tick

INTERVAL_S_MAX: Final = 3_600
"""One hour. Two windows of a day, and two days, lie further apart than that."""

LAG_NS: Final = 1_500_000_000
"""How long after its end a candle waits for trades that are still on their way."""

AHEAD_NS_MAX: Final = MINUTE_NS
"""A trade stamped further after its receipt is misdated: taken for true it would close the candle
of now, and make every trade up to its own stamp a late one."""


def check_interval(interval_s: int) -> None:
    """Raise `ValueError` unless candles can be `interval_s` seconds long."""
    if not 0 < interval_s <= INTERVAL_S_MAX:
        raise ValueError(f"a candle lasts 1 to {INTERVAL_S_MAX} seconds, not {interval_s}")


class CandleBuilder:
    """The forming candle of one instrument and interval. Each candle is handed out once.

    It closes at the first packet of a later interval or `lag_ns` after its end, and takes nothing
    afterwards: a trade is *late* when its interval has closed, whether or not it had a candle.
    Only receive times tell when an interval closes, only trade times which one a trade is in.

    `since_ns` is the instant from which every trade reaches us; a candle that starts before it is
    not complete. `late` and `ignored` count what was dropped: `ignored` are packets of a time
    outside every window, without a price, or misdated.
    """

    def __init__(
        self,
        instrument: InstrumentId,
        interval_s: int,
        *,
        session: Session,
        since_ns: int,
        lag_ns: int = LAG_NS,
    ) -> None:
        check_interval(interval_s)
        self.late = 0
        self.ignored = 0
        self.instrument = instrument
        self.interval_s = interval_s
        self._windows = session.windows
        self._since_ns = since_ns
        self._lag_ns = lag_ns
        self._forming: Forming | None = None
        self._begun_ns = 0
        self._now_ns = 0
        self._trade_last: tuple[int, int, int] | None = None
        # The day's volume so far; not known to who comes after the opening.
        self._volume: int | None = 0 if since_ns <= session.open_ns else None

    @property
    def deadline_ns(self) -> int | None:
        """When the forming candle closes if no later packet does it first (UTC)."""
        return None if self._forming is None else self._forming.end_ns + self._lag_ns

    def missed(self, until_ns: int) -> None:
        """Trades before `until_ns` may be lost: call it where an outage begins and where it ends."""
        self._since_ns = max(self._since_ns, until_ns)

    def on_tick(self, tick: Tick) -> tuple[Candle, ...]:
        """Take one packet of the instrument, in their order; returns the candle it closed, if any.

        A packet without `venue_at_ns` counts as a trade at its receipt. The low and high of a
        merged tick count for the interval of its last trade. Volume is what the day's volume grew
        by, and goes to the candle in which the growth was first seen.
        """
        assert tick.instrument == self.instrument, "one builder, one instrument"
        closed = self.close_due(tick.at_ns)
        trade_ns = tick.at_ns if tick.venue_at_ns is None else tick.venue_at_ns
        if not self._is_repeat(trade_ns, tick):
            closed = self._take(trade_ns, tick) or closed
        return () if closed is None else (closed,)

    def close_due(self, now_ns: int) -> Candle | None:
        """The candle whose deadline is at or before `now_ns`, now closed.

        A packet that comes later with an earlier stamp (a merged one of another instrument can
        overtake it) finds the interval closed all the same.
        """
        self._now_ns = max(self._now_ns, now_ns)
        deadline_ns = self.deadline_ns
        is_due = deadline_ns is not None and self._now_ns >= deadline_ns
        return self._close() if is_due else None

    def _take(self, trade_ns: int, tick: Tick) -> Candle | None:
        """Fold a trade in or count why not; returns the candle of before, if it begins another."""
        interval = self._interval(trade_ns, tick)
        if interval is None:
            self.ignored += 1
            return None
        if self._volume is None:
            self._volume = tick.volume
        start_ns, end_ns = interval
        if trade_ns < self._begun_ns or self._now_ns >= end_ns + self._lag_ns:
            self.late += 1
            return None
        closed = None
        if self._forming is None or start_ns > self._forming.start_ns:
            closed = self._close()
            self._forming = Forming(start_ns, end_ns, trade_ns, tick.last_paise)
            self._begun_ns = start_ns
        self._forming.add(trade_ns, tick, max(tick.volume - self._volume, 0))
        self._volume = max(tick.volume, self._volume)
        return closed

    def _is_repeat(self, trade_ns: int, tick: Tick) -> bool:
        """Whether the packet repeats the trade of the one before it: its news is depth or nothing.

        Such a packet may come minutes after the trade, which would otherwise count as late.
        """
        trade = (trade_ns, tick.last_paise, tick.volume)
        before, self._trade_last = self._trade_last, trade
        return trade == before and tick.last_low_paise == tick.last_high_paise

    def _interval(self, trade_ns: int, tick: Tick) -> tuple[int, int] | None:
        """Start and end of the interval of a trade, `None` when it belongs to none."""
        if tick.last_paise <= 0 or trade_ns > tick.at_ns + AHEAD_NS_MAX:
            return None
        for open_ns, close_ns in self._windows:
            if open_ns <= trade_ns < close_ns:
                interval_ns = self.interval_s * SECOND_NS
                start_ns = trade_ns - (trade_ns - open_ns) % interval_ns
                return start_ns, min(start_ns + interval_ns, close_ns)
        return None

    def _close(self) -> Candle | None:
        forming, self._forming = self._forming, None
        if forming is None:
            return None
        return Candle(
            instrument=self.instrument,
            interval_s=self.interval_s,
            start_ns=forming.start_ns,
            open_paise=forming.open_paise,
            high_paise=forming.high_paise,
            low_paise=forming.low_paise,
            close_paise=forming.close_paise,
            volume=forming.volume,
            complete=forming.start_ns >= self._since_ns,
        )


class CandleSeries:
    """The closed candles of one instrument and interval, the newest `length_max` of them.

    History is appended first, then what the builder closes. Each candle lies whole intervals after
    the one before it, or begins another window or day; so a history that ends in the session, is
    counted from another minute or overlaps our own candles is found at the seam.
    """

    def __init__(self, instrument: InstrumentId, interval_s: int, *, length_max: int) -> None:
        check_interval(interval_s)
        assert length_max > 0, "a series holds at least one candle"
        self._instrument = instrument
        self._interval_s = interval_s
        self._candles: deque[Candle] = deque(maxlen=length_max)

    @property
    def last(self) -> Candle | None:
        """The newest candle."""
        return self._candles[-1] if self._candles else None

    def __len__(self) -> int:
        return len(self._candles)

    def __iter__(self) -> Iterator[Candle]:
        return iter(self._candles)

    def append(self, candle: Candle) -> None:
        """Add the next candle. Raises `ValueError`, naming both, when it does not follow the last."""
        if (candle.instrument, candle.interval_s) != (self._instrument, self._interval_s):
            raise ValueError(
                f"{_words(candle)} in a series of {self._instrument} {self._interval_s} s"
            )
        last = self.last
        if last is not None:
            self._check_seam(last, candle)
        self._candles.append(candle)

    def _check_seam(self, last: Candle, candle: Candle) -> None:
        apart_ns = candle.start_ns - last.start_ns
        if apart_ns <= 0:
            raise ValueError(f"{_words(candle)} is not later than {_words(last)}")
        if apart_ns % (self._interval_s * SECOND_NS) and apart_ns < INTERVAL_S_MAX * SECOND_NS:
            raise ValueError(f"{_words(candle)} is not whole intervals after {_words(last)}")


class Forming:
    """A candle that still takes trades, in whatever order they come."""

    __slots__ = (
        "_close_at_ns",
        "_open_at_ns",
        "close_paise",
        "end_ns",
        "high_paise",
        "low_paise",
        "open_paise",
        "start_ns",
        "volume",
    )

    def __init__(self, start_ns: int, end_ns: int, trade_ns: int, last_paise: int) -> None:
        self.start_ns = start_ns
        self.end_ns = end_ns
        self.volume = 0
        self.open_paise = self.high_paise = self.low_paise = self.close_paise = last_paise
        self._open_at_ns = self._close_at_ns = trade_ns

    def add(self, trade_ns: int, tick: Tick, volume: int) -> None:
        """Fold one trade in. Of trades at one instant the first received is the earliest."""
        last = tick.last_paise
        low = last if tick.last_low_paise is None else tick.last_low_paise
        high = last if tick.last_high_paise is None else tick.last_high_paise
        self.low_paise = min(self.low_paise, low)
        self.high_paise = max(self.high_paise, high)
        self.volume += volume
        if trade_ns < self._open_at_ns:
            self._open_at_ns, self.open_paise = trade_ns, last
        if trade_ns >= self._close_at_ns:
            self._close_at_ns, self.close_paise = trade_ns, last


def _words(candle: Candle) -> str:
    start = datetime.fromtimestamp(candle.start_ns // SECOND_NS, UTC)
    return f"the {candle.interval_s} s candle of {candle.instrument} at {start:%Y-%m-%d %H:%M:%SZ}"
