"""History in longer candles than it came in: minutes folded to the interval a strategy asks for."""

from holdfast.core.settings import SECOND_NS
from holdfast.domain.market import Candle

_DAY_NS = 86_400 * SECOND_NS


class HistoryFold:
    """Folds candles of one instrument, in order, into candles of `interval_s`.

    Intervals are counted from the time of day of `open_ns`, as the day's own are. A candle that is
    as long already passes as it is. One that does not divide the interval raises `ValueError`.
    """

    def __init__(self, interval_s: int, *, open_ns: int) -> None:
        self._interval_s = interval_s
        self._open_ns = open_ns
        self._forming: Candle | None = None

    def add(self, candle: Candle) -> tuple[Candle, ...]:
        """Take the next candle; returns those that it completes.

        A longer one is complete with its last part; where that is missing (a window's end, a gap)
        with the first part of a later one.
        """
        if candle.interval_s == self._interval_s:
            return (candle,)
        if self._interval_s % candle.interval_s:
            raise ValueError(f"{candle.interval_s} s candles make none of {self._interval_s} s")
        start_ns = self._start_ns(candle)
        done: list[Candle] = []
        if self._forming is not None and self._forming.start_ns != start_ns:
            done.append(self._forming)
            self._forming = None
        self._forming = _joined(self._forming, candle, start_ns, self._interval_s)
        ends_ns = start_ns + self._interval_s * SECOND_NS
        if candle.start_ns + candle.interval_s * SECOND_NS >= ends_ns:
            done.append(self._forming)
            self._forming = None
        return tuple(done)

    def _start_ns(self, candle: Candle) -> int:
        since_open_ns = (candle.start_ns - self._open_ns) % _DAY_NS
        return candle.start_ns - since_open_ns % (self._interval_s * SECOND_NS)


def _joined(before: Candle | None, candle: Candle, start_ns: int, interval_s: int) -> Candle:
    first = candle if before is None else before
    return Candle(
        instrument=candle.instrument,
        interval_s=interval_s,
        start_ns=start_ns,
        open_paise=first.open_paise,
        high_paise=max(first.high_paise, candle.high_paise),
        low_paise=min(first.low_paise, candle.low_paise),
        close_paise=candle.close_paise,
        volume=candle.volume + (0 if before is None else before.volume),
        complete=candle.complete
        and (candle.start_ns == start_ns if before is None else before.complete),
    )
