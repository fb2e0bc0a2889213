"""Candles of the past, for warming up: read from the charts and checked minute by minute.

Their times are true UTC, unlike the feed's (dhan.md 3.9, 4.3). What does not fit is left out and
counted, and what is missing is named, so that nobody takes a gap for a quiet market.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec

from holdfast.brokers.dhan.errors import text_of
from holdfast.brokers.dhan.fields import Unreadable, ist_wall, items, objects, paise, whole
from holdfast.brokers.dhan.reads import NoAnswer, ask
from holdfast.brokers.dhan.rest import Answer, Rest
from holdfast.domain.dated import Session
from holdfast.domain.event import CandleLoaded
from holdfast.domain.instrument import Instrument, Kind
from holdfast.domain.market import Candle
from holdfast.facts.ist import SECOND_NS, ist_date

PATH: Final = "/charts/intraday"

MINUTE_S: Final = 60
MINUTE_NS: Final = MINUTE_S * SECOND_NS
DAYS_MAX: Final = 90
"""The broker's bound for one call (dhan.md 3.9)."""

INDEX_MINUTES: Final = 375
"""An index has candles for so long, from 09:15 to 15:29, and one too many (dhan.md 3.9)."""

LATE_S: Final = 180
"""Closed minutes appear within about two: one that is younger may still come (dhan.md 3.9)."""

_NAMES: Final = ("open", "high", "low", "close", "volume", "timestamp")

_INSTRUMENTS: Final = {
    Kind.INDEX: "INDEX",
    Kind.OPTION: "OPTIDX",
    Kind.FUTURE: "FUTIDX",
    Kind.EQUITY: "EQUITY",
}

Row = tuple[int, int, int, int, int, int]
"""Start (UTC ns), open, high, low, close (paise), volume."""


class History(msgspec.Struct, frozen=True, kw_only=True):
    """What the charts gave for the sessions asked about, oldest first.

    `left_out` counts candles that were not used, by why. `missing_ns` are the starts of minutes that
    are closed and have none; an index that no longer follows trades owes none. `may_come`: some of them are so young that they may still appear.
    """

    candles: tuple[Candle, ...]
    left_out: Mapping[str, int]
    missing_ns: tuple[int, ...]
    may_come: bool

    def loaded(self, at_ns: int) -> Iterator[CandleLoaded]:
        """As the engine is told of them, at `at_ns`."""
        for candle in self.candles:
            yield CandleLoaded(at_ns=at_ns, candle=candle)


async def read_history(
    rest: Rest, instrument: Instrument, sessions: Sequence[Session], *, now_ns: int
) -> History | NoAnswer:
    """One-minute candles of `sessions`, oldest first, as far as they are over at `now_ns`.

    They must lie within 90 days. An index that nobody knows answers with nothing, as a holiday does.
    """
    first, last = sessions[0].open_ns, sessions[-1].close_ns
    found = await ask(rest, "POST", PATH, body=_body(instrument, first, last), parse=series)
    if isinstance(found, NoAnswer):
        return found
    return checked(found, instrument, sessions, now_ns=now_ns)


def _body(instrument: Instrument, first_ns: int, last_ns: int) -> dict[str, object]:
    assert ist_date(last_ns) - ist_date(first_ns) < dt.timedelta(days=DAYS_MAX), (
        "ask for fewer days"
    )
    return {
        "securityId": str(instrument.security_id),
        "exchangeSegment": instrument.segment.value,
        "instrument": _INSTRUMENTS[instrument.kind],
        "interval": "1",
        "fromDate": ist_wall(first_ns),
        "toDate": ist_wall(last_ns),
    }


def series(answer: Answer) -> tuple[Row, ...]:
    """The rows of a chart as they came. Raises `Unreadable` where they do not fit each other.

    Numbers come with an exponent (1.7375706E9); an index has no volume.
    """
    if complaint := text_of(answer.payload):
        raise Unreadable(complaint)
    arrays = objects(answer.payload, "a chart")
    columns = [items(arrays.get(name), name) for name in _NAMES]
    lengths = {len(column) for column in columns}
    if len(lengths) > 1:
        counted = ", ".join(f"{len(c)} {name}" for name, c in zip(_NAMES, columns, strict=True))
        raise Unreadable(f"a chart's columns differ in length: {counted}")
    return tuple(_row(values) for values in zip(*columns, strict=True))


def _row(values: Sequence[object]) -> Row:
    opened, high, low, close, volume, stamp = values
    return (
        whole(stamp, "timestamp") * SECOND_NS,
        paise(opened, "open"),
        paise(high, "high"),
        paise(low, "low"),
        paise(close, "close"),
        whole(volume, "volume"),
    )


def checked(
    rows: Sequence[Row], instrument: Instrument, sessions: Sequence[Session], *, now_ns: int
) -> History:
    """The rows that are minutes of the sessions, in order, each once.

    Left out are the index's extra candle at the close, the one at 18:50 (dhan.md 3.9), the minute
    that is not over, what lies off the minute, prices that cannot be, and both of two candles that
    say different things of one minute.
    """
    left_out: Counter[str] = Counter()
    expected, owed = _minutes(instrument, sessions, now_ns)
    found: dict[int, Candle | None] = {}
    for row in rows:
        why = _unusable(row, expected)
        if why:
            left_out[why] += 1
            continue
        candle = _candle(row, instrument)
        if row[0] not in found:
            found[row[0]] = candle
        elif found[row[0]] == candle:
            left_out["it stands twice"] += 1
        else:
            left_out["two differ about one minute"] += 1
            found[row[0]] = None
    candles = tuple(candle for _, candle in sorted(found.items()) if candle is not None)
    missing = tuple(sorted(owed - {candle.start_ns for candle in candles}))
    return History(
        candles=candles,
        left_out=dict(left_out),
        missing_ns=missing,
        may_come=any(now_ns - start < (LATE_S + MINUTE_S) * SECOND_NS for start in missing),
    )


def _minutes(
    instrument: Instrument, sessions: Sequence[Session], now_ns: int
) -> tuple[set[int], set[int]]:
    """The starts of every minute of the sessions that is over: what may come, and what must."""
    expected: set[int] = set()
    owed: set[int] = set()
    for session in sessions:
        may_ns = must_ns = min(session.close_ns, now_ns)
        if instrument.kind is Kind.INDEX:
            may_ns = min(may_ns, session.open_ns + INDEX_MINUTES * MINUTE_NS)
            must_ns = min(may_ns, session.underlying_ends_ns)
        for start, end in session.windows:
            expected.update(range(start, min(end, may_ns) - MINUTE_NS + 1, MINUTE_NS))
            owed.update(range(start, min(end, must_ns) - MINUTE_NS + 1, MINUTE_NS))
    return expected, owed


def _unusable(row: Row, expected: set[int]) -> str:
    start_ns, opened, high, low, close, volume = row
    if start_ns not in expected:
        return "it is no closed minute of the sessions"
    if not 0 < low <= min(opened, close) <= max(opened, close) <= high or volume < 0:
        return "its prices contradict each other"
    return ""


def _candle(row: Row, instrument: Instrument) -> Candle:
    start_ns, opened, high, low, close, volume = row
    return Candle(
        instrument=instrument.id,
        interval_s=MINUTE_S,
        start_ns=start_ns,
        open_paise=opened,
        high_paise=high,
        low_paise=low,
        close_paise=close,
        volume=volume,
    )
