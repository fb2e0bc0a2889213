"""Which days each exchange trades, and when. A day outside the calendar is unknown, never closed."""

import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from holdfast.domain.dated import Session
from holdfast.domain.errors import UnknownDay
from holdfast.domain.instrument import Exchange
from holdfast.facts.ist import ist_ns

BOTH = (Exchange.NSE, Exchange.BSE)

_ONE_DAY = dt.timedelta(days=1)
_SATURDAY = 5


class Covers(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename={"first": "from", "last": "to"},
):
    """The days of which an exchange's holidays are known; both ends are among them."""

    exchange: Exchange
    first: dt.date
    last: dt.date
    source: str

    def __post_init__(self) -> None:
        """Refuse a range that ends before it begins."""
        if self.first > self.last:
            raise ValueError(f"from {self.first} lies after to {self.last}")


class Hours(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The regular day's continuous trading in the derivatives segment, IST, from a date on.

    From `underlying_ends` on the underlying index no longer follows trades.
    """

    since: dt.date
    exchanges: tuple[Exchange, ...] = BOTH
    open: dt.time
    close: dt.time
    underlying_ends: dt.time
    source: str

    def __post_init__(self) -> None:
        """Refuse hours that are not in order."""
        if not _seconds(self.open) < _seconds(self.underlying_ends) <= _seconds(self.close):
            raise ValueError("open, underlying_ends and close are not in this order")


class SquareOff(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When the broker begins to close INTRADAY positions on a regular day, IST, from a date on.

    `verified_on` is when somebody last read it in the broker's own words.
    """

    since: dt.date
    broker: str
    at: dt.time
    verified_on: dt.date
    source: str

    def __post_init__(self) -> None:
        """Refuse fractions of a second."""
        _seconds(self.at)


class Holiday(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A day without regular trading. It may fall on a weekend or hold a special session."""

    date: dt.date
    exchanges: tuple[Exchange, ...] = BOTH
    name: str
    source: str


class SpecialSession(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Trading at other hours, or on another day, than the regular ones. All times IST.

    Without `windows` the session is announced and its hours are not: such a day is unknown.
    """

    date: dt.date
    exchanges: tuple[Exchange, ...] = BOTH
    name: str
    windows: tuple[tuple[dt.time, dt.time], ...] | None = None
    underlying_ends: dt.time | None = None
    square_off: dt.time | None = None
    source: str

    def __post_init__(self) -> None:
        """Refuse hours given by halves, out of order, or outside the session."""
        if self.windows is None:
            if self.underlying_ends is not None or self.square_off is not None:
                raise ValueError("underlying_ends and square_off stand only beside windows")
            return
        edges = [_seconds(edge) for window in self.windows for edge in window]
        if not edges or edges != sorted(set(edges)):
            raise ValueError("windows are empty, overlap or are not in order")
        for name, time in (
            ("underlying_ends", self.underlying_ends),
            ("square_off", self.square_off),
        ):
            if time is None or not edges[0] < _seconds(time) <= edges[-1]:
                raise ValueError(f"{name} must be a time within the session's windows")


class CalendarRows(NamedTuple):
    """What one file says about days and hours."""

    covers: tuple[Covers, ...] = ()
    hours: tuple[Hours, ...] = ()
    square_off: tuple[SquareOff, ...] = ()
    holidays: tuple[Holiday, ...] = ()
    special: tuple[SpecialSession, ...] = ()


class Calendar:
    """The sessions of every day between its first and its last.

    Made of layers: what a later one says of an exchange's day replaces what an earlier one says.
    """

    def __init__(self, layers: Sequence[CalendarRows]) -> None:
        self._other: dict[tuple[Exchange, dt.date], Holiday | SpecialSession] = {}
        for layer in layers:
            rows: tuple[Holiday | SpecialSession, ...] = (*layer.holidays, *layer.special)
            for row in rows:
                self._other.update(((exchange, row.date), row) for exchange in row.exchanges)
        self._covers = sorted((r for layer in layers for r in layer.covers), key=lambda r: r.first)
        # Sorted by date alone: the sort is stable, so of equal dates the later layer's stands last.
        self._hours = sorted((r for layer in layers for r in layer.hours), key=lambda r: r.since)
        self._square_off = sorted(
            (r for layer in layers for r in layer.square_off), key=lambda r: r.since
        )

    def sessions(self, day: dt.date) -> tuple[Session, ...]:
        """The hours of `day` at each exchange that trades, none on a holiday. Raises UnknownDay."""
        found = (self._session(exchange, day) for exchange in Exchange)
        return tuple(session for session in found if session is not None)

    def trades_in_full(self, exchange: Exchange, day: dt.date) -> bool:
        """Whether `day` has a session as long as a regular one: what an expiry needs.

        Muhurat and the tests of the recovery site are shorter. Raises UnknownDay.
        """
        self.require(exchange, day)
        other = self._other.get((exchange, day))
        if isinstance(other, SpecialSession):
            hours = self._hours_on(exchange, day)
            return other.windows == ((hours.open, hours.close),)
        return other is None and day.weekday() < _SATURDAY

    def full_day_until(self, exchange: Exchange, day: dt.date) -> dt.date:
        """The last full trading day up to and with `day`. Raises UnknownDay."""
        while not self.trades_in_full(exchange, day):
            day -= _ONE_DAY
        return day

    def known_until(self, exchange: Exchange, day: dt.date) -> dt.date:
        """The last day that is known without a gap from `day` on. Raises UnknownDay."""
        self.require(exchange, day)
        for row in self._covers:
            if row.exchange is exchange and row.first - _ONE_DAY <= day < row.last:
                day = row.last
        return day

    def require(self, exchange: Exchange, day: dt.date) -> None:
        """Raise UnknownDay unless the calendar covers `day`."""
        known = [row for row in self._covers if row.exchange is exchange]
        if not any(row.first <= day <= row.last for row in known):
            spans = " and ".join(f"{row.first} to {row.last}" for row in known)
            raise UnknownDay(
                f"{day}: the calendar knows {exchange} from {spans} only, so whether it trades "
                "that day is unknown and nothing is entered\n"
                "  give a file with [[covers]] for that year and its [[holidays]] as the "
                "overrides of the calendar, or upgrade"
            )

    def _session(self, exchange: Exchange, day: dt.date) -> Session | None:
        self.require(exchange, day)
        match self._other.get((exchange, day)):
            case SpecialSession() as special:
                return _special(exchange, special)
            case Holiday():
                return None
            case None:
                return self._regular(exchange, day) if day.weekday() < _SATURDAY else None

    def _regular(self, exchange: Exchange, day: dt.date) -> Session:
        hours = self._hours_on(exchange, day)
        square_off = [row for row in self._square_off if row.since <= day]
        if not square_off:
            raise _without_hours(exchange, day)
        return Session(
            day=day.isoformat(),
            exchange=exchange,
            windows=((_at(day, hours.open), _at(day, hours.close)),),
            square_off_ns=_at(day, square_off[-1].at),
            underlying_ends_ns=_at(day, hours.underlying_ends),
        )

    def _hours_on(self, exchange: Exchange, day: dt.date) -> Hours:
        rows = [row for row in self._hours if row.since <= day and exchange in row.exchanges]
        if not rows:
            raise _without_hours(exchange, day)
        return rows[-1]


def _without_hours(exchange: Exchange, day: dt.date) -> UnknownDay:
    return UnknownDay(
        f"{day}: the regular hours of {exchange}, or the broker's square-off, are not known so far "
        "back\n  give rows [[hours]] and [[square_off]] in the calendar's overrides"
    )


def _special(exchange: Exchange, special: SpecialSession) -> Session:
    day = special.date
    if special.windows is None or special.square_off is None or special.underlying_ends is None:
        raise UnknownDay(
            f"{day}: {exchange} announced a session ({special.name}) whose hours are not known\n"
            f"  give its windows, underlying_ends and square_off in a row [[special]] of the "
            f"calendar's overrides once the exchange's circular names them"
        )
    return Session(
        day=day.isoformat(),
        exchange=exchange,
        windows=tuple((_at(day, start), _at(day, end)) for start, end in special.windows),
        square_off_ns=_at(day, special.square_off),
        underlying_ends_ns=_at(day, special.underlying_ends),
        name=special.name,
    )


def _at(day: dt.date, time: dt.time) -> int:
    return ist_ns(day, _seconds(time))


def _seconds(time: dt.time) -> int:
    if time.microsecond:
        raise ValueError(f"{time} is no whole second")
    return time.hour * 3_600 + time.minute * 60 + time.second
